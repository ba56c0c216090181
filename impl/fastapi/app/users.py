"""Users: signing up, and one's own account."""

import asyncio
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response
from psycopg.errors import DeadlockDetected
from sqlalchemy import delete, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app import schemas
from app.auth import CurrentUser, lock_caller
from app.conditional import NOT_MODIFIED, ReadConditions, WriteConditions
from app.dependencies import SessionDep
from app.errors import Problem
from app.models import Item, User, utc_now
from app.outbox import Writing
from app.pages import Page, read_page
from app.passwords import hash_password
from app.preconditions import etag
from app.routing import Router, merge_patch

router = Router(prefix="/users", tags=["users"])


async def get_user_or_404(
    user_id: Annotated[int, Path(ge=1, le=schemas.MAX_ID)],
    _caller: CurrentUser,
    session: SessionDep,
) -> User:
    """Return the user of the path."""
    user = await session.get(User, user_id)
    if user is None:
        raise Problem("not-found")
    return user


AnyUser = Annotated[User, Depends(get_user_or_404)]


async def get_own_user(user: AnyUser, caller: CurrentUser) -> User:
    """Return the user of the path; raise 403 unless it is the caller."""
    if user.id != caller.id:
        raise Problem("forbidden")
    return user


OwnUser = Annotated[User, Depends(get_own_user)]


@router.post("", status_code=201, response_model=schemas.User)
async def create_user(
    user_in: schemas.UserCreate, writing: Writing, response: Response
) -> schemas.User:
    """Sign up."""
    password_hash = await asyncio.wrap_future(hash_password(user_in.password))
    now = utc_now()
    user = User(
        email=user_in.email,
        name=user_in.name,
        password_hash=password_hash,
        created_at=now,
        updated_at=now,
    )
    async with writing as session:
        session.add(user)
        await flush_or_409(session)
        created = schemas.User.model_validate(user)
        writing.record("user.created", user.id, created)
    response.headers["Location"] = f"/users/{user.id}"
    response.headers["ETag"] = etag(user.id, user.version)
    return created


@router.get("", response_model=Page[schemas.User])
async def list_users(
    _caller: CurrentUser,
    query: Annotated[schemas.PageQuery, Query()],
    session: SessionDep,
    request: Request,
    response: Response,
) -> Any:
    """List users, a page at a time."""
    return await read_page(session, query, select(User), request, response)


@router.get("/me", response_model=schemas.User, responses=NOT_MODIFIED)
async def get_current_user(caller: CurrentUser, conditions: ReadConditions) -> Any:
    """Read one's own account."""
    return conditions.answer(caller)


@router.get("/{user_id:id}", response_model=schemas.User, responses=NOT_MODIFIED)
async def get_user(user: AnyUser, conditions: ReadConditions) -> Any:
    """Read a user."""
    return conditions.answer(user)


@router.put("/{user_id:id}", response_model=schemas.User)
async def replace_user(
    user: OwnUser,
    user_in: schemas.UserReplace,
    session: SessionDep,
    writing: Writing,
    conditions: WriteConditions,
) -> schemas.User:
    """Replace one's name and e-mail address, and the password if there is one."""
    changes = await hash_new_password(session, user_in.changes())
    return await change_user(user.id, changes, writing, conditions)


@router.patch(
    "/{user_id:id}",
    response_model=schemas.User,
    openapi_extra=merge_patch("UserPatch"),
)
async def update_user(
    user: OwnUser,
    user_in: schemas.UserPatch,
    session: SessionDep,
    writing: Writing,
    conditions: WriteConditions,
) -> schemas.User:
    """Change some of one's account."""
    changes = await hash_new_password(session, user_in.changes())
    return await change_user(user.id, changes, writing, conditions)


# Contract: FastAPI would call the empty body application/json.
@router.delete("/{user_id:id}", status_code=204, response_class=Response)
async def delete_user(user: OwnUser, writing: Writing, conditions: WriteConditions) -> None:
    """Delete one's account, and one's items with it."""
    user_id = user.id
    async with writing as session:
        user = await lock_caller(session, user_id, to_change=True)
        conditions.check(user)
        owned = select(Item.id).where(Item.owner_id == user_id).order_by(Item.id)
        for item_id in (await session.scalars(owned)).all():
            writing.record("item.deleted", item_id)
        await session.execute(delete(Item).where(Item.owner_id == user_id))
        await session.delete(user)
        writing.record("user.deleted", user_id)


async def hash_new_password(session: AsyncSession, changes: dict[str, Any]) -> dict[str, Any]:
    """Put a hash in the place of a password."""
    await session.commit()  # nothing is held while the password is hashed
    if "password" in changes:
        changes["password_hash"] = await asyncio.wrap_future(hash_password(changes.pop("password")))
    return changes


async def change_user(
    user_id: int, changes: dict[str, Any], writing: Writing, conditions: WriteConditions
) -> schemas.User:
    """Make the changes, in a new version of the user."""
    async with writing as session:
        user = await lock_caller(session, user_id, to_change=True)
        conditions.check(user)
        for name, value in changes.items():
            setattr(user, name, value)
        user.version += 1
        user.updated_at = max(utc_now(), user.updated_at)
        await flush_or_409(session)
        changed = schemas.User.model_validate(user)
        writing.record("user.updated", user_id, changed)
    conditions.tag(user)
    return changed


async def flush_or_409(session: AsyncSession) -> None:
    """Write the user; raise 409 when its e-mail address is another's."""
    try:
        await session.flush()
    except DBAPIError as error:
        # Two users who swap their addresses wait for each other.
        if isinstance(error, IntegrityError) or isinstance(error.orig, DeadlockDetected):
            raise Problem("email-taken") from error
        raise
