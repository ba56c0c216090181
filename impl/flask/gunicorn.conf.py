"""Gunicorn's configuration, from the app's settings."""

import sys
import threading
from types import FrameType

from gunicorn import glogging
from gunicorn.workers.gthread import ThreadWorker
from pydantic import ValidationError

from app.config import Settings
from app.logs import logging_config

try:
    settings = Settings()
except ValidationError as error:
    for fault in error.errors():
        print(*(str(name).upper() for name in fault["loc"]), fault["msg"], file=sys.stderr)
    sys.exit(1)

HTTP_THREADS = 64


class Logger(glogging.Logger):
    """Gunicorn's own, without its access log: the app has one."""

    def access(self, *_: object) -> None:
        """Leave out what would be put together for every request."""


class Worker(ThreadWorker):
    """A gthread worker that tells its open sockets when it is going away."""

    # Contract: gunicorn would let sockets run on and cut them off at graceful_timeout.

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at SIGTERM: requests in flight are finished."""
        self._stop_sockets()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at once, at SIGINT and SIGQUIT."""
        self._stop_sockets()
        super().handle_quit(sig, frame)

    def _stop_sockets(self) -> None:
        if self.booted:  # in a thread: a signal handler must not wait for a lock
            threading.Thread(target=self.wsgi.extensions["sockets"].stop).start()


wsgi_app = "app:create_app()"
_host = f"[{settings.host}]" if ":" in settings.host else settings.host
bind = f"{_host}:{settings.port}"
workers = settings.workers
worker_class = Worker
logger_class = Logger
threads = settings.ws_max_connections + HTTP_THREADS  # a socket keeps a thread while it is open
worker_connections = threads + 1000
keepalive = 75
graceful_timeout = 2  # what hangs then is killed: all has ended within 5 s, on a busy host too
control_socket_disable = True
loglevel = settings.log_level.lower()
logconfig_dict = logging_config(settings.log_level)
