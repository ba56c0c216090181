"""One JSON object a line, on standard error."""

import logging
from typing import Any

from tornado.web import RequestHandler

access_logger = logging.getLogger("app.access")


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
        "loggers": {"app": {"level": level}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
    }


def log_request(handler: RequestHandler) -> None:
    """Log a request that has been answered; a websocket's when it begins."""
    request = handler.request
    fields = {
        "request_id": getattr(handler, "request_id", None),
        "method": request.method,
        "path": request.path,
        "status": handler.get_status(),
        "duration_ms": round(request.request_time() * 1000, 3),
    }
    access_logger.info("request", extra=fields)
