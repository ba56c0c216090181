"""The websockets: an echo, and the change feed."""

import asyncio

from falcon.asgi import Request, Response, WebSocket
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app.auth import Authenticator
from app.errors import InvalidToken, UpgradeRequired
from app.feed import Feed, Subscription
from app.feed_messages import CLOSE_UNSUPPORTED_DATA, FeedClosed
from app.schemas import FeedQuery
from app.tokens import Claims
from app.validation import read_query
from app.websockets import Sockets, accept


class Echo:
    """`/ws/echo`."""

    def __init__(self, sockets: Sockets) -> None:
        self._sockets = sockets

    async def on_get(self, req: Request, resp: Response) -> None:
        """Refuse a request that asks for no upgrade."""
        raise UpgradeRequired

    async def on_websocket(self, req: Request, ws: WebSocket) -> None:
        """echo: send every message back, until the client is gone."""
        with self._sockets.place():
            await accept(req, ws)
            while True:
                match await ws.receive_media():
                    case str(text):
                        await ws.send_text(text)
                    case bytes(data):
                        await ws.send_data(data)


class Events:
    """`/ws/events`."""

    def __init__(
        self,
        auth: Authenticator,
        sessions: async_sessionmaker[AsyncSession],
        feed: Feed,
        sockets: Sockets,
    ) -> None:
        self._auth = auth
        self._sessions = sessions
        self._feed = feed
        self._sockets = sockets

    async def on_get(self, req: Request, resp: Response) -> None:
        """Refuse a request that asks for no upgrade."""
        raise UpgradeRequired

    async def on_websocket(self, req: Request, ws: WebSocket) -> None:
        """watch_events: tell of every change."""
        async with self._sessions() as session:  # a socket holds no connection to the database
            _, claims = await self._auth.identify(req, session)
        query = read_query(req, FeedQuery)
        with self._sockets.place():
            subscription = await self._subscribe(claims, query)
            try:
                await accept(req, ws)
                await ws.close(await tell_and_listen(ws, subscription))
            finally:
                self._feed.unsubscribe(subscription)

    async def _subscribe(self, claims: Claims, query: FeedQuery) -> Subscription:
        """Open the caller's subscription; raise 401 when the caller is gone meanwhile."""
        try:
            return await self._feed.subscribe(
                claims.user_id, expires_at=claims.expires_at, after=query.after
            )
        except FeedClosed as error:
            raise InvalidToken from error


async def tell_and_listen(ws: WebSocket, subscription: Subscription) -> int:
    """Send the feed and take commands until either ends; return the close code."""
    tasks = [
        asyncio.create_task(tell(ws, subscription)),
        asyncio.create_task(listen(ws, subscription)),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def tell(ws: WebSocket, subscription: Subscription) -> int:
    """Send the subscription's messages until it ends; return the close code."""
    try:
        while True:
            await ws.send_text(await anext(subscription))
    except FeedClosed as end:
        return end.code


async def listen(ws: WebSocket, subscription: Subscription) -> int:
    """Take commands until one is binary; return the close code."""
    while isinstance(message := await ws.receive_media(), str):
        await subscription.handle(message)
    return CLOSE_UNSUPPORTED_DATA
