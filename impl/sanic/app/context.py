"""What the app holds for all requests, and what each request holds for itself."""

import re
from dataclasses import dataclass, field
from types import SimpleNamespace

from sanic import Config, Request as SanicRequest, Sanic
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


App = Sanic[Config, AppContext]


class RequestContext(SimpleNamespace):
    """`request.ctx`: what middleware and decorators have found out about a request."""

    session: AsyncSession  # connects when first used
    user_id: int  # the caller's, once the token has been checked
    subscription: Subscription  # of a client of the feed
    started: float  # by time.perf_counter()


class Request(SanicRequest[App, RequestContext]):
    """A request with a typed context."""

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
