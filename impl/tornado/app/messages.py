"""What holds for every request and response: the handler that all others extend."""

import json
import logging
import re
import uuid
from collections.abc import Awaitable
from datetime import datetime
from functools import cached_property
from numbers import Integral
from types import TracebackType
from typing import Any

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import HTTPError, OutputTransform, RequestHandler

from app.cors import cors_headers
from app.database import is_unreachable
from app.errors import Problem, method_not_allowed, problem_of
from app.server import MAX_BODY_BYTES
from app.services import Services

logger = logging.getLogger(__name__)

CACHE_CONTROL = "private, no-cache"  # of what is read with a token (RFC 9111 section 5.2.2)
HeaderValue = bytes | str | int | Integral | datetime
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class BaseHandler(RequestHandler):
    """A handler of the service: its headers, its methods, and its problems."""

    services: Services
    parses_forms = True  # for get_body_argument() and request.files
    content_type: str
    retry_after: str | None = None

    def initialize(self, services: Services) -> None:
        """Take what the handler works with."""
        self.services = services
        self.content_type = self.request.headers.get("Content-Type", "")
        # Contract: Tornado would parse a form, and answer a malformed one with 400, by this field.
        if not self.parses_forms or self.is_too_large:
            self.request.headers.pop("Content-Type", None)

    @property
    def is_too_large(self) -> bool:
        """Whether the server has cut off the body."""
        return len(self.request.body) > MAX_BODY_BYTES

    @property
    def sessions(self) -> async_sessionmaker[AsyncSession]:
        """The maker of database sessions."""
        return self.services.sessions

    @cached_property
    def request_id(self) -> str:
        """The client's own name for the request, or a new one."""
        sent = self.request.headers.get("X-Request-ID", "")
        return sent if _REQUEST_ID.fullmatch(sent) else str(uuid.uuid4())

    def set_default_headers(self) -> None:
        """Set what every response has; Tornado calls this again before it sends an error."""
        self.set_header("X-Request-ID", self.request_id)
        self.set_header("X-Content-Type-Options", "nosniff")

    @classmethod
    def allowed_methods(cls) -> list[str]:
        """Return the methods that the handler has, HEAD only beside GET."""
        methods = [
            method
            for method in RequestHandler.SUPPORTED_METHODS
            if getattr(cls, method.lower()) is not getattr(RequestHandler, method.lower())
        ]
        return [method for method in methods if method != "HEAD" or "GET" in methods]

    def set_header(self, name: str, value: HeaderValue) -> None:
        """Set a header; Retry-After stays when an error is raised."""
        # Contract: Tornado would take every header off the response to an error.
        if name.lower() == "retry-after":
            self.retry_after = str(value)
        super().set_header(name, value)

    async def prepare(self) -> None:
        """Check what comes before the operation; those who extend it check more."""
        # Contract: Tornado would say that a method is not allowed only after prepare().
        if self.request.method not in self.allowed_methods():
            raise HTTPError(405)
        if self.parses_forms and self.is_too_large:
            raise Problem("content-too-large")

    # Contract: Tornado would answer HEAD with 405.
    def head(self, *args: str, **kwargs: str) -> Awaitable[None] | None:
        """Answer as GET; Tornado leaves the body out."""
        return self.get(*args, **kwargs)

    # Contract: Tornado would answer OPTIONS with 405.
    def options(self, *_: str, **__: str) -> None:
        """Tell the methods."""
        self.set_status(204)
        self.set_header("Allow", ", ".join(self.allowed_methods()))

    def write_resource(self, resource: BaseModel) -> None:
        """Write a resource as it is on the wire."""
        # Contract: Tornado would add a charset to application/json.
        self.set_header("Content-Type", "application/json")
        self.write(resource.model_dump_json())

    def write_read(self, resource: BaseModel) -> None:
        """Write what a GET with a token reads: the browser may keep it, and asks before use."""
        self.set_header("Cache-Control", CACHE_CONTROL)
        self.write_resource(resource)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with the problem that the exception is."""
        _, error, _ = kwargs.get("exc_info", (None, Problem("internal-error"), None))
        # Contract: Tornado would send no Allow with a 405.
        if status_code == 405:
            error = method_not_allowed(", ".join(self.allowed_methods()))
        problem = problem_of(error)
        self.set_status(problem.status_code)
        kept = {} if self.retry_after is None else {"Retry-After": self.retry_after}
        for name, value in {**kept, **problem.headers}.items():
            self.set_header(name, value)
        self.set_header("Content-Type", "application/problem+json")
        self.finish(json.dumps(problem.body))

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Log what nobody foresaw; a refusal has its line in the access log."""
        if isinstance(value, HTTPError):
            return
        extra = {"request_id": self.request_id}
        if isinstance(value, Exception) and is_unreachable(value):
            logger.warning("the database does not answer: %s", value, extra=extra)
            return
        # Contract: Tornado would log the query, where some send their token.
        exc_info = (typ, value, tb)
        logger.error("unhandled exception", exc_info=exc_info, extra=extra)  # type: ignore[arg-type]

    def compute_etag(self) -> str | None:
        """Return no entity tag; those who have one extend this."""
        # Contract: Tornado would tag every 200 with a hash of its body.
        return None


class AllowOrigin(OutputTransform):
    """Gives a response the fields that let a page of another origin read it."""

    allowed_origins: frozenset[str]

    def __init__(self, request: HTTPServerRequest) -> None:
        super().__init__(request)
        self._request = request

    @classmethod
    def of(cls, allowed_origins: frozenset[str]) -> type[OutputTransform]:
        """Return the class for these origins: Tornado makes an object of it for each request."""
        return type(cls.__name__, (cls,), {"allowed_origins": allowed_origins})

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """Add the fields, but to the 101 of a websocket."""
        if status_code == 101:
            return status_code, headers, chunk
        sent = self._request.headers
        asks_first = "Access-Control-Request-Method" in sent
        is_preflight = self._request.method == "OPTIONS" and status_code == 204 and asks_first
        fields = cors_headers(
            self.allowed_origins, sent.get("Origin"), headers["Allow"] if is_preflight else None
        )
        headers.update(fields)
        if fields and fields["Access-Control-Allow-Origin"] != "*":
            headers.add("Vary", "Origin")
        return status_code, headers, chunk


class ApiHandler(BaseHandler):
    """A handler of JSON, which parses no forms."""

    parses_forms = False


class NotFoundHandler(ApiHandler):
    """What answers where there is nothing."""

    # Contract: Tornado would answer 405 to a method it does not know, on any path.
    SUPPORTED_METHODS = (*RequestHandler.SUPPORTED_METHODS, "QUERY", "TRACE")

    async def prepare(self) -> None:
        """Say that there is no such path."""
        raise Problem("not-found")
