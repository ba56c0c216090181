"""The change feed and the echo: websockets in ordinary views."""

import logging
import threading

from flask import Blueprint, Flask, current_app, request
from flask.typing import ResponseReturnValue
from redis import Redis
from simple_websocket import ConnectionClosed
from sqlalchemy.orm import sessionmaker

from app.auth import authenticate
from app.config import Settings
from app.database import db
from app.errors import invalid_token
from app.feed import DatabaseEventLog, Feed, Subscription
from app.feed_messages import CLOSE_GOING_AWAY, CLOSE_UNSUPPORTED_DATA, FeedClosed
from app.schemas import FeedQuery
from app.tokens import Claims
from app.validation import read_query
from app.websockets import INTERNAL_ERROR, OpenSockets, Upgraded, WebSocket, require_upgrade

logger = logging.getLogger(__name__)

bp = Blueprint("events", __name__, url_prefix="/ws")


def init_events(app: Flask, settings: Settings) -> None:
    """Give the app its feed, which starts with its first use, and its sockets."""
    with app.app_context():
        log = DatabaseEventLog(sessionmaker(db.engine))
    redis = None
    if settings.redis_url is not None:
        redis = Redis.from_url(
            settings.redis_url, socket_timeout=2, socket_connect_timeout=2, socket_keepalive=True
        )
    app.extensions["feed"] = Feed(log, queue_events=settings.ws_queue_events, redis=redis)
    app.extensions["sockets"] = OpenSockets(settings.ws_max_connections)


@bp.get("/echo")
def echo() -> ResponseReturnValue:
    """Send every message back."""
    require_upgrade()
    with current_app.extensions["sockets"].accept(request.environ) as websocket:
        for message in websocket:
            websocket.send(message)
    return Upgraded(websocket)


@bp.get("/events")
def watch_events() -> ResponseReturnValue:
    """Send every change, as it is committed or from where the client left off."""
    require_upgrade()
    claims = _authenticate_handshake()
    after = read_query(FeedQuery).after
    db.session.remove()  # a socket holds no connection
    feed: Feed = current_app.extensions["feed"]
    try:
        subscription = feed.subscribe(claims.user_id, expires_at=claims.expires_at, after=after)
    except FeedClosed:
        raise invalid_token() from None
    try:
        with current_app.extensions["sockets"].accept(request.environ) as websocket:
            _serve(websocket, subscription)
    finally:
        feed.unsubscribe(subscription)
    return Upgraded(websocket)


def _authenticate_handshake() -> Claims:
    authorization = request.headers.get("Authorization", "")
    offered = request.headers.get("Sec-WebSocket-Protocol", "").replace(" ", "").split(",")
    if not authorization and offered[0] == "bearer":
        authorization = "Bearer " + "".join(offered[1:2])
    return authenticate(authorization)


def _serve(websocket: WebSocket, subscription: Subscription) -> None:
    """Send what the subscription yields, and hear the client, until one of them ends."""
    sender = threading.Thread(target=_send_all, args=(websocket, subscription), daemon=True)
    sender.start()
    try:
        for message in websocket:
            if isinstance(message, str):
                subscription.handle(message)
            else:
                websocket.close(CLOSE_UNSUPPORTED_DATA)
    finally:
        subscription.end(CLOSE_GOING_AWAY)
        sender.join()


def _send_all(websocket: WebSocket, subscription: Subscription) -> None:
    try:
        for message in subscription:
            websocket.send(message)
    except ConnectionClosed:
        pass
    except FeedClosed as end:
        websocket.close(end.code)
    except Exception:
        logger.exception("the feed of user %d failed", subscription.user_id)
        websocket.close(INTERNAL_ERROR)
    finally:
        subscription.end(CLOSE_GOING_AWAY)  # who hears commands may be waiting
