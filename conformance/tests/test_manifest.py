from __future__ import annotations

from pathlib import Path

import pytest

from rosetta.targets.manifest import ManifestError, discover, find, select

MANIFEST = """\
[tool.conformance]
framework = "Flask"
package = "flask"
server = "gunicorn"
python = ">=3.11"
websocket = true
migrate = ["flask", "db", "upgrade"]
serve = ["gunicorn", "--bind", "{host}:{port}", "--workers={workers}"]
test = ["pytest"]
[tool.conformance.parity]
passwords = "app/passwords.py"
"""


def write(root: Path, text: str, name: str = "flask") -> None:
    folder = root / "impl" / name
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(text)


def test_a_manifest_is_found_by_its_folder(tmp_path: Path) -> None:
    write(tmp_path, MANIFEST)
    write(tmp_path, MANIFEST, "another")
    found = discover(tmp_path)
    assert list(found) == ["another", "flask"]
    assert found["flask"].folder == tmp_path / "impl" / "flask"
    assert found["flask"].parity == {"passwords": "app/passwords.py"}
    assert found["flask"].concerns == {}


def test_placeholders_are_filled_inside_arguments(tmp_path: Path) -> None:
    write(tmp_path, MANIFEST)
    command = find("flask", tmp_path).serve_command("::1", 80, 2)
    assert command == ["gunicorn", "--bind", "::1:80", "--workers=2"]


def test_a_project_without_the_table_is_no_implementation(tmp_path: Path) -> None:
    write(tmp_path, "[project]\nname = 'x'\n")
    assert discover(tmp_path) == {}


def test_an_unknown_name_is_answered_with_those_that_exist(tmp_path: Path) -> None:
    write(tmp_path, MANIFEST)
    write(tmp_path, MANIFEST, "quart")
    with pytest.raises(ManifestError, match="no implementation 'nope': there are flask, quart"):
        find("nope", tmp_path)


def test_those_of_some_names_come_in_the_order_asked_for(tmp_path: Path) -> None:
    for name in ("falcon", "flask", "quart"):
        write(tmp_path, MANIFEST, name)
    assert list(select(["quart", "falcon"], tmp_path)) == ["quart", "falcon"]
    assert list(select([], tmp_path)) == ["falcon", "flask", "quart"]


def test_nothing_found_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no implementation found"):
        find("flask", tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('framework = "Flask"\n', "", "framework is missing"),
        ('"Flask"', "3", "framework must be a non-empty string"),
        ('"Flask"', '""', "framework must be a non-empty string"),
        ("websocket = true", 'websocket = "yes"', "websocket must be true or false"),
        ('test = ["pytest"]', 'test = "pytest"', "test must be a non-empty list"),
        ('test = ["pytest"]', "test = []", "test must be a non-empty list"),
        ('test = ["pytest"]', "test = [1]", "test must be a non-empty list"),
        ('"app/passwords.py"', "1", "parity must map names to strings"),
        ("{workers}", "{wokers}", "unknown placeholder in '--workers={wokers}'"),
        ("{workers}", "{", "unknown placeholder"),
        ("test =", "tests = 1\ntest =", "unknown key tests"),
        ('"Flask"', '"Flask', "pyproject.toml"),
    ],
)
def test_a_wrong_manifest_is_named_with_its_fault(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in MANIFEST
    write(tmp_path, MANIFEST.replace(old, new))
    with pytest.raises(ManifestError) as error:
        discover(tmp_path)
    assert message in str(error.value)
    assert str(tmp_path / "impl" / "flask" / "pyproject.toml") in str(error.value)


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "[tool]\nconformance = 1\n")
    with pytest.raises(ManifestError, match="must be a table"):
        discover(tmp_path)
