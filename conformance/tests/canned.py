"""A listener that answers each connection with the bytes it is given, for tests of clients."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rosetta.targets.ports import HOST
from rosetta.targets.server import Target


@dataclass
class Canned:
    """Where the listener is, and what it has been sent, by connection."""

    target: Target
    received: list[bytes] = field(default_factory=list)


@contextmanager
def canned(*answers: bytes, close: bool = True) -> Iterator[Canned]:
    """Answer the first bytes of the nth connection with ``answers[n]``, then close it, or not."""
    with socket.create_server((HOST, 0)) as listener:
        server = Canned(Target(f"http://{HOST}:{listener.getsockname()[1]}"))
        thread = threading.Thread(target=_answer, args=(listener, server, answers, close))
        thread.start()
        yield server
        with socket.socket() as waker:  # ends an accept that no one has come to
            waker.connect_ex(listener.getsockname())
        thread.join(5)


def _answer(
    listener: socket.socket, server: Canned, answers: tuple[bytes, ...], close: bool
) -> None:
    for answer in answers:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(5)
            server.received.append(_request(connection))
            if not server.received[-1]:
                return
            connection.sendall(answer)
            if not close:
                connection.recv(65536)


def _request(connection: socket.socket) -> bytes:
    """Read a request with the body that its Content-Length announces."""
    data = connection.recv(65536)
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", data)
    while length and len(data.partition(b"\r\n\r\n")[2]) < int(length[1]):
        data += connection.recv(65536)
    return data
