"""What the app holds for all requests, and what each request holds for itself."""

import asyncio
import re
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from sanic import Config, Request as SanicRequest, Sanic
from sanic.compat import Header
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app.config import Settings
from app.feed import Feed, Subscription
from app.websockets import Sockets

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass
class AppContext:
    """`app.ctx`: the settings, and from the server's start on what serves them."""

    settings: Settings
    sessions: async_sessionmaker[AsyncSession] = field(init=False)
    feed: Feed = field(init=False)
    sockets: Sockets = field(init=False)
    serving: asyncio.Event = field(default_factory=asyncio.Event)
    is_to_stop: bool = False  # was told so before it was serving


class App(Sanic[Config, AppContext]):
    """The application."""

    def stop(self, terminate: bool = True, unregister: bool = False) -> None:
        """Stop serving; a server that is about to begin stops as soon as it has."""
        # Contract: Sanic would forget that it was told to stop while it starts.
        if not self.state.is_running:
            self.ctx.is_to_stop = True
            return
        super().stop(terminate, unregister)

    def set_serving(self, serving: bool) -> None:
        """Note whether the server is serving."""
        super().set_serving(serving)
        if serving:
            self.ctx.serving.set()
        if serving and self.ctx.is_to_stop:
            asyncio.get_event_loop().stop()


class RequestContext(SimpleNamespace):
    """`request.ctx`: what middleware and decorators have found out about a request."""

    session: AsyncSession  # connects when first used
    user_id: int  # the caller's, once the token has been checked
    subscription: Subscription  # of a client of the feed
    started: float  # by time.perf_counter()


class Request(SanicRequest[App, RequestContext]):
    """A request with a typed context."""

    def __init__(self, url_bytes: bytes, headers: Header, *args: Any, **kwargs: Any) -> None:
        # Contract: Sanic would keep white space at the end of a field.
        fields = Header([(name, value.strip(" \t")) for name, value in headers.items()])
        # Contract: Sanic would take Chunked for another coding than chunked.
        if coding := fields.getone("Transfer-Encoding", None):
            fields["Transfer-Encoding"] = coding.lower()
        super().__init__(url_bytes, fields, *args, **kwargs)

    @staticmethod
    def make_context() -> RequestContext:
        """Return a context for a new request."""
        return RequestContext()

    @property
    def id(self) -> str:
        """The client's own name for the request, or a new one."""
        # Contract: Sanic would take any id that the client sends, and 007 for 7.
        if self._id is None:
            sent = self.headers.getone("X-Request-ID", "")
            self._id = sent if _REQUEST_ID.fullmatch(sent) else str(self.generate_id())
        return str(self._id)
