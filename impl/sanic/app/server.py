"""Sanic's server, which lets handlers and websockets come to their end, and stops when told to."""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

from sanic.exceptions import RequestCancelled
from sanic.server.protocols.websocket_protocol import WebSocketProtocol
from sanic.server.websockets.impl import WebsocketImplProtocol
from sanic.worker.constants import ProcessState
from sanic.worker.manager import WorkerManager
from sanic.worker.process import WorkerProcess

from app.websockets import Websocket, offered_token


class Protocol(WebSocketProtocol):
    """One client's connection."""

    async def connection_task(self) -> None:
        """Serve the client, as soon as the server heeds signals."""
        # Contract: Sanic would answer before it can be told to stop.
        await self.app.ctx.serving.wait()
        await super().connection_task()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the handler of a client that has gone run to its end."""
        # Contract: Sanic would cancel it, perhaps in the midst of a transaction.
        task, self._task = self._task, self._task if self.websocket else None
        super().connection_lost(exc)
        self._task = task
        self._data_received.set()

    def close_if_idle(self) -> bool:
        """Close, as the server stops; a connection with a request in flight once it is answered."""
        # Contract: Sanic would go on to take requests from it.
        self.app.config.KEEP_ALIVE = False
        if self._http is not None:
            self._http.keep_alive = False
        return bool(super().close_if_idle())

    def abort(self) -> None:
        """Give up a request for which the stopping server has no more time."""
        if self._task is not None:
            self._task.cancel()
        super().abort()

    async def receive_more(self) -> None:
        """Wait for more of a request; stop when the client has gone."""
        if not self._is_lost:
            await super().receive_more()
        if self._is_lost:
            raise RequestCancelled

    @property
    def _is_lost(self) -> bool:
        return self.conn_info is not None and self.conn_info.lost

    async def websocket_handshake(
        self, request: Any, subprotocols: Sequence[str] | None = None
    ) -> WebsocketImplProtocol:
        """Complete the handshake."""
        # Contract: Sanic would refuse a client that offers none of a route's subprotocols.
        offers_bearer = offered_token(request) is not None
        subprotocols = ["bearer"] if offers_bearer else None
        websocket: WebsocketImplProtocol = await super().websocket_handshake(request, subprotocols)
        websocket.__class__ = Websocket  # there is no setting for it
        return websocket


class Manager(WorkerManager):
    """The main process of several workers."""

    def _all_workers_ack(self) -> bool:
        # Contract: Sanic, told to stop while a worker starts, would wait for it without end.
        return self._shutting_down or bool(super()._all_workers_ack())

    def shutdown_signal(self, number: int, frame: FrameType | None) -> None:
        """Have the monitor end, and the workers after it; told again, kill them."""
        # Contract: Sanic would end them here, perhaps amid another call to what all of them share,
        # whose answer either call would then take for its own.
        if self._shutting_down:
            super().shutdown_signal(number, frame)
        else:
            self._shutting_down = True
            self.monitor_publisher.send(None)

    def shutdown(self) -> None:
        """Tell the workers to stop; one that takes no connections yet is ended at once."""
        # Contract: Sanic would tell that one, too, which may forget it.
        for process in self.processes:
            is_told = process.state is ProcessState.TERMINATED
            if not is_told and process.is_alive() and not self._has_served(process):
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
        super().shutdown()

    def _has_served(self, process: WorkerProcess) -> bool:
        """Tell whether a worker heeds signals; one that is about to has a second for it."""
        for _ in range(100):
            told = self.worker_state.get(process.name, {})
            if "serving" in told or told.get("state") != ProcessState.ACKED.name:
                break
            time.sleep(0.01)  # Sanic's workers tell it in a shared dictionary, and nowhere else
        return "serving" in told

    def join(self) -> None:
        """Wait for the workers to end, those too that started when others were told to stop."""
        self.shutdown()
        super().join()
