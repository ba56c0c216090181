"""The suite against a service in another language: tests/node, which needs Node.js.

These tests pin what the suite finds there. They are not in tests/: those need nothing but Python.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from rosetta.targets.fleet import SECRET_KEY
from rosetta.targets.manifest import find
from rosetta.targets.server import Server

CONFORMANCE = Path(__file__).parents[1]
OLDEST = 20

# Node's HTTP parser finds no Upgrade in a Connection field with tabs around it.
ITS_PARSER = {"ws-handshake"}
# node:crypto has no argon2 before Node.js 24.
ITS_HASH = {"passwords"}
# The contract's tables, which the suite looks into, fills and breaks past the server.
ITS_STORE = {
    *("configuration", "cors", "echo", "etag", "feed", "feed-cost", "feed-data", "feed-order"),
    *("if-match", "item-patch", "liveness", "migrations", "nosniff", "problem", "readiness"),
    *("request-id", "secret-key", "shutdown", "storage", "success", "timestamps", "token"),
    *("unavailable", "unhandled", "user-deletion", "write-only-password", "ws-close"),
}
KNOWN_GAPS = ITS_PARSER | ITS_HASH | ITS_STORE
# What no client can see from outside.
NEEDS_THE_PROCESS = {
    *("access-log", "migrations", "secret-key", "shutdown"),
    *("storage", "unavailable", "unhandled", "workers"),
}


def node_problem() -> str:
    """Return why there is no Node.js to use, or nothing."""
    node = shutil.which("node")
    wanted = f"install Node.js {OLDEST} or later (https://nodejs.org)"
    if node is None:
        return f"node is not on PATH: {wanted}"
    shown = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    version = shown.stdout.strip().removeprefix("v")
    major = version.partition(".")[0]
    if not major.isdecimal() or int(major) < OLDEST:
        return f"{node} is version {version or 'unknown'}: {wanted}"
    return ""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the service to a folder outside this repository; fail where Node.js is missing."""
    if problem := node_problem():
        pytest.fail(problem, pytrace=False)
    folder = tmp_path_factory.mktemp("elsewhere") / "node"
    shutil.copytree(CONFORMANCE / "tests" / "node", folder)
    return folder


def rules_found(results: Path, label: str, *target: str) -> Mapping[str, str]:
    """Run the rules of the suite and return each rule's outcome."""
    command = [sys.executable, "-m", "rosetta", "prove", "suite/rules", f"--results={results}"]
    environment = {**os.environ, "ROSETTA_SECRET_KEY": SECRET_KEY}
    run = subprocess.run(  # noqa: S603
        [*command, *target],
        cwd=CONFORMANCE,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    path = results / f"{label}.json"
    assert path.exists(), run.stdout + run.stderr
    result = json.loads(path.read_text(encoding="utf-8"))
    assert result["problems"] == []
    assert result["complete"], run.stdout
    outcomes: Mapping[str, str] = result["rules"]
    return outcomes


def having(outcomes: Mapping[str, str], outcome: str) -> set[str]:
    return {rule for rule, found in outcomes.items() if found == outcome}


def test_a_service_is_proven_by_its_manifest_but_for_its_known_gaps(service: Path) -> None:
    outcomes = rules_found(service.parent, "node", "--impl", str(service))
    assert having(outcomes, "failed") == KNOWN_GAPS
    assert having(outcomes, "not-run") == set()
    assert having(outcomes, "passed") == set(outcomes) - KNOWN_GAPS


def test_at_its_url_only_the_gap_of_its_parser_is_seen(service: Path) -> None:
    log = service.parent / "node.log"
    with Server.of(find(str(service)), service, {"SECRET_KEY": SECRET_KEY}, log) as server:
        outcomes = rules_found(service.parent, "url", "--base-url", server.base_url)
    assert having(outcomes, "failed") == ITS_PARSER
    assert having(outcomes, "not-run") == NEEDS_THE_PROCESS
    assert having(outcomes, "passed") == set(outcomes) - ITS_PARSER - NEEDS_THE_PROCESS


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (None, "node is not on PATH: install Node.js 20 or later"),
        ("echo v18.19.0", "is version 18.19.0: install Node.js 20 or later"),
        ("exit 1", "is version unknown: install Node.js 20 or later"),
    ],
)
def test_without_a_node_that_will_do_the_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, message: str
) -> None:
    if script:
        (tmp_path / "node").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "node").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert message in node_problem()
