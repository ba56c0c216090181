"""One line of JSON a record, and one record a request; the ini says where they go."""

import logging
import time
from collections.abc import Callable
from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from pyramid.threadlocal import get_current_request
from pythonjsonlogger.json import JsonFormatter

from app.config import Settings

access = logging.getLogger("app.access")


def includeme(config: Configurator) -> None:
    """Log requests, at the level that the environment asks for."""
    settings: Settings = config.get_settings()["service"]
    logging.getLogger("app").setLevel(settings.log_level)
    config.add_tween("app.logs.access_tween_factory", over="app.messages.message_tween_factory")


class Formatter(JsonFormatter):
    """What the ini's formatter section names: it cannot say this itself."""

    def __init__(self, *_: object) -> None:
        super().__init__(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="time",
        )

    def add_fields(self, log_data: dict[str, Any], *args: Any) -> None:
        """Add the id of the request that is being answered, to tracebacks and warnings too."""
        super().add_fields(log_data, *args)
        request_id = getattr(get_current_request(), "request_id", None)
        if request_id is not None:
            log_data["request_id"] = request_id


def access_tween_factory(handler: Callable[[Request], Response], _registry: Any) -> Any:
    """Return the tween that logs requests; a websocket's when it has ended."""

    def log(request: Request) -> Response:
        started = time.perf_counter()
        response = handler(request)
        fields = {
            "request_id": request.request_id,
            "method": request.method,
            # request.path would fail for bytes that are no UTF-8
            "path": request.environ["PATH_INFO"].encode("latin-1").decode(errors="replace"),
            "status": response.status_code,
            "duration_ms": round((time.perf_counter() - started) * 1000, 1),
        }
        access.info("request", extra=fields)
        return response

    return log
