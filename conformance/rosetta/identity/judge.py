"""Hold the answers to the corpus to the contract, as layer 1 holds those that it generates.

Identical answers prove that implementations agree; this proves that what they agree on is right:
the status is documented for the operation, the body fits its schema, the header fields are those
that must be there, and no others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jsonschema_rs import Draft202012Validator, Registry

from rosetta.clients.message import Response
from rosetta.contract import spec
from rosetta.contract.blame import rule_of_answer
from rosetta.contract.headers import BODYLESS, FREE, OWN_TO_HTTP
from rosetta.contract.terms import PROBLEMS
from rosetta.identity.compare import in_words, operations_of
from rosetta.identity.corpus import Line
from rosetta.identity.player import Answer

Json = Any
JSON, PROBLEM = "application/json", "application/problem+json"
SHOWN = 500
# What any path may answer, whatever its operation: no route, another method, no handshake.
GENERAL = {404: "not-found", 405: "method-not-allowed", 426: "upgrade-required"}
NO_CONTENT, NOT_MODIFIED, SWITCHED = 204, 304, 101


@dataclass(frozen=True)
class Wrong:
    """An answer that is not what the contract says; ``number`` is that of the line, from 1."""

    number: int
    operation: str
    rule: str
    wrong: str
    request: str
    answer: str


def judge(lines: Sequence[Line], answers: Sequence[Answer]) -> tuple[int, list[Wrong]]:
    """Return how many answers were judged, and those that are wrong."""
    wrong, judged = [], 0
    operations = operations_of(lines)
    for number, (line, answer) in enumerate(zip(lines, answers, strict=True), 1):
        if not line.request or answer.response is None:
            continue
        judged += 1
        for rule, what in breaches(line, operations[number - 1], answer.response):
            told = in_words(line), _told(answer.response)
            wrong.append(Wrong(number, operations[number - 1], rule, what, *told))
    return judged, wrong


def breaches(line: Line, operation: str, response: Response) -> Iterator[tuple[str, str]]:
    """Yield each rule that a response breaks, and what is wrong."""
    if response.status == SWITCHED:
        return  # the handshake's fields are its own; the sockets' messages are compared
    documented = _documented(operation).get(response.status)
    if documented is None and not _is_general(operation, line, response.status):
        rule = rule_of_answer({"status": response.status}, operation) or "success"
        yield rule, f"status {response.status} is not documented for {operation}"
        return
    yield from _wrong_body(line, response, documented)
    yield from _wrong_fields(response, documented)


def _is_general(operation: str, line: Line, status: int) -> bool:
    if status == NO_CONTENT:
        return line.method == "OPTIONS"
    return status in GENERAL or operation not in _operations()


def _wrong_body(
    line: Line, response: Response, documented: _Documented | None
) -> Iterator[tuple[str, str]]:
    bodyless = response.status in BODYLESS or line.method == "HEAD"
    if bodyless:
        if response.content:
            yield "media-type", f"a body where there is none: {response.content[:80]!r}"
        return
    problem = response.status >= 400
    kind = response.headers.get("Content-Type")
    if kind != (PROBLEM if problem else JSON):
        yield "media-type", f"Content-Type is {kind}"
        return
    try:
        body = json.loads(response.content)
    except ValueError as error:
        yield "media-type", f"the body is not JSON: {error}"
        return
    if documented and documented.body:
        for found in documented.body.iter_errors(body):
            yield ("problem" if problem else "success"), f"the body: {found.message[:SHOWN]}"
            return
    elif problem:
        yield from _wrong_problem(response.status, body)


def _wrong_problem(status: int, body: Json) -> Iterator[tuple[str, str]]:
    """Judge a problem of a response that no document describes by the table of problems."""
    known = [
        {"type": f"/problems/{slug}", "title": title, "status": code}
        for slug, (code, title) in PROBLEMS.items()
        if code == status
    ]
    if body not in known:
        yield "problem", f"no problem of status {status}: {json.dumps(body)[:SHOWN]}"


def _wrong_fields(response: Response, documented: _Documented | None) -> Iterator[tuple[str, str]]:
    names = [name.lower() for name, _ in response.fields]
    required = {"x-content-type-options", "x-request-id"}
    if documented:
        required |= documented.required
    if missing := required - set(names):
        yield "headers-closed", f"without the fields {', '.join(sorted(missing))}"
    if documented:
        own = {"content-type", "upgrade"} | OWN_TO_HTTP | FREE
        if extra := set(names) - documented.fields - required - own:
            yield "headers-closed", f"with the fields {', '.join(sorted(extra))}"


# -- what the documents say


@dataclass(frozen=True)
class _Documented:
    """A response of an operation: the names of its fields in lower case, and its body's schema."""

    fields: frozenset[str]
    required: frozenset[str]
    body: Draft202012Validator | None


@cache
def _operations() -> dict[str, spec.Operation]:
    loaded = spec.load()
    return {**loaded.operations, **loaded.websockets}


@cache
def _documented(operation: str) -> dict[int, _Documented]:
    """Return the responses of an operation by status; none for what is no operation."""
    loaded = spec.load()
    if operation in loaded.operations:
        method = loaded.operations[operation].method.lower()
        path = loaded.operations[operation].path
        node = loaded.at(loaded.openapi, "paths", path, method)
        found = loaded.children(node, "responses")
    elif operation in loaded.websockets:
        node = loaded.at(loaded.asyncapi, "channels", operation)
        found = loaded.children(node, "x-handshake-responses")
    else:
        return {}
    return {int(status): _response(loaded, node) for status, node in found}


def _response(loaded: spec.Spec, node: spec.Node) -> _Documented:
    summary = loaded.response(node)
    media = dict(node.content.get("content", {}))
    body = None
    for kind in media:
        schema = loaded.at(node, "content", kind, "schema")
        body = Draft202012Validator({"$ref": schema.address}, registry=_registry())
    return _Documented(
        frozenset(name.lower() for name in summary.headers),
        frozenset(name.lower() for name in summary.required),
        body,
    )


@cache
def _registry() -> Registry:
    loaded = spec.load()
    return Registry([(node.uri, node.content) for node in (loaded.openapi, loaded.asyncapi)])


def _told(response: Response) -> str:
    fields = "\n".join(f"{name}: {value}" for name, value in response.fields)
    return f"{response.status}\n{fields}\n\n{response.text[:SHOWN]}"
