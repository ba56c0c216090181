"""The model of the contract behind a port: a server that is right unless a fault is mixed in.

    with Reference(WeakIfMatch, NoNosniff) as target: ...

A fault is a class that changes one method of ``Service``. Faults compose.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import threading
from datetime import UTC, datetime
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

from websockets.datastructures import Headers
from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.server import ServerProtocol

from rosetta.contract.model import (
    ROUTES,
    Answer,
    Json,
    Made,
    Model,
    Refusal,
    Request,
    Subscription,
    numbered,
)
from rosetta.contract.terms import LIMIT
from rosetta.targets.server import Target

PROBES = {"/healthz": {"status": "ok"}, "/readyz": {"status": "ready"}}
SOCKETS = "/ws/(?:echo|events)"
TOPICS = {"users", "items"}


class Service(Model):
    """What faults change: the model's methods, and the few here."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = threading.Condition()

    def respond(self, method: str, path: str, head: Message, request: Request) -> Answer:
        """Answer one request, its path and method checked first."""
        allowed = allowed_methods(path)
        if allowed is None:
            return Refusal("not-found").answer
        if method == "OPTIONS":
            return Answer(204, None, {"Allow": ", ".join(allowed)})
        if method not in allowed:
            return Refusal("method-not-allowed", Allow=", ".join(allowed)).answer
        if path in PROBES:
            return Answer(200, PROBES[path])
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        with self.changed:
            answer = self.answer(request, Made(now=now, token=f"eyJ{uuid4().hex}.{uuid4().hex}.x"))
            self.changed.notify_all()
        return answer

    def fields(self, answer: Answer, head: Message) -> dict[str, str]:
        """Return the header of a response."""
        given = head.get("X-Request-ID") or ""
        own = re.fullmatch("[A-Za-z0-9._-]{1,64}", given)
        kind = "application/problem+json" if answer.status >= 400 else "application/json"
        return {
            "X-Request-ID": given if own else str(uuid4()),
            "X-Content-Type-Options": "nosniff",
            **({"Content-Type": kind} if answer.body is not None else {}),
            **answer.headers,
        }

    def to_send(self, subscription: Subscription) -> list[tuple[int, Json]]:
        """Return the events that a feed is due, as messages under their ids."""
        return [
            (
                id_,
                {
                    "type": "event",
                    "id": id_,
                    "event": event.event,
                    "resource_id": event.resource_id,
                    "data": event.data,
                    "occurred_at": "2026-11-21T06:44:00.123456Z",
                },
            )
            for id_, event in subscription.due(numbered(self.events, 1))
        ]

    def _valid_body(self, request: Request, schema: str) -> dict[str, Json]:
        if isinstance(request.body, Refusal):
            raise request.body
        return super()._valid_body(request, schema)


