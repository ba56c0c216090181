"""One JSON object a line, on standard error."""

import logging
from collections.abc import Callable
from typing import Any

_HANDSHAKES = ('"WebSocket', "returned without completing handshake")


def logging_config(level: str) -> dict[str, Any]:
    """Return Django's LOGGING, which is uvicorn's as well."""
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
        "filters": {"uvicorn": {"()": "app.logs.uvicorn_filter"}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "json",
                "filters": ["uvicorn"],
            }
        },
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {
            "app": {"level": level},
            "events": {"level": level},
            # Contract: at DEBUG uvicorn would log every header and frame, tokens among them.
            "uvicorn": {"level": "INFO"},
            # Contract: uvicorn would log every request's query; app.access does not.
            "uvicorn.access": {"handlers": [], "propagate": False},
            # Contract: Django would mail errors, write in its own form, and log every 4xx again.
            "django": {"level": "WARNING", "handlers": [], "propagate": True},
            "django.request": {"level": "ERROR"},
        },
    }


def uvicorn_filter() -> Callable[[logging.LogRecord], bool]:
    """Return a filter against uvicorn's lines of handshakes, and its colours."""
    return _is_no_handshake


def _is_no_handshake(record: logging.LogRecord) -> bool:
    record.__dict__.pop("color_message", None)
    record.__dict__.pop("request", None)  # Django's, a WSGIRequest
    # Contract: uvicorn would log a handshake's query, where some send their token, and each
    # refusal as an error (Kludex/uvicorn#3138).
    return not any(words in str(record.msg) for words in _HANDSHAKES)
