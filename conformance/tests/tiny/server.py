"""A subset of the contract in memory, correct unless a fault is switched on.

    python server.py --host 127.0.0.1 --port 8000 [--fault NAME]

It needs nothing but the standard library, and stands in for an implementation in the suite's own
tests: users, tokens and items with ETags and pages, problems, the echo socket, the feed.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import hmac
import json
import os
import re
import struct
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode
from uuid import uuid4

Body = dict[str, Any]
Headers = dict[str, str]
KEY = os.environ.get("SECRET_KEY", "tiny-development-key-of-32-bytes!").encode()
ID = "([1-9][0-9]{0,17})"
CACHE = {"Cache-Control": "private, no-cache"}
PROBLEMS = {
    "not-found": (404, "Not found"),
    "method-not-allowed": (405, "Method not allowed"),
    "unauthorized": (401, "Unauthorized"),
    "invalid-credentials": (401, "Invalid credentials"),
    "forbidden": (403, "Forbidden"),
    "unsupported-media-type": (415, "Unsupported media type"),
    "malformed-json": (400, "Malformed JSON"),
    "validation": (422, "Validation failed"),
    "precondition-failed": (412, "Precondition failed"),
    "email-taken": (409, "Email already taken"),
    "internal-error": (500, "Internal error"),
}


class Problem(Exception):
    """A refusal, raised where it is found and answered in one place."""

    def __init__(self, slug: str, errors: list[Body] | None = None, **headers: str) -> None:
        self.status, title = PROBLEMS[slug]
        self.body: Body = {"type": f"/problems/{slug}", "title": title, "status": self.status}
        if errors is not None:
            self.body["errors"] = sorted(errors, key=lambda e: (e["in"], e["pointer"]))
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Store:
    """Everything the server knows; every method holds the lock."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.users: dict[int, Body] = {}
        self.items: dict[int, Body] = {}
        self.passwords: dict[int, str] = {}
        self.versions: dict[tuple[str, int], int] = {}
        self.events: list[Body] = []
        self.last = {"user": 0, "item": 0}

    def rows(self, kind: str) -> dict[int, Body]:
        return self.users if kind == "user" else self.items

    def create(self, kind: str, fields: Body) -> Body:
        self.last[kind] += 1
        now = _now()
        row = {"id": self.last[kind], **fields, "created_at": now, "updated_at": now}
        self.rows(kind)[row["id"]] = row
        self.versions[kind, row["id"]] = 1
        self.note(kind, "created", row["id"], row)
        return row

    def update(self, kind: str, row: Body, fields: Body) -> Body:
        changed = row | fields | {"updated_at": max(_now(), row["updated_at"])}
        self.rows(kind)[row["id"]] = changed
        self.versions[kind, row["id"]] += 1
        self.note(kind, "updated", row["id"], changed)
        return changed

    def delete(self, kind: str, row: Body) -> None:
        if kind == "user":
            for item in [i for i in self.items.values() if i["owner_id"] == row["id"]]:
                self.delete("item", item)
        del self.rows(kind)[row["id"]]
        self.note(kind, "deleted", row["id"], None)

    def note(self, kind: str, what: str, id_: int, data: Body | None) -> None:
        self.events.append(
            {
                "type": "event",
                "id": len(self.events) + 1,
                "event": f"{kind}.{what}",
                "resource_id": id_,
                "data": data,
                "occurred_at": _now(),
            }
        )
        self.changed.notify_all()


FIELDS: dict[str, dict[str, tuple[type, Callable[[Any], str | None]]]] = {
    "user": {
        "email": (
            str,
            lambda v: None if re.fullmatch(r"[^@\s]+@[^@\s]+\.[a-z]+", v) else "pattern",
        ),
        "name": (str, lambda v: _length(v, 1, 100)),
        "password": (str, lambda v: _length(v, 8, 128)),
    },
    "item": {
        "name": (str, lambda v: _length(v, 1, 200)),
        "price_cents": (int, lambda v: "minimum" if v < 0 else None),
    },
    "token": {"email": (str, lambda _: None), "password": (str, lambda _: None)},
}


