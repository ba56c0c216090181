"""An API client that remembers what it exchanged, and assertions that read like bug reports."""

from __future__ import annotations

import contextlib
import itertools
import json as jsonlib
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import quote, urlencode
from uuid import uuid4

import jwt

from rosetta.clients.evidence import Exchange
from rosetta.clients.evidence import Violation as Violation
from rosetta.clients.evidence import violation as violation
from rosetta.clients.message import Field, Request, Response
from rosetta.clients.raw import GONE, RawConnection, RawError
from rosetta.contract.terms import MISSING, PROBLEMS
from rosetta.targets import seed
from rosetta.targets.server import Target

PASSWORD = "correct horse battery"  # noqa: S105 - of accounts that live as long as a test
TOKEN_LIFE = 3600  # of tokens that the suite signs, in seconds
# What a request raises that is not answered: no HTTP came back, or no connection was to be had.
TRANSPORT_ERRORS = (RawError, OSError)

DEFAULT_FIELDS: Mapping[str, Field] = {
    "accept": ("Accept", "*/*"),
    "accept-encoding": ("Accept-Encoding", "gzip, deflate"),
    "connection": ("Connection", "keep-alive"),
    "user-agent": ("User-Agent", "rosetta-conformance"),
}
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})  # RFC 9110, section 8.6
# Characters of a request line that are not escaped, in addition to those that `quote` keeps.
IN_URLS = "%!$&'()*+,;=:@/?[]|\\^"
NO_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
IDLE_SECONDS = 1.0  # gunicorn closes after two, the others later
MOST_IDLE = 20

Content = bytes | str | Iterable[bytes] | None
Json = Any


@dataclass(frozen=True)
class Account:
    """A signed-up user, its password and a token; ``body`` is the User as it was answered."""

    id: int
    email: str
    name: str
    password: str
    token: str
    etag: str
    body: dict[str, Any]

    @property
    def path(self) -> str:
        """The path of the user."""
        return f"/users/{self.id}"

    def tag(self, version: int) -> str:
        """Return the entity-tag of a version."""
        return f'"{self.id}-{version}"'


