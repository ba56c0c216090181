"""Layer 1: Schemathesis generates requests from openapi.yaml and judges each answer by it."""

from __future__ import annotations

import json
import ssl
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from schemathesis import BaseSchema, Response
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema
from schemathesis.engine.recorder import Interaction, ScenarioRecorder
from schemathesis.generation import GenerationMode
from schemathesis.openapi import from_dict

from machines.identities import Identities
from rosetta.clients.http import Api
from rosetta.contract.blame import rule_of_answer, rules_held
from rosetta.contract.routes import operation_of
from rosetta.contract.spec import load

Json = Any
CONFIG = Path(__file__).with_name("schemathesis.toml")
PHASES = ("examples", "coverage", "fuzzing", "stateful")
# Of checks, the rule that is broken where one fails; of others, the rule of such an answer.
RULES = {
    "content_type_conformance": "media-type",
    "ensure_resource_availability": "success",
    "ignored_auth": "bearer",
    "negative_data_rejection": "validation-errors",
    "response_headers_conformance": "headers-closed",
    "unsupported_method": "method",
    "use_after_free": "not-found",
}


@dataclass(frozen=True)
class Finding:
    """One check that failed for one answer, or an error of the engine itself."""

    phase: str
    operation: str
    check: str
    text: str
    exchanges: tuple[tuple[str, str], ...] = ()  # requests and answers that show it
    rules: tuple[str, ...] = ()  # that are broken

    def __str__(self) -> str:
        return f"{self.operation}, {self.phase}: {self.check}\n\n{self.text}"


@dataclass
class Outcome:
    """What one run of the engine saw; operations are named as in ``POST /users``."""

    prefix: str = ""  # of the base URL
    findings: list[Finding] = field(default_factory=list)
    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    tested: set[tuple[str, str]] = field(default_factory=set)
    followed: set[tuple[str, str]] = field(default_factory=set)  # links, from and to
    problems: list[str] = field(default_factory=list)
    requests: list[Interaction] = field(default_factory=list)
    held: dict[tuple[str, str], set[str]] = field(default_factory=dict)  # rules by the same

    def of(self, operation: str, phase: str) -> list[Finding]:
        """Return what was found of an operation in a phase."""
        return [f for f in self.findings if (f.operation, f.phase) == (operation, phase)]

    def succeeded(self, operation: str) -> bool:
        """Tell whether the operation was ever answered 2xx."""
        return any(status // 100 == 2 for status in self.statuses.get(operation, ()))


@dataclass(frozen=True)
class Choice:
    """What a run of the engine generates; left to itself, all that schemathesis.toml says."""

    phases: tuple[str, ...] = PHASES
    without: tuple[str, ...] = ()  # operationIds
    examples: int | None = None  # of each operation, where they are generated at random
    modes: tuple[str, ...] = ()  # positive or negative


EVERYTHING = Choice()


def run(api: Api, seed: int, choice: Choice = EVERYTHING, *, salt: str | None = None) -> Outcome:
    """Run the engine once against the server of ``api``; the same seed sends the same requests.

    ``salt`` keeps the e-mail addresses of several runs against one database apart.
    """
    schema: BaseSchema = from_dict(load().openapi.content, config=configuration(seed, choice))
    for operation in choice.without:
        schema = schema.exclude(operation_id=operation)
    # Its own client takes no notice of SSL_CERT_FILE; these are the CAs of ours.
    authorities = ssl.get_default_verify_paths().cafile
    schema.config.update(base_url=api.target.base_url, tls_verify=authorities or True)
    outcome = Outcome(prefix=api.target.prefix)
    with Identities(api, salt).signing(schema):
        for event in from_schema(schema).execute():
            _note(event, outcome)
    return outcome


def configuration(seed: int, choice: Choice) -> SchemathesisConfig:
    """Return the configuration of schemathesis.toml for a seed and what is chosen of it."""
    config = SchemathesisConfig.from_path(CONFIG)
    config.update(seed=seed, max_failures=None)
    project = config.projects.default
    project.phases.update(phases=list(choice.phases))
    project.generation.update(
        max_examples=choice.examples, modes=[GenerationMode(mode) for mode in choice.modes] or None
    )
    return config


def _note(event: events.EngineEvent, outcome: Outcome) -> None:
    match event:
        case events.ScenarioFinished():
            _note_scenario(event, outcome)
        case events.NonFatalError():
            phase = event.phase.value if event.phase else "engine"
            text = event.info.format(bold=str)
            outcome.findings.append(Finding(phase, event.label, "engine error", text))
        case events.FatalError():
            outcome.problems.append(f"the engine failed: {event.exception!r}")
        case events.Interrupted():
            outcome.problems.append("the engine was interrupted")
        case events.EngineFinished() if event.stop_reason.value != "completed":
            outcome.problems.append(f"the engine stopped early: {event.stop_reason.value}")


def _note_scenario(event: events.ScenarioFinished, outcome: Outcome) -> None:
    recorder, phase = event.recorder, event.phase.value
    for case_id, interaction in recorder.interactions.items():
        case = recorder.cases[case_id].value
        operation = case.operation.label
        outcome.requests.append(interaction)
        held = rules_held(answer_of(interaction), operation_at(interaction, outcome.prefix))
        outcome.held.setdefault((operation, phase), set()).update(held)
        parent = recorder.find_parent(case_id=case_id)
        if parent is not None and recorder.cases[case_id].transition is not None:
            outcome.followed.add((parent.operation.label, operation))
        if event.status is not Status.SKIP:
            outcome.tested.add((operation, phase))
        if interaction.response and case.method.upper() == case.operation.method.upper():
            statuses = outcome.statuses.setdefault(operation, Counter())
            statuses[interaction.response.status_code] += 1
    outcome.findings += _failures(recorder, phase, outcome.prefix)


def _failures(recorder: ScenarioRecorder, phase: str, prefix: str) -> Iterator[Finding]:
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.failure_info is None:
                continue
            failure = check.failure_info.failure
            steps = [step.curl for step in check.failure_info.steps]
            request = "\n".join(steps or [check.failure_info.code_sample])
            interaction = recorder.interactions[failure.case_id or case_id]
            answer = describe(interaction)
            text = "\n\n".join([f"{failure.title}\n{failure.message}", request, answer])
            operation = recorder.cases[case_id].value.operation.label
            asked = operation_at(interaction, prefix)
            said = rule_of_answer(answer_of(interaction), asked) or "success"
            rule = RULES.get(check.name, said)
            yield Finding(phase, operation, check.name, text, ((request, answer),), (rule,))


def answer_of(interaction: Interaction) -> Json:
    """Return a response in the form in which a replay compares them; empty where there is none."""
    response = interaction.response
    if response is None:
        return {}
    headers = {name: ", ".join(values) for name, values in response.headers.items()}
    return {"status": response.status_code, "headers": headers, "body": json_of(response)}


def json_of(response: Response) -> Json:
    """Return the JSON of a response; None where there is none."""
    try:
        return json.loads(response.content)
    except ValueError:
        return None


def operation_at(interaction: Interaction, prefix: str) -> str:
    """Return the operation that a request asked for at a base URL with this prefix."""
    path = urlsplit(interaction.request.uri).path.removeprefix(prefix)
    return operation_of(interaction.request.method, path)


def describe(interaction: Interaction) -> str:
    """Return a response as text: status line, header fields and body."""
    response = interaction.response
    if response is None:
        return "(no response)"
    lines = [f"HTTP/1.1 {response.status_code}"]
    lines += [f"{name}: {value}" for name, values in response.headers.items() for value in values]
    return "\n".join([*lines, "", response.text]).rstrip()
