"""What holds for every response: id, line in the log, 503 without a database, no API cookies."""

import logging
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from channels.middleware import BaseMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse

from app.bodies import Message, Receive, Send
from app.exceptions import problem_of_database

access = logging.getLogger("app.access")

_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class ExchangeMiddleware:
    """Identify and log every request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request."""
        began = time.perf_counter()
        request_id = identify(request.headers.get("X-Request-ID", ""))
        response = self._get_response(request)
        response["X-Request-ID"] = request_id
        if not response.streaming and response.content:
            response.setdefault("Content-Length", str(len(response.content)))
        log_request(request_id, request.method or "", request.path, response.status_code, began)
        return response

    def process_exception(self, _request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer 503 when the database cannot be reached; leave other errors to Django."""
        problem = problem_of_database(error)
        return None if problem is None else problem.response()


class AdminSessionMiddleware(SessionMiddleware):
    """The sessions of the admin, which alone has cookies."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Keep the session that the admin has used; leave the API's answers alone."""
        # Contract: Django would delete a cookie that names no session in every answer.
        match = request.resolver_match
        if match is None or match.app_name != "admin":
            return response
        return super().process_response(request, response)


class HandshakeMiddleware(BaseMiddleware):
    """Identify and log every websocket, and give a refusal the headers of every response."""

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one websocket, from its handshake on."""
        began, status = time.perf_counter(), 500
        sent_id = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        request_id = identify(sent_id)

        async def finish(message: Message) -> None:
            nonlocal status
            if message["type"] == "websocket.accept":
                status = 101
            elif message["type"] == "websocket.http.response.start":
                status = message["status"]
                own = [
                    (b"x-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
                message = {**message, "headers": [*message["headers"], *own]}
            await send(message)

        try:
            await super().__call__(scope, receive, finish)
        finally:
            log_request(request_id, "GET", scope["path"], status, began)


def identify(sent: str) -> str:
    """Return the request's own id, if it is well formed, or a fresh one."""
    return sent if _CLIENT_ID.fullmatch(sent) else str(uuid.uuid4())


def log_request(request_id: str, method: str, path: str, status: int, began: float) -> None:
    """Log how a request, or a websocket's handshake, was answered."""
    fields = {
        "request_id": request_id,
        "method": method,
        "path": path,
        "status": status,
        "duration_ms": round((time.perf_counter() - began) * 1000, 1),
    }
    access.info("request", extra=fields)
