"""Gunicorn's configuration, from the app's settings."""

import sys

from pydantic import ValidationError

from app.config import Settings
from app.logs import logging_config

try:
    settings = Settings()
except ValidationError as error:
    for fault in error.errors():
        variable = "_".join(map(str, fault["loc"])).upper()
        print(f"{variable or 'settings'}: {fault['msg']}", file=sys.stderr)
    sys.exit(1)

HTTP_THREADS = 64

wsgi_app = "app:create_app()"
bind = f"{settings.host}:{settings.port}"
workers = settings.workers
worker_class = "gthread"
threads = settings.ws_max_connections + HTTP_THREADS  # a socket keeps a thread while it is open
worker_connections = threads + 1000
keepalive = 75
graceful_timeout = 4
control_socket_disable = True
logconfig_dict = logging_config(settings.log_level)
