"""Find the implementations: every ``impl/<name>/pyproject.toml`` with ``[tool.conformance]``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]


class ManifestError(Exception):
    """A manifest is absent, or does not say what it must."""


@dataclass(frozen=True)
class Implementation:
    """What one manifest says; commands are argument lists, run in ``folder``."""

    name: str
    folder: Path
    framework: str
    package: str
    server: str
    python: str
    websocket: bool
    migrate: tuple[str, ...]
    serve: tuple[str, ...]
    test: tuple[str, ...]
    parity: Mapping[str, str]
    concerns: Mapping[str, str]

    @property
    def requirements(self) -> Path:
        """The production lock file."""
        return self.folder / "requirements.txt"

    @property
    def test_requirements(self) -> Path:
        """The lock file that also holds what the implementation's own tests need."""
        return self.folder / "requirements-dev.txt"

    def serve_command(self, host: str, port: int, workers: int) -> list[str]:
        """Return the serve command with its placeholders filled in."""
        values = {"{host}": host, "{port}": str(port), "{workers}": str(workers)}
        return [_fill(argument, values) for argument in self.serve]


def discover(root: Path = ROOT) -> dict[str, Implementation]:
    """Return every implementation under ``root/impl``, by name; raise ManifestError."""
    found = {}
    for path in sorted((root / "impl").glob("*/pyproject.toml")):
        table = _read(path).get("tool", {}).get("conformance")
        if table is not None:
            found[path.parent.name] = _parse(path, table)
    return found


def select(names: Sequence[str] = (), root: Path = ROOT) -> dict[str, Implementation]:
    """Return the implementations of these names in their order, without any all there are.

    Raise ManifestError if there are none, or none of a name, naming those that exist.
    """
    found = discover(root)
    if not found:
        raise ManifestError("no implementation found: no impl/*/pyproject.toml has a manifest")
    for name in names:
        if name not in found:
            raise ManifestError(f"no implementation {name!r}: there are {', '.join(found)}")
    return {name: found[name] for name in names or found}


def find(name: str, root: Path = ROOT) -> Implementation:
    """Return the implementation called ``name``; raise ManifestError, naming those that exist."""
    return select([name], root)[name]


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: {error}") from error


def _parse(path: Path, table: object) -> Implementation:
    fields = _Table(path, "[tool.conformance]", table)
    implementation = Implementation(
        name=path.parent.name,
        folder=path.parent,
        framework=fields.text("framework"),
        package=fields.text("package"),
        server=fields.text("server"),
        python=fields.text("python"),
        websocket=fields.flag("websocket"),
        migrate=fields.command("migrate"),
        serve=fields.command("serve"),
        test=fields.command("test"),
        parity=fields.mapping("parity"),
        concerns=fields.mapping("concerns"),
    )
    fields.finish()
    _check_placeholders(path, implementation.serve)
    return implementation


def _check_placeholders(path: Path, serve: Sequence[str]) -> None:
    """Refuse unknown placeholders; known ones may be left out: the environment has them too."""
    known = {"{host}", "{port}", "{workers}"}
    for argument in serve:
        rest = _fill(argument, dict.fromkeys(known, ""))
        if "{" in rest or "}" in rest:
            raise ManifestError(f"{path}: serve: unknown placeholder in {argument!r}")


def _fill(argument: str, values: Mapping[str, str]) -> str:
    for placeholder, value in values.items():
        argument = argument.replace(placeholder, value)
    return argument


class _Table:
    """Take typed values out of a TOML table, naming the file and the key when one is wrong."""

    def __init__(self, path: Path, title: str, table: object) -> None:
        self._where = f"{path}: {title}"
        if not isinstance(table, dict):
            raise ManifestError(f"{self._where} must be a table")
        self._table = dict(table)

    def text(self, key: str) -> str:
        value = self._take(key)
        if not isinstance(value, str) or not value:
            raise ManifestError(f"{self._where}: {key} must be a non-empty string")
        return value

    def flag(self, key: str) -> bool:
        value = self._take(key)
        if not isinstance(value, bool):
            raise ManifestError(f"{self._where}: {key} must be true or false")
        return value

    def command(self, key: str) -> tuple[str, ...]:
        value = self._take(key)
        if not isinstance(value, list) or not value or not all(isinstance(a, str) for a in value):
            raise ManifestError(f"{self._where}: {key} must be a non-empty list of strings")
        return tuple(value)

    def mapping(self, key: str) -> dict[str, str]:
        value = self._table.pop(key, {})
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise ManifestError(f"{self._where}: {key} must map names to strings")
        return value

    def finish(self) -> None:
        if self._table:
            raise ManifestError(f"{self._where}: unknown key {', '.join(self._table)}")

    def _take(self, key: str) -> object:
        if key not in self._table:
            raise ManifestError(f"{self._where}: {key} is missing")
        return self._table.pop(key)
