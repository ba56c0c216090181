"""What every response has in common, whatever answers."""

import re
import uuid
from collections.abc import Callable
from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def includeme(config: Configurator) -> None:
    """Give every response its request id and nosniff, also when its transaction fails."""
    config.add_request_method(_identify, "request_id", reify=True)
    config.add_tween("app.messages.message_tween_factory", over="pyramid_tm.tm_tween_factory")


def message_tween_factory(handler: Callable[[Request], Response], _registry: Any) -> Any:
    """Return the tween that completes responses."""

    def complete(request: Request) -> Response:
        response = handler(request)
        response.headers["X-Request-ID"] = request.request_id
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return complete


def _identify(request: Request) -> str:
    sent = request.headers.get("X-Request-ID", "")
    return sent if _CLIENT_ID.fullmatch(sent) else str(uuid.uuid4())
