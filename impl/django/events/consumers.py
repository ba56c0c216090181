"""The websockets: an echo, and the change feed."""

import asyncio
import json
import logging
from contextlib import ExitStack
from typing import Any

from channels.db import database_sync_to_async
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.apps import apps
from django.http import QueryDict
from rest_framework import serializers

from app.authentication import authenticate_field
from app.bodies import Message, Receive, Send
from app.exceptions import Problem, invalid_token
from app.feed_messages import CLOSE_UNSUPPORTED_DATA, FeedClosed
from app.fields import MAX_ID, QueryIntegerField, read_query
from app.handlers import problem_of_database
from events.feed import Feed

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 30.0  # with a client that takes neither a message nor its Close
INTERNAL_ERROR = 1011  # RFC 6455 section 7.4.1


class SocketConsumer(AsyncWebsocketConsumer):
    """A websocket that has a place, and is refused with a problem before it is accepted."""

    def __init__(self) -> None:
        super().__init__()
        self.held = ExitStack()  # what the end of the socket frees
        self._is_open = False

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Hold the conversation; whatever ends it frees what the socket holds."""

        async def receive_end() -> Message:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                self.held.close()  # at once: Channels first waits for its database thread
            return message

        async def send_in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await send(message)
            except RuntimeError as error:  # uvicorn's, after a Close that it has made itself
                raise ConnectionError from error

        serving = super().__call__(scope, receive_end, send_in_time)
        self._conversation = asyncio.create_task(serving)
        with self.held:
            try:
                await asyncio.wait([self._conversation])
            finally:
                self._conversation.cancel()
        if not self._conversation.cancelled():
            self._conversation.result()

    async def dispatch(self, message: Message) -> None:
        """Handle a message; what fails ends the socket."""
        try:
            await super().dispatch(message)
        except StopConsumer:
            raise
        except OSError:  # the client is gone, or has stopped to read: TimeoutError is one
            raise StopConsumer from None
        # Contract: Channels would leave exceptions to the server, and the client without a Close.
        except Exception as error:
            await self._fail(error)
            raise StopConsumer from None

    async def open(self) -> None:
        """Complete the handshake, if there is a place left."""
        sockets = apps.get_app_config("events").sockets
        sockets.take_place()
        self.held.callback(sockets.free_place)
        await self.prepare()
        await self.accept("bearer" if self.offers_bearer else None)
        self._is_open = True

    async def prepare(self) -> None:
        """Do what is left to do before the handshake is completed."""

    @property
    def offers_bearer(self) -> bool:
        """Whether the handshake offers the subprotocol `bearer` first."""
        return self.scope["subprotocols"][:1] == ["bearer"]

    def give_up(self) -> None:
        """End the conversation with a client that does not take what it is sent."""
        self._conversation.cancel()

    async def _fail(self, error: Exception) -> None:
        problem = error if isinstance(error, Problem) else problem_of_database(error)
        if problem is None:
            logger.error("a websocket failed", exc_info=error)
        if self._is_open:
            await self.close(INTERNAL_ERROR)
        else:
            await self._refuse(problem or Problem("internal-error"))

    async def _refuse(self, problem: Problem) -> None:
        # Contract: Channels would refuse with 403 and nothing else.
        fields = {"Content-Type": "application/problem+json", **problem.headers}
        headers = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
        start = {"status": problem.status_code, "headers": headers}
        await self.base_send({"type": "websocket.http.response.start", **start})
        body = json.dumps(problem.members).encode()
        await self.base_send({"type": "websocket.http.response.body", "body": body})


class UnknownPathConsumer(SocketConsumer):
    """A path that has no websocket."""

    async def connect(self) -> None:
        """Refuse."""
        raise Problem("not-found")


class EchoConsumer(SocketConsumer):
    """Send every message back."""

    async def connect(self) -> None:
        """Accept."""
        await self.open()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Return a message."""
        await self.send(text_data, bytes_data)


class FeedQuery(serializers.Serializer):
    """Where the change feed starts: behind event `after`, or behind the newest."""

    after = QueryIntegerField(min_value=0, max_value=MAX_ID, required=False)


class EventsConsumer(SocketConsumer):
    """Tell of every change, from where the client left off."""

    async def connect(self) -> None:
        """Accept a client with a valid token."""
        self._claims = await database_sync_to_async(authenticate_field)(self._authorization)
        query = read_query(FeedQuery, QueryDict(self.scope["query_string"]))
        self._after: int | None = query.get("after")
        await self.open()
        self._telling = asyncio.create_task(self._tell())
        self.held.callback(self._telling.cancel)

    async def prepare(self) -> None:
        """Open the subscription; raise 401 when the caller is gone meanwhile."""
        feed: Feed = apps.get_app_config("events").feed
        try:
            self._subscription = await feed.subscribe(
                self._claims.user_id, expires_at=self._claims.expires_at, after=self._after
            )
        except FeedClosed:
            raise invalid_token() from None
        self.held.callback(feed.unsubscribe, self._subscription)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Take a command; waits while earlier ones have not been answered."""
        if text_data is None:
            await self.close(CLOSE_UNSUPPORTED_DATA)
            return
        taking = asyncio.create_task(self._subscription.handle(text_data))
        await asyncio.wait([taking, self._telling], return_when=asyncio.FIRST_COMPLETED)
        taking.cancel()

    @property
    def _authorization(self) -> str:
        """The Authorization field, or the token that a browser sends as a subprotocol."""
        fields = dict(self.scope["headers"])
        authorization: str = fields.get(b"authorization", b"").decode("latin-1")
        if not authorization and self.offers_bearer:
            return "Bearer " + "".join(self.scope["subprotocols"][1:2])
        return authorization

    async def _tell(self) -> None:
        """Send the subscription's messages until it ends."""
        try:
            async for message in self._subscription:
                await self.send(message)
        except FeedClosed as end:
            await self._end(end.code)
        except OSError:  # the client is gone, or has stopped to read: TimeoutError is one
            self.give_up()
        except Exception:
            logger.exception("a feed failed")
            await self._end(INTERNAL_ERROR)

    async def _end(self, code: int) -> None:
        try:
            await self.close(code)
        except OSError:
            self.give_up()
