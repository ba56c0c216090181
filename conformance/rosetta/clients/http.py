"""An API client that remembers what it exchanged, and assertions that read like bug reports."""

from __future__ import annotations

import itertools
import json as jsonlib
import shlex
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar
from uuid import uuid4

import httpx
import jwt

from rosetta.clients import raw
from rosetta.contract.terms import MISSING, PROBLEMS
from rosetta.targets.server import Target

PASSWORD = "correct horse battery"  # noqa: S105 - of accounts that live as long as a test
SHOWN_BODY = 2000
TOKEN_LIFE = 3600  # of tokens that the suite signs, in seconds

# What httpx.Client would send.
DEFAULT_FIELDS = httpx.Headers(
    {
        "Accept": "*/*",
        "Accept-Encoding": "gzip, deflate",
        "Connection": "keep-alive",
        "User-Agent": f"python-httpx/{httpx.__version__}",
    }
)
# Fields that curl sends by itself, or that the length of the body gives.
OWN_TO_CLIENTS = frozenset(
    {"accept", "accept-encoding", "connection", "content-length", "host", "user-agent"}
)

Response = httpx.Response | raw.RawResponse
R = TypeVar("R", httpx.Response, raw.RawResponse)
Json = Any


class Violation(AssertionError):
    """A response is not what the contract says; the message reads like a bug report.

    ``exchanges`` are the requests that show it, as shell commands, and their answers as text;
    ``rules`` those that are broken, where the test does not say it by its marks.
    """

    def __init__(
        self, message: str, exchanges: Iterable[tuple[str, str]] = (), rules: Iterable[str] = ()
    ) -> None:
        super().__init__(message)
        self.exchanges = list(exchanges)
        self.rules = list(rules)


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


@dataclass(frozen=True)
class Exchange:
    """One request and what came back: a response, or the error that there was instead."""

    request: httpx.Request
    response: httpx.Response | None = None
    error: Exception | None = None

    def __str__(self) -> str:
        return "\n".join(self.told)

    @property
    def told(self) -> tuple[str, str]:
        """The request as a shell command, and what came back as text."""
        got = f"{type(self.error).__name__}: {self.error}" if self.error else None
        return as_curl(self.request), got or describe(self.response)


class Api:
    """HTTP/1.1 requests to one server: no redirects, no proxies, no retries, no cookies.

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
        self._base_url = target.base_url
        self._extensions = {"timeout": httpx.Timeout(timeout).as_dict()}
        # What an httpx.Client does besides costs as much again as the request itself.
        self._http = httpx.HTTPTransport(
            trust_env=False,
            # Reading the certificates takes longer than most tests.
            verify=target.base_url.startswith("https:"),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        token: Account | str | None = None,
        json: Json = MISSING,
        content: bytes | str | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> httpx.Response:
        """Send one request and return its response, whatever the status.

        ``json`` (None is the JSON null) is sent as application/json unless ``headers`` say
        otherwise; ``content`` is sent as it is, chunked when it is an iterator.
        """
        fields = httpx.Headers(DEFAULT_FIELDS)
        fields.update(headers)
        if token is not None:
            fields.setdefault("Authorization", f"Bearer {_token(token)}")
        if json is not MISSING:
            content = jsonlib.dumps(json).encode()
            fields.setdefault("Content-Type", "application/json")
        request = httpx.Request(
            method,
            f"{self._base_url}{path}",
            params=params,
            headers=fields,
            content=content,
            extensions=self._extensions,
        )
        return self._send(request)

    def get(self, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - as request
        """GET; options as for ``request``."""
        return self.request("GET", path, **options)

    def head(self, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - as request
        """HEAD; options as for ``request``."""
        return self.request("HEAD", path, **options)

    def options(self, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - as request
        """OPTIONS; options as for ``request``."""
        return self.request("OPTIONS", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - as request
        """POST; options as for ``request``."""
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - as request
        """PUT; options as for ``request``."""
        return self.request("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - as request
        """PATCH; options as for ``request``."""
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - as request
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

    def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            response = self._http.handle_request(request)
            response.request = request
            response.read()
        except Exception as error:
            self.exchanges.append(Exchange(request, error=error))
            raise
        self.exchanges.append(Exchange(request, response))
        return response


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


def expect(response: R, *statuses: int) -> R:
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


def expect_header(response: R, name: str, value: str | None) -> R:
    """Return the response if the field has this value (None: is absent); raise Violation."""
    __tracebackhide__ = True
    got = response.headers.get(name)
    if got != value:
        raise violation(response, _field(name, value), _field(name, got))
    return response


def violation(response: Response, expected: str, got: object) -> Violation:
    """Return the error to raise when a response is not what the contract says."""
    request, answer = request_of(response), describe(response)
    return Violation(
        f"expected {expected}, got {got}\n\n{request}\n\n{answer}", [(request, answer)]
    )


def request_of(response: Response) -> str:
    """Return the request of a response as a shell command that sends it again."""
    if isinstance(response, raw.RawResponse):
        return raw.as_shell(response.request, response.target)
    return as_curl(response.request)


def as_curl(request: httpx.Request) -> str:
    """Return a curl command that sends the same request."""
    parts = ["curl", "-i", "--http1.1", "--path-as-is"]
    parts += ["--head"] if request.method == "HEAD" else ["-X", request.method]
    for name, value in request.headers.multi_items():
        if name not in OWN_TO_CLIENTS:
            parts += ["-H", f"{name}: {value}"]
    body = _content(request)
    if body is None:
        parts += ["--data-binary", "@(a body sent in chunks)"]
    elif body:
        return f"{_printf(body)} | {shlex.join([*parts, '--data-binary', '@-', str(request.url)])}"
    return shlex.join([*parts, str(request.url)])


def describe(response: Response | None) -> str:
    """Return a response as text: status line, header fields and the start of its body."""
    if response is None:
        return "(no response)"
    lines = [f"HTTP/1.1 {response.status_code}"]
    lines += [f"{name}: {value}" for name, value in response.headers.multi_items()]
    text = response.text
    more = f"… ({len(text)} characters)" if len(text) > SHOWN_BODY else ""
    return "\n".join([*lines, "", text[:SHOWN_BODY] + more]).rstrip()


def _content(request: httpx.Request) -> bytes | None:
    try:
        return request.content
    except httpx.RequestNotRead:
        return None


def _printf(body: bytes) -> str:
    """Return a shell command that writes the bytes, cut where they are too many to read."""
    if len(body) > SHOWN_BODY:
        return f"({len(body)} bytes: {body[:80]!r}…)"
    text = body.decode("utf-8", "backslashreplace")
    if text.isprintable() and text.encode() == body:
        return f"printf %s {shlex.quote(text)}"
    escaped = "".join(f"\\{byte:03o}" for byte in body)
    return f"printf {shlex.quote(escaped)}"


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
