"""Users: signing up, and one's own account."""

import asyncio
from typing import Any

from psycopg.errors import DeadlockDetected
from sanic import Blueprint, HTTPResponse, empty, json
from sqlalchemy import delete, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app import schemas
from app.auth import lock_caller, token_required
from app.conditional import answer, check_preconditions
from app.context import Request
from app.database import begin_writing
from app.errors import Problem
from app.models import Item, User, utc_now
from app.outbox import Change, commit
from app.pages import page
from app.passwords import hash_password
from app.preconditions import etag
from app.validation import MERGE_PATCH, read_body, read_query

bp = Blueprint("users", url_prefix="/users")


@bp.post("")
async def create_user(request: Request) -> HTTPResponse:
    """Sign up."""
    user_in, session = read_body(request, schemas.UserCreate), request.ctx.session
    password_hash = await asyncio.wrap_future(hash_password(user_in.password))
    await begin_writing(session)
    now = utc_now()
    user = User(
        email=user_in.email,
        name=user_in.name,
        password_hash=password_hash,
        created_at=now,
        updated_at=now,
    )
    session.add(user)
    await flush_or_409(session)
    created = dump(user)
    await commit(request, Change("user.created", user.id, created))
    headers = {"Location": f"/users/{user.id}", "ETag": etag(user.id, user.version)}
    return json(created, 201, headers)


@bp.get("")
@token_required
async def list_users(request: Request) -> HTTPResponse:
    """List users, a page at a time."""
    query = read_query(request, schemas.PageQuery)
    return await page(request, select(User), schemas.User, query)


@bp.get("/me")
@token_required
async def get_current_user(request: Request) -> HTTPResponse:
    """Read one's own account."""
    user = await get_user_or_404(request, request.ctx.user_id)
    return answer(request, dump(user), user.version)


@bp.get("/<user_id:id>")
@token_required
async def get_user(request: Request, user_id: int) -> HTTPResponse:
    """Read a user."""
    user = await get_user_or_404(request, user_id)
    return answer(request, dump(user), user.version)


@bp.put("/<user_id:id>")
@token_required
async def replace_user(request: Request, user_id: int) -> HTTPResponse:
    """Replace one's name and e-mail address, and the password if there is one."""
    await get_user_or_404(request, user_id, check_self=True)
    user_in = read_body(request, schemas.UserReplace)
    return await change_user(request, user_in.changes())


@bp.patch("/<user_id:id>")
@token_required
async def update_user(request: Request, user_id: int) -> HTTPResponse:
    """Change some of one's account."""
    await get_user_or_404(request, user_id, check_self=True)
    user_in = read_body(request, schemas.UserPatch, MERGE_PATCH)
    return await change_user(request, user_in.changes())


@bp.delete("/<user_id:id>")
@token_required
async def delete_user(request: Request, user_id: int) -> HTTPResponse:
    """Delete one's account, and one's items with it."""
    await get_user_or_404(request, user_id, check_self=True)
    session = request.ctx.session
    await begin_writing(session)
    user = await lock_caller(request, to_change=True)
    check_preconditions(request, user)
    owned = select(Item.id).where(Item.owner_id == user_id).order_by(Item.id)
    item_ids = (await session.scalars(owned)).all()
    await session.execute(delete(Item).where(Item.owner_id == user_id))
    await session.delete(user)
    deletions = [Change("item.deleted", item_id) for item_id in item_ids]
    await commit(request, *deletions, Change("user.deleted", user_id))
    return empty()


async def get_user_or_404(request: Request, user_id: int, *, check_self: bool = False) -> User:
    """Return a user; with `check_self` only to that user, before they write."""
    user = await request.ctx.session.get(User, user_id)
    if user is None:
        raise Problem("not-found")
    if check_self and user.id != request.ctx.user_id:
        raise Problem("forbidden")
    return user


async def change_user(request: Request, changes: dict[str, Any]) -> HTTPResponse:
    """Make the changes, in a new version of the caller."""
    session = request.ctx.session
    await session.commit()  # nothing is held while the password is hashed
    if "password" in changes:
        changes["password_hash"] = await asyncio.wrap_future(hash_password(changes.pop("password")))
    await begin_writing(session)
    user = await lock_caller(request, to_change=True)
    check_preconditions(request, user)
    for name, value in changes.items():
        setattr(user, name, value)
    user.version += 1
    user.updated_at = max(utc_now(), user.updated_at)
    await flush_or_409(session)
    changed = dump(user)
    await commit(request, Change("user.updated", user.id, changed))
    return answer(request, changed, user.version)


async def flush_or_409(session: AsyncSession) -> None:
    """Write the user; raise 409 when its e-mail address is another's."""
    try:
        await session.flush()
    except DBAPIError as error:
        # Two users who swap their addresses wait for each other.
        if isinstance(error, IntegrityError) or isinstance(error.orig, DeadlockDetected):
            raise Problem("email-taken") from error
        raise


def dump(user: User) -> dict[str, Any]:
    """Return a user as it is on the wire."""
    return schemas.User.model_validate(user).model_dump(mode="json")
