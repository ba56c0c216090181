"""`python -m app`: serve with Sanic's own server as the environment says."""

import signal
import sys

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from sanic import Sanic
from sanic.worker.loader import AppLoader

from app.context import App
from app.main import create_app
from app.server import Manager, Protocol

BACKLOG = 2048


def main() -> None:
    """Serve until SIGTERM or SIGINT; end at once when a setting is wrong."""
    loader = AppLoader(factory=create_app)
    try:
        app = loader.load()
    except ValidationError as error:
        sys.exit("\n".join(map(_explain, error.errors())))
    settings = app.ctx.settings
    app.prepare(
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        protocol=Protocol,
        backlog=BACKLOG,
        motd=False,
        single_process=settings.workers == 1,
    )
    if settings.workers == 1:
        Sanic.serve_single(app)
    else:
        app.main_process_ready(exchange_manager)
        Sanic.serve(app, app_loader=loader)  # each worker is a new process, and loads its own


def exchange_manager(app: App) -> None:
    """Have the workers managed by ours; Sanic has no setting for it."""
    app.manager.__class__ = Manager
    # Those it was made with would still be Sanic's.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, app.manager.shutdown_signal)


def _explain(error: ErrorDetails) -> str:
    return ": ".join(["_".join(map(str, error["loc"])).upper(), error["msg"]]).lstrip(": ")


if __name__ == "__main__":
    main()
