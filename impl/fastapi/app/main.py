"""The application: all of its wiring in one view."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import async_sessionmaker
from starlette.types import Lifespan

from app import auth, events, health, items, users
from app.config import Settings
from app.database import create_engine
from app.dependencies import State
from app.errors import PROBLEM_RESPONSES, install_error_handlers
from app.feed import DatabaseEventLog, Feed
from app.messages import ExchangeMiddleware
from app.websockets import Sockets, refuse_unknown_path


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application, set up as the environment says unless settings are given."""
    settings = settings or Settings()
    app = FastAPI(
        title="Rosetta users and items",
        version="0.2.0",
        lifespan=lifespan_of(settings),
        # Contract: FastAPI would redirect /items/ to /items.
        redirect_slashes=False,
        # Contract: FastAPI would document its own HTTPValidationError.
        responses=PROBLEM_RESPONSES,
        generate_unique_id_function=lambda route: route.name,
    )
    for resource in (users, auth, items, health, events):
        app.include_router(resource.router)
    # Contract: Starlette would answer 403 to a websocket that it does not know.
    app.add_api_websocket_route("/{path:path}", refuse_unknown_path)
    install_error_handlers(app)
    app.add_middleware(ExchangeMiddleware, cors_origins=settings.cors_origins)
    return app


def lifespan_of(settings: Settings) -> Lifespan[FastAPI]:
    """Return what runs around the server: the database engine, and the change feed."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with AsyncExitStack() as stack:
            engine = create_engine(settings.database_url)
            stack.push_async_callback(engine.dispose)
            sessions = async_sessionmaker(engine, expire_on_commit=False)
            redis = None
            if settings.redis_url is not None:
                redis = await stack.enter_async_context(connect_redis(settings.redis_url))
            feed = Feed(
                DatabaseEventLog(sessions), queue_events=settings.ws_queue_events, redis=redis
            )
            await stack.enter_async_context(feed)
            sockets = Sockets(settings.ws_max_connections)
            yield State(settings=settings, sessions=sessions, feed=feed, sockets=sockets)

    return lifespan


def connect_redis(url: str) -> Redis:
    """Return a client that connects when first used, and waits for messages without end."""
    # With a limit, redis-py sends in asyncio.wait_for: Python 3.11 may lose its cancellation.
    return Redis.from_url(url, socket_timeout=None, socket_connect_timeout=2, socket_keepalive=True)