class Api:
    """HTTP/1.1 requests to one server: no redirects, no proxies, no retries, no cookies.

    Several threads may send at once.

    With the server's ``secret_key``, ``sign_up`` signs the user's token instead of asking for one:
    every login costs the server a hash.
    """

    def __init__(
        self,
        target: Target,
        *,
        timeout: float = 10.0,
        history: int = 5,
        secret_key: str | None = None,
    ) -> None:
        self.target = target
        self._secret_key = secret_key
        self.exchanges: deque[Exchange] = deque(maxlen=history)
        self._pool = Pool(target, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        token: Account | str | None = None,
        json: Json = MISSING,
        content: Content = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> Response:
        """Send one request and return its response, whatever the status.

        ``json`` (None is the JSON null) is sent as application/json unless ``headers`` say
        otherwise; ``content`` is sent as it is, chunked when it is an iterator.
        """
        fields = {"host": ("Host", self.target.netloc), **DEFAULT_FIELDS}
        fields.update({name.lower(): (name, value) for name, value in (headers or {}).items()})
        if token is not None:
            fields.setdefault("authorization", ("Authorization", f"Bearer {_token(token)}"))
        if json is not MISSING:
            content = jsonlib.dumps(json).encode()
            fields.setdefault("content-type", ("Content-Type", "application/json"))
        body = _framed(method, fields, content)
        return self._send(_head(method, self.target.at(_quoted(path, params)), fields), body)

    def get(self, path: str, **options: Any) -> Response:  # noqa: ANN401 - as request
        """GET; options as for ``request``."""
        return self.request("GET", path, **options)

    def head(self, path: str, **options: Any) -> Response:  # noqa: ANN401 - as request
        """HEAD; options as for ``request``."""
        return self.request("HEAD", path, **options)

    def options(self, path: str, **options: Any) -> Response:  # noqa: ANN401 - as request
        """OPTIONS; options as for ``request``."""
        return self.request("OPTIONS", path, **options)

    def post(self, path: str, **options: Any) -> Response:  # noqa: ANN401 - as request
        """POST; options as for ``request``."""
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> Response:  # noqa: ANN401 - as request
        """PUT; options as for ``request``."""
        return self.request("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> Response:  # noqa: ANN401 - as request
        """PATCH; options as for ``request``."""
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> Response:  # noqa: ANN401 - as request
        """DELETE; options as for ``request``."""
        return self.request("DELETE", path, **options)

    def sign_up(self, **overrides: Json) -> Account:
        """Create a user with an e-mail address of its own, and a token for it."""
        fields = {"email": unique_email(), "name": "Ada", "password": PASSWORD} | overrides
        created = expect(self.post("/users", json=fields), 201)
        body = created.json()
        if self._secret_key is None:
            token = self.log_in(body["email"], fields["password"])
        else:
            token = sign_token(body["id"], self._secret_key)
        return Account(
            id=body["id"],
            email=body["email"],
            name=body["name"],
            password=fields["password"],
            token=token,
            etag=created.headers["ETag"],
            body=body,
        )

    def account(self) -> Account:
        """Return a user that no one else uses, made ready in the database or else signed up.

        For users that are only scenery: they have no ``user.created`` event, and the newest id is
        not theirs. A real sign-up is made where the server's key is unknown or no user is left.
        """
        if not (self._secret_key and self.target.pool and (user := self.target.pool.take())):
            return self.sign_up()
        return Account(
            id=user.id,
            email=user.email,
            name=seed.NAME,
            password=seed.PASSWORD,
            token=sign_token(user.id, self._secret_key),
            etag=f'"{user.id}-1"',
            body=user.body,
        )

    def log_in(self, who: Account | str, password: str | None = None) -> str:
        """Return a new access token for an account, or for an e-mail address and password."""
        if isinstance(who, Account):
            return self.log_in(who.email, password or who.password)
        answer = expect(self.post("/tokens", json={"email": who, "password": password}), 201)
        token: str = answer.json()["access_token"]
        return token

    def create_item(self, owner: Account | str, **fields: Json) -> Item:
        """Create an item with the fields given, the required ones having a default."""
        body = {"name": "Lamp", "price_cents": 1999} | fields
        created = expect(self.post("/items", token=owner, json=body), 201)
        answer = created.json()
        return Item(id=answer["id"], etag=created.headers["ETag"], body=answer)

    def _send(self, head: bytes, body: bytes | Iterator[bytes]) -> Response:
        try:
            with self._pool.connection() as connection:
                response = _exchange(connection, head, body)
        except Exception as error:
            asked = head + (body if isinstance(body, bytes) else b"")
            request = Request(asked, self.target, exact=False)
            self.exchanges.append(Exchange(request, error=error))
            raise
        self.exchanges.append(Exchange(response.request, response))
        return response


class Pool:
    """Connections to one server, each used by one thread at a time.

    Nothing is ever sent twice: a connection that the server has closed, or that was idle so long
    that it might just be doing so, is replaced before it is used.
    """

    def __init__(self, target: Target, timeout: float) -> None:
        self._target, self._timeout = target, timeout
        self._idle: deque[tuple[float, RawConnection]] = deque()  # the last used at the right

    @contextlib.contextmanager
    def connection(self) -> Iterator[RawConnection]:
        """Lend a connection; what raises, or ends the connection, closes it."""
        connection = self._take() or RawConnection(self._target, self._timeout, exact=False)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        if connection.ended or len(self._idle) >= MOST_IDLE:
            connection.close()
        else:
            self._idle.append((time.monotonic(), connection))

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop()[1].close()

    def _take(self) -> RawConnection | None:
        """Return an idle connection that can be used, and close those that cannot."""
        with contextlib.suppress(IndexError):  # another thread may have taken the last
            while True:
                since, connection = self._idle.pop()
                if time.monotonic() - since < IDLE_SECONDS and not connection.stale:
                    return connection
                connection.close()
        return None


def _exchange(connection: RawConnection, head: bytes, body: bytes | Iterator[bytes]) -> Response:
    """Send a request and return its response, also of a server that did not read it to its end."""
    whole = False
    with contextlib.suppress(*GONE):
        if isinstance(body, bytes):
            connection.send(head + body)
        else:
            connection.send(head)
            for piece in body:
                connection.send(piece)
        whole = True
    response = connection.read(head.partition(b" ")[0].decode())
    connection.ended |= not whole or b"\nconnection: close" in head.lower()
    return response


def _head(method: str, target: str, fields: Mapping[str, Field]) -> bytes:
    """Return the head of a request; raise ValueError if it cannot be one."""
    lines = [
        f"{method} {target} HTTP/1.1",
        *(f"{name}: {value}" for name, value in fields.values()),
    ]
    head = "\r\n".join([*lines, "", ""])
    if head.count("\n") != head.count("\r") or head.count("\n") != len(lines) + 1:
        raise ValueError(f"a field has a line break: {head!r}")
    return head.encode("latin-1")


def _framed(method: str, fields: dict[str, Field], content: Content) -> bytes | Iterator[bytes]:
    """Return the body as it is sent; add a field with its length unless there is one."""
    if isinstance(content, str):
        content = content.encode()
    framed = "content-length" in fields or "transfer-encoding" in fields
    if content is None or isinstance(content, bytes):
        if not framed and (content or method in WITH_BODY):
            fields["content-length"] = ("Content-Length", str(len(content or b"")))
        return content or b""
    if "content-length" in fields:
        return iter(content)
    fields.setdefault("transfer-encoding", ("Transfer-Encoding", "chunked"))
    return _chunks(content)


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces in the chunked transfer coding, each as it comes."""
    for piece in pieces:
        if piece:
            yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def _quoted(path: str, params: Mapping[str, str | int] | None) -> str:
    """Return the path with its query, what cannot stand in a request line percent-encoded."""
    if params:
        path = f"{path}{'&' if '?' in path else '?'}{urlencode(params)}"
    return quote(NO_ESCAPE.sub("%25", path), safe=IN_URLS)


@dataclass(frozen=True)
class Item:
    """A created item; ``body`` is the Item as it was answered."""

    id: int
    etag: str
    body: dict[str, Any] = field(repr=False)

    @property
    def path(self) -> str:
        """The path of the item."""
        return f"/items/{self.id}"

    def tag(self, version: int) -> str:
        """Return the entity-tag of a version."""
        return f'"{self.id}-{version}"'


def sign_token(user_id: int, secret_key: str, **claims: Any) -> str:  # noqa: ANN401 - JSON
    """Return a token such as the contract's servers issue, with these claims besides or instead."""
    now = int(time.time())
    # In another order than servers have it, so that no two of one second are the same text.
    issued = {"exp": now + TOKEN_LIFE, "iat": now, "sub": str(user_id)}
    return jwt.encode(issued | claims, secret_key, "HS256")


def unique_email(prefix: str = "user") -> str:
    """Return an address that no one has, in this run or another, in lower case."""
    return f"{prefix}-{next(_numbers)}-{uuid4().hex[:12]}@rosetta.test"


_numbers = itertools.count(1)


def expect(response: Response, *statuses: int) -> Response:
    """Return the response if it has one of the statuses; raise Violation."""
    __tracebackhide__ = True
    if response.status_code not in statuses:
        wanted = " or ".join(map(str, statuses))
        raise violation(response, f"status {wanted}", f"status {response.status_code}")
    return response


def expect_problem(
    response: Response, slug: str, *, errors: list[tuple[str, str, str]] | None = None
) -> dict[str, Any]:
    """Return the body if the response is exactly this problem; raise Violation.

    ``errors`` are (in, pointer, code), in the order in which they must come; without them only
    the form of a validation problem's own list is checked.
    """
    __tracebackhide__ = True
    status, title = PROBLEMS[slug]
    if response.status_code != status:
        raise violation(response, f"{status} {title}", f"status {response.status_code}")
    content_type = response.headers.get("Content-Type")
    if content_type != "application/problem+json":
        raise violation(response, "Content-Type application/problem+json", content_type)
    body = _json(response)
    wanted: dict[str, Any] = {"type": f"/problems/{slug}", "title": title, "status": status}
    if slug == "validation":
        wanted["errors"] = _errors(body) if errors is None else _members(errors)
    if body != wanted or type(body["status"]) is not int:
        raise violation(response, f"problem {jsonlib.dumps(wanted)}", jsonlib.dumps(body))
    return wanted


def expect_header(response: Response, name: str, value: str | None) -> Response:
    """Return the response if the field has this value (None: is absent); raise Violation."""
    __tracebackhide__ = True
    got = response.headers.get(name)
    if got != value:
        raise violation(response, _field(name, value), _field(name, got))
    return response


def _json(response: Response) -> Any:  # noqa: ANN401 - JSON
    try:
        return response.json()
    except ValueError as error:
        raise violation(response, "a JSON body", error) from None


def _errors(body: object) -> list[dict[str, str]] | str:
    """Return what the errors of a validation problem must be: sorted, one a pointer."""
    errors = body.get("errors") if isinstance(body, dict) else None
    members = {"in", "pointer", "code"}
    well_formed = isinstance(errors, list) and all(
        isinstance(e, dict) and set(e) == members and all(isinstance(v, str) for v in e.values())
        for e in errors
    )
    if not errors or not well_formed:
        return "a list of {in, pointer, code}"
    by_pointer = {(error["in"], error["pointer"]): error for error in errors}
    return [by_pointer[key] for key in sorted(by_pointer)]


def _members(errors: Iterable[tuple[str, str, str]]) -> list[dict[str, str]]:
    return [{"in": where, "pointer": pointer, "code": code} for where, pointer, code in errors]


def _field(name: str, value: str | None) -> str:
    return f"no {name} field" if value is None else f"{name}: {value}"


def _token(token: str | Account) -> str:
    return token.token if isinstance(token, Account) else token
