"""One line of JSON a record, and one record a request."""

import logging
import time
from collections.abc import Callable
from logging.config import dictConfig
from typing import Any

from quart import Quart, g, has_request_context, has_websocket_context
from quart.typing import ResponseTypes

from app.messages import this_request

access = logging.getLogger("app.access")

_HANDSHAKES = ('"WebSocket', "returned without completing handshake")


class RequestIdFilter(logging.Filter):
    """Gives every record of a request its id: tracebacks and warnings too."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add `request_id`; let every record through."""
        if (has_request_context() or has_websocket_context()) and "request_id" in g:
            record.request_id = g.request_id
        return True


def logging_config(level: str) -> dict[str, Any]:
    """Return a logging configuration: JSON lines on standard error."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "fmt": ["levelname", "name", "message"],
                "rename_fields": {"levelname": "level", "name": "logger"},
                "timestamp": "time",
            }
        },
        "filters": {"request_id": {"()": RequestIdFilter}, "uvicorn": {"()": uvicorn_filter}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "json",
                "filters": ["request_id", "uvicorn"],
            }
        },
        # At DEBUG, aiosqlite would log every value, password hashes among them.
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {
            "app": {"level": level},
            # Contract: at DEBUG uvicorn would log every header and frame, tokens among them.
            "uvicorn": {"level": "INFO"},
            # Contract: uvicorn would log every request's query; app.access does not.
            "uvicorn.access": {"handlers": [], "propagate": False},
        },
    }


def uvicorn_filter() -> Callable[[logging.LogRecord], bool]:
    """Return a filter against uvicorn's lines of handshakes, and its colours."""
    return _is_no_handshake


def _is_no_handshake(record: logging.LogRecord) -> bool:
    record.__dict__.pop("color_message", None)
    # Contract: uvicorn would log a handshake's query, where some send their token, and each
    # refusal as an error (Kludex/uvicorn#3138).
    return not any(words in str(record.msg) for words in _HANDSHAKES)


def init_logs(app: Quart, level: str) -> None:
    """Log the app's records and requests."""
    dictConfig(logging_config(level))
    app.before_request(_start_clock)
    app.before_websocket(_start_clock)
    app.after_request(_log_response)
    app.after_websocket(_log_refusal)


def log_request(status: int) -> None:
    """Log how the request, or the handshake of the websocket, was answered."""
    fields = {
        "method": this_request().method,
        "path": this_request().path,
        "status": status,
        "duration_ms": round((time.perf_counter() - g.started) * 1000, 1),
    }
    access.info("request", extra=fields)


async def _start_clock() -> None:
    g.started = time.perf_counter()


async def _log_response(response: ResponseTypes) -> ResponseTypes:
    log_request(response.status_code)
    return response


async def _log_refusal(refusal: ResponseTypes | None) -> ResponseTypes | None:
    return None if refusal is None else await _log_response(refusal)
