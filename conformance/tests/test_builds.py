"""A service that is not in Python: when it is built, what its commands see, what it says it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rosetta.results import run as results
from rosetta.targets.builds import BuildError, ensure_built, fingerprint, version_of
from rosetta.targets.fleet import Fleet
from rosetta.targets.manifest import Implementation, find
from rosetta.targets.server import Server, environment_for, migrate
from rosetta.targets.venvs import VenvError, environment_of

MANIFEST = """\
framework = "Shell"
version = ["greet", "--version"]
build = ["sh", "build.sh"]
serve = ["sh", "-c", "exec {python} server.py --port {{port}}"]
[environment]
GREETING = "hello"
"""
BUILD = "echo built >> built.log\nmkdir -p bin\ncp greet.sh bin/greet\nchmod +x bin/greet\n"
TINY = Path(__file__).parent / "tiny" / "server.py"


@pytest.fixture
def service(tmp_path: Path) -> Implementation:
    """A service whose build writes a line into built.log and a command into bin/."""
    folder = tmp_path / "service"
    folder.mkdir()
    (folder / "conformance.toml").write_text(MANIFEST.format(python=sys.executable))
    (folder / "build.sh").write_text(BUILD)
    (folder / "greet.sh").write_text('#!/bin/sh\necho "greet 1.2.3 ($GREETING)"\necho more\n')
    shutil.copy(TINY, folder)
    return find(str(folder))


def builds(service: Implementation) -> int:
    return len((service.folder / "built.log").read_text().splitlines())


def git(service: Implementation, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=service.folder, check=True)  # noqa: S603, S607


@pytest.fixture(params=["git", "no git"])
def folder(request: pytest.FixtureRequest, service: Implementation) -> Path:
    """The service's folder, in a work tree of Git that ignores what is built, or in none."""
    if request.param == "git":
        git(service, "init", "-q")
        (service.folder / ".gitignore").write_text("bin/\n")
    return service.folder


def test_a_service_is_built_once_for_each_state_of_its_folder(
    service: Implementation, folder: Path
) -> None:
    for _ in range(2):
        assert ensure_built(service) == folder
    assert builds(service) == 1
    script = folder / "greet.sh"
    script.write_text(script.read_text().replace("more", "less"))  # of the same length
    ensure_built(service)
    ensure_built(service)
    assert builds(service) == 2
    (folder / "new.txt").touch()
    ensure_built(service)
    assert builds(service) == 3
    (folder / "new.txt").unlink()
    ensure_built(service)
    assert builds(service) == 4


def test_an_ignored_file_makes_no_new_build(service: Implementation) -> None:
    git(service, "init", "-q")
    (service.folder / ".gitignore").write_text("*.db\n")
    ensure_built(service)
    (service.folder / "rosetta.db").touch()
    ensure_built(service)
    assert builds(service) == 1


def test_installed_packages_and_the_stamp_itself_make_no_new_build(
    service: Implementation,
) -> None:
    ensure_built(service)
    (service.folder / "node_modules").mkdir()
    (service.folder / "node_modules" / "index.js").touch()
    ensure_built(service)
    assert builds(service) == 1


def test_the_files_that_a_build_needs_itself_are_not_shown_by_git(service: Implementation) -> None:
    git(service, "init", "-q")
    git(service, "add", ".")
    ensure_built(service)
    command = ["git", "status", "--porcelain", "--untracked-files=all"]
    shown = subprocess.run(command, cwd=service.folder, capture_output=True, check=True)  # noqa: S603
    assert b".conformance" not in shown.stdout


def test_a_build_that_fails_shows_its_output_and_is_tried_again(service: Implementation) -> None:
    script = service.folder / "build.sh"
    script.write_text("echo no such package: left-pad >&2\nexit 3\n")
    for _ in range(2):
        with pytest.raises(BuildError, match=r"service: build \(sh build.sh\) ended") as error:
            ensure_built(service)
        assert "exit code 3\nno such package: left-pad" in str(error.value)
    with pytest.raises(VenvError, match="left-pad"):
        environment_of(service)
    script.write_text(BUILD)
    ensure_built(service)
    assert builds(service) == 1


def test_a_build_whose_program_is_missing_names_it(service: Implementation) -> None:
    absent = type(service)(**{**vars(service), "build": ("no-such-tool",)})
    with pytest.raises(BuildError, match="no-such-tool"):
        ensure_built(absent)


def test_processes_at_once_wait_for_one_build(service: Implementation, tmp_path: Path) -> None:
    """The build goes on only when all four processes are about to ask for it."""
    waiting = f"until [ $(ls {tmp_path}/*.here | wc -l) = 4 ]; do sleep 0.01; done\n"
    (service.folder / "build.sh").write_text(waiting + BUILD)
    command = "import sys, pathlib\nfrom rosetta.targets import builds, manifest\n"
    command += "pathlib.Path(sys.argv[2]).touch()\n"
    command += "builds.ensure_built(manifest.find(sys.argv[1]))\n"

    def another(number: int) -> int:
        return subprocess.run(  # noqa: S603
            [sys.executable, "-c", command, str(service.folder), f"{tmp_path}/{number}.here"],
            cwd=Path(__file__).parents[1],
            check=True,
        ).returncode

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(another, range(4))) == [0] * 4
    assert builds(service) == 1


def test_without_a_build_command_nothing_is_written(service: Implementation) -> None:
    plain = type(service)(**{**vars(service), "build": ()})
    before = sorted(service.folder.iterdir())
    assert environment_of(plain) == service.folder
    assert sorted(service.folder.iterdir()) == before


def test_a_service_sees_its_constants_and_its_own_commands_and_no_virtual_environment(
    service: Implementation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABASE_URL", "VIRTUAL_ENV", "GREETING", "NODE_OPTIONS"):
        monkeypatch.setenv(name, "leaked")
    ensure_built(service)
    environment = environment_for(service, service.folder, {"PORT": "1"})
    assert "leaked" not in environment.values()
    assert environment["GREETING"] == "hello"
    assert environment["PORT"] == "1"
    first, _, rest = environment["PATH"].partition(os.pathsep)
    assert (first, rest) == (str(service.folder / "bin"), os.environ["PATH"])


def test_the_version_is_the_first_line_that_its_command_prints(service: Implementation) -> None:
    assert version_of(service) == "unknown"  # it is not built yet
    ensure_built(service)
    assert version_of(service) == "greet 1.2.3 (hello)"
    failing = type(service)(**{**vars(service), "version": ("sh", "-c", "echo 1; exit 1")})
    assert version_of(failing) == "unknown"


def test_a_result_shows_the_version_and_the_hash_of_the_sources(service: Implementation) -> None:
    ensure_built(service)
    shown = results.tested(service, service.folder)
    assert shown == {"versions": {"Shell": "greet 1.2.3 (hello)"}, "lock": fingerprint(service)}
    (service.folder / "greet.sh").write_text("echo 2\n")
    assert results.tested(service, service.folder)["lock"] != shown["lock"]


def test_a_service_without_a_migrate_command_is_served(
    service: Implementation, tmp_path: Path
) -> None:
    migrate(service, service.folder, "sqlite:///x", tmp_path / "migrate.log")
    assert not (tmp_path / "migrate.log").exists()
    fleet = Fleet(service, "sqlite", 1, tmp_path / "logs")
    try:
        server = fleet.server("main")
        server.start()
        assert isinstance(server, Server)
        assert builds(service) == 1
    finally:
        fleet.close()
