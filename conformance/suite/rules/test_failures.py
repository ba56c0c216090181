"""What a server answers when its database is not as it should be, or nobody foresaw what came."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import jwt
import pytest

from machines.headers import expect_closed
from machines.operations import (
    HANDSHAKE,
    OPERATIONS,
    SPEC,
    Call,
    Scene,
    allowed,
    call,
    make_scene,
)
from rosetta.clients.concurrently import eventually
from rosetta.clients.cors import expect_fields, expect_preflight, expect_readable, preflight
from rosetta.clients.expectations import expect_message
from rosetta.clients.http import PASSWORD, Api, expect, expect_header, expect_problem
from rosetta.clients.websocket import Socket, refused
from rosetta.targets.databases import SqliteDatabase
from rosetta.targets.fleet import ORIGINS, Fleet, Launch, start_together
from rosetta.targets.ports import HOST, free_port
from rosetta.targets.server import Server, Target

USER = {"email": "ada@rosetta.test", "name": "Ada", "password": PASSWORD}
ITEM = {"name": "Lamp", "price_cents": 1999}


@dataclass(frozen=True)
class Broken:
    """Servers whose database is not as it should be."""

    unmigrated: Server
    missing_directory: Server
    closed_port: Server
    unknown_host: Server | None  # in a run on PostgreSQL
    directory: Path  # the one that is missing
    port: int  # the one that is closed

    def all(self) -> list[Server]:
        servers = (self.unmigrated, self.missing_directory, self.closed_port, self.unknown_host)
        return [server for server in servers if server is not None]


@pytest.fixture(scope="module")
def scene(api: Api) -> Scene:
    return make_scene(api)


@pytest.fixture(scope="module")
def broken(fleet: Fleet) -> Iterator[Broken]:
    directory, port = fleet.directory / "missing", free_port()

    def lost(url: str) -> Server:
        origins = {"CORS_ORIGINS": ORIGINS[0]}
        return fleet.server("lost", database_url=url, workers=1, environment=origins)

    empty, all_origins = fleet.database(migrated=False), {"CORS_ORIGINS": "*"}
    servers = Broken(
        fleet.server("unmigrated", database=empty, workers=1, environment=all_origins),
        lost(f"sqlite:///{directory / 'rosetta.db'}"),
        lost(f"postgresql://postgres@{HOST}:{port}/rosetta"),
        lost("postgresql://postgres@nowhere.invalid:5432/rosetta")
        if fleet.kind == "postgresql"
        else None,
        directory,
        port,
    )
    start_together(servers.all())
    yield servers
    fleet.discard(servers.all())


@pytest.fixture(scope="module")
def forged(secret_key: str) -> str:
    """Return the well-signed token of a user who need not exist."""
    now = int(time.time())
    return jwt.encode({"sub": "1", "iat": now, "exp": now + 600}, secret_key, "HS256")


TABLES = {
    "sqlite": "SELECT name FROM sqlite_master",
    "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
}
JSON = {"Content-Type": "application/json"}
CREDENTIALS = {name: USER[name] for name in ("email", "password")}
NEED_TABLES = [
    Call("POST", "/users", JSON, json.dumps(USER).encode()),
    Call("POST", "/tokens", JSON, json.dumps(CREDENTIALS).encode()),
    *(Call("GET", path) for path in ("/users", "/users/me", "/users/1", "/items", "/items/1")),
    *(Call("DELETE", path) for path in ("/users/1", "/items/1")),
    Call("HEAD", "/users/me"),
    Call("GET", "/ws/events", HANDSHAKE),
]


@pytest.mark.rule("unhandled", "problem", "nosniff", "request-id")
@pytest.mark.parametrize("sent", NEED_TABLES, ids=lambda sent: f"{sent.method} {sent.path}")
def test_an_exception_nobody_foresaw_is_a_plain_500(
    broken: Broken, client: Callable[[Target], Api], forged: str, sent: Call
) -> None:
    own = {"X-Request-ID": "unforeseen", "Authorization": f"Bearer {forged}"}

    response = sent.send(client(broken.unmigrated), own)

    expect_closed(response, OPERATIONS["get_item"].responses[500])
    expect_header(response, "X-Request-ID", "unforeseen")
    expect_header(response, "X-Content-Type-Options", "nosniff")
    expect_header(response, "Content-Type", "application/problem+json")
    if sent.method == "HEAD":
        expect(response, 500)
    else:
        expect_problem(response, "internal-error")


@pytest.mark.rule("cors", "unhandled")
def test_with_all_origins_allowed_any_page_may_read_a_500_too(
    broken: Broken, client: Callable[[Target], Api], forged: str
) -> None:
    api = client(broken.unmigrated)
    own = {"Origin": "https://anywhere.test", "Authorization": f"Bearer {forged}"}
    for sent in NEED_TABLES:
        expect_readable(expect(sent.send(api, own), 500), "*")
    expect_readable(expect(api.get("/healthz", headers=own), 200), "*")
    asked = api.options("/items", headers=preflight("null"))
    expect_preflight(asked, allowed("/items"), "*")
    expect_fields(api.get("/healthz"), ())


@pytest.mark.rule("cors", "unavailable")
def test_a_page_may_read_that_the_database_is_away(
    broken: Broken, client: Callable[[Target], Api]
) -> None:
    api = client(broken.closed_port)
    response = expect(api.get("/readyz", headers={"Origin": ORIGINS[0]}), 503)
    expect_readable(response, ORIGINS[0])
    expect_header(response, "Retry-After", "1")


@pytest.mark.rule("migrations", "liveness", "readiness")
def test_a_server_never_migrates_and_is_alive_and_ready_all_the_same(
    broken: Broken, client: Callable[[Target], Api], forged: str
) -> None:
    server = broken.unmigrated
    api = client(server)
    expect(api.get("/healthz"), 200)
    expect(api.get("/readyz"), 200)
    expect_problem(api.get("/users/me", token=forged), "internal-error")
    assert server.database is not None
    assert server.database.rows(TABLES[server.database.kind]) == []


@pytest.mark.rule("unhandled", "readiness", "liveness")
def test_the_traceback_of_an_exception_is_in_the_log_and_the_server_goes_on(
    broken: Broken, client: Callable[[Target], Api], forged: str
) -> None:
    server = broken.unmigrated
    api = client(server)
    before = server.log.stat().st_size

    expect_problem(api.get("/users/me", token=forged), "internal-error")

    assert logs_within(5, server, before, "Traceback (most recent call last)")
    assert expect(api.get("/healthz"), 200).json() == {"status": "ok"}
    assert expect(api.get("/readyz"), 200).json() == {"status": "ready"}
    expect_problem(api.get("/nowhere"), "not-found")


def logs_within(seconds: float, server: Server, start: int, text: str) -> bool:
    """Wait until the server has logged the text behind its first ``start`` bytes."""
    return eventually(lambda: text.encode() in server.log.read_bytes()[start:], seconds)


LOST = [
    "missing_directory",
    "closed_port",
    pytest.param("unknown_host", marks=pytest.mark.requires("postgresql")),
]


@pytest.mark.rule("unavailable", "configuration", "liveness", "nosniff")
@pytest.mark.parametrize("name", LOST)
def test_without_its_database_every_operation_that_needs_it_is_503(
    broken: Broken, client: Callable[[Target], Api], scene: Scene, forged: str, name: str
) -> None:
    api = client(getattr(broken, name))
    owner = replace(scene.owner, token=forged)
    forger = replace(scene, owner=owner)

    for operation in [*SPEC.rules.sets["database"], "watch_events"]:
        response = call(operation, forger).send(api)
        expect_problem(response, "unavailable")
        expect_header(response, "Retry-After", "1")
        expect_header(response, "X-Content-Type-Options", "nosniff")
        expect_closed(response, OPERATIONS[operation].responses[503])
    assert expect(api.get("/healthz"), 200).json() == {"status": "ok"}


@pytest.mark.rule("unavailable")
@pytest.mark.parametrize("name", LOST)
def test_without_its_database_the_checks_that_need_none_answer_as_ever(
    broken: Broken, client: Callable[[Target], Api], secret_key: str, forged: str, name: str
) -> None:
    server = getattr(broken, name)
    api = client(server)
    expired = jwt.encode({"sub": "1", "iat": 1, "exp": 2}, secret_key, "HS256")

    for path in ("/nowhere", "/items/", "/users/007", "/ws/nowhere"):
        expect_problem(api.get(path), "not-found")
    expect_problem(api.put("/items", json={}), "method-not-allowed")
    expect(api.options("/users/1"), 204)
    expect_problem(api.get("/ws/events"), "upgrade-required")
    for token in (None, "x.y.z", "nonsense", expired, f"{forged[:-8]}AAAAAAAA"):
        expect_problem(api.get("/users/me", token=token), "unauthorized")
        expect_problem(api.post("/items", token=token, json=ITEM), "unauthorized")
    expect_problem(refused(server, "/ws/events", token=expired), "unauthorized")


@pytest.mark.rule("unavailable")
def test_without_its_database_the_echo_goes_on(broken: Broken) -> None:
    with Socket(broken.closed_port) as echo:
        echo.send("still here")
        expect_message(echo, "still here")


@pytest.mark.rule("unavailable", "readiness", "liveness")
def test_readiness_is_503_within_three_seconds_when_the_database_never_answers(
    broken: Broken, client: Callable[[Target], Api]
) -> None:
    api = client(broken.closed_port)
    with socket.create_server((HOST, broken.port)):
        expect_unready_in_time(api)
        assert expect(api.get("/healthz"), 200).json() == {"status": "ok"}


def expect_unready_in_time(api: Api) -> None:
    begin = time.monotonic()
    response = api.get("/readyz")
    seconds = time.monotonic() - begin

    expect_problem(response, "unavailable")
    expect_header(response, "Retry-After", "1")
    assert seconds < 3, f"/readyz took {seconds:.2f} s"


@pytest.mark.rule("unavailable", "configuration")
@pytest.mark.requires("sqlite")
def test_once_its_file_is_there_the_server_works_without_a_restart(
    broken: Broken, fleet: Fleet, client: Callable[[Target], Api]
) -> None:
    api = client(broken.missing_directory)
    expect_away(api)
    migrated = fleet.database()
    assert isinstance(migrated, SqliteDatabase)

    broken.directory.mkdir()
    shutil.copy(migrated.path, broken.directory / "rosetta.db")

    expect_back(api)


@pytest.mark.rule("unavailable", "configuration", "readiness")
@pytest.mark.requires("postgresql")
def test_a_database_that_went_or_fell_silent_and_came_back_needs_no_restart(
    launch: Launch, fleet: Fleet, client: Callable[[Target], Api]
) -> None:
    parts = urlsplit(fleet.database().url)
    relay = Relay((parts.hostname or HOST, parts.port or 5432))
    netloc = f"{parts.username}:{parts.password or ''}@{HOST}:{relay.port}"
    api = client(launch(database_url=urlunsplit(parts._replace(netloc=netloc))))

    for _ in range(2):
        expect_away(api)
        with relay:
            expect_back(api)
            with relay.silent():
                expect_unready_in_time(api)
            expect_back(api)


def expect_away(api: Api) -> None:
    expect_problem(api.get("/readyz"), "unavailable")
    expect_problem(api.post("/users", json=USER), "unavailable")


def expect_back(api: Api) -> None:
    expect(api.get("/readyz"), 200)
    owner = api.sign_up()
    assert expect(api.get("/users/me", token=owner), 200).json() == owner.body


class Relay:
    """A port that leads to another while in ``with``; leaving cuts whoever is connected."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.port = free_port()
        self._target = target
        self._sockets: list[socket.socket] = []
        self._flows = threading.Event()
        self._flows.set()

    def __enter__(self) -> None:
        listener = socket.create_server((HOST, self.port))
        self._sockets = [listener]
        threading.Thread(target=self._accept, args=[listener], daemon=True).start()

    def __exit__(self, *_: object) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Keep connections, and hold back all that is sent on them."""
        self._flows.clear()
        yield
        self._flows.set()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(self._target)
                self._sockets += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._copy, args=pair, daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
