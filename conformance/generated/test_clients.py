"""Clients that are generated from spec/openapi.yaml, and tools that read it, as others use them.

They need Node.js with npm, and an environment with openapi-python-client: ``nox -s clients`` makes
it and names its Python in ROSETTA_CLIENTS_PYTHON.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from rosetta.clients.http import Api
from rosetta.contract.spec import SPEC
from rosetta.targets.fleet import Fleet
from rosetta.targets.manifest import ROOT, find
from rosetta.targets.ports import HOST
from rosetta.targets.server import Server

HERE = Path(__file__).parent
OPENAPI = SPEC / "openapi.yaml"
SERVED = "flask"
OLDEST_NODE = 20
# What the linters' default rules warn of, each with its reason.
REDOCLY = {
    # Probes take nothing from the client that could be wrong.
    ("operation-4xx-response", "#/paths/~1healthz/get/responses"),
    ("operation-4xx-response", "#/paths/~1readyz/get/responses"),
    # They answer what holds for every path alike, and so stand under no operation.
    ("no-unused-components", "#/components/responses/Options"),
    ("no-unused-components", "#/components/responses/MethodNotAllowed"),
}
SPECTRAL = {
    ("info-contact", "info"),  # whoever runs a copy is the one to ask
    ("oas3-unused-component", "components.responses.Options"),
    ("oas3-unused-component", "components.responses.MethodNotAllowed"),
}


def run(*command: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return what it printed, whatever its exit code."""
    return subprocess.run(  # noqa: S603
        list(map(str, command)),
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def succeed(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Run a command that must end with 0, and return its output."""
    done = run(*command, cwd=cwd, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def node_problem() -> str:
    """Return why npm cannot be used, or nothing."""
    wanted = f"install Node.js {OLDEST_NODE} or later with npm (https://nodejs.org)"
    if missing := [name for name in ("node", "npm") if shutil.which(name) is None]:
        return f"{' and '.join(missing)} not on PATH: {wanted}"
    version = run("node", "--version", cwd=HERE).stdout.strip().removeprefix("v")
    major = version.partition(".")[0]
    return "" if major.isdecimal() and int(major) >= OLDEST_NODE else f"Node.js {version}: {wanted}"


@pytest.fixture(scope="module")
def typescript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages of typescript/package.json installed."""
    if problem := node_problem():
        pytest.fail(problem, pytrace=False)
    folder = tmp_path_factory.mktemp("generated") / "typescript"
    shutil.copytree(HERE / "typescript", folder)
    succeed("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def python() -> Path:
    """The Python of the environment with the generator."""
    named = os.environ.get("ROSETTA_CLIENTS_PYTHON")
    if not named:
        pytest.fail("ROSETTA_CLIENTS_PYTHON is not set: run `nox -s clients`", pytrace=False)
    return Path(named)


@pytest.fixture(scope="module")
def client(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the generated package `rosetta_client`."""
    folder = tmp_path_factory.mktemp("client")
    generator = python.parent / "openapi-python-client"
    arguments = ("generate", "--path", OPENAPI, "--meta", "none", "--fail-on-warning")
    settings = folder / "settings.yaml"
    settings.write_text("post_hooks: []\n", encoding="utf-8")
    output = ("--output-path", folder / "rosetta_client", "--config", settings)
    succeed(generator, *arguments, *output, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An implementation that serves; the others answer alike."""
    fleet = Fleet(find(SERVED), "sqlite", 1, tmp_path_factory.mktemp("logs"))
    server = fleet.server("clients")
    server.start()
    yield server
    fleet.close()


class Gateway(BaseHTTPRequestHandler):
    """Answers every request as a gateway whose upstream is away."""

    status = 503

    def do_GET(self) -> None:
        problem = {"type": "https://gateway.example/away", "title": "Away", "status": self.status}
        content = json.dumps(problem | {"detail": "the upstream is away"}).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/problem+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(params=[503, 502, 429])
def gateway(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """The URL of a gateway, and the status of its answers."""
    handler = type("OneStatus", (Gateway,), {"status": request.param})
    with ThreadingHTTPServer((HOST, 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{HOST}:{server.server_port}", request.param
        server.shutdown()


def test_a_generated_python_client_goes_from_sign_up_to_deletion(
    python: Path, client: Path, service: Server
) -> None:
    journey = HERE / "journey.py"
    said = succeed(python, journey, service.base_url, cwd=client, PYTHONPATH=str(client))
    assert said == "done\n"


def test_a_generated_python_client_reads_a_gateways_problem(
    python: Path, client: Path, gateway: tuple[str, int]
) -> None:
    url, status = gateway
    journey = HERE / "journey.py"
    said = succeed(python, journey, url, str(status), cwd=client, PYTHONPATH=str(client))
    assert said == "done\n"


def test_a_generated_typescript_client_compiles_and_goes_from_sign_up_to_deletion(
    typescript: Path, service: Server
) -> None:
    bin_ = typescript / "node_modules" / ".bin"
    succeed(bin_ / "openapi-typescript", OPENAPI, "-o", "schema.d.ts", cwd=typescript)
    succeed(bin_ / "tsc", cwd=typescript)
    assert succeed("node", "out/journey.js", service.base_url, cwd=typescript) == "done\n"


def test_redoclys_default_rules_find_no_error_and_warn_of_what_is_meant(typescript: Path) -> None:
    bin_ = typescript / "node_modules" / ".bin"
    found = json.loads(succeed(bin_ / "redocly", "lint", OPENAPI, "--format=json", cwd=typescript))
    problems = {(p["ruleId"], p["location"][0]["pointer"]) for p in found["problems"]}
    assert problems == REDOCLY
    assert found["totals"]["errors"] == 0


def test_spectrals_default_rules_find_no_error_and_warn_of_what_is_meant(typescript: Path) -> None:
    (typescript / ".spectral.yaml").write_text('extends: ["spectral:oas"]\n', encoding="utf-8")
    bin_ = typescript / "node_modules" / ".bin"
    arguments = ("lint", "--format=json", "--ruleset", ".spectral.yaml", OPENAPI)
    said = succeed(bin_ / "spectral", *arguments, cwd=typescript)
    found = json.JSONDecoder().raw_decode(said)[0]
    assert {(each["code"], ".".join(map(str, each["path"]))) for each in found} == SPECTRAL
    assert all(each["severity"] > 0 for each in found)


def test_schemathesis_finds_nothing_when_run_with_a_token(service: Server) -> None:
    with Api(service) as api:
        token = api.sign_up().token
    arguments = ("--url", service.base_url, "-H", f"Authorization: Bearer {token}")
    command = Path(sys.executable).parent / "schemathesis"
    said = run(command, "run", "spec/openapi.yaml", *arguments, cwd=ROOT)
    assert said.returncode == 0, said.stdout[-5000:] + said.stderr
    refused = re.search(r"Authentication failed: ([0-9]+) operation", said.stdout)
    # Writes of one user that found none but others.
    assert refused is None or int(refused[1]) < 4, said.stdout[-5000:]
