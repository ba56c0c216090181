"""Logging in, and who is calling: bearer tokens (RFC 6750)."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from sanic import Blueprint, HTTPResponse, json
from sqlalchemy import select

from app.context import Request
from app.errors import invalid_credentials, invalid_token, unauthorized
from app.models import User
from app.passwords import verify_password
from app.schemas import Token, TokenCreate
from app.tokens import Claims, InvalidTokenError, issue_token, read_token
from app.validation import read_body

P = ParamSpec("P")
Handler = Callable[Concatenate[Request, P], Coroutine[Any, Any, HTTPResponse]]

bp = Blueprint("tokens", url_prefix="/tokens")


@bp.post("")
async def create_token(request: Request) -> HTTPResponse:
    """Log in."""
    token_in = read_body(request, TokenCreate)
    session, settings = request.ctx.session, request.app.ctx.settings
    user = await session.scalar(select(User).where(User.email == token_in.email))
    await session.commit()  # nothing is held while the password is verified
    password_hash = None if user is None else user.password_hash
    matches = await asyncio.wrap_future(verify_password(password_hash, token_in.password))
    if user is None or not matches:
        raise invalid_credentials()
    secret_key, ttl = settings.secret_key.get_secret_value(), settings.token_ttl_seconds
    token = issue_token(user.id, secret_key, ttl)
    body = Token(access_token=token, expires_in=ttl, user_id=user.id)
    return json(body.model_dump(), 201, {"Cache-Control": "no-store"})


def token_required(handler: Handler[P]) -> Handler[P]:
    """Let only those in who send a valid token; `request.ctx.user_id` is theirs."""

    @wraps(handler)
    async def checked(request: Request, /, *args: P.args, **kwargs: P.kwargs) -> HTTPResponse:
        # Contract: request.token would be the same for no token, no scheme and another scheme.
        await authenticate(request, request.headers.getone("Authorization", ""))
        return await handler(request, *args, **kwargs)

    return checked


async def authenticate(request: Request, authorization: str) -> Claims:
    """Return what the token of an Authorization field says; raise 401 unless its user exists."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise unauthorized()
    secret_key = request.app.ctx.settings.secret_key.get_secret_value()
    try:
        claims = read_token(token.strip(" "), secret_key)
    except InvalidTokenError as error:
        raise invalid_token() from error
    if await request.ctx.session.get(User, claims.user_id) is None:
        raise invalid_token()
    request.ctx.user_id = claims.user_id
    return claims


async def lock_caller(request: Request, *, to_change: bool = False) -> User:
    """Keep the caller's row until the transaction ends; raise 401 when it is gone meanwhile.

    Others may hold it too, unless it is `to_change`.
    """
    lock = True if to_change else {"read": True, "key_share": True}
    user = await request.ctx.session.get(
        User, request.ctx.user_id, with_for_update=lock, populate_existing=True
    )
    if user is None:
        raise invalid_token()
    return user
