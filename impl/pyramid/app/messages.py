"""What every response has in common, whatever answers."""

import re
import uuid
from collections.abc import Callable
from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from app.config import Settings
from app.cors import cors_headers
from app.errors import complete

_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def includeme(config: Configurator) -> None:
    """Give every response its id, nosniff and CORS, also when its transaction fails."""
    config.add_request_method(_identify, "request_id", reify=True)
    config.add_tween("app.messages.message_tween_factory", over="pyramid_tm.tm_tween_factory")


def message_tween_factory(handler: Callable[[Request], Response], registry: Any) -> Any:
    """Return the tween that completes responses."""
    settings: Settings = registry.settings["service"]

    def finish(request: Request) -> Response:
        response = handler(request)
        complete(response)
        _allow_origin(request, response, settings.cors_origins)
        response.headers["X-Request-ID"] = request.request_id
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return finish


# Pyramid has no CORS of its own, and wsgicors knows nothing of Allow.
def _allow_origin(request: Request, response: Response, allowed: frozenset[str]) -> None:
    asks_first = "Access-Control-Request-Method" in request.headers
    is_preflight = request.method == "OPTIONS" and asks_first and response.status_code == 204
    allow = response.headers["Allow"] if is_preflight else None
    headers = cors_headers(allowed, request.headers.get("Origin"), allow)
    response.headers.update(headers)
    if headers and "*" not in allowed:
        response.vary = (*(response.vary or ()), "Origin")


def _identify(request: Request) -> str:
    sent = request.headers.get("X-Request-ID", "")
    return sent if _CLIENT_ID.fullmatch(sent) else str(uuid.uuid4())