class Reference:
    """A service on a free port of this host while in ``with``."""

    def __init__(self, *faults: type[Service]) -> None:
        service = type("Faulty", (*faults, Service), {})() if faults else Service()
        self._server = _Server(("127.0.0.1", 0), service)

    def __enter__(self) -> Target:
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05])
        self._thread.start()
        return Target(f"http://127.0.0.1:{self._server.server_address[1]}")

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], service: Service) -> None:
        super().__init__(address, _Handler)
        self.service = service


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - do_GET and so on
        if name.startswith("do_"):
            return self.handle_any
        raise AttributeError(name)

    def handle_any(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        head = self.headers
        method = self.command
        token = bearer(head.get("Authorization"))
        request = Request(
            method, path, token, body_of(method, head, content), dict(query_of(query)),
            joined(head, "If-Match"), joined(head, "If-None-Match"),
        )  # fmt: skip
        if re.fullmatch(SOCKETS, path) and "Upgrade" in head:
            return self.upgrade(path, head, request)
        answer = self.server.service.respond(method, path, head, request)
        return self.send(answer, head)

    def send(self, answer: Answer, head: Message) -> None:
        body = b"" if answer.body is None else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in self.server.service.fields(answer, head).items():
            self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def upgrade(self, path: str, head: Message, request: Request) -> None:
        """Answer a handshake, and be a websocket from then on."""
        service = self.server.service
        after = request.query.get("after")
        try:
            with service.changed:
                user = service._caller(request) if path == "/ws/events" else None
                newest = len(service.events)
        except Refusal as refusal:
            return self.send(refusal.answer, head)
        self.close_connection = True
        socket = _Socket(self, head)
        if user is None:
            return socket.echo()
        start = newest if after is None else int(after)
        return socket.feed(service, user.id, Subscription(start))

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


class _Socket:
    """One open websocket: a thread that feeds it, and the handler's, which listens."""

    def __init__(self, handler: _Handler, head: Message) -> None:
        self.handler = handler
        self.lock = threading.Lock()
        self.protocol = ServerProtocol()
        # The protocol has to read the handshake itself before it reads frames.
        self.protocol.receive_data(Handshake(handler.path, Headers(head.items())).serialize())
        (handshake,) = self.protocol.events_received()
        assert isinstance(handshake, Handshake)
        self.protocol.send_response(self.protocol.accept(handshake))
        self.flush()

    def flush(self) -> None:
        with contextlib.suppress(OSError):  # the client may be gone
            for data in filter(None, self.protocol.data_to_send()):
                self.handler.wfile.write(data)

    def send(self, message: Json) -> None:
        with self.lock, contextlib.suppress(InvalidState):  # the client may be closing
            self.protocol.send_text(json.dumps(message).encode())
            self.flush()

    def messages(self) -> Any:  # noqa: ANN401 - a generator of frames
        while data := self.received():
            with self.lock:
                self.protocol.receive_data(data)
                frames = self.protocol.events_received()
                self.flush()
            yield from (f for f in frames if isinstance(f, Frame) and f.opcode is not Opcode.CLOSE)
            if self.protocol.close_rcvd:
                return

    def received(self) -> bytes:
        try:
            return bytes(self.handler.connection.recv(LIMIT))
        except ConnectionError:
            return b""

    def echo(self) -> None:
        for frame in self.messages():
            with self.lock:
                self.protocol.send_text(bytes(frame.data))
                self.flush()

    def feed(self, service: Service, user_id: int, subscription: Subscription) -> None:
        with service.changed:  # what is replayed does not depend on who writes next
            self.send({"type": "ready", "after": subscription.after})
            self.send_due(service, subscription)
        ended = threading.Event()
        arguments = (service, user_id, subscription, ended)
        sender = threading.Thread(target=self.send_events, args=arguments, daemon=True)
        sender.start()
        for frame in self.messages():
            with service.changed:
                self.send(obey(command_of(bytes(frame.data)), subscription))
        with service.changed:
            ended.set()
            service.changed.notify_all()
        sender.join()

    def send_due(self, service: Service, subscription: Subscription) -> None:
        newest = len(service.events)
        for _, message in service.to_send(subscription):
            self.send(message)
        subscription.after = max(subscription.after, newest)

    def send_events(
        self, service: Service, user_id: int, subscription: Subscription, ended: threading.Event
    ) -> None:
        with service.changed:
            while not ended.is_set():
                self.send_due(service, subscription)
                if user_id not in service.resources["user"]:
                    return self.close(4401)
                service.changed.wait(1)
        return None

    def close(self, code: int) -> None:
        with self.lock, contextlib.suppress(InvalidState):
            self.protocol.send_close(code)
            self.flush()


def command_of(text: bytes) -> Json:
    """Return the JSON of a message; None if it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def obey(command: Json, subscription: Subscription) -> Json:
    """Return the answer to a command, and follow it."""
    if command == {"type": "ping"}:
        return {"type": "pong"}
    match command:
        case {"type": "subscribe", "topics": [*topics], **rest} if not rest:
            if topics and set(topics) <= TOPICS and len(set(topics)) == len(topics):
                subscription.topics = frozenset(topics)
                return {"type": "subscribed", "topics": sorted(topics)}
    return {"type": "error", "code": "invalid-message"}


def allowed_methods(path: str) -> list[str] | None:
    """Return the methods of a path, or None if there is no such route."""
    if path in PROBES or re.fullmatch(SOCKETS, path):
        return ["GET", "HEAD", "OPTIONS"]
    for pattern, operations in ROUTES.items():
        if re.fullmatch(pattern, path, re.ASCII):
            return [*operations, *(["HEAD"] if "GET" in operations else []), "OPTIONS"]
    return None


def bearer(authorization: str | None) -> str | None:
    """Return the token of an Authorization field; None without one of the scheme Bearer."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def joined(head: Message, name: str) -> str | None:
    """Return the lines of a list-typed field as one."""
    return ", ".join(head.get_all(name, [])) if name in head else None


def query_of(query: str) -> list[tuple[str, str]]:
    """Return the parameters of a query, in order."""
    return parse_qsl(query, keep_blank_values=True)


def body_of(method: str, head: Message, content: bytes) -> Json:
    """Return the value of a JSON body, or the refusal it deserves."""
    media = (head.get("Content-Type") or "").partition(";")[0].strip().lower()
    if len(content) > LIMIT:
        return Refusal("content-too-large")
    patches = ["application/merge-patch+json"] if method == "PATCH" else []
    if media not in ["application/json", *patches]:
        return Refusal("unsupported-media-type")
    try:
        value = json.loads(content.decode(), parse_constant=_refuse, parse_float=_finite)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return Refusal("malformed-json")
    return value


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits} is beyond a double")
    return value
