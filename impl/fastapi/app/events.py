"""The websockets: an echo, and the change feed."""

import asyncio
from typing import Annotated

from fastapi import Query, WebSocket

from app.auth import CurrentClaims, CurrentUser
from app.dependencies import FeedDep, SessionDep, SocketsDep
from app.errors import invalid_token, upgrade_required
from app.feed import Feed, Subscription
from app.feed_messages import CLOSE_UNSUPPORTED_DATA, FeedClosed
from app.routing import Router
from app.schemas import FeedQuery
from app.tokens import Claims
from app.websockets import accept, run, send

router = Router(prefix="/ws")


@router.get("/echo", include_in_schema=False)
@router.get("/events", include_in_schema=False)
async def require_upgrade() -> None:
    """Refuse a request that asks for no upgrade."""
    # Contract: FastAPI would answer 404.
    raise upgrade_required()


@router.websocket("/echo")
async def echo(websocket: WebSocket, sockets: SocketsDep) -> None:
    """Send every message back."""
    with sockets.place():
        await accept(websocket)
        await run(websocket, return_messages(websocket))


@router.websocket("/events")
async def watch_events(
    websocket: WebSocket,
    _caller: CurrentUser,
    claims: CurrentClaims,
    query: Annotated[FeedQuery, Query()],
    session: SessionDep,
    feed: FeedDep,
    sockets: SocketsDep,
) -> None:
    """Tell of every change."""
    await session.close()  # a socket holds no connection to the database
    with sockets.place():
        subscription = await subscribe(feed, claims, query)
        try:
            await accept(websocket)
            await run(websocket, tell_and_listen(websocket, subscription))
        finally:
            feed.unsubscribe(subscription)


async def subscribe(feed: Feed, claims: Claims, query: FeedQuery) -> Subscription:
    """Open the caller's subscription; raise 401 when the caller is gone meanwhile."""
    try:
        return await feed.subscribe(claims.user_id, expires_at=claims.expires_at, after=query.after)
    except FeedClosed as error:
        raise invalid_token() from error


async def return_messages(websocket: WebSocket) -> None:
    """Send messages back until the client closes."""
    while (message := await websocket.receive())["type"] == "websocket.receive":
        await send(websocket, {**message, "type": "websocket.send"})


async def tell_and_listen(websocket: WebSocket, subscription: Subscription) -> int | None:
    """Send the feed and take commands until either ends; return the close code."""
    tasks = [
        asyncio.create_task(tell(websocket, subscription)),
        asyncio.create_task(listen(websocket, subscription)),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def tell(websocket: WebSocket, subscription: Subscription) -> int:
    """Send the subscription's messages until it ends; return the close code."""
    try:
        while True:
            message = await anext(subscription)
            await send(websocket, {"type": "websocket.send", "text": message})
    except FeedClosed as end:
        return end.code


async def listen(websocket: WebSocket, subscription: Subscription) -> int | None:
    """Take commands until the client closes, or sends what is none; return the close code."""
    while (message := await websocket.receive())["type"] == "websocket.receive":
        if message.get("text") is None:
            return CLOSE_UNSUPPORTED_DATA
        await subscription.handle(message["text"])
    return None
