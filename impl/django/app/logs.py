"""One JSON object a line, on standard error."""

import logging
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any

# Set by the middleware, so that warnings and tracebacks name the request too.
request_id_var: ContextVar[str | None] = ContextVar("request_id", default=None)

_HANDSHAKES = ('"WebSocket', "connection rejected", "returned without completing handshake")


def logging_config(level: str, apps: Iterable[str]) -> dict[str, Any]:
    """Return Django's LOGGING, which is uvicorn's as well; `level` is that of the `apps`."""
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
        "filters": {
            "uvicorn": {"()": "app.logs.uvicorn_filter"},
            "request_id": {"()": "app.logs.RequestIdFilter"},
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "json",
                "filters": ["uvicorn", "request_id"],
            }
        },
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {
            **{name: {"level": level} for name in apps},
            # Contract: at DEBUG uvicorn would log every header and frame, tokens among them.
            "uvicorn": {"level": "INFO"},
            # Contract: uvicorn would log every request's query; app.access does not.
            "uvicorn.access": {"handlers": [], "propagate": False},
            # Contract: Django would mail errors, write in its own form, and log every 4xx again.
            "django": {"level": "WARNING", "handlers": [], "propagate": True},
            "django.request": {"level": "ERROR"},
        },
    }


class RequestIdFilter(logging.Filter):
    """Add the id of the request that a record belongs to."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Complete the record."""
        request_id = request_id_var.get()
        if request_id is not None:
            record.request_id = request_id
        return True


def uvicorn_filter() -> Callable[[logging.LogRecord], bool]:
    """Return a filter against uvicorn's lines of handshakes, and its colours."""
    return _is_no_handshake


def _is_no_handshake(record: logging.LogRecord) -> bool:
    record.__dict__.pop("color_message", None)
    record.__dict__.pop("request", None)  # Django's, a WSGIRequest
    # Contract: uvicorn would log a handshake's query, where some send their token, and each
    # refusal as an error (Kludex/uvicorn#3138).
    return not any(words in str(record.msg) for words in _HANDSHAKES)
