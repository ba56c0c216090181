"""What both websockets have in common: how many there are, and how each begins and ends."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from quart import websocket
from werkzeug.exceptions import ClientDisconnected

from app.errors import unavailable
from app.logs import log_request

INTERNAL_ERROR = 1011  # RFC 6455 section 7.4.1

logger = logging.getLogger(__name__)


class OpenSockets:
    """The sockets of one worker, at most so many."""

    def __init__(self, limit: int) -> None:
        self._free = limit

    @asynccontextmanager
    async def accept(self) -> AsyncIterator[None]:
        """Accept the handshake, if there is a place left; the block serves the client."""
        if self._free == 0:
            raise unavailable()
        self._free -= 1
        try:
            await _accept()
            yield
        except ClientDisconnected:
            pass
        except Exception:
            logger.exception("a websocket failed")
            # Contract: Quart would close with 1000.
            with suppress(ClientDisconnected):
                await websocket.close(INTERNAL_ERROR)
        finally:
            self._free += 1


async def _accept() -> None:
    offers_bearer = websocket.requested_subprotocols[:1] == ["bearer"]
    with suppress(ClientDisconnected):  # the block will learn it too
        await websocket.accept(subprotocol="bearer" if offers_bearer else None)
    log_request(101)
