"""Logging in, and who is calling: bearer tokens (RFC 6750)."""

import asyncio

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import invalid_credentials, invalid_token, unauthorized
from app.messages import ApiHandler
from app.models import User
from app.passwords import verify_password
from app.schemas import Token, TokenCreate
from app.tokens import Claims, InvalidTokenError, issue_token, read_token
from app.validation import read_body


class TokensHandler(ApiHandler):
    """/tokens."""

    async def post(self) -> None:
        """create_token: log in."""
        token_in = read_body(self, TokenCreate)
        async with self.sessions() as session:
            user = await session.scalar(select(User).where(User.email == token_in.email))
        password_hash = None if user is None else user.password_hash
        matches = await asyncio.wrap_future(verify_password(password_hash, token_in.password))
        if user is None or not matches:
            raise invalid_credentials()
        settings = self.services.settings
        secret_key, ttl = settings.secret_key.get_secret_value(), settings.token_ttl_seconds
        token = issue_token(user.id, secret_key, ttl)
        self.set_status(201)
        self.set_header("Cache-Control", "no-store")
        self.write_resource(Token(access_token=token, expires_in=ttl, user_id=user.id))


class AuthenticatedHandler(ApiHandler):
    """A handler whose operations need a token, but for those of `open_methods`.

    Once it is prepared, `current_user` is the caller.
    """

    open_methods = frozenset({"OPTIONS"})
    claims: Claims

    async def prepare(self) -> None:
        """Check who calls, and what the caller may do, in a transaction that only reads."""
        await super().prepare()
        if self.request.method not in self.open_methods:
            self.claims = self.read_claims()
            async with self.sessions() as session:
                await self.authorize(session)

    async def authorize(self, session: AsyncSession) -> None:
        """Load the caller; those who extend this load what the path names."""
        self.current_user = await session.get(User, self.claims.user_id)
        if self.current_user is None:
            raise invalid_token()

    def read_claims(self) -> Claims:
        """Return what the token says; raise 401 when there is none, or none that is valid."""
        secret_key = self.services.settings.secret_key.get_secret_value()
        try:
            return read_token(self.bearer_token(), secret_key)
        except InvalidTokenError as error:
            raise invalid_token() from error

    def bearer_token(self) -> str:
        """Return the token, whatever it is; raise 401 when none was sent."""
        authorization = self.request.headers.get("Authorization", "")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise unauthorized()
        return token.strip(" ")


async def lock_caller(session: AsyncSession, user_id: int, *, to_change: bool = False) -> User:
    """Keep the caller's row until the transaction ends; raise 401 when it is gone meanwhile.

    Others may hold it too, unless it is `to_change`.
    """
    lock = True if to_change else {"read": True, "key_share": True}
    user = await session.get(User, user_id, with_for_update=lock, populate_existing=True)
    if user is None:
        raise invalid_token()
    return user
