"""Find the implementations and read their manifests.

An implementation is a folder with a manifest: the table [tool.conformance] of a pyproject.toml for
a service in Python, or a conformance.toml for a service in any language. The implementations of
this repository are in impl/; a service elsewhere is found by the path of its folder.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
PYTHON_MANIFEST = "pyproject.toml"
ANY_MANIFEST = "conformance.toml"
# The list `configuration` of spec/rules.yaml: the suite sets these, so a manifest cannot.
CONTRACT_VARIABLES = (
    *("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "APP_ENV", "TOKEN_TTL_SECONDS", "HOST", "PORT"),
    *("WORKERS", "WS_MAX_CONNECTIONS", "WS_QUEUE_EVENTS", "CORS_ORIGINS", "LOG_LEVEL"),
)


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
    uses_venv: bool = True  # its commands run in a virtual environment with requirements.txt
    build: tuple[str, ...] = ()
    version: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

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
    folders = sorted(path for path in (root / "impl").glob("*") if path.is_dir())
    found = {folder.name: read(folder) for folder in folders}
    return {name: one for name, one in found.items() if one is not None}


def select(names: Sequence[str] = (), root: Path = ROOT) -> dict[str, Implementation]:
    """Return the implementations of these names or paths, by name; without any, all there are.

    Raise ManifestError if there are none, or what ``find`` raises, or if two have one name.
    """
    if not names:
        return _all(root)
    chosen: dict[str, Implementation] = {}
    for implementation in (find(name, root) for name in names):
        other = chosen.setdefault(implementation.name, implementation)
        if other.folder != implementation.folder:
            raise ManifestError(
                f"{other.folder} and {implementation.folder} have one name: test them one by one"
            )
    return chosen


def find(name_or_path: str, root: Path = ROOT) -> Implementation:
    """Return the implementation of a name, or the one in the folder of a path.

    What holds a slash or begins with ``~`` or ``.`` is a path, anything else is the name of a
    folder under ``root/impl``. Raise ManifestError: for an unknown name it names those that exist.
    """
    if not _is_path(name_or_path):
        found = _all(root)
        if name_or_path not in found:
            there = ", ".join(found)
            raise ManifestError(f"no implementation {name_or_path!r}: there are {there}")
        return found[name_or_path]
    folder = Path(name_or_path).expanduser().resolve()
    if not folder.is_dir():
        raise ManifestError(f"{folder} is not a folder: give the folder that holds the manifest")
    implementation = read(folder)
    if implementation is None:
        raise ManifestError(
            f"{folder} has no manifest: neither a {ANY_MANIFEST} "
            f"nor a {PYTHON_MANIFEST} with the table [tool.conformance]"
        )
    return implementation


def _all(root: Path) -> dict[str, Implementation]:
    """Return what ``discover`` finds; raise ManifestError if that is nothing."""
    found = discover(root)
    if not found:
        raise ManifestError(
            f"no implementation found: no folder of {root / 'impl'} has a manifest "
            f"([tool.conformance] in a {PYTHON_MANIFEST}, or a {ANY_MANIFEST})"
        )
    return found


def read(folder: Path) -> Implementation | None:
    """Return the implementation that the manifest in a folder describes, or None without one.

    Raise ManifestError if there are two manifests, or if one is not as it must be.
    """
    project, manifest = folder / PYTHON_MANIFEST, folder / ANY_MANIFEST
    table = _load(project).get("tool", {}).get("conformance") if project.is_file() else None
    if not manifest.is_file():
        return None if table is None else _of_python(project, table)
    if table is not None:
        raise ManifestError(
            f"{folder} has two manifests: remove {ANY_MANIFEST} or the table "
            f"[tool.conformance] of {PYTHON_MANIFEST}"
        )
    return _of_any_language(manifest, _load(manifest))


def _is_path(name_or_path: str) -> bool:
    return os.sep in name_or_path or name_or_path.startswith(("~", "."))


def _load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: {error}") from error


def _of_python(path: Path, table: object) -> Implementation:
    fields = _Table(f"{path}: [tool.conformance]", table)
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
    return _checked(fields, path, implementation)


def _of_any_language(path: Path, table: object) -> Implementation:
    fields = _Table(str(path), table)
    implementation = Implementation(
        name=path.parent.name,
        folder=path.parent,
        framework=fields.text("framework"),
        package=fields.text("package", ""),
        server=fields.text("server", ""),
        python=fields.text("python", ""),
        websocket=fields.flag("websocket", default=True),
        migrate=fields.command("migrate", may_be_empty=True),
        serve=fields.command("serve"),
        test=fields.command("test", may_be_empty=True),
        parity=fields.mapping("parity"),
        concerns=fields.mapping("concerns"),
        uses_venv=False,
        build=fields.command("build", may_be_empty=True),
        version=fields.command("version", may_be_empty=True),
        environment=fields.mapping("environment"),
    )
    return _checked(fields, path, implementation)


def _checked(fields: _Table, path: Path, implementation: Implementation) -> Implementation:
    """Return the implementation; raise ManifestError for what no single key can show."""
    fields.finish()
    _check_placeholders(path, implementation.serve)
    for name in implementation.environment:
        if name in CONTRACT_VARIABLES:
            raise ManifestError(
                f"{path}: environment: {name} is a variable of the contract: "
                "the suite sets it, so the manifest must not"
            )
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

    def __init__(self, where: str, table: object) -> None:
        self._where = where
        if not isinstance(table, dict):
            raise ManifestError(f"{where} must be a table")
        self._table = dict(table)

    def text(self, key: str, default: str | None = None) -> str:
        if default is not None and key not in self._table:
            return default
        value = self._take(key)
        if not isinstance(value, str) or not value:
            raise ManifestError(f"{self._where}: {key} must be a non-empty string")
        return value

    def flag(self, key: str, default: bool | None = None) -> bool:
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise ManifestError(f"{self._where}: {key} must be true or false")
        return value

    def command(self, key: str, *, may_be_empty: bool = False) -> tuple[str, ...]:
        value = self._take(key, [] if may_be_empty else None)
        strings = isinstance(value, list) and all(isinstance(each, str) for each in value)
        if not strings or not (value or may_be_empty):
            kind = "list of strings" if may_be_empty else "non-empty list of strings"
            raise ManifestError(f"{self._where}: {key} must be a {kind}")
        assert isinstance(value, list)
        return tuple(value)

    def mapping(self, key: str) -> dict[str, str]:
        value = self._table.pop(key, {})
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise ManifestError(f"{self._where}: {key} must map names to strings")
        return value

    def finish(self) -> None:
        if self._table:
            raise ManifestError(f"{self._where}: unknown key {', '.join(self._table)}")

    def _take(self, key: str, default: object = None) -> object:
        if key not in self._table and default is None:
            raise ManifestError(f"{self._where}: {key} is missing")
        return self._table.pop(key, default)
