"""Users: sign-up, and what one may do with one's own account."""

import asyncio
from typing import Any

from psycopg.errors import DeadlockDetected
from quart import Blueprint, g
from quart.typing import ResponseReturnValue
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError, OperationalError

from app import schemas
from app.auth import lock_caller, token_required
from app.conditional import answer, check_preconditions
from app.database import begin_writing
from app.errors import Problem, not_found
from app.models import Item, User, utc_now
from app.outbox import Change, commit
from app.pages import page
from app.passwords import hash_password
from app.preconditions import etag
from app.sessions import db
from app.validation import MERGE_PATCH, read_body, read_query

bp = Blueprint("users", __name__, url_prefix="/users")


@bp.post("")
async def create_user() -> ResponseReturnValue:
    """Sign up."""
    body = await read_body(schemas.UserCreate)
    password_hash = await asyncio.wrap_future(hash_password(body.password))
    await begin_writing(db.session)
    now = utc_now()
    user = User(
        email=body.email,
        name=body.name,
        password_hash=password_hash,
        created_at=now,
        updated_at=now,
    )
    db.session.add(user)
    await _flush()
    data = _dump(user)
    headers = {"Location": f"/users/{user.id}", "ETag": etag(user.id, user.version)}
    await commit([Change("user.created", user.id, data)])
    return data, 201, headers


@bp.get("")
@token_required
async def list_users() -> ResponseReturnValue:
    """List the users."""
    return await page(select(User), User, schemas.User, read_query(schemas.PageQuery))


@bp.get("/me")
@token_required
async def get_current_user() -> ResponseReturnValue:
    """Return the caller."""
    user = await get_user_or_404(g.user_id)
    return answer(_dump(user), user.version)


@bp.get("/<id:user_id>")
@token_required
async def get_user(user_id: int) -> ResponseReturnValue:
    """Return a user."""
    user = await get_user_or_404(user_id)
    return answer(_dump(user), user.version)


@bp.put("/<id:user_id>")
@token_required
async def replace_user(user_id: int) -> ResponseReturnValue:
    """Replace a user's state; the password stays when it is left out."""
    await get_user_or_404(user_id, check_self=True)
    body = await read_body(schemas.UserReplace)
    return await _change_user(body.changes())


@bp.patch("/<id:user_id>")
@token_required
async def update_user(user_id: int) -> ResponseReturnValue:
    """Change some of a user's members."""
    await get_user_or_404(user_id, check_self=True)
    body = await read_body(schemas.UserPatch, MERGE_PATCH)
    return await _change_user(body.changes())


@bp.delete("/<id:user_id>")
@token_required
async def delete_user(user_id: int) -> ResponseReturnValue:
    """Delete a user with all their items."""
    await get_user_or_404(user_id, check_self=True)
    await begin_writing(db.session)
    user = await lock_caller(for_update=True)
    check_preconditions(user)
    owned = select(Item.id).where(Item.owner_id == user_id).order_by(Item.id).with_for_update()
    item_ids = (await db.session.scalars(owned)).all()
    await db.session.execute(delete(Item).where(Item.owner_id == user_id))
    await db.session.delete(user)
    deletions = [Change("item.deleted", item_id) for item_id in item_ids]
    await commit([*deletions, Change("user.deleted", user_id)])
    return "", 204


async def get_user_or_404(user_id: int, *, check_self: bool = False) -> User:
    """Return a user; with `check_self` only to that user, before they write."""
    user = await db.session.get(User, user_id)
    if user is None:
        raise not_found()
    if check_self and user.id != g.user_id:
        raise Problem("forbidden")
    return user


async def _change_user(changes: dict[str, Any]) -> ResponseReturnValue:
    if "password" in changes:
        changes["password_hash"] = await asyncio.wrap_future(hash_password(changes.pop("password")))
    await begin_writing(db.session)
    user = await lock_caller(for_update=True)
    check_preconditions(user)
    for name, value in changes.items():
        setattr(user, name, value)
    user.version += 1
    user.updated_at = max(utc_now(), user.updated_at)
    await _flush()
    data, version = _dump(user), user.version
    await commit([Change("user.updated", user.id, data)])
    return answer(data, version)


async def _flush() -> None:
    """Write the user's row, which fails when the e-mail address is another's."""
    try:
        await db.session.flush()
    except IntegrityError:
        raise Problem("email-taken") from None
    except OperationalError as error:
        if isinstance(error.orig, DeadlockDetected):  # two users after each other's address
            raise Problem("email-taken") from None
        raise


def _dump(user: User) -> dict[str, Any]:
    return schemas.User.model_validate(user).model_dump(mode="json")
