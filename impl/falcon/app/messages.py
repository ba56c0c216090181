"""What holds for every response: its headers, and a line in the log."""

import logging
import re
import time
import uuid
from typing import Any

from falcon.asgi import Request, Response, WebSocket

from app.cors import cors_headers

logger = logging.getLogger("app.access")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class ExchangeMiddleware:
    """Give every response its id and its CORS fields, and log it."""

    def __init__(self, cors_origins: frozenset[str] = frozenset()) -> None:
        self._cors_origins = cors_origins

    async def process_request(self, req: Request, resp: Response) -> None:
        """Note when the request came, and its id."""
        sent_id = req.get_header("X-Request-ID", default="")
        req.context.request_id = sent_id if _REQUEST_ID.fullmatch(sent_id) else str(uuid.uuid4())
        req.context.began = time.perf_counter()

    async def process_response(
        self, req: Request, resp: Response, resource: object, req_succeeded: bool
    ) -> None:
        """Add the headers that every response has, errors included."""
        resp.set_header("X-Request-ID", req.context.request_id)
        resp.set_header("X-Content-Type-Options", "nosniff")
        self._allow_origin(req, resp)
        log_exchange(req, resp.status_code)

    # Falcon's CORSMiddleware would take Allow off a preflight, and allow what it asks for.
    def _allow_origin(self, req: Request, resp: Response) -> None:
        asks_first = req.get_header("Access-Control-Request-Method") is not None
        is_preflight = req.method == "OPTIONS" and resp.status_code == 204 and asks_first
        headers = cors_headers(
            self._cors_origins,
            req.get_header("Origin"),
            resp.get_header("Allow") if is_preflight else None,
        )
        resp.set_headers(headers)
        if headers and headers["Access-Control-Allow-Origin"] != "*":
            resp.append_header("Vary", "Origin")

    async def process_request_ws(self, req: Request, ws: WebSocket) -> None:
        """Note when the handshake came, and its id."""
        await self.process_request(req, Response())


def log_exchange(req: Request, status: int) -> None:
    """Log a request and its status."""
    fields: dict[str, Any] = {
        "request_id": req.context.request_id,
        "method": req.method,
        "path": req.path,
        "status": status,
        "duration_ms": round((time.perf_counter() - req.context.began) * 1000, 3),
    }
    logger.info("request", extra=fields)
