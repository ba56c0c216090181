"""Logging in, and who is calling: bearer tokens (RFC 6750)."""

import asyncio
from typing import Annotated

from fastapi import Depends, Response
from fastapi.security import HTTPBearer
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import HTTPConnection

from app.dependencies import SessionDep, SettingsDep
from app.errors import invalid_credentials, invalid_token, unauthorized
from app.models import User
from app.passwords import verify_password
from app.routing import Router
from app.schemas import Token, TokenCreate
from app.tokens import Claims, InvalidTokenError, issue_token, read_token
from app.websockets import offers_bearer

router = Router(prefix="/tokens", tags=["tokens"])


@router.post("", status_code=201, response_model=Token)
async def create_token(
    token_in: TokenCreate, session: SessionDep, settings: SettingsDep, response: Response
) -> Token:
    """Log in."""
    user = await session.scalar(select(User).where(User.email == token_in.email))
    await session.commit()  # nothing is held while the password is verified
    password_hash = None if user is None else user.password_hash
    matches = await asyncio.wrap_future(verify_password(password_hash, token_in.password))
    if user is None or not matches:
        raise invalid_credentials()
    response.headers["Cache-Control"] = "no-store"
    secret_key, ttl = settings.secret_key.get_secret_value(), settings.token_ttl_seconds
    token = issue_token(user.id, secret_key, ttl)
    return Token(access_token=token, expires_in=ttl, user_id=user.id)


class BearerToken(HTTPBearer):
    """The token of a request or of a websocket's handshake."""

    # Contract: FastAPI's HTTPBearer would take no websocket, and one challenge for all failures.
    async def __call__(self, connection: HTTPConnection) -> str:  # type: ignore[override]
        """Return the token, whatever it is; raise 401 when none was sent."""
        authorization = connection.headers.get("Authorization", "")
        if not authorization and offers_bearer(connection):
            return "".join(connection.scope["subprotocols"][1:2])
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise unauthorized()
        return token.strip(" ")


async def get_claims(
    token: Annotated[str, Depends(BearerToken(bearerFormat="JWT"))], settings: SettingsDep
) -> Claims:
    """Return what the token says; raise 401 when it is not valid."""
    try:
        return read_token(token, settings.secret_key.get_secret_value())
    except InvalidTokenError as error:
        raise invalid_token() from error


CurrentClaims = Annotated[Claims, Depends(get_claims)]


async def get_current_user(claims: CurrentClaims, session: SessionDep) -> User:
    """Return the token's user; raise 401 when it has been deleted."""
    user = await session.get(User, claims.user_id)
    if user is None:
        raise invalid_token()
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]


async def lock_caller(session: AsyncSession, user_id: int, *, to_change: bool = False) -> User:
    """Keep the caller's row until the transaction ends; raise 401 when it is gone meanwhile.

    Others may hold it too, unless it is `to_change`.
    """
    lock = True if to_change else {"read": True, "key_share": True}
    user = await session.get(User, user_id, with_for_update=lock, populate_existing=True)
    if user is None:
        raise invalid_token()
    return user
