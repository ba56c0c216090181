"""Which rules speak of an answer, and of the places where two answers differ.

An answer is JSON as a replay compares it: ``status``, ``headers``, ``body``; for a websocket
``messages`` and ``closed``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from rosetta.contract.spec import ANY, load

Json = Any
NOTHING = "nothing"

# Where a difference lies, and the rule that speaks of it, where no answer of rules.yaml does.
RULES_OF_HEADERS = {
    "allow": "allow",
    "content-type": "media-type",
    "x-content-type-options": "nosniff",
    "x-request-id": "request-id",
    "location": "success",
    "sec-websocket-protocol": "ws-handshake",
}
RULES_OF_MEMBERS = {
    "errors": "validation-errors",
    "type": "problem",
    "title": "problem",
    "next": "pages",
    "data": "pages",
    "created_at": "timestamps",
    "updated_at": "timestamps",
    "id": "id-sequence",
    "owner_id": "item-schema",
    "price_cents": "strict-types",
    "tags": "item-schema",
    "description": "item-schema",
    "email": "user-schema",
    "access_token": "token",
    "expires_in": "token",
    "token_type": "token",
    "user_id": "token",
}


def parting(one: Json, other: Json) -> list[tuple[Any, Json, Json]]:
    """Return where two answers part; where the statuses do, all else follows from that."""
    parted = list(parted_values(one, other))
    if any(place[:1] == ("status",) for place, _, _ in parted):
        return [(("status",), summary(one), summary(other))]
    return parted


def rules_parted(one: Json, other: Json, operation: str) -> tuple[str, ...]:
    """Return the rules that speak of where two answers part."""
    places = [place for place, _, _ in parting(one, other)]
    found = (rule for place in places for rule in rules_of(place, one, other, operation))
    return tuple(dict.fromkeys(found))


def summary(answer: Json) -> str:
    """Return status and title of an answer to a request."""
    body = answer.get("body")
    title = body.get("title", "") if isinstance(body, dict) else ""
    return f"{answer.get('status', answer.get('trouble'))} {title}".rstrip()


def parted_values(one: Json, other: Json, *path: str | int) -> Iterator[tuple[Any, Json, Json]]:
    """Yield each place where two answers part, and what stands there in both."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in [*one, *(name for name in other if name not in one)]:
            yield from parted_values(one.get(name, NOTHING), other.get(name, NOTHING), *path, name)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from parted_values(*pair, *path, index)
    elif json.dumps(one) != json.dumps(other):
        yield path, one, other


def rules_of(place: tuple[str | int, ...], one: Json, other: Json, operation: str) -> Iterator[str]:
    """Yield the rules that speak of this place of an answer."""
    head = place[0] if place else ""
    if head == "status":
        known = [rule_of_answer(answer, operation) for answer in (one, other)]
        yield from [rule for rule in known if rule] or ["success"]
        yield from (
            ["precedence"] if all(answer.get("status", 0) >= 400 for answer in (one, other)) else []
        )
    elif head == "headers" and one.get("status") == other.get("status"):
        name = str(place[1]) if len(place) > 1 else ""
        yield RULES_OF_HEADERS.get(name) or rule_of_header(name, one, operation)
    elif head == "body" and one.get("status") == other.get("status"):
        named = [RULES_OF_MEMBERS[m] for m in map(str, place[1:]) if m in RULES_OF_MEMBERS]
        yield named[-1] if named else "success"
    elif head == "messages":
        yield "echo" if operation == "echo" else "feed"
    elif head == "closed":
        yield "ws-close"
    elif head == "trouble":
        yield "success"


def rules_held(answer: Json, operation: str) -> set[str]:
    """Return the rules that have a say in an answer: those a difference in it could name."""
    places = set(_places(answer))
    return {rule for place in places for rule in rules_of(place, answer, answer, operation)}


def _places(answer: Json, *path: str) -> Iterator[tuple[str, ...]]:
    """Yield the paths of all values in an answer, the elements of a list being one place."""
    if isinstance(answer, dict):
        for name, value in answer.items():
            yield from _places(value, *path, name)
    elif isinstance(answer, list):
        for value in answer:
            yield from _places(value, *path)
    else:
        yield path


def rule_of_answer(answer: Json, operation: str) -> str | None:
    """Return the rule by which an operation gives such an answer."""
    kind = answer.get("body", {}).get("type") if isinstance(answer.get("body"), dict) else None
    slug = str(kind).rpartition("/")[2] if kind else None
    found = _answers().get((answer.get("status"), slug, operation))
    return found or _answers().get((answer.get("status"), slug, ""))


def rule_of_header(name: str, answer: Json, operation: str) -> str:
    """Return the rule that asks for a header, or the one that closes the list of them."""
    asking = _headers()
    status = answer.get("status")
    keys = [(name, status, operation), (name, status, ""), (name, ANY, operation)]
    return next((asking[key] for key in keys if key in asking), "headers-closed")


@cache
def _answers() -> Mapping[tuple[int, str | None, str], str]:
    """Return the rules by status, problem and operation (empty: any)."""
    found: dict[tuple[int, str | None, str], str] = {}
    for rule in load().rules.rules.values():
        for answer in rule.answers:
            for operation in (*answer.operations, ""):
                found.setdefault((answer.status, answer.problem, operation), rule.id)
    return found


@cache
def _headers() -> Mapping[tuple[str, int, str], str]:
    """Return the rules by header, status and operation (empty: any)."""
    found: dict[tuple[str, int, str], str] = {}
    for rule in load().rules.rules.values():
        for answer in rule.answers:
            for name in answer.headers | answer.optional_headers:
                for operation in (*answer.operations, ""):
                    found.setdefault((name.lower(), answer.status, operation), rule.id)
    return found
