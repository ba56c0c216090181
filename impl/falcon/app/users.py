"""Users: signing up, and one's own account."""

import asyncio
from typing import Any

import falcon
from falcon.asgi import Request, Response
from psycopg.errors import DeadlockDetected
from sqlalchemy import delete, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app import schemas
from app.auth import Authenticator, authenticate, lock_caller
from app.conditional import answer, check_preconditions
from app.errors import EmailTaken, Forbidden
from app.feed import Feed
from app.models import Item, User, utc_now
from app.outbox import WritingTransaction
from app.pages import answer_page
from app.passwords import hash_password
from app.preconditions import etag
from app.validation import read_query, validate_body


async def get_user_or_404(session: AsyncSession, user_id: int) -> User:
    """Return a user; raise 404 when there is none."""
    user = await session.get(User, user_id)
    if user is None:
        raise falcon.HTTPNotFound
    return user


async def require_self(
    req: Request, resp: Response, resource: object, params: dict[str, Any]
) -> None:
    """Raise 404 unless the user of the path is there, 403 unless it is the caller (a hook)."""
    user = await get_user_or_404(req.context.session, params["user_id"])
    if user is not req.context.user:
        raise Forbidden


class Users:
    """`/users`, `/users/me` and `/users/{user_id}`."""

    def __init__(self, auth: Authenticator, feed: Feed) -> None:
        self.auth = auth
        self._feed = feed

    @falcon.before(validate_body, schemas.UserCreate)
    async def on_post(self, req: Request, resp: Response, body: schemas.UserCreate) -> None:
        """create_user: sign up."""
        password_hash = await asyncio.wrap_future(hash_password(body.password))
        now = utc_now()
        user = User(
            email=body.email,
            name=body.name,
            password_hash=password_hash,
            created_at=now,
            updated_at=now,
        )
        writing = WritingTransaction(req.context.session, self._feed)
        async with writing as session:
            session.add(user)
            await flush_or_409(session)
            created = schemas.User.model_validate(user)
            writing.record("user.created", user.id, created)
        resp.status = falcon.HTTP_201
        resp.location = f"/users/{user.id}"
        resp.etag = etag(user.id, user.version)
        resp.media = created

    @falcon.before(authenticate)
    async def on_get(self, req: Request, resp: Response) -> None:
        """list_users: list users, a page at a time."""
        query = read_query(req, schemas.PageQuery)
        await answer_page(req, resp, query, select(User), schemas.User)

    @falcon.before(authenticate)
    async def on_get_me(self, req: Request, resp: Response) -> None:
        """get_current_user: read one's own account."""
        user: User = req.context.user
        answer(req, resp, user, schemas.User.model_validate(user))

    @falcon.before(authenticate)
    async def on_get_user(self, req: Request, resp: Response, user_id: int) -> None:
        """get_user: read a user."""
        user = await get_user_or_404(req.context.session, user_id)
        answer(req, resp, user, schemas.User.model_validate(user))

    @falcon.before(authenticate)
    @falcon.before(require_self)
    @falcon.before(validate_body, schemas.UserReplace)
    async def on_put_user(
        self, req: Request, resp: Response, user_id: int, body: schemas.UserReplace
    ) -> None:
        """replace_user: replace one's name and address, and the password if there is one."""
        await self._change(req, resp, user_id, body.changes())

    @falcon.before(authenticate)
    @falcon.before(require_self)
    @falcon.before(validate_body, schemas.UserPatch)
    async def on_patch_user(
        self, req: Request, resp: Response, user_id: int, body: schemas.UserPatch
    ) -> None:
        """update_user: change some of one's account."""
        await self._change(req, resp, user_id, body.changes())

    @falcon.before(authenticate)
    @falcon.before(require_self)
    async def on_delete_user(self, req: Request, resp: Response, user_id: int) -> None:
        """delete_user: delete one's account, and one's items with it."""
        writing = WritingTransaction(req.context.session, self._feed)
        async with writing as session:
            user = await lock_caller(session, user_id, to_change=True)
            check_preconditions(req, user)
            owned = select(Item.id).where(Item.owner_id == user_id).order_by(Item.id)
            for item_id in (await session.scalars(owned)).all():
                writing.record("item.deleted", item_id)
            await session.execute(delete(Item).where(Item.owner_id == user_id))
            await session.delete(user)
            writing.record("user.deleted", user_id)
        resp.status = falcon.HTTP_204

    async def _change(
        self, req: Request, resp: Response, user_id: int, changes: dict[str, Any]
    ) -> None:
        """Make the changes, in a new version of the user."""
        if "password" in changes:
            hashing = hash_password(changes.pop("password"))
            changes["password_hash"] = await asyncio.wrap_future(hashing)
        writing = WritingTransaction(req.context.session, self._feed)
        async with writing as session:
            user = await lock_caller(session, user_id, to_change=True)
            check_preconditions(req, user)
            for name, value in changes.items():
                setattr(user, name, value)
            user.version += 1
            user.updated_at = max(utc_now(), user.updated_at)
            await flush_or_409(session)
            changed = schemas.User.model_validate(user)
            writing.record("user.updated", user_id, changed)
        resp.etag = etag(user.id, user.version)
        resp.media = changed


async def flush_or_409(session: AsyncSession) -> None:
    """Write the user; raise 409 when its e-mail address is another's."""
    try:
        await session.flush()
    except DBAPIError as error:
        # Two users who swap their addresses wait for each other.
        if isinstance(error, IntegrityError) or isinstance(error.orig, DeadlockDetected):
            raise EmailTaken from error
        raise
