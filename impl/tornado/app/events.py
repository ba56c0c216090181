"""The websockets: an echo, and the change feed."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tornado.websocket import WebSocketClosedError, WebSocketHandler, WebSocketProtocol

from app.auth import AuthenticatedHandler
from app.errors import invalid_token, upgrade_required
from app.feed import Subscription
from app.feed_messages import CLOSE_UNSUPPORTED_DATA, FeedClosed
from app.messages import ApiHandler
from app.schemas import FeedQuery
from app.validation import read_query
from app.websockets import GOING_AWAY, INTERNAL_ERROR, PATIENCE_SECONDS, PatientProtocol

logger = logging.getLogger(__name__)


class SocketHandler(ApiHandler, WebSocketHandler):
    """What both websockets have in common: how each begins and ends."""

    async def prepare(self) -> None:
        """Refuse a request that asks for no upgrade."""
        if self.request.method in {"GET", "HEAD"} and not self.asks_for_upgrade():
            # Contract: Tornado would answer 400, with a line of text.
            raise upgrade_required()
        await super().prepare()

    def asks_for_upgrade(self) -> bool:
        """Tell whether the client asks for a websocket."""
        if "websocket" not in self.listed("Upgrade") or "upgrade" not in self.listed("Connection"):
            return False
        # Contract: Tornado would see no websocket in a list of protocols.
        self.request.headers["Upgrade"] = "websocket"
        return True

    def listed(self, field: str) -> list[str]:
        """Return the elements of a list field, in lower case."""
        elements = self.request.headers.get(field, "").split(",")
        return [element.strip().lower() for element in elements]

    async def get(self, *_: str, **__: str) -> None:
        """Complete the handshake, and hold the conversation until the socket has ended."""
        with self.services.sockets.place(self):
            await self.converse()

    async def converse(self) -> None:
        """Hold the conversation; those who extend it prepare what it is about."""
        await WebSocketHandler.get(self)

    def open(self) -> None:
        """Begin, when the handshake is done."""
        self.set_nodelay(True)  # an event is to be told at once
        if self.services.sockets.is_closing:
            self.close(GOING_AWAY)

    async def head(self, *_: str, **__: str) -> None:
        """Refuse; a HEAD cannot be upgraded."""
        raise upgrade_required()

    def check_origin(self, origin: str) -> bool:
        """Let pages of any origin in; no cookie carries the login."""
        # Contract: Tornado would answer 403 to a page of another host.
        return True

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """Select the subprotocol that carries a token, if the client prefers it."""
        return "bearer" if subprotocols[:1] == ["bearer"] else None

    def get_websocket_protocol(self) -> WebSocketProtocol | None:
        """Return the server's side of the connection."""
        protocol = super().get_websocket_protocol()
        if protocol is None:
            return None
        params = protocol.params  # type: ignore[attr-defined]  # as in its only class
        return PatientProtocol(self, mask_outgoing=False, params=params)

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> asyncio.Future[None]:
        """Finish the response, which is none of HTTP's when the handshake succeeds."""
        if self.get_status() == 101:
            self.clear_header("X-Request-ID")
            self.clear_header("X-Content-Type-Options")
        return super().finish(chunk)

    async def send(self, message: str | bytes) -> None:
        """Send a message; raise TimeoutError when the client does not take it."""
        sending = self.write_message(message, binary=isinstance(message, bytes))
        sending.add_done_callback(_forget)  # it may fail when nobody waits any more
        # Not asyncio.timeout: a stream cannot take a write back.
        done, _ = await asyncio.wait({sending}, timeout=PATIENCE_SECONDS)
        if not done:
            raise TimeoutError
        await sending

    @contextmanager
    def ending(self) -> Iterator[None]:
        """End the socket when the block cannot go on."""
        try:
            yield
        except WebSocketClosedError:
            pass  # it has ended
        except TimeoutError:
            self.on_connection_close()
        except Exception:
            # Contract: Tornado would cut the connection off, without a Close.
            logger.exception("a websocket failed", extra={"request_id": self.request_id})
            self.close(INTERNAL_ERROR)


class EchoHandler(SocketHandler):
    """/ws/echo."""

    async def on_message(self, message: str | bytes) -> None:
        """echo: send the message back."""
        with self.ending():
            await self.send(message)


class EventsHandler(SocketHandler, AuthenticatedHandler):
    """/ws/events."""

    after: int | None
    subscription: Subscription
    telling: asyncio.Task[None]
    ended: ExitStack

    async def get(self, *_: str, **__: str) -> None:
        """watch_events: tell of every change."""
        self.after = read_query(self, FeedQuery).after
        await super().get()

    async def converse(self) -> None:
        """Subscribe first, so that who cannot is refused by HTTP."""
        self.subscription = await self.subscribe()
        with ExitStack() as self.ended:
            self.ended.callback(self.services.feed.unsubscribe, self.subscription)
            await super().converse()

    async def subscribe(self) -> Subscription:
        """Open the caller's subscription; raise 401 when the caller is gone meanwhile."""
        user_id, expires_at = self.claims.user_id, self.claims.expires_at
        try:
            return await self.services.feed.subscribe(
                user_id, expires_at=expires_at, after=self.after
            )
        except FeedClosed as error:
            raise invalid_token() from error

    def open(self) -> None:
        """Begin to tell."""
        super().open()
        self.telling = asyncio.create_task(self.tell())
        self.ended.callback(self.telling.cancel)

    async def tell(self) -> None:
        """Send the subscription's messages until it ends."""
        with self.ending():
            try:
                async for message in self.subscription:
                    await self.send(message)
            except FeedClosed as end:
                self.close(end.code)

    async def on_message(self, message: str | bytes) -> None:
        """Take a command; Tornado reads no further meanwhile."""
        if isinstance(message, bytes):
            self.close(CLOSE_UNSUPPORTED_DATA)
            return
        handling = asyncio.create_task(self.subscription.handle(message))
        await asyncio.wait({handling, self.telling}, return_when=asyncio.FIRST_COMPLETED)
        handling.cancel()  # the telling has ended, and nobody answers

    def bearer_token(self) -> str:
        """Return the token; a browser can only send it as a subprotocol."""
        offered = self.request.headers.get("Sec-WebSocket-Protocol", "").split(",")
        protocols = [protocol.strip() for protocol in offered]
        if not self.request.headers.get("Authorization") and protocols[0] == "bearer":
            return "".join(protocols[1:2])
        return super().bearer_token()


def _forget(sending: asyncio.Future[None]) -> None:
    if not sending.cancelled():
        sending.exception()