class Handler(BaseHTTPRequestHandler):
    """One connection; ``server`` holds the store and the faults."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def answer(self) -> None:
        """Find the operation, run it, and turn problems into responses."""
        self.given = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.path, _, query = self.path.partition("?")
        self.query = parse_qs(query)
        try:
            operation, arguments = self.route()
            with self.server.store.changed:
                status, body, headers = operation(self, *arguments)
        except Problem as problem:
            status, body, headers = problem.status, problem.body, problem.headers
        if status == 101:
            self.server.talk(self)
            self.close_connection = True
        elif self.server.fault != "silent":
            self.respond(status, body, headers)

    def route(self) -> tuple[Callable[..., Answer], tuple[Any, ...]]:
        method = "GET" if self.command == "HEAD" else self.command
        for pattern, methods in ROUTES.items():
            if match := re.fullmatch(pattern, self.path):
                if method == "OPTIONS":
                    return options, (_allow(methods),)
                if method not in methods:
                    raise Problem("method-not-allowed", Allow=_allow(methods))
                return methods[method], tuple(map(int, match.groups()))
        raise Problem("not-found")

    def respond(self, status: int, body: Body | None, headers: Headers) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        kind = "application/problem+json" if status >= 400 else "application/json"
        given = self.headers.get("X-Request-ID", "")
        valid = re.fullmatch(r"[A-Za-z0-9._-]{1,64}", given)
        self.send_response(status)
        fields = {
            "X-Request-ID": given if valid else str(uuid4()),
            "X-Content-Type-Options": "nosniff",
            **({"Content-Type": kind} if content else {}),
            **headers,
        }
        if self.server.fault == "no-nosniff":
            del fields["X-Content-Type-Options"]
        for name, value in fields.items():
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def caller(self) -> Body:
        """Return the user of the token."""
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Problem("unauthorized", WWW_Authenticate='Bearer realm="api"')
        user = self.server.store.users.get(_subject(token.strip()))
        if user is None:
            challenge = 'Bearer realm="api", error="invalid_token"'
            raise Problem("unauthorized", WWW_Authenticate=challenge)
        return user

    def row(self, kind: str, id_: int, *, write: bool = False) -> Body:
        """Return a resource that exists, and that the caller may write."""
        user = self.caller()
        row = self.server.store.rows(kind).get(id_)
        if row is None:
            raise Problem("not-found")
        owner = row["id"] if kind == "user" else row["owner_id"]
        if write and owner != user["id"] and self.server.fault != "no-ownership":
            raise Problem("forbidden")
        return row

    def fields(self, kind: str, *, partial: bool = False) -> Body:
        """Return the valid members of the body."""
        if not self.headers.get("Content-Type", "").lower().startswith("application/"):
            raise Problem("unsupported-media-type")
        try:
            body = json.loads(self.given)
        except ValueError:
            raise Problem("malformed-json") from None
        if self.server.fault != "no-validation":
            _validate(body, FIELDS[kind], partial=partial)
        return {k: v.lower() if k == "email" else v for k, v in body.items()}

    def if_match(self, kind: str, id_: int) -> None:
        """Refuse a write on an outdated version."""
        wanted = self.headers.get("If-Match", "*").split(",")
        matches = wanted == ["*"] or self.etag(kind, id_) in [tag.strip() for tag in wanted]
        if not matches and self.server.fault != "no-if-match":
            raise Problem("precondition-failed")

    def etag(self, kind: str, id_: int) -> str:
        return f'"{id_}-{self.server.store.versions[kind, id_]}"'

    def shown(self, status: int, kind: str, row: Body) -> tuple[int, Body, Headers]:
        return status, row, {"ETag": self.etag(kind, row["id"])}

    def created(self, kind: str, row: Body) -> tuple[int, Body, Headers]:
        status, body, headers = self.shown(201, kind, row)
        return status, body, headers | {"Location": f"/{kind}s/{row['id']}"}

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        print(self.command, self.path, format % args)


Answer = tuple[int, Body | None, Headers]


def create_user(http: Handler) -> Answer:
    fields = http.fields("user")
    store = http.server.store
    if any(user["email"] == fields["email"] for user in store.users.values()):
        raise Problem("email-taken")
    password = fields.pop("password")
    row = store.create("user", fields)
    store.passwords[row["id"]] = password
    return http.created("user", row)


def create_token(http: Handler) -> Answer:
    fields = http.fields("token")
    if http.server.fault == "no-tokens":
        raise Problem("not-found")
    store = http.server.store
    for user in store.users.values():
        if (user["email"], store.passwords[user["id"]]) == (fields["email"], fields["password"]):
            life = int(os.environ.get("TOKEN_TTL_SECONDS", "3600"))
            token = _sign({"sub": str(user["id"]), "iat": time.time(), "exp": time.time() + life})
            body = {"access_token": token, "token_type": "bearer", "expires_in": life}
            return 201, body | {"user_id": user["id"]}, {"Cache-Control": "no-store"}
    raise Problem("invalid-credentials", WWW_Authenticate='Bearer realm="api"')


def get_current_user(http: Handler) -> Answer:
    return http.shown(200, "user", http.caller())


def create_item(http: Handler) -> Answer:
    owner = http.caller()
    fields: Body = {"description": None, "status": "draft", "tags": []} | http.fields("item")
    return http.created(
        "item", http.server.store.create("item", {"owner_id": owner["id"]} | fields)
    )


def list_of(kind: str) -> Callable[[Handler], Answer]:
    def list_rows(http: Handler) -> Answer:
        http.caller()
        limit, after = (
            int(http.query.get(k, [d])[-1]) for k, d in (("limit", "20"), ("after", "0"))
        )
        rows = [row for id_, row in http.server.store.rows(kind).items() if id_ > after]
        page, following = rows[:limit], None
        if len(rows) > limit:
            following = f"/{kind}s?{urlencode({'limit': limit, 'after': page[-1]['id']})}"
        if http.server.fault == "lost-page":
            following = None
        link = {"Link": f'<{following}>; rel="next"'} if following else {}
        return 200, {"data": page, "next": following}, link | CACHE

    return list_rows


def get(kind: str) -> Callable[[Handler, int], Answer]:
    def get_row(http: Handler, id_: int) -> Answer:
        status, body, headers = http.shown(200, kind, http.row(kind, id_))
        if http.headers.get("If-None-Match") in (headers["ETag"], "*"):
            return 304, None, headers | CACHE
        return status, body, headers | CACHE

    return get_row


def update(kind: str) -> Callable[[Handler, int], Answer]:
    def update_row(http: Handler, id_: int) -> Answer:
        row = http.row(kind, id_, write=True)
        fields = http.fields(kind, partial=True)
        http.if_match(kind, id_)
        if password := fields.pop("password", None):
            http.server.store.passwords[id_] = password
        return http.shown(200, kind, http.server.store.update(kind, row, fields))

    return update_row


def delete(kind: str) -> Callable[[Handler, int], Answer]:
    def delete_row(http: Handler, id_: int) -> Answer:
        row = http.row(kind, id_, write=True)
        http.if_match(kind, id_)
        http.server.store.delete(kind, row)
        return 204, None, {}

    return delete_row


def options(_: Handler, allow: str) -> Answer:
    return 204, None, {"Allow": allow}


def upgrade(http: Handler) -> Answer:
    http.caller()
    return 101, None, {}


def status(word: str) -> Callable[[Handler], Answer]:
    return lambda _: (200, {"status": word}, {})


ROUTES: dict[str, dict[str, Callable[..., Answer]]] = {
    "/users": {"POST": create_user, "GET": list_of("user")},
    "/users/me": {"GET": get_current_user},
    f"/users/{ID}": {"GET": get("user"), "PATCH": update("user"), "DELETE": delete("user")},
    "/tokens": {"POST": create_token},
    "/items": {"POST": create_item, "GET": list_of("item")},
    f"/items/{ID}": {"GET": get("item"), "PATCH": update("item"), "DELETE": delete("item")},
    "/healthz": {"GET": status("ok")},
    "/readyz": {"GET": status("ready")},
    "/ws/(?:echo|events)": {"GET": upgrade},
}


class Server(ThreadingHTTPServer):
    """The listener."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], fault: str) -> None:
        super().__init__(address, Handler)
        self.store = Store()
        self.fault = fault

    def talk(self, http: Handler) -> None:
        """Answer a handshake, then echo or feed until the client goes."""
        key = http.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()  # noqa: S324
        http.send_response_only(101)
        for name, value in {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": accept,
        }.items():
            http.send_header(name, value)
        http.end_headers()
        http.wfile.flush()
        if http.path == "/ws/events":
            threading.Thread(target=self.feed, args=[http], daemon=True).start()
        self.hear(http)

    def hear(self, http: Handler) -> None:
        while (frame := _read_frame(http)) is not None:
            opcode, data = frame
            if opcode == 8:
                http.wfile.write(_frame(8, data))
                return
            if opcode == 9:
                http.wfile.write(_frame(10, data))
            elif http.path == "/ws/echo":
                http.wfile.write(_frame(opcode, data))
            elif opcode == 1 and json.loads(data) == {"type": "ping"}:
                http.wfile.write(_frame(1, b'{"type":"pong"}'))

    def feed(self, http: Handler) -> None:
        given = http.query.get("after")
        after = int(given[0]) if given else len(self.store.events)
        if self.fault != "no-ready":
            self.tell(http, {"type": "ready", "after": after})
        if self.fault == "skipped-event":
            after += 1
        while True:
            with self.store.changed:
                while len(self.store.events) <= after:
                    self.store.changed.wait()
                events = self.store.events[after:]
            for event in events:
                self.tell(http, event)
            after += len(events)

    def tell(self, http: Handler, message: Body) -> None:
        with contextlib.suppress(OSError):  # gone
            http.wfile.write(_frame(1, json.dumps(message).encode()))


