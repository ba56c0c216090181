"""`python -m app`: serve as the environment says."""

import asyncio
import logging.config
import os
import signal
import sys
from contextlib import suppress
from socket import socket

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from tornado.netutil import bind_sockets
from tornado.process import fork_processes

from app.config import Settings
from app.logs import logging_config
from app.main import create_app
from app.server import Server
from app.services import Services, open_services

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
STOP_SECONDS = 3
BACKLOG = 2048  # with Tornado's 128, a burst of clients waits a second to connect again


def main() -> None:
    """Serve until SIGTERM or SIGINT; end at once when a setting is wrong."""
    try:
        settings = Settings()
    except ValidationError as error:
        sys.exit("\n".join(map(_explain, error.errors())))
    logging.config.dictConfig(logging_config(settings.log_level))
    sockets = bind_sockets(settings.port, settings.host, backlog=BACKLOG)
    parent = fork(settings.workers, sockets) if settings.workers > 1 else None
    asyncio.run(serve(settings, sockets, parent))


def fork(workers: int, sockets: list[socket]) -> int:
    """Fork the workers, and return in each; the parent stays, and replaces those that crash.

    What is returned is the end of a pipe: it can be read when the parent stops, or has died.
    """
    reader, writer = os.pipe()
    is_stopping = False

    def stop(*_: object) -> None:
        nonlocal is_stopping
        if not is_stopping:
            is_stopping = True
            os.close(writer)
            for listening in sockets:
                listening.close()

    for number in STOP_SIGNALS:
        signal.signal(number, stop)
    fork_processes(workers)
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    if is_stopping:  # a worker crashed while the others ended
        sys.exit()
    os.close(writer)
    return reader


async def serve(settings: Settings, sockets: list[socket], parent: int | None) -> None:
    """Serve until told to stop, then finish what is in hand."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stopping.set)
    if parent is not None:
        loop.add_reader(parent, stopping.set)
    async with open_services(settings) as services:
        server = Server(create_app(services))
        server.add_sockets(sockets)
        await stopping.wait()
        if parent is not None:
            loop.remove_reader(parent)
        await stop(server, services)


async def stop(server: Server, services: Services) -> None:
    """Take nothing new, answer the requests in flight, and let the websockets close."""
    server.stop()
    server.conn_params.no_keep_alive = True  # a connection that is open would be served on
    services.sockets.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(STOP_SECONDS):
            await server.busy.wait_none()
            await services.sockets.open.wait_none()
    await server.close_all_connections()


def _explain(error: ErrorDetails) -> str:
    return ": ".join(["_".join(map(str, error["loc"])).upper(), error["msg"]]).lstrip(": ")


if __name__ == "__main__":
    main()
