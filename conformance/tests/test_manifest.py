from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rosetta.targets.manifest import (
    CONTRACT_VARIABLES,
    ROOT,
    ManifestError,
    discover,
    find,
    select,
)

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


def test_folders_elsewhere_are_chosen_by_their_paths_beside_names(tmp_path: Path) -> None:
    write(tmp_path, MANIFEST)
    write(tmp_path / "elsewhere", MANIFEST, "mine")
    mine = tmp_path / "elsewhere" / "impl" / "mine"
    chosen = select(["flask", str(mine), "flask"], tmp_path)
    assert {name: each.folder for name, each in chosen.items()} == {
        "flask": tmp_path / "impl" / "flask",
        "mine": mine,
    }


def test_two_of_one_name_are_not_chosen_together(tmp_path: Path) -> None:
    write(tmp_path, MANIFEST)
    write(tmp_path / "elsewhere", MANIFEST)
    with pytest.raises(ManifestError, match="have one name: test them one by one"):
        select(["flask", str(tmp_path / "elsewhere" / "impl" / "flask")], tmp_path)


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


# -- conformance.toml

ANY_LANGUAGE = """\
framework = "Express"
build = ["npm", "ci"]
version = ["node", "--version"]
migrate = ["node", "migrate.js"]
serve = ["node", "server.js", "--port={port}"]
test = ["npm", "test"]
[environment]
NODE_ENV = "production"
"""


def write_any(root: Path, text: str = ANY_LANGUAGE, name: str = "express") -> Path:
    folder = root / "impl" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "conformance.toml").write_text(text)
    return folder


def test_a_service_in_any_language_is_found_beside_those_in_python(tmp_path: Path) -> None:
    write_any(tmp_path)
    write(tmp_path, MANIFEST)
    found = discover(tmp_path)
    assert list(found) == ["express", "flask"]
    assert [one.uses_venv for one in found.values()] == [False, True]
    express = found["express"]
    assert express.framework == "Express"
    assert express.build == ("npm", "ci")
    assert express.version == ("node", "--version")
    assert express.migrate == ("node", "migrate.js")
    assert express.test == ("npm", "test")
    assert express.environment == {"NODE_ENV": "production"}
    assert express.serve_command("::1", 80, 2) == ["node", "server.js", "--port=80"]


def test_only_framework_and_serve_are_needed_in_any_language(tmp_path: Path) -> None:
    write_any(tmp_path, 'framework = "Gin"\nserve = ["./service"]\n')
    gin = find("express", tmp_path)
    assert gin.websocket
    assert (gin.migrate, gin.build, gin.version, gin.test) == ((), (), (), ())
    assert (gin.environment, gin.parity, gin.concerns) == ({}, {}, {})


def test_an_empty_migrate_command_is_the_same_as_none(tmp_path: Path) -> None:
    write_any(tmp_path, 'framework = "Gin"\nserve = ["./service"]\nmigrate = []\n')
    assert find("express", tmp_path).migrate == ()


def test_two_manifests_in_one_folder_are_an_error(tmp_path: Path) -> None:
    write(tmp_path, MANIFEST, "both")
    folder = write_any(tmp_path, name="both")
    with pytest.raises(ManifestError, match="has two manifests: remove") as error:
        discover(tmp_path)
    assert str(folder) in str(error.value)


def test_a_python_project_may_have_its_manifest_beside_it(tmp_path: Path) -> None:
    write(tmp_path, "[project]\nname = 'x'\n", "both")
    write_any(tmp_path, name="both")
    assert not find("both", tmp_path).uses_venv


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('framework = "Express"\n', "", "framework is missing"),
        ('"Express"', "[]", "framework must be a non-empty string"),
        ("serve =", "server = 1\nserve =", "server must be a non-empty string"),
        ("serve =", 'server = ""\nserve =', "server must be a non-empty string"),
        ("serve =", "websocket = 1\nserve =", "websocket must be true or false"),
        ('["node", "server.js", "--port={port}"]', "[]", "serve must be a non-empty list"),
        ('serve = ["node", "server.js", "--port={port}"]\n', "", "serve is missing"),
        ('["npm", "ci"]', '"npm ci"', "build must be a list of strings"),
        ('["npm", "ci"]', "[1]", "build must be a list of strings"),
        ('["node", "--version"]', "true", "version must be a list of strings"),
        ('["node", "migrate.js"]', '"x"', "migrate must be a list of strings"),
        ("{port}", "{prot}", "serve: unknown placeholder in '--port={prot}'"),
        ('"production"', "1", "environment must map names to strings"),
        ("NODE_ENV", "SECRET_KEY", "environment: SECRET_KEY is a variable of the contract"),
        ("build =", "biuld =", "unknown key biuld"),
        ("build =", "[tool.conformance]\nbuild =", "serve is missing"),
        ("build =", "build", "conformance.toml"),
    ],
)
def test_a_wrong_manifest_in_any_language_is_named_with_its_fault(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in ANY_LANGUAGE
    folder = write_any(tmp_path, ANY_LANGUAGE.replace(old, new))
    with pytest.raises(ManifestError) as error:
        discover(tmp_path)
    assert message in str(error.value)
    assert str(folder / "conformance.toml") in str(error.value)


def test_the_variables_of_the_contract_are_those_of_the_spec() -> None:
    rules = yaml.safe_load((ROOT / "spec" / "rules.yaml").read_text(encoding="utf-8"))
    assert set(CONTRACT_VARIABLES) == {each["name"] for each in rules["configuration"]}


# -- a path


@pytest.mark.parametrize("form", ["absolute", "relative", "home", "here"])
def test_a_service_anywhere_is_found_by_the_path_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    folder = write_any(tmp_path / "elsewhere").rename(tmp_path / "my-service")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(folder if form == "here" else tmp_path)
    path = {
        "absolute": str(folder),
        "relative": "./my-service/",
        "home": "~/my-service",
        "here": ".",
    }
    found = find(path[form], tmp_path / "no-repository")
    assert (found.name, found.folder) == ("my-service", folder)


def test_a_project_in_python_is_found_by_its_path_too(tmp_path: Path) -> None:
    write(tmp_path, MANIFEST)
    assert find(str(tmp_path / "impl" / "flask")).uses_venv


def test_a_name_is_never_taken_for_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, MANIFEST)
    write_any(tmp_path).rename(tmp_path / "express")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ManifestError, match="no implementation 'express': there are flask"):
        find("express", tmp_path)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("empty", "empty has no manifest: neither a conformance.toml nor"),
        ("none", "is not a folder"),
    ],
)
def test_a_path_without_a_manifest_is_an_error(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match=message):
        find(f"{tmp_path}/{path}")
