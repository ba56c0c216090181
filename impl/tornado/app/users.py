"""Users: signing up, and one's own account."""

import asyncio
from typing import Any

from psycopg.errors import DeadlockDetected
from sqlalchemy import delete, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app import schemas
from app.auth import AuthenticatedHandler, lock_caller
from app.conditional import ResourceHandler
from app.errors import Problem
from app.models import Item, User, utc_now
from app.outbox import begin
from app.pages import write_page
from app.passwords import hash_password
from app.preconditions import etag
from app.validation import MERGE_PATCH, read_body, read_query


class UsersHandler(AuthenticatedHandler):
    """/users."""

    open_methods = frozenset({"OPTIONS", "POST"})

    async def post(self) -> None:
        """create_user: sign up."""
        user_in = read_body(self, schemas.UserCreate)
        values = await hash_new_password(user_in.model_dump())
        now = utc_now()
        user = User(created_at=now, updated_at=now, **values)
        async with begin(self.services) as writing:
            writing.session.add(user)
            await flush_or_409(writing.session)
            created = schemas.User.model_validate(user)
            writing.record("user.created", user.id, created)
        self.set_status(201)
        self.set_header("Location", f"/users/{user.id}")
        self.set_header("ETag", etag(user.id, user.version))
        self.write_resource(created)

    async def get(self) -> None:
        """list_users: list users, a page at a time."""
        query = read_query(self, schemas.PageQuery)
        await write_page(self, query, select(User), schemas.User)


class CurrentUserHandler(ResourceHandler):
    """/users/me."""

    async def get(self) -> None:
        """get_current_user: read one's own account."""
        self.resource = self.current_user
        self.write_read(schemas.User.model_validate(self.resource))


class UserHandler(ResourceHandler):
    """/users/{user_id}."""

    async def authorize(self, session: AsyncSession) -> None:
        """Load the user of the path; raise 403 when it is to be changed by another."""
        await super().authorize(session)
        self.resource = await get_user_or_404(session, int(self.path_kwargs["user_id"]))
        if self.request.method in {"PUT", "PATCH", "DELETE"}:
            self.check_owner(self.resource.id)

    async def get(self, user_id: str) -> None:
        """get_user: read a user."""
        self.write_read(schemas.User.model_validate(self.resource))

    async def put(self, user_id: str) -> None:
        """replace_user: replace one's name and e-mail address, and the password if there is one."""
        user_in = read_body(self, schemas.UserReplace)
        await self.change(user_in.changes())

    async def patch(self, user_id: str) -> None:
        """update_user: change some of one's account."""
        user_in = read_body(self, schemas.UserPatch, MERGE_PATCH)
        await self.change(user_in.changes())

    async def delete(self, user_id: str) -> None:
        """delete_user: delete one's account, and one's items with it."""
        async with begin(self.services) as writing:
            session = writing.session
            user = await lock_caller(session, int(user_id), to_change=True)
            self.check_preconditions(user)
            owned = select(Item.id).where(Item.owner_id == user.id).order_by(Item.id)
            for item_id in (await session.scalars(owned)).all():
                writing.record("item.deleted", item_id)
            await session.execute(delete(Item).where(Item.owner_id == user.id))
            await session.delete(user)
            writing.record("user.deleted", user.id)
        self.set_status(204)

    async def change(self, changes: dict[str, Any]) -> None:
        """Make the changes, and answer with the new version of the user."""
        changes = await hash_new_password(changes)
        async with begin(self.services) as writing:
            user = await lock_caller(writing.session, self.resource.id, to_change=True)
            self.check_preconditions(user)
            for name, value in changes.items():
                setattr(user, name, value)
            user.version += 1
            user.updated_at = max(utc_now(), user.updated_at)
            await flush_or_409(writing.session)
            changed = schemas.User.model_validate(user)
            writing.record("user.updated", user.id, changed)
        self.resource = user
        self.set_etag_header()
        self.write_resource(changed)


async def get_user_or_404(session: AsyncSession, user_id: int) -> User:
    """Return the user."""
    user = await session.get(User, user_id)
    if user is None:
        raise Problem("not-found")
    return user


async def hash_new_password(changes: dict[str, Any]) -> dict[str, Any]:
    """Put a hash in the place of a password, in no transaction."""
    if "password" in changes:
        changes["password_hash"] = await asyncio.wrap_future(hash_password(changes.pop("password")))
    return changes


async def flush_or_409(session: AsyncSession) -> None:
    """Write the user; raise 409 when its e-mail address is another's."""
    try:
        await session.flush()
    except DBAPIError as error:
        # Two users who swap their addresses wait for each other.
        if isinstance(error, IntegrityError) or isinstance(error.orig, DeadlockDetected):
            raise Problem("email-taken") from error
        raise
