"""`python -m app`: serve with uvicorn as the environment says."""

import sys

import uvicorn
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from app.config import Settings
from app.logs import logging_config
from app.server import Protocol

MAX_MESSAGE_BYTES = 65_536
PING_SECONDS = 20
STOP_SECONDS = 3


def main() -> None:
    """Serve until SIGTERM or SIGINT; end at once when a setting is wrong."""
    try:
        settings = Settings()
    except ValidationError as error:
        sys.exit("\n".join(map(_explain, error.errors())))
    uvicorn.run(
        "app.main:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        http=Protocol,
        log_config=logging_config(settings.log_level),
        access_log=False,  # ExchangeMiddleware writes it, with the request's id
        ws="websockets-sansio",
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )


def _explain(error: ErrorDetails) -> str:
    return ": ".join(["_".join(map(str, error["loc"])).upper(), error["msg"]]).lstrip(": ")


if __name__ == "__main__":
    main()
