"""A team's first change of the schema in a copy: a field and a resource more, and no row lost.

The README's own commands generate the migration, apply it and undo it, on a filled SQLite database
and on a filled PostgreSQL database.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rosetta.clients.http import Account, Api, Item, expect
from rosetta.repository.readme import CopyError, commands_under
from rosetta.targets import databases
from rosetta.targets.databases import Kind, PostgresDatabase, SqliteDatabase
from rosetta.targets.server import Server

HEADING = "Change the schema"
KINDS: tuple[Kind, ...] = ("sqlite", "postgresql")
DEADLINE = 300.0  # of the README's commands, an installation among them
LINT = ("ruff check .", "ruff format --check .")
SHARED = ("users", "items", "item_tags", "events")
Database = SqliteDatabase | PostgresDatabase


@dataclass(frozen=True)
class Change:
    """How a mapper's models get a field of items, unique for each owner, and their comments."""

    file: str
    insertions: Sequence[tuple[str, str]]  # (line, what to insert after it)
    appended: str


DJANGO_STATUS = """\
    status = models.CharField(max_length=8, choices=Status, default=Status.DRAFT)
"""
DJANGO_SKU = """\
    sku = models.CharField(max_length=40, null=True, blank=True)  # noqa: DJ001
"""
DJANGO_INDEX = """\
            models.Index(fields=("status", "id"), name="ix_items_status_id"),
        )
"""
DJANGO_CONSTRAINT = """\
        constraints = (
            models.UniqueConstraint(fields=("owner", "sku"), name="items_owner_id_sku_key"),
        )
"""
CHANGES = (
    Change(
        "app/models.py",
        (
            ("    TypeDecorator,\n", "    UniqueConstraint,\n"),
            (
                '        Index("ix_items_status_id", "status", "id"),\n',
                '        UniqueConstraint("owner_id", "sku"),\n',
            ),
            (
                "    price_cents: Mapped[int] = mapped_column(Integer)\n",
                "    sku: Mapped[str | None] = mapped_column(String(40))\n",
            ),
        ),
        '''

class Comment(<base>):
    """A comment on an item."""

    __tablename__ = "comments"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(_Id, Identity(), primary_key=True)
    item_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("items.id", ondelete="CASCADE"))
    text: Mapped[str] = mapped_column(String(200))
''',
    ),
    Change(
        "items/models.py",
        (
            (DJANGO_STATUS, DJANGO_SKU),
            (DJANGO_INDEX, DJANGO_CONSTRAINT),
        ),
        '''

class Comment(models.Model):
    """A comment on an item."""

    item = models.ForeignKey(Item, models.CASCADE, related_name="comments", db_constraint=False)
    text = models.CharField(max_length=200)

    class Meta:
        db_table = "comments"
        constraints = (CascadeConstraint(field="item", name="comments_item_id_fkey"),)

    def __str__(self) -> str:
        return self.text
''',
    ),
)


@dataclass(frozen=True)
class Filled:
    """A database with rows, and what the service said of them."""

    database: Database
    account: Account
    item: Item
    last_id: int  # of an item that was deleted
    counts: Mapping[str, int]  # by table


