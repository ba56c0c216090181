"""Health, configuration, logs, stopping, and what stands in the database."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from rosetta.clients import raw
from rosetta.clients.concurrently import eventually
from rosetta.clients.http import (
    Account,
    Api,
    expect,
    expect_header,
    expect_problem,
    unique_email,
    violation,
)
from rosetta.clients.websocket import Feed, Socket
from rosetta.targets.databases import PostgresDatabase, SqliteDatabase
from rosetta.targets.fleet import SECRET_KEY, Fleet
from rosetta.targets.server import (
    Server,
    ServerError,
    Target,
    environment_for,
    kill_group,
    migrate,
    spawn,
)

Scratch = SqliteDatabase | PostgresDatabase
Client = Callable[[Target], Api]
JSON = ("Content-Type", "application/json")
LOG_DEADLINE = 3.0


@pytest.fixture(scope="module")
def account(api: Api) -> Account:
    """An account that no test changes."""
    return api.account()


# -- health


@pytest.mark.rule("liveness", "readiness", "success")
@pytest.mark.parametrize(("path", "status"), [("/healthz", "ok"), ("/readyz", "ready")])
def test_a_probe_answers_without_a_token(api: Api, path: str, status: str) -> None:
    response = expect(api.get(path), 200)
    if response.json() != {"status": status}:
        raise violation(response, f'{{"status": "{status}"}}', response.text)
    expect_header(response, "Content-Type", "application/json")
    expect(api.head(path), 200)
    expect(api.get(path, params={"format": "html"}, headers={"Accept": "text/html"}), 200)


# -- configuration


@dataclass(frozen=True)
class Refusal:
    """An environment under which a start is refused; the log must name each of the variables."""

    variables: tuple[str, ...]
    environment: Mapping[str, str | None]
    workers: int = 1


# Each costs a start: what can be told at once shares one.
UNREADABLE = {
    "DATABASE_URL": "postgresql://localhost:54e2/x",
    "REDIS_URL": "http://127.0.0.1/0",
    "TOKEN_TTL_SECONDS": "soon",
    "WS_MAX_CONNECTIONS": "many",
    "WS_QUEUE_EVENTS": "1.5",
    "CORS_ORIGINS": "https://app.example/",
}
REFUSALS = {
    "no key in production": Refusal(("SECRET_KEY",), {"APP_ENV": "production", "SECRET_KEY": None}),
    "31 bytes of key in production": Refusal(
        ("SECRET_KEY",), {"APP_ENV": "production", "SECRET_KEY": "0123456789abcdef0123456789abcde"}
    ),
    "several workers without Redis": Refusal(("WORKERS", "REDIS_URL"), {"REDIS_URL": None}, 2),
    "values that cannot be read": Refusal(tuple(UNREADABLE), UNREADABLE),
    "all origins and one": Refusal(("CORS_ORIGINS",), {"CORS_ORIGINS": "*, https://app.example"}),
}


@pytest.fixture(scope="module")
def refused(fleet: Fleet) -> Iterator[Mapping[str, tuple[int, str]]]:
    """Start under each environment; give exit codes and logs, by the names of REFUSALS."""
    database = fleet.database()
    servers = {}
    for name, refusal in REFUSALS.items():
        servers[name] = fleet.server(
            "refused", database=database, workers=refusal.workers, environment=refusal.environment
        )

    def end(server: Server) -> tuple[int, str]:
        server.spawn()
        try:
            return server.wait(15), log_of(server)
        except ServerError as error:  # it started
            server.stop()
            return 0, str(error)

    with ThreadPoolExecutor(2) as pool:
        ends = dict(zip(servers, pool.map(end, servers.values()), strict=True))
    yield ends
    fleet.discard(servers.values())


@pytest.mark.controlled
@pytest.mark.rule("configuration", "secret-key", "workers")
@pytest.mark.parametrize("name", REFUSALS)
def test_a_start_is_refused_and_the_log_names_each_variable(
    refused: Mapping[str, tuple[int, str]], name: str
) -> None:
    code, log = refused[name]
    assert code > 0, f"exit code {code}\n{log}"
    unnamed = [variable for variable in REFUSALS[name].variables if variable not in log]
    assert unnamed == [], log


SHORT_LIFE = 7


@pytest.fixture(scope="module")
def neighbour(fleet: Fleet, server: Server) -> Iterator[Server]:
    """Another server on the main one's database and key: in production, elsewhere, talkative."""
    environment = {
        "APP_ENV": "production",
        "TOKEN_TTL_SECONDS": str(SHORT_LIFE),
        "LOG_LEVEL": "DEBUG",
        "TZ": "Pacific/Auckland",
    }
    assert isinstance(server.database, Scratch)
    started = fleet.server("neighbour", database=server.database, environment=environment)
    started.start()
    yield started
    fleet.discard([started])


