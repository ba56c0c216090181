"""Who is asking: log-in, bearer tokens (RFC 6750), and the caller of an operation."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from quart import Blueprint, current_app, g, request
from quart.typing import ResponseReturnValue
from sqlalchemy import select

from app import schemas
from app.errors import invalid_credentials, invalid_token, unauthorized
from app.models import User
from app.passwords import verify_password
from app.sessions import db
from app.tokens import Claims, InvalidTokenError, issue_token, read_token
from app.validation import read_body

P = ParamSpec("P")
R = TypeVar("R")

bp = Blueprint("tokens", __name__)


@bp.post("/tokens")
async def create_token() -> ResponseReturnValue:
    """Log in."""
    body = await read_body(schemas.TokenCreate)
    user = await db.session.scalar(select(User).filter_by(email=body.email))
    user_id, password_hash = (user.id, user.password_hash) if user else (0, None)
    await db.session.rollback()  # hashing takes long: hold no connection meanwhile
    if not await asyncio.wrap_future(verify_password(password_hash, body.password)):
        raise invalid_credentials()
    ttl = current_app.config["TOKEN_TTL_SECONDS"]
    access_token = issue_token(user_id, current_app.config["SECRET_KEY"], ttl)
    token = schemas.Token(access_token=access_token, expires_in=ttl, user_id=user_id)
    return token.model_dump(), 201, {"Cache-Control": "no-store"}


def token_required(view: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Let only those in who send a valid token; `g.user_id` is theirs."""

    @wraps(view)
    async def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        claims = await authenticate(request.headers.get("Authorization", ""))
        g.user_id = claims.user_id
        return await view(*args, **kwargs)

    return checked


async def authenticate(authorization: str) -> Claims:
    """Return the claims of an Authorization field whose user exists."""
    # Contract: request.authorization would be None for "Bearer" alone.
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise unauthorized()
    claims = read_claims(token.strip(" "))
    if await db.session.get(User, claims.user_id) is None:
        raise invalid_token()
    return claims


def read_claims(token: str) -> Claims:
    """Return the claims of a valid token."""
    try:
        return read_token(token, current_app.config["SECRET_KEY"])
    except InvalidTokenError:
        raise invalid_token() from None


async def lock_caller(*, for_update: bool = False) -> User:
    """Select the caller again in a writing transaction, and hold them until it ends.

    Without `for_update` the row may be read and written, but not deleted.
    """
    lock = {} if for_update else {"read": True, "key_share": True}
    user = await db.session.get(
        User, g.user_id, with_for_update=lock or True, populate_existing=True
    )
    if user is None:
        raise invalid_token()
    return user
