"""One JSON object a line, on standard error; one line a request."""

import logging
import time
from typing import Any

from sanic import HTTPResponse
from sanic.signals import Event

from app.context import App, Request

logger = logging.getLogger("app.access")


def logging_config(level: str) -> dict[str, Any]:
    """Return the configuration for `logging.config.dictConfig`."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "fmt": "%(levelname)s %(name)s %(message)s",
                "rename_fields": {"levelname": "level", "name": "logger"},
                "timestamp": "time",
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "loggers": {
            "app": {"level": level},
            # Contract: at DEBUG Sanic would log every websocket frame, tokens among them.
            "sanic": {"level": "INFO"},
            # Contract: when it stops it would log the URLs of requests that are cut off.
            "sanic.root": {"level": "WARNING"},
            "sanic.websockets": {"level": "WARNING"},
        },
        "root": {"level": "WARNING", "handlers": ["stderr"]},
    }


def init_logs(app: App) -> None:
    """Log each request when it is answered, a websocket's when it begins."""

    @app.middleware("request", priority=2)
    async def start_clock(request: Request) -> None:
        request.ctx.started = time.perf_counter()

    # Contract: Sanic's own access log would hold the query, where some send their token.
    @app.on_response
    async def log_response(request: Request, response: HTTPResponse) -> None:
        log_request(request, response.status)

    @app.signal(Event.WEBSOCKET_HANDLER_BEFORE)
    async def log_upgrade(request: Request, **_: Any) -> None:
        log_request(request, 101)


def log_request(request: Request, status: int) -> None:
    """Log how a request was answered."""
    now = time.perf_counter()
    fields = {
        "request_id": request.id,
        "method": request.method,
        "path": request.path,
        "status": status,
        "duration_ms": round((now - getattr(request.ctx, "started", now)) * 1000, 3),
    }
    logger.info("request", extra=fields)
