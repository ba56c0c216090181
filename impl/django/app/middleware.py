"""What holds for every response: id, CORS, line in the log, 503 without a database, cookies."""

import logging
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from channels.middleware import BaseMiddleware
from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.cache import patch_vary_headers

from app.bodies import Message, Receive, Send
from app.cors import cors_headers
from app.handlers import complete, conflict, problem_of_database
from app.logs import request_id_var
from app.models import StaleError

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
        token = request_id_var.set(request_id)
        response = self._get_response(request)
        complete(response)
        response = add_cors(request, response)
        response["X-Request-ID"] = request_id
        if not response.streaming and response.content:
            response.setdefault("Content-Length", str(len(response.content)))
        log_request(request_id, request.method or "", request.path, response.status_code, began)
        request_id_var.reset(token)
        return response

    def process_exception(self, _request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer what models and the database raise; leave other errors to Django."""
        if isinstance(error, StaleError):
            return conflict()
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


class CsrfMiddleware(CsrfViewMiddleware):
    """Django's protection of forms; views that are exempt, as DRF's are, have no cookie either."""

    # Contract: Django would replace a malformed CSRF cookie in answers of the API too.

    def process_request(self, request: HttpRequest) -> None:
        """Leave the cookie alone until the view is known."""

    def process_view(
        self, request: HttpRequest, callback: Any, args: Any, kwargs: Any
    ) -> HttpResponse | None:
        """Refuse a form without its token."""
        if getattr(callback, "csrf_exempt", False):
            return None
        super().process_request(request)
        return super().process_view(request, callback, args, kwargs)


class HandshakeMiddleware(BaseMiddleware):
    """Identify and log every websocket, and give a refusal the headers of every response."""

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one websocket, from its handshake on."""
        began, status = time.perf_counter(), 500
        sent_id = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        request_id = identify(sent_id)
        request_id_var.set(request_id)

        async def finish(message: Message) -> None:
            nonlocal status
            if message["type"] == "websocket.accept":
                status = 101
            elif message["type"] == "websocket.http.response.start":
                status = message["status"]
                own = {"X-Request-ID": request_id, "X-Content-Type-Options": "nosniff"}
                own |= _cors_of_handshake(scope)
                lines = [(name.lower().encode(), value.encode()) for name, value in own.items()]
                message = {**message, "headers": [*message["headers"], *lines]}
            await send(message)

        try:
            await super().__call__(scope, receive, finish)
        finally:
            log_request(request_id, "GET", scope["path"], status, began)


# django-cors-headers would answer a preflight itself, with 200, for any path and method.
def add_cors(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Return the response with the CORS fields, if the request's origin is allowed."""
    allowed, origin = settings.ENVIRONMENT.cors_origins, request.headers.get("Origin")
    if not cors_headers(allowed, origin):
        return response
    asks_method = "Access-Control-Request-Method" in request.headers
    allow = response.get("Allow") if request.method == "OPTIONS" and asks_method else None
    if allow is not None and response.status_code != 204:
        # Contract: DRF would ask for a token, which no preflight has, in a view of the stock kind.
        response = HttpResponse(status=204, headers={"Allow": allow})
    for name, value in cors_headers(allowed, origin, allow).items():
        response[name] = value
    if "*" not in allowed:
        patch_vary_headers(response, ["Origin"])
    return response


def _cors_of_handshake(scope: dict[str, Any]) -> dict[str, str]:
    allowed, fields = settings.ENVIRONMENT.cors_origins, dict(scope["headers"])
    origin = fields[b"origin"].decode("latin-1") if b"origin" in fields else None
    headers = cors_headers(allowed, origin)
    return headers | {"Vary": "Origin"} if headers and "*" not in allowed else headers


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
