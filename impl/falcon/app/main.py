"""The application: all of its wiring in one view."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import falcon
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from app.auth import Authenticator, Tokens
from app.config import Settings
from app.database import create_engine
from app.errors import install_error_handlers
from app.events import Echo, Events
from app.feed import DatabaseEventLog, Feed
from app.health import Health
from app.items import Items
from app.messages import ExchangeMiddleware
from app.routing import IdConverter, Router
from app.sessions import SessionMiddleware
from app.users import Users
from app.validation import MERGE_PATCH, StrictJSONHandler
from app.websockets import App, PlainBytes, PlainText, RefusalMiddleware, Sockets


def create_app(
    settings: Settings | None = None, sessions: async_sessionmaker[AsyncSession] | None = None
) -> App:
    """Return the application, set up as the environment says unless settings are given."""
    settings = settings or Settings()
    engine = create_engine(settings.database_url)
    sessions = sessions or async_sessionmaker(engine, expire_on_commit=False)
    redis = None if settings.redis_url is None else connect_redis(settings.redis_url)
    feed = Feed(DatabaseEventLog(sessions), queue_events=settings.ws_queue_events, redis=redis)
    app = App(
        router=Router(),
        middleware=[
            LifespanMiddleware(engine, feed, redis),
            ExchangeMiddleware(settings.cors_origins),
            RefusalMiddleware(),
            SessionMiddleware(sessions),
        ],
    )
    set_media_handlers(app)
    install_error_handlers(app)
    add_routes(app, settings, sessions, feed)
    return app


def add_routes(
    app: App, settings: Settings, sessions: async_sessionmaker[AsyncSession], feed: Feed
) -> None:
    """Give every path its resource, and every resource its collaborators."""
    auth = Authenticator(settings)
    sockets = Sockets(settings.ws_max_connections)
    users, items, health = Users(auth, feed), Items(auth, feed), Health(sessions)
    app.router_options.converters["id"] = IdConverter
    app.add_route("/users", users)
    app.add_route("/users/me", users, suffix="me")
    app.add_route("/users/{user_id:id}", users, suffix="user")
    app.add_route("/tokens", Tokens(auth))
    app.add_route("/items", items)
    app.add_route("/items/{item_id:id}", items, suffix="item")
    app.add_route("/healthz", health, suffix="liveness")
    app.add_route("/readyz", health, suffix="readiness")
    app.add_route("/ws/echo", Echo(sockets))
    app.add_route("/ws/events", Events(auth, sessions, feed, sockets))


def set_media_handlers(app: App) -> None:
    """Choose how bodies and messages are read and written."""
    handler = StrictJSONHandler()
    app.req_options.media_handlers = falcon.media.Handlers(
        {falcon.MEDIA_JSON: handler, MERGE_PATCH: handler}
    )
    app.resp_options.media_handlers[falcon.MEDIA_JSON] = handler
    app.ws_options.media_handlers[falcon.WebSocketPayloadType.TEXT] = PlainText()
    app.ws_options.media_handlers[falcon.WebSocketPayloadType.BINARY] = PlainBytes()


class LifespanMiddleware:
    """Follow the change feed while the server runs, and let go of the database at its end."""

    def __init__(self, engine: AsyncEngine, feed: Feed, redis: Redis | None) -> None:
        self._engine = engine
        self._feed = feed
        self._redis = redis
        self._stack = AsyncExitStack()

    async def process_startup(self, scope: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        """Begin to follow."""
        self._stack.push_async_callback(self._engine.dispose)
        if self._redis is not None:
            await self._stack.enter_async_context(self._redis)
        await self._stack.enter_async_context(self._feed)

    async def process_shutdown(self, scope: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        """End what has begun, the last first."""
        await self._stack.aclose()


def connect_redis(url: str) -> Redis:
    """Return a client that connects when first used, and waits for messages without end."""
    # With a limit, redis-py sends in asyncio.wait_for: Python 3.11 may lose its cancellation.
    return Redis.from_url(url, socket_timeout=None, socket_connect_timeout=2, socket_keepalive=True)