@pytest.fixture
def beside(neighbour: Server, client: Client) -> Api:
    """A client of the neighbour."""
    return client(neighbour)


@pytest.mark.rule("token", "configuration", "storage", "secret-key")
def test_two_servers_with_one_database_and_key_are_one_service(
    api: Api, beside: Api, account: Account
) -> None:
    assert expect(beside.get("/users/me", token=account), 200).json() == account.body
    made = api.create_item(account, tags=["b", "a"])
    stale = {"If-Match": made.tag(1)}
    changed = beside.patch(made.path, token=account, json={"name": "x"}, headers=stale)
    expect_header(expect(changed, 200), "ETag", made.tag(2))
    lost = api.patch(made.path, token=account, json={"name": "y"}, headers=stale)
    expect_problem(lost, "precondition-failed")
    assert expect(api.get(made.path, token=account), 200).json() == changed.json()
    there = beside.sign_up()
    assert there.id > account.id
    assert expect(api.get("/users/me", token=there), 200).json() == there.body
    body = {"email": there.email, "name": "Ada", "password": "12345678"}
    expect_problem(api.post("/users", json=body), "email-taken")
    expect(api.delete(there.path, token=there), 204)
    expect_problem(beside.get("/users/me", token=there), "unauthorized")


@pytest.mark.rule("timestamps")
def test_timestamps_are_utc_whatever_the_servers_time_zone(
    api: Api, beside: Api, account: Account
) -> None:
    made = beside.create_item(account)
    age = datetime.now(UTC) - datetime.fromisoformat(made.body["created_at"])
    assert abs(age) < timedelta(minutes=1)
    assert expect(api.get(made.path, token=account), 200).json() == made.body
    assert expect(beside.get(account.path, token=account), 200).json() == account.body


@pytest.mark.rule("configuration", "token")
def test_token_ttl_seconds_is_the_life_of_tokens(beside: Api, account: Account) -> None:
    credentials = {"email": account.email, "password": account.password}
    body = expect(beside.post("/tokens", json=credentials), 201).json()
    assert body["expires_in"] == SHORT_LIFE


@pytest.mark.controlled
@pytest.mark.rule("configuration", "secret-key", "migrations")
def test_with_nothing_set_a_server_works_on_a_file_in_its_working_directory(
    fleet: Fleet, client: Client
) -> None:
    folder = fleet.directory / "alone"
    ignored = shutil.ignore_patterns(".*", "*.db*", "__pycache__", "tests")
    shutil.copytree(fleet.implementation.folder, folder, ignore=ignored)
    alone = replace(fleet.implementation, folder=folder)
    environment = environment_for(alone, fleet.venv, {})
    process = spawn(list(alone.migrate), folder, environment, fleet.logs / "alone-migrate.log")
    try:
        assert process.wait(30) == 0
    finally:
        kill_group(process)
    before = {path for path in folder.rglob("*") if holds_users(path)}
    assert len(before) == 1
    with Server.of(alone, fleet.venv, {}, fleet.logs / "alone.log") as server:
        created = client(server).sign_up()
        expect(client(server).get("/users/me", token=created), 200)
    assert {path for path in folder.rglob("*") if holds_users(path)} == before
    (path,) = before
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT email FROM users").fetchall() == [(created.email,)]