def _allow(methods: dict[str, Any]) -> str:
    return ", ".join([*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"])


def _validate(body: object, known: dict[str, Any], *, partial: bool) -> None:
    if not isinstance(body, dict):
        raise Problem("validation", [_error("", "type")])
    if partial and not body:
        raise Problem("validation", [_error("", "minProperties")])
    errors = [] if partial else [_error(f"/{k}", "required") for k in known if k not in body]
    for name, value in body.items():
        if name not in known:
            errors.append(_error(f"/{name}", "additionalProperties"))
        elif not isinstance(value, known[name][0]) or isinstance(value, bool):
            errors.append(_error(f"/{name}", "type"))
        elif code := known[name][1](value):
            errors.append(_error(f"/{name}", code))
    if errors:
        raise Problem("validation", errors)


def _error(pointer: str, code: str) -> Body:
    return {"in": "body", "pointer": pointer, "code": code}


def _length(value: str, least: int, most: int) -> str | None:
    return "minLength" if len(value) < least else "maxLength" if len(value) > most else None


def _sign(claims: Body) -> str:
    parts = [_b64(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    return ".".join([*parts, _b64(hmac.digest(KEY, ".".join(parts).encode(), "sha256"))])


def _subject(token: str) -> int:
    """Return the user id of a valid token, else 0."""
    signed, _, signature = token.rpartition(".")
    if not hmac.compare_digest(_b64(hmac.digest(KEY, signed.encode(), "sha256")), signature):
        return 0
    claims = signed.partition(".")[2]
    body = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    return int(body["sub"]) if body["exp"] > time.time() else 0


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _frame(opcode: int, data: bytes) -> bytes:
    size = len(data)
    length = bytes([size]) if size < 126 else b"\x7e" + struct.pack("!H", size)
    return bytes([0x80 | opcode]) + length + data


def _read_frame(http: Handler) -> tuple[int, bytes] | None:
    head = http.rfile.read(2)
    if len(head) < 2:
        return None
    size = head[1] & 0x7F
    if size == 126:
        size = int.from_bytes(http.rfile.read(2), "big")
    mask, data = http.rfile.read(4), http.rfile.read(size)
    return head[0] & 0x0F, bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--fault", default="")
    options = parser.parse_args()
    if options.fault == "dies":
        raise SystemExit("tiny: cannot start: no such table")
    with Server((options.host, options.port), options.fault) as server:
        print("listening", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
