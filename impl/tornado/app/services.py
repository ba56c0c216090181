"""What every handler works with, made once in each process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app.config import Settings
from app.database import create_engine
from app.feed import DatabaseEventLog, Feed
from app.websockets import Sockets


@dataclass(frozen=True)
class Services:
    """What `initialize` gives a handler."""

    settings: Settings
    sessions: async_sessionmaker[AsyncSession]
    feed: Feed
    sockets: Sockets


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Make the services; the database and Redis are connected to when first used."""
    engine = create_engine(settings.database_url)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    redis = None if settings.redis_url is None else connect_redis(settings.redis_url)
    log = DatabaseEventLog(sessions)
    try:
        async with Feed(log, queue_events=settings.ws_queue_events, redis=redis) as feed:
            yield Services(settings, sessions, feed, Sockets(settings.ws_max_connections))
    finally:
        if redis is not None:
            await redis.aclose()
        await engine.dispose()


def connect_redis(url: str) -> Redis:
    """Return a client that connects when first used, and waits for messages without end."""
    # With a limit, redis-py sends in asyncio.wait_for: Python 3.11 may lose its cancellation.
    return Redis.from_url(url, socket_timeout=None, socket_connect_timeout=2, socket_keepalive=True)
