"""A proxy that speaks TLS and strips a prefix, as many servers have one in front of them.

    python -m tests.tls_proxy --to http://127.0.0.1:8000 --prefix /api [--port 8443]

It prints its URL and the file with its certificate, which is the CA that clients must trust:

    SSL_CERT_FILE=… python -m pytest suite --base-url https://127.0.0.1:8443/api

Bytes are passed on as they are, but for the prefix in request lines. A request whose path is not
under the prefix is answered 404 here. It needs the openssl command.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import signal
import ssl
import subprocess
import tempfile
from pathlib import Path

from rosetta.targets.server import Target

HOST = "127.0.0.1"
CERTIFICATE = """\
[req]
distinguished_name = name
x509_extensions = extensions
prompt = no
[name]
CN = 127.0.0.1
[extensions]
basicConstraints = critical,CA:TRUE
keyUsage = critical,digitalSignature,keyCertSign
subjectKeyIdentifier = hash
subjectAltName = IP:127.0.0.1,DNS:localhost
"""
ELSEWHERE = (
    b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 21\r\n"
    b"Connection: close\r\n\r\nnot under the prefix\n"
)
LINE_END, END_OF_HEAD = b"\r\n", b"\r\n\r\n"
PIECE = 65536


def certify(directory: Path) -> Path:
    """Make a self-signed certificate for the loopback; return the file that has it and its key."""
    (directory / "openssl.cnf").write_text(CERTIFICATE)
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    files = ("-keyout", "key.pem", "-out", "ca.pem", "-config", "openssl.cnf")
    command = ["openssl", "req", "-x509", *curve, "-days", "2", *files]
    subprocess.run(command, cwd=directory, check=True, capture_output=True)  # noqa: S603
    return directory / "ca.pem"


class Stray(Exception):
    """A request is not under the prefix."""


class HungUp(Exception):
    """The server takes no more."""


class Opaque(Exception):
    """What follows has no requests: the client has ended, or the protocol is another one now."""


class Passage:
    """What goes from one client to the server, and back."""

    def __init__(
        self, prefix: bytes, client: asyncio.StreamReader, server: asyncio.StreamWriter
    ) -> None:
        self.prefix, self.client, self.server = prefix, client, server
        self.buffer = b""
        self.amid_body = False
        self.asked_upgrade = False
        self.switched = False

    async def up(self) -> None:
        """Pass on what the client sends, to its end; raise Stray and HungUp."""
        with contextlib.suppress(Opaque):
            while True:
                await self._pass_request()
        data = self.buffer
        while data or (data := await self.client.read(PIECE)):
            await self._send(data)
            data = b""

    async def down(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        """Pass on what the server sends, to its end."""
        while data := await server.read(PIECE):
            # The client says nothing before it has read this.
            self.switched |= self.asked_upgrade and data.startswith(b"HTTP/1.1 101 ")
            client.write(data)
            await client.drain()

    async def _pass_request(self) -> None:
        head = self._stripped(await self._until(END_OF_HEAD))
        fields = head.lower()
        self.asked_upgrade = b"\r\nupgrade:" in fields
        await self._send(head)
        self.amid_body = True
        length = re.search(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n", fields)
        if b"\r\ntransfer-encoding:" in fields:
            await self._pass_chunks()
        elif length:
            await self._pass_bytes(int(length[1]))
        self.amid_body = False

    async def _pass_chunks(self) -> None:
        size = -1
        while size:
            line = await self._until(LINE_END)
            await self._send(line)
            found = re.match(rb"[0-9A-Fa-f]{1,16}", line)
            if not found:
                raise Opaque
            size = int(found[0], 16)
            await self._pass_bytes(size + 2 if size else 0)
        while line != LINE_END:  # trailer fields
            line = await self._until(LINE_END)
            await self._send(line)

    async def _pass_bytes(self, count: int) -> None:
        while count:
            if not self.buffer:
                await self._fill()
            data, self.buffer = self.buffer[:count], self.buffer[count:]
            await self._send(data)
            count -= len(data)

    async def _until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            await self._fill()
        found, _, self.buffer = self.buffer.partition(mark)
        return found + mark

    async def _fill(self) -> None:
        data = await self.client.read(PIECE)
        self.buffer += data
        if not data or self.switched:
            raise Opaque

    async def _send(self, data: bytes) -> None:
        await asyncio.sleep(0)  # what the server has said is read first: it may be the last
        try:
            self.server.write(data)
            await self.server.drain()
        except OSError:
            raise HungUp from None

    def _stripped(self, head: bytes) -> bytes:
        """Return the head without the prefix, or as it is where its target is no path."""
        method, space, rest = head.partition(b" ")
        if self.prefix and rest.startswith(b"/"):
            if not rest.startswith(self.prefix + b"/"):
                raise Stray
            rest = rest.removeprefix(self.prefix)
        return method + space + rest


async def pass_on(
    to: Target, prefix: str, client: asyncio.StreamReader, back: asyncio.StreamWriter
) -> None:
    """Serve one client until it or the server ends the connection."""
    server, writer = await asyncio.open_connection(to.host, to.port)
    passage = Passage(prefix.encode(), client, writer)
    ways = [asyncio.create_task(passage.up()), asyncio.create_task(passage.down(server, back))]
    up, down = ways
    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    if up.done() and isinstance(up.exception(), HungUp):
        await asyncio.wait([down])
    if up.done() and isinstance(up.exception(), Stray):
        back.write(ELSEWHERE)
    for way in ways:
        way.cancel()
    await asyncio.wait(ways)
    if passage.amid_body:  # else the client would be told of a reset, and not read the answer
        await linger(client)
    for end in (writer, back):
        end.close()


async def linger(client: asyncio.StreamReader) -> None:
    """Read a second long what a client still sends that has its answer."""
    with contextlib.suppress(OSError):  # TimeoutError is one
        async with asyncio.timeout(1):
            while await client.read(PIECE):
                pass


async def serve(to: Target, prefix: str, port: int, directory: Path) -> None:
    """Serve until the task is cancelled; print the URL and the certificate's file."""
    certificate = certify(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, directory / "key.pem")

    async def on_client(client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await pass_on(to, prefix, client, back)

    listener = await asyncio.start_server(on_client, HOST, port, ssl=context, backlog=512)
    print(f"https://{HOST}:{listener.sockets[0].getsockname()[1]}{prefix}")
    print(certificate, flush=True)
    async with listener:
        await listener.serve_forever()


def main() -> None:
    """Run the proxy until it is interrupted."""
    parser = argparse.ArgumentParser(prog="tests.tls_proxy", description="Strip TLS and a prefix.")
    parser.add_argument("--to", type=Target, required=True, metavar="URL")
    parser.add_argument("--prefix", default="", help="such as /api")
    parser.add_argument("--port", type=int, default=0, help="default: any")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        tempfile.TemporaryDirectory(prefix="rosetta-tls-") as directory,
        contextlib.suppress(KeyboardInterrupt),
    ):
        asyncio.run(serve(options.to, options.prefix, options.port, Path(directory)))


if __name__ == "__main__":
    main()
