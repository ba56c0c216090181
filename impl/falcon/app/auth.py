"""Logging in, and who is calling: bearer tokens (RFC 6750)."""

import asyncio
from typing import Any

import falcon
from falcon.asgi import Request, Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.config import Settings
from app.errors import InvalidCredentials, InvalidToken, Unauthorized
from app.models import User
from app.passwords import verify_password
from app.schemas import Token, TokenCreate
from app.tokens import Claims, InvalidTokenError, issue_token, read_token
from app.validation import validate_body
from app.websockets import offers_bearer


class Authenticator:
    """Issues tokens, and tells whose a request's token is."""

    def __init__(self, settings: Settings) -> None:
        self._secret_key = settings.secret_key.get_secret_value()
        self._ttl = settings.token_ttl_seconds

    def issue(self, user: User) -> Token:
        """Return a new token of the user."""
        access_token = issue_token(user.id, self._secret_key, self._ttl)
        return Token(access_token=access_token, expires_in=self._ttl, user_id=user.id)

    async def identify(self, req: Request, session: AsyncSession) -> tuple[User, Claims]:
        """Return who calls, and what the token says; raise 401 when it is not valid."""
        try:
            claims = read_token(read_bearer(req), self._secret_key)
        except InvalidTokenError as error:
            raise InvalidToken from error
        user = await session.get(User, claims.user_id)
        if user is None:
            raise InvalidToken
        return user, claims


class Tokens:
    """`/tokens`."""

    def __init__(self, auth: Authenticator) -> None:
        self._auth = auth

    @falcon.before(validate_body, TokenCreate)
    async def on_post(self, req: Request, resp: Response, body: TokenCreate) -> None:
        """create_token: log in."""
        session: AsyncSession = req.context.session
        user = await session.scalar(select(User).where(User.email == body.email))
        await session.commit()  # nothing is held while the password is verified
        password_hash = None if user is None else user.password_hash
        matches = await asyncio.wrap_future(verify_password(password_hash, body.password))
        if user is None or not matches:
            raise InvalidCredentials
        resp.status = falcon.HTTP_201
        resp.cache_control = ["no-store"]
        resp.media = self._auth.issue(user)


def read_bearer(req: Request) -> str:
    """Return the token of a request or handshake, whatever it is; raise 401 when there is none."""
    authorization = req.get_header("Authorization", default="")
    if not authorization and offers_bearer(req):
        return "".join(req.scope["subprotocols"][1:2])
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthorized
    return token.strip(" ")


async def authenticate(req: Request, resp: Response, resource: Any, params: dict[str, Any]) -> None:
    """Put the caller into the context; raise 401 without a valid token (a hook).

    The resource has an Authenticator, `auth`.
    """
    req.context.user, _ = await resource.auth.identify(req, req.context.session)


async def lock_caller(session: AsyncSession, user_id: int, *, to_change: bool = False) -> User:
    """Keep the caller's row until the transaction ends; raise 401 when it is gone meanwhile.

    Others may hold it too, unless it is `to_change`.
    """
    lock = True if to_change else {"read": True, "key_share": True}
    user = await session.get(User, user_id, with_for_update=lock, populate_existing=True)
    if user is None:
        raise InvalidToken
    return user
