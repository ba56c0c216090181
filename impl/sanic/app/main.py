"""The application: all of its wiring in one view."""

from contextlib import AsyncExitStack

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import async_sessionmaker

from app import auth, events, health, items, users
from app.config import Settings
from app.context import App, AppContext, Request
from app.database import create_engine
from app.errors import ProblemHandler
from app.feed import DatabaseEventLog, Feed
from app.logs import init_logs, logging_config
from app.messages import init_messages
from app.routing import Router
from app.sessions import init_sessions
from app.validation import MAX_BODY_BYTES
from app.websockets import MAX_MESSAGE_BYTES, Sockets

STOP_SECONDS = 2.0


def create_app(settings: Settings | None = None) -> App:
    """Return the application, set up as the environment says unless settings are given."""
    settings = settings or Settings()
    app = App(
        "rosetta",
        ctx=AppContext(settings),
        router=Router(),
        error_handler=ProblemHandler(),
        request_class=Request,  # type: ignore[arg-type]
        # Contract: Sanic would answer at /items/ as at /items.
        strict_slashes=True,
        log_config=logging_config(settings.log_level),
    )
    app.update_config(
        {
            "REQUEST_MAX_SIZE": MAX_BODY_BYTES,
            "WEBSOCKET_MAX_SIZE": MAX_MESSAGE_BYTES,
            "GRACEFUL_SHUTDOWN_TIMEOUT": STOP_SECONDS,
        }
    )
    init_services(app)
    init_sessions(app)  # first, so that its response middleware runs last
    init_logs(app)
    init_messages(app)
    events.init_events(app)
    for resource in (users, auth, items, health, events):
        app.blueprint(resource.bp)
    return app


def init_services(app: App) -> None:
    """Have each worker make its database engine and its change feed, when it starts."""
    services = AsyncExitStack()

    @app.before_server_start
    async def open_services(app: App) -> None:
        context, settings = app.ctx, app.ctx.settings
        engine = create_engine(settings.database_url)
        services.push_async_callback(engine.dispose)
        context.sessions = async_sessionmaker(engine, expire_on_commit=False)
        redis = None
        if settings.redis_url is not None:
            redis = await services.enter_async_context(connect_redis(settings.redis_url))
        log = DatabaseEventLog(context.sessions)
        context.feed = Feed(log, queue_events=settings.ws_queue_events, redis=redis)
        await services.enter_async_context(context.feed)
        context.sockets = Sockets(settings.ws_max_connections)

    @app.after_server_stop
    async def close_services(_: App) -> None:
        await services.aclose()


def connect_redis(url: str) -> Redis:
    """Return a client that connects when first used, and waits for messages without end."""
    # With a limit, redis-py sends in asyncio.wait_for: Python 3.11 may lose its cancellation.
    return Redis.from_url(url, socket_timeout=None, socket_connect_timeout=2, socket_keepalive=True)
