"""What the operations have injected.

Every dependency is `async`, though some await nothing: FastAPI would call a plain function, or a
class, in a thread.
"""

from collections.abc import AsyncIterator
from typing import Annotated, TypedDict, cast

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from starlette.requests import HTTPConnection

from app.config import Settings
from app.feed import Feed
from app.websockets import Sockets


class State(TypedDict):
    """What the lifespan makes, and every request finds in `state`."""

    settings: Settings
    sessions: async_sessionmaker[AsyncSession]
    feed: Feed
    sockets: Sockets


async def get_settings(connection: HTTPConnection) -> Settings:
    """Return what the environment says."""
    return cast(Settings, connection.state.settings)


async def get_sessions(connection: HTTPConnection) -> async_sessionmaker[AsyncSession]:
    """Return the maker of database sessions."""
    return cast(async_sessionmaker[AsyncSession], connection.state.sessions)


async def get_feed(connection: HTTPConnection) -> Feed:
    """Return this worker's change feed."""
    return cast(Feed, connection.state.feed)


async def get_sockets(connection: HTTPConnection) -> Sockets:
    """Return the places for this worker's websockets."""
    return cast(Sockets, connection.state.sockets)


SettingsDep = Annotated[Settings, Depends(get_settings)]
SessionsDep = Annotated[async_sessionmaker[AsyncSession], Depends(get_sessions)]
FeedDep = Annotated[Feed, Depends(get_feed)]
SocketsDep = Annotated[Sockets, Depends(get_sockets)]


async def get_session(sessions: SessionsDep) -> AsyncIterator[AsyncSession]:
    """Open a database session for one request; it connects when first used."""
    async with sessions() as session:
        yield session


# FastAPI's default scope would keep the connection until the client has taken the response.
SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
