"""Quart's end of ASGI, with views that run to their own end and hear no further than they read.

Quart cancels the view of a client that has gone, wherever it stands. In the midst of a transaction
that costs the connection, and on SQLite the lock that every other writer waits for.
"""

import asyncio
from contextlib import suppress

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent
from quart import Quart, Request as QuartRequest
from quart.asgi import ASGIHTTPConnection, ASGIWebsocketConnection
from quart.wrappers.request import Body
from werkzeug.exceptions import ClientDisconnected

PATIENCE_SECONDS = 30.0  # with a client that takes neither a message nor its Close


class RequestBody(Body):
    """A body that says so when the client goes before its end."""

    def cut_off(self) -> None:
        """Let who reads the body fail, unless all of it is here."""
        if not self._complete.is_set():
            self._must_raise = ClientDisconnected()
            self.set_complete()


class Request(QuartRequest):
    """A request whose body may be cut off."""

    body_class = RequestBody


class HTTPConnection(ASGIHTTPConnection):
    """One request, answered whether or not the client waits for it."""

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer the request while its body is still arriving."""
        request = self._create_request_from_scope(send)
        receiver = asyncio.create_task(self.handle_messages(request, receive))
        try:
            # Contract: Quart would cancel this once the client has gone.
            await self.handle_request(request, send)
        finally:
            receiver.cancel()

    async def handle_messages(self, request: QuartRequest, receive: ASGIReceiveCallable) -> None:
        """Hand the body to the request until the client has gone."""
        await super().handle_messages(request, receive)
        if isinstance(request.body, RequestBody):
            request.body.cut_off()


class WebsocketConnection(ASGIWebsocketConnection):
    """One client's socket, read and written at the pace of the view and of the client.

    When the client has gone, the view learns it by ClientDisconnected from what it awaits next.
    """

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve the client."""

        async def send_patiently(event: ASGISendEvent) -> None:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await send(event)
            # ASGI's for a client that has gone, TimeoutError among them; and uvicorn's for what is
            # sent after a Close that uvicorn itself has made.
            except (OSError, RuntimeError) as error:
                raise ClientDisconnected from error

        # Contract: Quart would read ahead of the view, into an endless queue.
        self.queue = Messages(receive)
        with suppress(ClientDisconnected):  # at Quart's own Close
            await self.handle_websocket(
                self._create_websocket_from_scope(send_patiently), send_patiently
            )


class Messages(asyncio.Queue[str | bytes]):
    """What a client sends, taken from the server when the view asks for it."""

    def __init__(self, receive: ASGIReceiveCallable) -> None:
        super().__init__()
        self._receive = receive

    async def get(self) -> str | bytes:
        """Return the next message; raise ClientDisconnected when the client has gone."""
        while (event := await self._receive())["type"] != "websocket.disconnect":
            if event["type"] == "websocket.receive":
                # Contract: Quart would fail at an empty binary message.
                text = event.get("text")
                return event["bytes"] or b"" if text is None else text
        raise ClientDisconnected


def init_asgi(app: Quart) -> None:
    """Give the app its connections."""
    app.request_class = Request
    app.asgi_http_class = HTTPConnection
    app.asgi_websocket_class = WebsocketConnection
