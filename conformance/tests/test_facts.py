"""The tables of README.md and impl/README.md: what is counted and measured, and whom they name."""

from __future__ import annotations

from pathlib import Path

import pytest

from rosetta.cli import main
from rosetta.repository import facts
from rosetta.repository.facts import BEGIN, END, lines_of_code
from rosetta.targets.manifest import ROOT, Implementation, discover
from tests.conftest import AddTiny

SOURCE = '''\
"""A module.

With more to say.
"""

import os  # a comment behind code

# Contract: X would do otherwise.
TEXT = """two
lines"""


def function() -> None:
    """Do nothing."""
'''


def test_comments_docstrings_and_empty_lines_are_no_code(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    assert lines_of_code(path) == 4


def test_tests_and_migrations_are_not_the_app(tmp_path: Path) -> None:
    for name in ("app/main.py", "tests/test_it.py", "migrations/env.py", ".venv/x.py", "conf.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [str(path.relative_to(tmp_path)) for path in facts.app_files(tmp_path)]
    assert names == ["app/main.py", "conf.py"]


@pytest.fixture
def tiny_folder(add_tiny: AddTiny) -> Implementation:
    return add_tiny()


def test_a_server_is_measured(tiny_folder: Implementation) -> None:
    startup, rss = facts.measure(tiny_folder)
    assert 0 < startup < 30
    assert rss > facts.MEBIBYTE


def test_the_table_is_written_between_its_marks(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    row = facts.Facts("Tiny 1", "its own", 10, 20, 3, 4, 0.26, 5 * facts.MEBIBYTE)
    facts.write(readme, facts.table_of([row]))
    text = readme.read_text()
    assert "| Tiny 1 | its own | 10 | 20 | 3 | 4 | 0.3 s | 5 MiB |" in text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")


def test_a_readme_without_marks_is_left_alone(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("nothing here")
    with pytest.raises(ValueError, match="has no"):
        facts.write(readme, "table")
    assert readme.read_text() == "nothing here"


def test_no_implementation_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["facts", f"--root={tmp_path}"]) == 1
    assert "no implementation found" in capsys.readouterr().err


def test_the_table_of_the_readme_has_a_row_for_every_implementation() -> None:
    table = (ROOT / "README.md").read_text().partition(BEGIN)[2].partition(END)[0]
    rows = table.strip().splitlines()[2:]
    assert [row.partition("(impl/")[2].partition("/)")[0] for row in rows] == list(discover())


def test_the_map_of_concerns_is_that_of_the_manifests() -> None:
    text = (ROOT / "impl" / "README.md").read_text()
    assert facts.concerns_of(discover().values()) in text
