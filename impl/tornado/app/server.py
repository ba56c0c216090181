"""Tornado's HTTP server, which reads no body into memory without end, and ends gently."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, Generic, TypeVar

from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)

MAX_BODY_BYTES = 65_536

Member = TypeVar("Member")


class Pending(Generic[Member]):
    """What has begun and not ended, and the moment when there is none of it."""

    def __init__(self) -> None:
        self._members: set[Member] = set()
        self._none = asyncio.Event()
        self._none.set()

    def add(self, member: Member) -> None:
        """Say that it begins."""
        self._members.add(member)
        self._none.clear()

    def discard(self, member: Member) -> None:
        """Say that it has ended, if it ever began."""
        self._members.discard(member)
        if not self._members:
            self._none.set()

    async def wait_none(self) -> None:
        """Wait until all have ended."""
        await self._none.wait()

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


class Server(HTTPServer):
    """The server of one process; `busy` are the connections with a request in flight."""

    def initialize(self, *args: Any, **options: Any) -> None:
        """Set the server up as Tornado does, but for the limit to bodies."""
        super().initialize(*args, **options)
        # Contract: Tornado would answer a body over its limit with a bare 400.
        self.conn_params.max_body_size = sys.maxsize
        self.busy: Pending[object] = Pending()

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        """Return what takes the next request of the connection, whose last has been answered."""
        self.busy.discard(server_conn)
        delegate = super().start_request(server_conn, request_conn)
        return Exchange(delegate, on_begin=partial(self.busy.add, server_conn))

    def on_close(self, server_conn: object) -> None:
        """Forget a connection."""
        self.busy.discard(server_conn)
        super().on_close(server_conn)


class Exchange(HTTPMessageDelegate):
    """One request, whose body is cut off one byte behind the limit: who reads it sees that."""

    def __init__(self, delegate: HTTPMessageDelegate, on_begin: Callable[[], None]) -> None:
        self._delegate = delegate
        self._on_begin = on_begin
        self._room = MAX_BODY_BYTES + 1

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        """Begin the request."""
        self._on_begin()
        return self._delegate.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Pass on what there is room for; the client may send the rest, and then hears why."""
        kept = chunk[: self._room]
        self._room -= len(kept)
        return self._delegate.data_received(kept) if kept else None

    def finish(self) -> None:
        """Have the request answered."""
        self._delegate.finish()

    def on_connection_close(self) -> None:
        """Give the request up."""
        self._delegate.on_connection_close()
