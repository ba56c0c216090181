"""One line of JSON a record, and one record a request."""

import logging
import time
from logging.config import dictConfig
from typing import Any

from flask import Flask, Response, g, has_request_context, request

access = logging.getLogger("app.access")


class RequestIdFilter(logging.Filter):
    """Gives every record of a request its id: tracebacks and warnings too."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add `request_id`; let every record through."""
        if has_request_context() and "request_id" in g:
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
        "filters": {"request_id": {"()": RequestIdFilter}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "json",
                "filters": ["request_id"],
            }
        },
        "root": {"level": level, "handlers": ["stderr"]},
        "loggers": {"gunicorn.error": {"handlers": [], "propagate": True}},
    }


def init_logs(app: Flask, level: str) -> None:
    """Log the app's records and requests."""
    dictConfig(logging_config(level))
    app.before_request(_start_clock)
    app.after_request(_log_request)


def _start_clock() -> None:
    g.started = time.perf_counter()


def _log_request(response: Response) -> Response:
    fields = {
        "method": request.method,
        "path": request.path,
        "status": response.status_code,
        "duration_ms": round((time.perf_counter() - g.started) * 1000, 1),
    }
    access.info("request", extra=fields)
    return response
