"""One line of JSON a record, and one record a request."""

import logging
import time
from logging.config import dictConfig
from typing import Any

from flask import Flask, Response, g, request

access = logging.getLogger("app.access")


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
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
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
        "request_id": g.request_id,
        "method": request.method,
        "path": request.path,
        "status": response.status_code,
        "duration_ms": round((time.perf_counter() - g.started) * 1000, 1),
    }
    access.info("request", extra=fields)
    return response