class Team:
    """Works in a copy: ``start`` are the README's commands, the last of which serves."""

    def __init__(self, folder: Path, environment: Mapping[str, str], start: str, log: Path) -> None:
        self._folder, self._environment = folder, environment
        self._start, self._log = start.strip(), log

    @cached_property
    def _commands(self) -> tuple[str, str]:
        """Those that generate and apply a migration, and those that undo it."""
        readme = (self._folder / "README.md").read_text(encoding="utf-8")
        apply, undo = commands_under(HEADING, readme, blocks=2)
        return apply.strip(), undo

    def work(self, directory: Path, kinds: Sequence[Kind] = KINDS) -> None:
        """Change the schema of a database of each kind; raise CopyError, ServerError."""
        filled = {}
        try:
            for kind in kinds:
                database = databases.create(kind, directory)
                filled[kind] = self._fill(database)
            change_models(self._folder)
            for kind in kinds:
                self._migrate(filled[kind])
                print(f"{kind}: changed, undone and changed again; no row was lost", flush=True)
        finally:
            for each in filled.values():
                each.database.drop()

    def _fill(self, database: Database) -> Filled:
        with self._served(database, self._start) as api:
            account = api.sign_up()
            items = [api.create_item(account, tags=["a", "b"]) for _ in range(5)]
            expect(api.delete(items[-1].path, token=account), 204)
        return Filled(database, account, items[0], items[-1].id, counts(database))

    def _migrate(self, filled: Filled) -> None:
        before, (apply, undo) = set(self._folder.rglob("*.py")), self._commands
        self._run(apply, filled)
        for command in LINT:
            self._run(f".venv/bin/{command}", filled)
        hold(filled, "migrating")
        self._run(undo, filled)
        hold(filled, "undoing it")
        self._run(apply.splitlines()[-1], filled)
        hold(filled, "migrating again")
        self._use(filled)
        for path in set(self._folder.rglob("*.py")) - before:
            if ".venv" not in path.parts:
                path.unlink()  # the next database has its own

    def _use(self, filled: Filled) -> None:
        """Serve the changed database: ids go on, and an item takes all that is its along."""
        database, item = filled.database, filled.item
        query = "INSERT INTO comments (item_id, text) VALUES (?, 'Bright')"
        database.rows(query, [item.id])
        with self._served(database, self._start.splitlines()[-1]) as api:
            made = api.create_item(filled.account)
            if made.id <= filled.last_id:
                raise CopyError(f"the id {made.id} was given again, up to {filled.last_id} were")
            expect(api.delete(item.path, token=filled.account), 204)
        for table in ("item_tags", "comments"):
            query = f"SELECT count(*) AS n FROM {table} WHERE item_id = ?"  # noqa: S608 - ours
            if (left := database.rows(query, [item.id])[0]["n"]) != 0:
                raise CopyError(f"{left} rows of {table} are left of a deleted item")

    @contextmanager
    def _served(self, database: Database, commands: str) -> Iterator[Api]:
        server = Server(
            ["bash", "-euo", "pipefail", "-c", commands],
            folder=self._folder,
            environment={**self._environment, "DATABASE_URL": database.url},
            log=self._log,
        )
        try:
            server.start(DEADLINE)
            with Api(server) as api:
                yield api
        finally:
            server.end()

    def _run(self, commands: str, filled: Filled) -> None:
        run = subprocess.run(  # noqa: S603
            ["bash", "-euo", "pipefail", "-c", commands],  # noqa: S607
            cwd=self._folder,
            env={**self._environment, "DATABASE_URL": filled.database.url},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        if run.returncode:
            raise CopyError(
                f"on {filled.database.kind}, `{commands.strip()}` ended with exit code "
                f"{run.returncode}:\n{run.stdout}{run.stderr}"
            )


def change_models(folder: Path) -> None:
    """Add the field and the resource to a copy's models; raise CopyError if none of ours fits."""
    for change in CHANGES:
        path = folder / change.file
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if base := re.search(r"^class Item\((.+)\):$", text, re.MULTILINE):
            changed = _changed(change, text) + change.appended.replace("<base>", base[1])
            path.write_text(changed, encoding="utf-8")
            return
    files = " nor ".join(change.file for change in CHANGES)
    raise CopyError(f"no models to change: neither {files} has a class Item")


def _changed(change: Change, text: str) -> str:
    for line, behind in change.insertions:
        if text.count(line) != 1:
            raise CopyError(f"{change.file} has no line of its own {line.strip()!r}")
        text = text.replace(line, line + behind)
    return text


def counts(database: Database) -> dict[str, int]:
    """Return the number of rows in each shared table."""
    query = "SELECT count(*) AS n FROM {}"
    return {table: int(database.rows(query.format(table))[0]["n"]) for table in SHARED}


def hold(filled: Filled, done: str) -> None:
    """Hold the rows to what they were; raise CopyError."""
    if (now := counts(filled.database)) != filled.counts:
        kind = filled.database.kind
        raise CopyError(f"rows are lost by {done} on {kind}: {filled.counts} before, {now} after")
