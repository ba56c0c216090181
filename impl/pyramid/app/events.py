"""The change feed and the echo: websockets in ordinary views."""

import logging
import threading
from typing import NoReturn

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.view import view_config
from redis import Redis
from simple_websocket import ConnectionClosed

from app.config import Settings
from app.errors import invalid_token, upgrade_required
from app.feed import DatabaseEventLog, Feed, Subscription
from app.feed_messages import CLOSE_GOING_AWAY, CLOSE_UNSUPPORTED_DATA, FeedClosed
from app.schemas import FeedQuery
from app.validation import read_query
from app.websockets import INTERNAL_ERROR, OpenSockets, Upgraded, UpgradePredicate, WebSocket

logger = logging.getLogger(__name__)


def includeme(config: Configurator) -> None:
    """Give the app its feed, which starts with its first use, and its sockets."""
    settings: Settings = config.get_settings()["service"]
    log, redis = DatabaseEventLog(config.registry["sessions"]), None
    if settings.redis_url is not None:
        redis = Redis.from_url(
            settings.redis_url, socket_timeout=2, socket_connect_timeout=2, socket_keepalive=True
        )
    config.registry["feed"] = Feed(log, queue_events=settings.ws_queue_events, redis=redis)
    config.registry["sockets"] = OpenSockets(settings.ws_max_connections)
    config.add_view_predicate("asks_upgrade", UpgradePredicate)


@view_config(route_name="echo", asks_upgrade=True)
def echo(request: Request) -> Upgraded:
    """Send every message back."""
    with request.registry["sockets"].accept(request.environ) as websocket:
        for message in websocket:
            websocket.send(message)
    return Upgraded(websocket)


@view_config(route_name="watch_events", asks_upgrade=True, permission="read")
def watch_events(request: Request) -> Upgraded:
    """Send every change, as it is committed or from where the client left off."""
    after = read_query(request, FeedQuery).after
    request.dbsession.close()  # a socket holds no connection
    feed: Feed = request.registry["feed"]
    caller = request.identity
    try:
        subscription = feed.subscribe(caller.user_id, expires_at=caller.expires_at, after=after)
    except FeedClosed:
        raise invalid_token() from None
    try:
        with request.registry["sockets"].accept(request.environ) as websocket:
            _serve(websocket, subscription)
    finally:
        feed.unsubscribe(subscription)
    return Upgraded(websocket)


@view_config(route_name="echo")
@view_config(route_name="watch_events")
def require_upgrade(_request: Request) -> NoReturn:
    """Refuse a request that does not ask to become a websocket."""
    raise upgrade_required()


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
