"""Every verb of the repository. ``nox`` alone proves all implementations, and that they agree."""

from __future__ import annotations

import functools
import itertools
import os
import sys
import uuid
from pathlib import Path
from typing import Any

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True

ROOT = Path(__file__).parent
CONFORMANCE = ROOT / "conformance"
RESULTS = ROOT / "results"
NONE_FOUND = "no implementation found: no impl/*/pyproject.toml has a table [tool.conformance]"
# The variables of the contract: what the tester has set must not reach a test.
CONTRACT_VARIABLES = (
    *("APP_ENV", "DATABASE_URL", "HOST", "LOG_LEVEL", "PORT", "REDIS_URL", "SECRET_KEY"),
    *("TOKEN_TTL_SECONDS", "WORKERS", "WS_MAX_CONNECTIONS", "WS_QUEUE_EVENTS"),
)
# Three processes keep two cores busy: one or another always waits for its server. In the suite,
# rosetta.runner.controller says what is shared in one piece; elsewhere it is a file.
PARALLEL = ("-n", "3", "--dist", "loadfile", "--no-loadscope-reorder", "--max-worker-restart", "0")
# Time for an interrupted run to end its servers and drop its databases, in seconds.
PATIENCE = 20.0


def manifests() -> dict[str, dict[str, Any]]:
    """Return the table [tool.conformance] of every implementation, by folder."""
    files = {path.parent.name: path for path in sorted(ROOT.glob("impl/*/pyproject.toml"))}
    tables = {name: nox.project.load_toml(path).get("tool", {}) for name, path in files.items()}
    return {name: tool["conformance"] for name, tool in tables.items() if "conformance" in tool}


def each(*others: str) -> list[Any]:
    """Return one parameter per implementation; without any, one that makes the session fail."""
    return [nox.param(name, id=name) for name in (*others, *manifests())] or [
        nox.param("", id="none")
    ]


@functools.cache
def run_id() -> str:
    """Return what ties the result files of this run of nox together."""
    return uuid.uuid4().hex


@functools.cache
def started() -> list[str]:
    """Return what this run of nox has begun to test and so owes a result of."""
    return []


@nox.session(venv_backend="none")
@nox.parametrize("implementation", each())
def conformance(session: nox.Session, implementation: str) -> None:
    """Hold one implementation, or with --base-url any server, to the contract."""
    arguments = list(session.posargs)
    words = [word for before, word in itertools.pairwise(["", *arguments]) if before[:1] != "-"]
    if any(word in manifests() for word in words) or "--impl" in options_in(arguments):
        session.error('name the implementation as in nox -s "conformance(flask)"')
    url = "--base-url" in options_in(arguments)
    if url and started():
        session.skip("one run with --base-url is enough")
    started().append("url" if url else implementation or "any implementation")
    if not url and not implementation:
        session.error(NONE_FOUND)
    target = [] if url else ["--impl", implementation]
    paths = selection(arguments)
    parallel = PARALLEL if paths and not url and not names_tests(arguments) else ()
    own = (*paths, *parallel, *target, "--run-id", run_id())
    run_patiently(session, "pytest", *own, *arguments)


@nox.session(venv_backend="none")
def replay(session: nox.Session) -> None:
    """Send the corpus to every implementation, or to those named, and compare every answer."""
    if "url" in started():
        session.skip("a server elsewhere is compared with none")
    # Beside other sessions, what was passed is for the conformance.
    arguments = database_of(session.posargs) if started() else session.posargs
    started().append("replay")
    run_patiently(session, "rosetta.identity.replay", *arguments, "--run-id", run_id())


@nox.session(venv_backend="none")
def verdict(session: nox.Session) -> None:
    """Write results/results.json and print it: green only if all that was begun is proof."""
    of_this_run = ["--run", run_id(), "--expect", *started()] if started() else []
    run_patiently(session, "rosetta.results.verdict", *of_this_run)


@nox.session(default=False, venv_backend="none")
def record(session: nox.Session) -> None:
    """Write conformance/corpus/ anew: nox -s record -- NAME; all give the same requests."""
    run_patiently(session, "rosetta.identity.record", *session.posargs)


@nox.session(default=False, venv_backend="none")
def relay(session: nox.Session) -> None:
    """Hand the models of layer 3 round all implementations on one PostgreSQL database."""
    started().append("relay")
    run_patiently(session, "rosetta.identity.relay", *session.posargs, "--run-id", run_id())


@nox.session(default=False, venv_backend="none")
def stability(session: nox.Session) -> None:
    """Run the conformance again and again: nox -s stability -- [N] [NAME …]; N is 10."""
    started().append("stability")
    own = (*session.posargs, "--run-id", run_id())
    run_patiently(session, "rosetta.controls.stability", *own, "--", "suite", *PARALLEL)


@nox.session(default=False, venv_backend="none")
@nox.parametrize("project", each("suite"))
def tests(session: nox.Session, project: str) -> None:
    """Run the suite's own unit tests, or an implementation's in its own test client."""
    if project == "suite":
        parallel = () if session.posargs else PARALLEL
        run_patiently(session, "pytest", *parallel, *session.posargs)
        return
    command, *arguments = manifests()[project]["test"]
    beside = interpreter(session, project).with_name(command)
    unset: dict[str, str | None] = dict.fromkeys(CONTRACT_VARIABLES)
    session.chdir(ROOT / "impl" / project)
    session.run(str(beside), *arguments, *session.posargs, env=unset, external=True)