def holds_users(path: Path) -> bool:
    """Tell whether a file is an SQLite database with a table of users."""
    if not path.is_file() or not path.read_bytes().startswith(b"SQLite format 3\0"):
        return False
    with closing(sqlite3.connect(path)) as connection:
        return bool(
            connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'users'").fetchall()
        )


# -- logs


def log_of(server: Server) -> str:
    """Return all that a server wrote."""
    return server.log.read_text(encoding="utf-8", errors="replace") if server.log.exists() else ""


def lines_with(server: Server, text: str) -> list[str]:
    """Return the lines of the log with this text, once there is one."""
    eventually(lambda: text in log_of(server), LOG_DEADLINE)
    return [line for line in log_of(server).splitlines() if text in line]


HANDSHAKE = [
    *(("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]
LOGGED: list[tuple[str, str, int, list[tuple[str, str]], bytes | None]] = [
    ("GET", "/healthz", 200, [], None),
    ("HEAD", "/readyz", 200, [], None),
    ("OPTIONS", "/items/12", 204, [], None),
    ("GET", "/no/such/route", 404, [], None),
    ("TRACE", "/users", 405, [], None),
    ("QUERY", "/items", 405, [], None),
    ("DELETE", "/users/7", 401, [], None),
    ("POST", "/users", 422, [JSON], b"{}"),
    ("POST", "/users", 400, [JSON], b"{"),
    ("POST", "/tokens", 415, [], b"{}"),
    ("POST", "/users", 413, [JSON], b" " * 70_000),
    ("GET", "/ws/echo", 426, [], None),
    ("GET", "/ws/events", 401, HANDSHAKE, None),
    ("GET", "/ws/nowhere", 404, HANDSHAKE, None),
]


@pytest.mark.controlled
@pytest.mark.rule("access-log", "request-id")
def test_each_request_leaves_one_line_with_method_path_status_and_id(server: Server) -> None:
    ids = [f"logged-{uuid4()}" for _ in LOGGED]
    for (method, path, status, fields, body), request_id in zip(LOGGED, ids, strict=True):
        own = ("X-Request-ID", request_id)
        with raw.RawConnection(server) as connection:
            expect(connection.request(method, path, [own, *fields], body), status)
    raw.send(server, "GET", "/healthz", [("X-Request-ID", last := f"last-{uuid4()}")])
    lines_with(server, last)
    for (method, path, status, *_), request_id in zip(LOGGED, ids, strict=True):
        (line,) = lines_with(server, request_id)
        for word in (method, path, str(status)):
            assert re.search(rf"(?<![\w/]){re.escape(word)}(?![\w/])", line), (word, line)


@pytest.mark.controlled
@pytest.mark.rule("access-log", "request-id")
def test_a_request_without_an_id_is_logged_under_the_one_it_was_given(
    api: Api, server: Server, account: Account
) -> None:
    bad = {"X-Request-ID": "no id because of spaces"}
    for headers in ({}, bad):
        response = expect(api.get(account.path, token=account, headers=headers), 200)
        given = response.headers["X-Request-ID"]
        assert UUID(given).version == 4
        (line,) = lines_with(server, given)
        assert account.path in line


@pytest.mark.controlled
@pytest.mark.rule("access-log")
def test_a_line_cannot_be_forged_by_what_a_client_sends(api: Api, server: Server) -> None:
    mark = f"forged-{uuid4().hex}"
    own = f"own-{uuid4()}"
    path = f"/x%0A{mark}%0D%0A{mark}%E2%80%A8{mark}%1B[2K"
    expect_problem(raw.send(server, "GET", path, [("X-Request-ID", own)]), "not-found")
    assert lines_with(server, own)
    forged = [line for line in log_of(server).split("\n") if line.lstrip("\r").startswith(mark)]
    assert forged == []
    assert f"\r{mark}" not in log_of(server)


@pytest.mark.rule("access-log", "write-only-password", "passwords")
def test_no_secret_is_logged_at_any_level(neighbour: Server, beside: Api, account: Account) -> None:
    passwords = [f"{uuid4().hex} is secret" for _ in range(3)]
    made = beside.sign_up(password=passwords[0])
    expect(beside.patch(made.path, token=made, json={"password": passwords[1]}), 200)
    wrong = {"email": made.email, "password": passwords[2]}
    expect_problem(beside.post("/tokens", json=wrong), "invalid-credentials")
    expect(beside.get("/users/me", token=made, params={"access_token": made.token}), 200)
    description = f"{uuid4().hex} is in a body"
    beside.create_item(made, description=description)
    with Feed(neighbour, token=made.token) as feed:
        feed.settled()
    with Feed(neighbour, protocols=["bearer", made.token]) as feed:
        feed.settled()
    with Socket(neighbour, f"/ws/echo?access_token={made.token}") as echo:
        echo.send(f"{description} of a message")
        echo.receive()
    assert lines_with(neighbour, made.path)
    log = log_of(neighbour)
    assert "$argon2" not in log
    for secret in [*passwords, made.token.split(".")[2], description, SECRET_KEY]:
        told = [line for line in log.splitlines() if secret in line]
        assert told == [], f"{secret} in the log"


# -- storage

COLUMNS = {
    "users": {
        *("id", "email", "name", "password_hash", "version", "created_at", "updated_at"),
    },
    "items": {
        *("id", "owner_id", "name", "description", "price_cents", "status", "version"),
        *("created_at", "updated_at"),
    },
    "item_tags": {"item_id", "tag"},
    "events": {"id", "event", "resource_id", "data", "occurred_at"},
    "event_counter": {"id", "last_id"},
}
IDS = [
    ("users", "id"),
    ("items", "id"),
    ("items", "owner_id"),
    ("item_tags", "item_id"),
    ("events", "id"),
    ("events", "resource_id"),
]
TIMES = [
    ("users", "created_at"),
    ("users", "updated_at"),
    ("items", "created_at"),
    ("items", "updated_at"),
    ("events", "occurred_at"),
]


@dataclass(frozen=True)
class Column:
    """What the database says of a column."""

    type: str
    required: bool
    default: str | None


def tables(database: Scratch) -> dict[str, dict[str, Column]]:
    """Return the columns of each table, by name."""
    if database.kind == "sqlite":
        statement = (
            "SELECT m.name AS tbl, p.name AS col, p.type AS typ, p.[notnull] AS needed, "
            "p.dflt_value AS dflt FROM sqlite_master m, pragma_table_info(m.name) p "
            "WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'"
        )
    else:
        statement = (
            "SELECT table_name AS tbl, column_name AS col, data_type AS typ, "
            "is_nullable = 'NO' AS needed, "
            "CASE WHEN is_identity = 'YES' THEN 'identity' ELSE column_default END AS dflt "
            "FROM information_schema.columns WHERE table_schema = 'public'"
        )
    found: dict[str, dict[str, Column]] = {}
    for row in database.rows(statement):
        column = Column(row["typ"].upper(), bool(row["needed"]), row["dflt"])
        found.setdefault(row["tbl"], {})[row["col"]] = column
    return found


@pytest.mark.rule("storage", "migrations")
def test_tables_and_columns_are_those_all_implementations_share(database: Scratch) -> None:
    found = tables(database)
    for table, wanted in COLUMNS.items():
        columns = found[table]
        assert wanted <= set(columns)
        for name in set(columns) - wanted:
            own = columns[name]
            assert own.default is not None, f"{table}.{name} is added and has no default"
    number = "BIGINT" if database.kind == "postgresql" else "INTEGER"
    keys = {("users", "id"), ("items", "id")}
    for table, column in IDS:
        kind = found[table][column].type
        assert kind == number or (kind == "BIGINT" and (table, column) not in keys), (table, kind)
    moment = {"sqlite": {"DATETIME", "TIMESTAMP"}, "postgresql": {"TIMESTAMP WITH TIME ZONE"}}
    for table, column in TIMES:
        assert found[table][column].type in moment[database.kind]
    if database.kind == "postgresql":
        assert found["events"]["data"].type in {"JSON", "JSONB"}


@pytest.mark.rule("migrations")
def test_the_database_bears_the_shared_revision(database: Scratch) -> None:
    made_by = {"alembic_version", "django_migrations"} & set(tables(database))
    assert made_by
    if "alembic_version" in made_by:
        revisions = database.rows("SELECT version_num FROM alembic_version")
        assert revisions == [{"version_num": "0001"}]


@pytest.mark.rule("migrations")
def test_migrating_again_changes_nothing(fleet: Fleet) -> None:
    database = fleet.database()
    database.rows("UPDATE event_counter SET last_id = 41 WHERE id = 1")
    before = tables(database)
    migrate(fleet.implementation, fleet.venv, database.url, fleet.logs / "again.log")
    assert tables(database) == before
    assert database.rows("SELECT id, last_id FROM event_counter") == [{"id": 1, "last_id": 41}]


def moment(stored: object) -> str:
    """Return a stored timestamp as it stands on the wire."""
    if isinstance(stored, str):
        stored = datetime.fromisoformat(stored)
    assert isinstance(stored, datetime)
    utc = stored.astimezone(UTC) if stored.tzinfo else stored.replace(tzinfo=UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def on_the_wire(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of users or items as the service shows it, but for tags."""
    hidden = ("password_hash", "version")
    shown = {name: value for name, value in row.items() if name not in hidden}
    return {name: moment(value) if name.endswith("_at") else value for name, value in shown.items()}


@pytest.mark.rule("storage", "etag", "timestamps")
def test_what_was_written_stands_in_the_shared_columns(api: Api, database: Scratch) -> None:
    account = api.sign_up(name="Zoë \N{KEY}")
    made = api.create_item(account, description="Brass", status="active", tags=["b", "a"])
    changed = expect(api.patch(made.path, token=account, json={"price_cents": 3}), 200).json()
    names = sorted(COLUMNS["users"])
    (user,) = database.rows(
        f"SELECT {', '.join(names)} FROM users WHERE id = ?",  # noqa: S608 - ours
        [account.id],
    )
    assert on_the_wire(user) == account.body
    assert user["version"] == 1
    names = sorted(COLUMNS["items"])
    (item,) = database.rows(
        f"SELECT {', '.join(names)} FROM items WHERE id = ?",  # noqa: S608 - ours
        [made.id],
    )
    assert on_the_wire(item) | {"tags": ["a", "b"]} == changed
    assert item["version"] == 2
    tags = database.rows("SELECT tag FROM item_tags WHERE item_id = ?", [made.id])
    assert sorted(row["tag"] for row in tags) == ["a", "b"]


@pytest.mark.rule("storage")
def test_what_another_implementation_wrote_is_read_and_changed(
    api: Api, account: Account, database: Scratch
) -> None:
    shown = "2026-11-21T06:44:00.000001Z"
    email = unique_email()
    user_id, item_id = write_past_the_server(database, email, account.id, shown)
    times = {"created_at": shown, "updated_at": shown}
    read = expect(api.get(f"/users/{user_id}", token=account), 200)
    expect_header(read, "ETag", f'"{user_id}-3"')
    assert read.json() == {"id": user_id, "email": email, "name": "Elsewhere", **times}
    wrong = {"email": email, "password": "12345678"}
    expect_problem(api.post("/tokens", json=wrong), "invalid-credentials")
    path = f"/items/{item_id}"
    read = expect(api.get(path, token=account), 200)
    expect_header(read, "ETag", tag := f'"{item_id}-7"')
    assert read.json()["tags"] == ["a", "b"]
    assert {name: read.json()[name] for name in times} == times
    changed = api.patch(path, token=account, json={"name": "x"}, headers={"If-Match": tag})
    expect_header(expect(changed, 200), "ETag", f'"{item_id}-8"')
    assert api.create_item(account).id > item_id


def write_past_the_server(
    database: Scratch, email: str, owner_id: int, moment: str
) -> tuple[int, int]:
    """Insert a user in version 3 and an item with tags in version 7; return their ids."""
    offset = "+00" if database.kind == "postgresql" else ""
    stored = f"{moment.replace('T', ' ').removesuffix('Z')}{offset}"
    (user,) = database.rows(
        "INSERT INTO users (email, name, password_hash, version, created_at, updated_at) "
        "VALUES (?, 'Elsewhere', '!', 3, ?, ?) RETURNING id",
        [email, stored, stored],
    )
    (item,) = database.rows(
        "INSERT INTO items (owner_id, name, description, price_cents, status, version, "
        "created_at, updated_at) VALUES (?, 'Lamp', NULL, 5, 'active', 7, ?, ?) RETURNING id",
        [owner_id, stored, stored],
    )
    for tag in ("b", "a"):
        database.rows("INSERT INTO item_tags (item_id, tag) VALUES (?, ?)", [item["id"], tag])
    return user["id"], item["id"]


def events_of(database: Scratch, kind: str, number: int) -> list[dict[str, Any]]:
    """Return the events of a resource, with their data parsed."""
    rows = database.rows(
        "SELECT id, event, data, occurred_at FROM events "
        "WHERE resource_id = ? AND event LIKE ? ORDER BY id",
        [number, f"{kind}.%"],
    )
    for row in rows:
        if isinstance(row["data"], str):
            row["data"] = json.loads(row["data"])
    return rows


@pytest.mark.rule("storage", "feed", "feed-data")
def test_each_write_leaves_its_event_in_the_database_before_it_is_answered(
    api: Api, database: Scratch
) -> None:
    account = api.sign_up()
    made = api.create_item(account, tags=["b", "a"])
    patched = expect(api.patch(made.path, token=account, json={"description": ""}), 200).json()
    put = {"name": "Chair", "price_cents": 1}
    replaced = expect(api.put(made.path, token=account, json=put), 200).json()
    renamed = expect(api.patch(account.path, token=account, json={"name": "Eve"}), 200).json()
    expect(api.delete(made.path, token=account), 204)
    expect(api.delete(account.path, token=account), 204)
    told = events_of(database, "item", made.id)
    assert [(event["event"], event["data"]) for event in told] == [
        ("item.created", made.body),
        ("item.updated", patched),
        ("item.updated", replaced),
        ("item.deleted", None),
    ]
    told += events_of(database, "user", account.id)
    assert [(event["event"], event["data"]) for event in told[4:]] == [
        ("user.created", account.body),
        ("user.updated", renamed),
        ("user.deleted", None),
    ]
    for event in told:
        age = datetime.now(UTC) - datetime.fromisoformat(moment(event["occurred_at"]))
        assert abs(age) < timedelta(minutes=1)
    (counter,) = database.rows("SELECT id, last_id FROM event_counter")
    assert counter == {"id": 1, "last_id": told[-1]["id"]}


@pytest.mark.rule("feed", "feed-order", "precedence")
def test_a_refused_write_leaves_no_event(server: Target, api: Api, account: Account) -> None:
    """The next write has the next id: what was refused has taken none."""
    made = api.create_item(account)
    stale = {"If-Match": made.tag(9)}
    taken = {"email": account.email, "name": "Ada", "password": "12345678"}
    with Feed(server, token=account.token) as feed:
        expect_problem(
            api.patch(made.path, token=account, json={"name": "x"}, headers=stale),
            "precondition-failed",
        )
        expect_problem(api.delete(made.path, token=account, headers=stale), "precondition-failed")
        expect_problem(api.post("/items", token=account, json={}), "validation")
        expect_problem(api.post("/users", json=taken), "email-taken")
        api.log_in(account)
        expect(api.get(made.path, token=account), 200)
        written = expect(api.patch(made.path, token=account, json={"name": "y"}), 200).json()
        event = feed.next()
    assert (event["id"], event["data"]) == (feed.ready["after"] + 1, written)
