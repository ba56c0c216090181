"""What holds for every response: its headers, HEAD, a line in the log, and no exception bare."""

import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.cors import cors_headers
from app.errors import Problem

logger = logging.getLogger("app.access")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class ExchangeMiddleware:
    """Give every response its id, log it, and turn what nobody foresaw into a plain 500."""

    def __init__(self, app: ASGIApp, cors_origins: frozenset[str] = frozenset()) -> None:
        self.app = app
        self._cors_origins = cors_origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or one websocket from its handshake on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, send, self._cors_origins)
        try:
            await self.app(exchange.inner_scope(), receive, exchange.send)
        # Contract: Starlette would answer 500 outside of every middleware, without X-Request-ID.
        except Exception:
            logger.exception("unhandled exception", extra={"request_id": exchange.request_id})
            if exchange.status is None:
                response = Problem("internal-error").response()
                await response(scope, receive, exchange.send)
        finally:
            exchange.log()


class _Exchange:
    """One request and its response, or one websocket."""

    def __init__(self, scope: Scope, send: Send, cors_origins: frozenset[str]) -> None:
        self._scope = scope
        self._send = send
        self._cors_origins = cors_origins
        self._began = time.perf_counter()
        self.status: int | None = None
        sent_id = Headers(scope=scope).get("X-Request-ID", "")
        self.request_id = sent_id if _REQUEST_ID.fullmatch(sent_id) else str(uuid.uuid4())
        self._is_head = scope.get("method") == "HEAD"

    def inner_scope(self) -> Scope:
        # Contract: FastAPI would answer 405 to HEAD where there is GET.
        return {**self._scope, "method": "GET"} if self._is_head else self._scope

    async def send(self, message: Message) -> None:
        if message["type"].endswith("http.response.start"):
            self.status = message["status"]
            headers = MutableHeaders(raw=message["headers"])
            headers["X-Request-ID"] = self.request_id
            headers["X-Content-Type-Options"] = "nosniff"
            self._allow_origin(headers)
        elif message["type"] == "websocket.accept":
            self.status = 101
        elif message["type"] == "http.response.body" and self._is_head:
            message = {**message, "body": b""}
        try:
            await self._send(message)
        except OSError:  # ASGI's for a client that has gone: nobody waits for the answer
            if message["type"] == "websocket.send":
                raise  # Starlette makes a WebSocketDisconnect of it

    # Starlette's CORSMiddleware would answer a preflight itself, with 200 and on any path, and
    # would not see a 500.
    def _allow_origin(self, headers: MutableHeaders) -> None:
        sent = Headers(scope=self._scope)
        asks_first = "Access-Control-Request-Method" in sent
        is_preflight = self._scope.get("method") == "OPTIONS" and self.status == 204 and asks_first
        fields = cors_headers(
            self._cors_origins, sent.get("Origin"), headers["Allow"] if is_preflight else None
        )
        headers.update(fields)
        if fields and fields["Access-Control-Allow-Origin"] != "*":
            headers.add_vary_header("Origin")

    def log(self) -> None:
        fields = {
            "request_id": self.request_id,
            "method": self._scope.get("method", "GET"),
            "path": self._scope["path"],
            "status": self.status,
            "duration_ms": round((time.perf_counter() - self._began) * 1000, 3),
        }
        logger.info("request", extra=fields)
