"""The websockets: an echo, and the change feed."""

import asyncio
import logging
from contextlib import ExitStack
from typing import Any

from sanic import Blueprint
from sanic.exceptions import RequestCancelled, SanicException
from sanic.http.http1 import Http
from sanic.models.server_types import ConnInfo
from sanic.signals import Event

from app.auth import authenticate
from app.context import App, Request
from app.errors import invalid_token, upgrade_required
from app.feed import Subscription
from app.feed_messages import CLOSE_GOING_AWAY, CLOSE_UNSUPPORTED_DATA, FeedClosed
from app.schemas import FeedQuery
from app.tokens import Claims
from app.validation import read_query
from app.websockets import INTERNAL_ERROR, Websocket, asks_for_upgrade, offered_token

logger = logging.getLogger(__name__)

echo_bp = Blueprint("echo")
feed_bp = Blueprint("feed")
bp = Blueprint.group(echo_bp, feed_bp, url_prefix="/ws")


@echo_bp.websocket("/echo")
async def echo(_: Request, websocket: Websocket) -> None:
    """Send every message back."""
    while True:
        await websocket.send(await websocket.recv())


@feed_bp.websocket("/events")
async def watch_events(request: Request, websocket: Websocket) -> None:
    """Tell of every change."""
    subscription = request.ctx.subscription
    teller, code = asyncio.create_task(tell(websocket, subscription)), CLOSE_GOING_AWAY
    try:
        code = await listen(websocket, subscription)
    finally:  # cancelled, when the client has gone or the server stops
        subscription.end(code)
        await asyncio.wait({teller})


async def tell(websocket: Websocket, subscription: Subscription) -> None:
    """Send the subscription's messages until it ends, and then a Close."""
    try:
        async for message in subscription:
            await websocket.send(message)
    except FeedClosed as end:
        await websocket.close(end.code)
    except SanicException:  # the client is gone, or has stopped to read
        pass
    except Exception:
        logger.exception("the feed of user %d failed", subscription.user_id)
        await websocket.close(INTERNAL_ERROR)


async def listen(websocket: Websocket, subscription: Subscription) -> int:
    """Take commands until the client sends what is none; return the close code."""
    while isinstance(message := await websocket.recv(), str):
        await subscription.handle(message)
    return CLOSE_UNSUPPORTED_DATA


@echo_bp.on_request
async def admit_to_echo(request: Request) -> None:
    """Take a place."""
    require_upgrade(request)
    take_place(request)


@feed_bp.on_request
async def admit_to_feed(request: Request) -> None:
    """Refuse those without a token; subscribe the others before they are let in."""
    require_upgrade(request)
    claims = await authenticate_handshake(request)
    after = read_query(request, FeedQuery).after
    await request.ctx.session.close()  # a socket holds no connection to the database
    place, feed = take_place(request), request.app.ctx.feed
    try:
        request.ctx.subscription = await feed.subscribe(
            claims.user_id, expires_at=claims.expires_at, after=after
        )
    except FeedClosed as error:
        raise invalid_token() from error
    place.callback(feed.unsubscribe, request.ctx.subscription)
    if request.conn_info and request.conn_info.lost:  # meanwhile
        raise RequestCancelled


def require_upgrade(request: Request) -> None:
    """Refuse a request that asks for no upgrade."""
    # Contract: Sanic would answer 500, and see no websocket in a list of protocols.
    if not asks_for_upgrade(request):
        raise upgrade_required()
    assert isinstance(request.stream, Http)  # noqa: S101 (no HTTP/3 here)
    request.stream.upgrade_websocket = True
    request.stream.keep_alive = False  # one handshake a connection, also when it is refused


async def authenticate_handshake(request: Request) -> Claims:
    """Return the claims of the token in Authorization, or else among the subprotocols."""
    authorization, offered = request.headers.getone("Authorization", ""), offered_token(request)
    if not authorization and offered is not None:
        authorization = f"Bearer {offered}"
    return await authenticate(request, authorization)


def take_place(request: Request) -> ExitStack:
    """Keep a place for a websocket until its connection ends; raise 503 when there is none."""
    place = ExitStack()
    place.enter_context(request.app.ctx.sockets.place())
    assert request.conn_info is not None  # noqa: S101 (its connection is being served)
    request.conn_info.ctx.place = place
    return place


def init_events(app: App) -> None:
    """Give places back, and close the sockets of handlers that fail."""

    @app.signal(Event.HTTP_LIFECYCLE_COMPLETE)
    async def leave_place(conn_info: ConnInfo) -> None:
        if (place := getattr(conn_info.ctx, "place", None)) is not None:
            place.close()

    @app.signal(Event.WEBSOCKET_HANDLER_EXCEPTION)
    async def close_failed(websocket: Websocket, **_: Any) -> None:
        # Contract: Sanic would close with 1000.
        await websocket.close(INTERNAL_ERROR)
