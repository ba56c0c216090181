"""A process that runs tests: its servers, its clients, and bug reports instead of tracebacks."""

from __future__ import annotations

import ssl
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from pathlib import Path

import pytest

from rosetta.clients import evidence
from rosetta.clients.evidence import Violation
from rosetta.clients.http import TRANSPORT_ERRORS, Api
from rosetta.results.run import EVIDENCE, Evidence
from rosetta.runner.plan import rules_of
from rosetta.targets.fleet import SECRET_KEY, Fleet
from rosetta.targets.server import Server, ServerError, Target

LOG_SHOWN = 3000


@dataclass(eq=False)
class Process:
    """The hooks of one process, and its servers: of a fleet of its own, or one that runs.

    ``skips`` are the tests that were planned not to run, with the reason.
    """

    rules: Mapping[str, str]
    skips: Mapping[str, str]
    fleet: Fleet | None
    target: Target | None
    secret_key: str | None
    problems: list[str] = field(default_factory=list)
    _apis: list[Api] = field(default_factory=list)
    _servers: dict[str, Server] = field(default_factory=dict)
    _log_start: int = 0

    # -- servers

    def main(self, session: pytest.Session) -> Target:
        """Return the server under test."""
        return self.target or self.server("main", session)

    def server(
        self, name: str, session: pytest.Session, environment: Mapping[str, str] | None = None
    ) -> Server:
        """Return one of the servers that last as long as the process, started at the first call.

        One that does not start ends the run: no test could pass.
        """
        assert self.fleet is not None
        if name not in self._servers:
            try:
                self._servers[name] = self.fleet.server(name, environment=environment)
                self._servers[name].start()
            except Exception as error:
                self.problems.append(str(error))
                session.shouldfail = f"the server {name!r} did not start"
                raise
        return self._servers[name]

    def client(self, target: Target) -> Api:
        """Return a client whose exchanges stand in the report of a failure."""
        known = isinstance(target, Server) and signs_as_we_do(target)
        self._apis.append(Api(target, secret_key=SECRET_KEY if known else None))
        return self._apis[-1]

    def forget(self, api: Api) -> None:
        """Close a client before the end."""
        api.close()
        self._apis.remove(api)

    def close(self) -> None:
        """End the servers and drop their databases; what goes wrong is a problem of the run."""
        for api in self._apis:
            api.close()
        try:
            if self.fleet:
                self.fleet.close()
        except Exception as error:  # the results must be written all the same
            self.problems.append(f"cleaning up failed: {error}")

    # -- reports

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Let a failure report show only what its own test did."""
        for api in self._apis:
            api.exchanges.clear()
        evidence.forget()
        self._log_start = _size(self._log)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[object]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Turn an unplanned skip into a failure, and a failure into a bug report."""
        report = yield
        if report.skipped and item.nodeid not in self.skips:
            reason = getattr(report, "wasxfail", None) or _skip_reason(report)
            report.outcome = "failed"
            report.longrepr = f"unexpected skip or xfail: {reason}"
            report.__dict__.pop("wasxfail", None)
        if report.failed:
            self._explain(item, report)
            error = call.excinfo.value if call.excinfo else None
            # A report travels between processes as long as it is made of dicts and lists.
            report.__dict__[EVIDENCE] = asdict(self._evidence(error))
            broken = error.rules if isinstance(error, Violation) else []
            report.user_properties += [("broken", rule) for rule in broken]
        return report

    def _evidence(self, error: BaseException | None) -> Evidence:
        """Return what was asked and answered, in order, what was judged at the end."""
        judged = error.exchanges if isinstance(error, Violation) else []
        before = [exchange.told for api in self._apis for exchange in api.exchanges]
        before += [transcript.told for transcript in evidence.transcripts()]
        told = [*(each for each in before if each not in judged), *judged]
        exchanges = [{"request": request, "response": response} for request, response in told]
        return Evidence(exchanges, _read_from(self._log, self._log_start))

    def _explain(self, item: pytest.Item, report: pytest.TestReport) -> None:
        for rule in dict.fromkeys(rules_of(item)):
            report.sections.append((f"rule {rule}: the contract says", self.rules.get(rule, "?")))
        told = report.longreprtext
        exchanges = [str(exchange) for api in self._apis for exchange in api.exchanges]
        exchanges = [text for text in exchanges if text.splitlines()[0] not in told]
        if exchanges:
            report.sections.append(("exchanges before", "\n\n".join(exchanges)))
        sockets = [str(transcript) for transcript in evidence.transcripts()]
        if sockets := [text for text in sockets if text not in told]:
            report.sections.append(("websockets", "\n\n".join(sockets)))
        if log := _read_from(self._log, self._log_start):
            report.sections.append(("the main server's log", log))

    @property
    def _log(self) -> Path | None:
        main = self._servers.get("main")
        return main.log if main else None


PROCESS = pytest.StashKey[Process]()


def target_at(base_url: str) -> Target:
    """Return the server at a base URL; raise UsageError where it cannot be tested."""
    try:
        return Target(base_url)
    except ValueError as error:
        raise pytest.UsageError(f"--base-url: {error}") from None


def check_reachable(target: Target) -> None:
    """Raise ServerError unless a server answers there."""
    try:
        with Api(target, timeout=5) as api:
            answer = api.get("/healthz")
    except ssl.SSLCertVerificationError as error:
        raise ServerError(f"{target.base_url}: {error}; SSL_CERT_FILE names a CA file") from None
    except TRANSPORT_ERRORS as error:
        raise ServerError(f"no server at {target.base_url}: {error}") from None
    if answer.status_code != HTTPStatus.OK:
        raise ServerError(f"{target.base_url}/healthz answered {answer.status_code}, not 200")


def signs_as_we_do(server: Server) -> bool:
    """Tell whether the suite's own tokens are those that this server would issue."""
    environment = server.environment
    return environment.get("SECRET_KEY") == SECRET_KEY and "TOKEN_TTL_SECONDS" not in environment


def _skip_reason(report: pytest.TestReport) -> str:
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)


def _size(log: Path | None) -> int:
    return log.stat().st_size if log and log.exists() else 0


def _read_from(log: Path | None, start: int) -> str:
    if log is None or not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(start, _size(log) - LOG_SHOWN))
        return file.read().decode("utf-8", "replace")