@nox.session(default=False)
def lint(session: nox.Session) -> None:
    """Check style, form and types of everything."""
    session.install("--require-hashes", "-r", str(CONFORMANCE / "requirements-lint.txt"))
    settings = str(CONFORMANCE / "pyproject.toml")
    session.run("ruff", "check", "--config", settings, "noxfile.py")
    session.run("ruff", "format", "--check", "--config", settings, "noxfile.py")
    folders = ["conformance", *(f"impl/{name}" for name in manifests())]
    session.run("ruff", "check", *folders)
    session.run("ruff", "format", "--check", *folders)
    session.run("mypy", "--strict", "noxfile.py")
    with session.chdir(CONFORMANCE):
        session.run("mypy")
    for name in manifests():
        check_types(session, name)


def check_types(session: nox.Session, name: str) -> None:
    """Run mypy on an implementation, seeing its own dependencies."""
    python = interpreter(session, name)
    with session.chdir(ROOT / "impl" / name):
        session.run("mypy", "--python-executable", str(python))


@nox.session(default=False, venv_backend="none")
def parity(session: nox.Session) -> None:
    """Compare the files that implementations hold in common, byte for byte."""
    if not manifests():
        session.error(NONE_FOUND)
    session.chdir(CONFORMANCE)
    session.run(sys.executable, "-m", "rosetta.repository.parity", external=True)


@nox.session(default=False, venv_backend="none")
@nox.parametrize("implementation", each())
def copies(session: nox.Session, implementation: str) -> None:
    """Copy an implementation out of the repository and start it as its README says."""
    if not implementation:
        session.error(NONE_FOUND)
    run_patiently(session, "rosetta.repository.copies", implementation)


@nox.session(default=False, venv_backend="none")
def faults(session: nox.Session) -> None:
    """Plant faults that the suite must catch: nox -s faults -- [ID …] [--rule ID] [--layers …]."""
    started().append("faults")
    run_patiently(session, "rosetta.controls.campaign", *session.posargs, "--run-id", run_id())


@nox.session(default=False, venv_backend="none")
def facts(session: nox.Session) -> None:
    """Count and measure every implementation: the table of README.md, the map in impl/README.md."""
    run_patiently(session, "rosetta.repository.facts")


@nox.session(default=False, venv_backend="none")
def serve(session: nox.Session) -> None:
    """Migrate and serve: nox -s serve -- NAME [--host H] [--port P] [--workers N]."""
    names = ", ".join(manifests()) or "none yet"
    if not session.posargs or session.posargs[0].startswith("-"):
        session.error(f"say which implementation first, as in nox -s serve -- NAME; it is {names}")
    if session.posargs[0] not in manifests():
        session.error(f"no implementation {session.posargs[0]!r}; there are: {names}")
    python = str(interpreter(session))
    os.chdir(CONFORMANCE)
    sys.stdout.flush()
    # In nox's place: Ctrl-C, SIGTERM and the exit code are the server's own.
    os.execv(python, [python, "-m", "rosetta.repository.serve", *session.posargs])  # noqa: S606


def interpreter(session: nox.Session, implementation: str | None = None) -> Path:
    """Return the Python of an implementation's tests or, without one, of all the suite does.

    Its environment is made as locked if it is not yet, or not any more.
    """
    if nox.virtualenv.HAS_UV:
        session.env["UV"] = nox.virtualenv.UV
    command = [sys.executable, "-m", "rosetta.targets.venvs", *([implementation] if implementation else [])]
    with session.chdir(CONFORMANCE):
        printed = session.run(*command, silent=True, log=False, external=True)
    return Path(str(printed).strip().splitlines()[-1])


def names_tests(arguments: list[str]) -> bool:
    """Tell whether only some tests will run, for which one process is enough."""
    selecting = {"-k", "-m", "--lf", "--rule"}
    short = {argument[:2] for argument in arguments}
    return not selecting.isdisjoint(options_in(arguments) | short)


def options_in(arguments: list[str]) -> set[str]:
    """Return the options that stand among arguments, without values."""
    return {argument.partition("=")[0] for argument in arguments if argument[:1] == "-"}


def database_of(arguments: list[str]) -> list[str]:
    """Return what arguments say of the database, and nothing else."""
    for place, argument in enumerate(arguments):
        if argument == "--database":
            return arguments[place : place + 2]
        if argument.startswith("--database="):
            return [argument]
    return []


def run_patiently(session: nox.Session, module: str, *arguments: str) -> None:
    """Run a module of the suite, leaving it time to clean up when it is interrupted."""
    python = interpreter(session)
    session.chdir(CONFORMANCE)
    session.run(
        *(str(python), "-m", module, *arguments),
        external=True,
        interrupt_timeout=PATIENCE,
        terminate_timeout=PATIENCE,
        # Else each of several processes compiles the suite and its libraries anew.
        env={"PYTHONDONTWRITEBYTECODE": None},
    )


def selection(arguments: list[str]) -> list[str]:
    """Return the whole suite unless the arguments name tests themselves."""
    paths = [argument.partition("::")[0] for argument in arguments if argument[:1] != "-"]
    return [] if any((CONFORMANCE / path).exists() for path in paths) else ["suite"]
