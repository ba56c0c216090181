"""parity, copies and serve, on the tiny server in a repository of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from rosetta.cli import main
from rosetta.repository import copies, serve
from rosetta.repository.readme import CopyError, commands_under
from rosetta.repository.schema_change import SHARED, Filled, change_models, counts, hold
from rosetta.targets.databases import SqliteDatabase
from rosetta.targets.manifest import ROOT, find
from rosetta.targets.ports import free_port
from rosetta.targets.server import ServerError
from tests.conftest import TINY

CONFORMANCE = Path(__file__).parents[1]
README = "# Tiny\n\n## Start\n\nSo:\n\n```sh\n{commands}\n```\n\n## More\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with the tiny server twice, sharing server.py by its manifest."""
    for name in ("one", "two"):
        folder = tmp_path / "impl" / name
        shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("__pycache__"))
        with (folder / "pyproject.toml").open("a") as manifest:
            manifest.write('[tool.conformance.parity]\nserver = "server.py"\n')
    return tmp_path


def test_equal_files_are_at_parity(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parity", f"--root={root}"]) == 0
    assert "server: one, two" in capsys.readouterr().out


def test_a_drifted_file_is_red_and_shown(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (root / "impl" / "two" / "server.py").open("a") as file:
        file.write("# drift\n")
    assert main(["parity", f"--root={root}"]) == 1
    error = capsys.readouterr().err
    assert "server has drifted" in error
    assert "+# drift" in error


def test_bytes_that_no_line_shows_are_drift_too(root: Path) -> None:
    path = root / "impl" / "two" / "server.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert main(["parity", f"--root={root}"]) == 1


@pytest.mark.parametrize("name", ["one", "two"])
def test_a_missing_file_is_red(root: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "impl" / name / "server.py").unlink()
    assert main(["parity", f"--root={root}"]) == 1
    assert f"is missing (named by {name})" in capsys.readouterr().err


def test_parity_of_nothing_is_red(tmp_path: Path) -> None:
    assert main(["parity", f"--root={tmp_path}"]) == 1


def test_the_commands_are_the_first_block_under_start() -> None:
    text = "## Before\n```\nno\n```\n" + README.format(commands="a\nb") + "```\nno\n```\n"
    assert commands_under("Start", text) == ["a\nb\n"]


@pytest.mark.parametrize(
    "readme", ["", "## Start\n\nJust do it.\n## Next\n```\nno\n```\n", "## Start\n```\n\n```\n"]
)
def test_a_readme_without_commands_is_red(readme: str) -> None:
    with pytest.raises(CopyError, match="no fenced block"):
        commands_under("Start", readme)


def tracked(root: Path, commands: str) -> None:
    """Give implementation one a README and let git track it, but not what is ignored."""
    folder = root / "impl" / "one"
    (folder / "README.md").write_text(README.format(commands=commands))
    (folder / "untracked.py").touch()
    for arguments in (["init", "-q"], ["add", "README.md", "server.py", "pyproject.toml"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True)  # noqa: S603, S607


def test_a_copy_that_follows_its_readme_stands_alone(root: Path, tmp_path: Path) -> None:
    tracked(root, "test ! -e untracked.py\npython3 server.py --port 8000")
    copies.prove(find("one", root), directory(tmp_path))


@pytest.mark.parametrize(
    ("commands", "message"),
    [
        ("test -e untracked.py\npython3 server.py --port 8000", "exit code 1"),
        ("python3 nothing.py", "nothing.py"),
        ("python3 server.py --port 8000 --fault no-tokens", "status 404"),
    ],
)
def test_a_copy_that_does_not_work_is_red(
    root: Path, tmp_path: Path, commands: str, message: str
) -> None:
    tracked(root, commands)
    with pytest.raises((ServerError, AssertionError), match=re.escape(message)):
        copies.prove(find("one", root), directory(tmp_path))


def test_a_copy_sees_nothing_of_the_repository(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", f"{ROOT}/.nox/x/bin{os.pathsep}/usr/bin")
    monkeypatch.setenv("DATABASE_URL", "leaked")
    monkeypatch.setenv("VIRTUAL_ENV", "leaked")
    environment = copies.environment(tmp_path, 1)
    assert environment["PATH"] == "/usr/bin"
    assert "leaked" not in environment.values()


def test_serve_passes_the_contracts_variables_on(
    monkeypatch: pytest.MonkeyPatch, root: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("PORT", "1")
    environment = serve.environment_for(find("one", root), tmp_path, "::1", 2, 3)
    assert environment["LOG_LEVEL"] == "DEBUG"
    assert [environment[name] for name in ("HOST", "PORT", "WORKERS")] == ["::1", "2", "3"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_serve_becomes_the_server_and_ends_with_it(root: Path, sent: signal.Signals) -> None:
    command = [sys.executable, "-m", "rosetta", "serve", "one", f"--port={free_port()}"]
    with subprocess.Popen(  # noqa: S603
        [*command, f"--root={root}"], cwd=CONFORMANCE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        seen = list(iter(process.stdout.readline, "listening\n"))
        process.send_signal(sent)
        process.communicate(timeout=20)
    assert "nothing to migrate\n" in seen
    assert process.returncode == -sent


def test_serve_names_what_exists(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "nope"]) == 1
    assert "no implementation" in capsys.readouterr().err


def directory(tmp_path: Path) -> Path:
    made = tmp_path / "copy"
    made.mkdir()
    return made


MODELS = (ROOT / "impl" / "fastapi" / "app" / "models.py").read_text(encoding="utf-8")


def test_the_models_of_a_copy_get_a_field_and_a_resource(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "models.py").write_text(MODELS, encoding="utf-8")
    change_models(tmp_path)
    changed = (tmp_path / "app" / "models.py").read_text(encoding="utf-8")
    assert "sku: Mapped[str | None]" in changed
    assert "class Comment(Base):" in changed


def test_models_that_do_not_fit_are_red(tmp_path: Path) -> None:
    with pytest.raises(CopyError, match="no models to change"):
        change_models(tmp_path)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "models.py").write_text("class Item(Base):\n    pass\n")
    with pytest.raises(CopyError, match="has no line of its own"):
        change_models(tmp_path)


def test_a_lost_row_is_red(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path)
    for table in SHARED:
        database.rows(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY)")
        database.rows(f"INSERT INTO {table} VALUES (1)")  # noqa: S608 - ours
    filled = Filled(database, Mock(), Mock(), 1, counts(database))
    hold(filled, "nothing")
    database.rows("DELETE FROM item_tags")
    with pytest.raises(CopyError, match="rows are lost by migrating on sqlite"):
        hold(filled, "migrating")


def test_a_readme_must_say_how_to_undo_a_migration() -> None:
    with pytest.raises(CopyError, match="not 2 fenced blocks"):
        commands_under("Change", "## Change\n```\na\n```\n## Next\n```\nb\n```\n", blocks=2)
