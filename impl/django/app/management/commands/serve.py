"""`manage.py serve`: serve with uvicorn as the environment says."""

from argparse import ArgumentParser
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from app.server import Protocol

MAX_MESSAGE_BYTES = 65_536
PING_SECONDS = 20
STOP_SECONDS = 3


class Command(BaseCommand):
    """Serve HTTP and websockets until SIGTERM or SIGINT."""

    help = "Serve with uvicorn; HOST, PORT and WORKERS are the defaults of the options."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options that stand in for the environment."""
        parser.add_argument("--host", default=settings.ENVIRONMENT.host)
        parser.add_argument("--port", type=int, default=settings.ENVIRONMENT.port)
        parser.add_argument("--workers", type=int, default=settings.ENVIRONMENT.workers)

    def handle(self, *_: Any, host: str, port: int, workers: int, **__: Any) -> None:
        """Serve, unless the option asks for workers that nothing would wake."""
        if workers > 1 and settings.ENVIRONMENT.redis_url is None:
            raise CommandError("WORKERS above 1 needs REDIS_URL, which wakes the other workers")
        uvicorn.run(
            settings.ASGI_APPLICATION.replace(".application", ":application"),
            host=host,
            port=port,
            workers=workers,
            http=Protocol,
            lifespan="on",
            log_config=settings.LOGGING,
            access_log=False,  # ExchangeMiddleware writes it, with the request's id
            ws="websockets-sansio",
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_ping_interval=PING_SECONDS,
            ws_ping_timeout=PING_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
