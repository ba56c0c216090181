"""The change feed and the echo: Quart's websockets."""

import asyncio
import logging
from collections.abc import AsyncGenerator

from quart import Blueprint, Quart, current_app, websocket
from quart.typing import ResponseReturnValue
from redis.asyncio import Redis
from werkzeug.exceptions import ClientDisconnected

from app.auth import authenticate
from app.config import Settings
from app.errors import invalid_token, upgrade_required
from app.feed import DatabaseEventLog, Feed, Subscription
from app.feed_messages import CLOSE_GOING_AWAY, CLOSE_UNSUPPORTED_DATA, FeedClosed
from app.schemas import FeedQuery
from app.sessions import db
from app.tokens import Claims
from app.validation import read_query
from app.websockets import INTERNAL_ERROR, OpenSockets

logger = logging.getLogger(__name__)

bp = Blueprint("events", __name__, url_prefix="/ws")


def init_events(app: Quart, settings: Settings) -> None:
    """Give the app its feed, which runs while the app serves, and its sockets."""
    redis = None
    if settings.redis_url is not None:
        # With a limit, redis-py sends in asyncio.wait_for: Python 3.11 may lose its cancellation.
        redis = Redis.from_url(
            settings.redis_url, socket_timeout=None, socket_connect_timeout=2, socket_keepalive=True
        )
        app.after_serving(redis.aclose)
    log = DatabaseEventLog(app.extensions["sessions"])
    feed = Feed(log, queue_events=settings.ws_queue_events, redis=redis)
    app.extensions["feed"] = feed
    app.extensions["sockets"] = OpenSockets(settings.ws_max_connections)

    @app.while_serving
    async def follow_events() -> AsyncGenerator[None, None]:
        async with feed:
            yield


@bp.get("/echo")
@bp.get("/events")
async def require_upgrade() -> ResponseReturnValue:
    """Refuse a request that does not ask to become a websocket."""
    # Contract: Quart would answer 400.
    raise upgrade_required()


@bp.websocket("/echo")
async def echo() -> None:
    """Send every message back."""
    async with current_app.extensions["sockets"].accept():
        while True:
            await websocket.send(await websocket.receive())


@bp.websocket("/events")
async def watch_events() -> None:
    """Send every change, as it is committed or from where the client left off."""
    claims = await _authenticate_handshake()
    after = read_query(FeedQuery).after
    await db.session.close()  # a socket holds no connection
    feed: Feed = current_app.extensions["feed"]
    try:
        subscription = await feed.subscribe(
            claims.user_id, expires_at=claims.expires_at, after=after
        )
    except FeedClosed:
        raise invalid_token() from None
    try:
        async with current_app.extensions["sockets"].accept():
            await _serve(subscription)
    finally:
        feed.unsubscribe(subscription)


async def _authenticate_handshake() -> Claims:
    authorization = websocket.headers.get("Authorization", "")
    offered = websocket.requested_subprotocols
    if not authorization and offered[:1] == ["bearer"]:
        authorization = "Bearer " + "".join(offered[1:2])
    return await authenticate(authorization)


async def _serve(subscription: Subscription) -> None:
    """Send what the subscription yields, and hear the client, until one of them ends."""
    receiver = asyncio.create_task(_receive_all(subscription))
    try:
        async for message in subscription:
            await websocket.send(message)
    except FeedClosed as end:
        await websocket.close(end.code)
    finally:
        receiver.cancel()


async def _receive_all(subscription: Subscription) -> None:
    try:
        while isinstance(message := await websocket.receive(), str):
            await subscription.handle(message)
        subscription.end(CLOSE_UNSUPPORTED_DATA)
    except ClientDisconnected:
        subscription.end(CLOSE_GOING_AWAY)
    except Exception:
        logger.exception("the feed of user %d failed", subscription.user_id)
        subscription.end(INTERNAL_ERROR)
