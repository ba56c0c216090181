"""Every verb of the repository. ``nox`` alone proves all implementations, and that they agree.

Each session calls ``python -m rosetta VERB`` in conformance/, which has all the options; what
follows ``--`` is passed on to it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True

ROOT = Path(__file__).parent
CONFORMANCE = ROOT / "conformance"
NONE_FOUND = "no implementation found: no impl/*/pyproject.toml has a table [tool.conformance]"
# The variables of the contract: what the tester has set must not reach a test.
CONTRACT_VARIABLES = (
    *("APP_ENV", "CORS_ORIGINS", "DATABASE_URL", "HOST", "LOG_LEVEL", "PORT", "REDIS_URL"),
    *("SECRET_KEY", "TOKEN_TTL_SECONDS", "WORKERS", "WS_MAX_CONNECTIONS", "WS_QUEUE_EVENTS"),
)
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


@nox.session(venv_backend="none")
def conformance(session: nox.Session) -> None:
    """Prove all implementations, or with --base-url any server; end with the verdict."""
    rosetta(session, "prove", *session.posargs)


def add_conformance_of(name: str) -> None:
    """Add the session conformance(NAME), so that a plain ``conformance`` plans one whole run."""

    @nox.session(name=f"conformance({name})", default=False, venv_backend="none")
    def conformance_of(session: nox.Session) -> None:
        rosetta(session, "prove", "--impl", name, *session.posargs)

    conformance_of.__doc__ = f"Hold impl/{name} to the contract; end with the verdict."


for implementation in manifests():
    add_conformance_of(implementation)


@nox.session(default=False, venv_backend="none")
def replay(session: nox.Session) -> None:
    """Send the corpus to every implementation, or to those named, and compare every answer."""
    rosetta(session, "replay", *session.posargs)


@nox.session(default=False, venv_backend="none")
def verdict(session: nox.Session) -> None:
    """Judge whatever results/ holds: green only if all of it is proof, and of this tree."""
    rosetta(session, "verdict", *session.posargs)


@nox.session(default=False, venv_backend="none")
def record(session: nox.Session) -> None:
    """Write conformance/corpus/ anew: nox -s record -- NAME; all give the same requests."""
    rosetta(session, "record", *session.posargs)


@nox.session(default=False, venv_backend="none")
def distil(session: nox.Session) -> None:
    """Choose anew the lines of the corpus that show all it shows: nox -s distil [-- NAME …]."""
    rosetta(session, "distil", *(session.posargs or ["flask", "falcon"]))


@nox.session(default=False, venv_backend="none")
def relay(session: nox.Session) -> None:
    """Hand the models of layer 3 round all implementations on one PostgreSQL database."""
    rosetta(session, "relay", *session.posargs)


@nox.session(default=False, venv_backend="none")
def stability(session: nox.Session) -> None:
    """Prove again and again: nox -s stability -- [N] [NAME …]; N is 10."""
    rosetta(session, "stability", *session.posargs)


@nox.session(default=False, venv_backend="none")
@nox.parametrize("project", each("suite"))
def tests(session: nox.Session, project: str) -> None:
    """Run the suite's own unit tests, or an implementation's in its own test client."""
    if project == "suite":
        parallel = () if session.posargs else ("-n", "auto", "--dist", "loadfile")
        run_patiently(session, "-m", "pytest", *parallel, *session.posargs)
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
    session.chdir(CONFORMANCE)
    session.run(sys.executable, "-m", "rosetta", "parity", external=True)


@nox.session(default=False, venv_backend="none")
@nox.parametrize("implementation", each())
def copies(session: nox.Session, implementation: str) -> None:
    """Copy an implementation out of the repository and start it as its README says."""
    if not implementation:
        session.error(NONE_FOUND)
    rosetta(session, "copies", implementation)


@nox.session(default=False, venv_backend="none")
def faults(session: nox.Session) -> None:
    """Plant faults that the suite must catch: nox -s faults -- [ID …] [--rule ID] [--layers …]."""
    rosetta(session, "faults", *session.posargs)


@nox.session(default=False, venv_backend="none")
def elsewhere(session: nox.Session) -> None:
    """Run the suite against a service in another language, which needs Node.js 20 or later."""
    run_patiently(session, "-m", "pytest", "elsewhere", *session.posargs)


@nox.session(default=False)
def clients(session: nox.Session) -> None:
    """Generate clients from spec/openapi.yaml and use them, and lint it; needs Node.js with npm."""
    session.install("--require-hashes", "-r", str(CONFORMANCE / "requirements-clients.txt"))
    session.env["ROSETTA_CLIENTS_PYTHON"] = str(Path(session.bin) / "python")
    run_patiently(session, "-m", "pytest", "generated", *session.posargs)


@nox.session(default=False, venv_backend="none")
def facts(session: nox.Session) -> None:
    """Count and measure every implementation: the table of README.md, the map in impl/README.md."""
    rosetta(session, "facts", *session.posargs)


@nox.session(default=False, venv_backend="none")
def serve(session: nox.Session) -> None:
    """Migrate and serve: nox -s serve -- NAME [--host H] [--port P] [--workers N]."""
    python = str(interpreter(session))
    os.chdir(CONFORMANCE)
    sys.stdout.flush()
    # In nox's place: Ctrl-C, SIGTERM and the exit code are the server's own.
    os.execv(python, [python, "-m", "rosetta", "serve", *session.posargs])  # noqa: S606


def rosetta(session: nox.Session, verb: str, *arguments: str) -> None:
    """Run a verb of the suite in its own environment."""
    run_patiently(session, "-m", "rosetta", verb, *arguments)


def run_patiently(session: nox.Session, *arguments: str) -> None:
    """Run the suite's Python, leaving it time to clean up when it is interrupted."""
    python = interpreter(session)
    session.chdir(CONFORMANCE)
    session.run(
        *(str(python), *arguments),
        external=True,
        interrupt_timeout=PATIENCE,
        terminate_timeout=PATIENCE,
        # Else each of several processes compiles the suite and its libraries anew.
        env={"PYTHONDONTWRITEBYTECODE": None},
    )


def interpreter(session: nox.Session, implementation: str | None = None) -> Path:
    """Return the Python of an implementation's tests or, without one, of all the suite does.

    Its environment is made as locked if it is not yet, or not any more.
    """
    if nox.virtualenv.HAS_UV:
        session.env["UV"] = nox.virtualenv.UV
    names = [implementation] if implementation else []
    command = [sys.executable, "-m", "rosetta", "environment", *names]
    with session.chdir(CONFORMANCE):
        printed = session.run(*command, silent=True, log=False, external=True)
    return Path(str(printed).strip().splitlines()[-1])
