"""What two right answers may differ in, and answers with just that taken out.

``OPEN`` is the whole list: whatever does not stand in it is compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rosetta.clients.message import Response
from rosetta.contract.headers import FREE, OWN_TO_HTTP
from rosetta.contract.terms import TIMESTAMP, UUID4
from rosetta.identity.corpus import Line
from rosetta.identity.player import Answer

Json = Any

# (what is not compared, the rule that leaves it open)
OPEN: tuple[tuple[str, str], ...] = (
    ("the case and the order of header fields, the status line's reason phrase", "RFC 9110"),
    ("Date, Server, Keep-Alive; Connection but for Upgrade", "headers-closed"),
    (
        "Content-Length against Transfer-Encoding, Content-Length of 204, 304, HEAD",
        "headers-closed",
    ),
    ("Vary, Referrer-Policy, Cross-Origin-Opener-Policy, X-Frame-Options", "headers-closed"),
    ("Allow but on 405 and OPTIONS; there, the order of its methods", "allow"),
    ("an X-Request-ID that is not the client's own: a UUID of version 4", "request-id"),
    ("JSON: order of members, white space, escapes", "media-type"),
    ("created_at, updated_at: which instants, not which of them are equal or later", "timestamps"),
    ("occurred_at: the instant", "feed"),
    ("ids and tokens: their values, not where each stands again", "id-sequence, token"),
    ("the reason of a Close, and the code of one that answers the client's", "ws-close"),
)
FREE_HEADERS = (OWN_TO_HTTP | FREE) - {"allow", "connection"}  # which are compared in part
METHOD_NOT_ALLOWED = 405
OWN_ID = re.compile(r"\r\nX-Request-ID:[ \t]*([A-Za-z0-9._-]{1,64})[ \t]*\r\n", re.IGNORECASE)
TEXT = 1


class Normal:
    """Takes the answers of one server, in order; what it has seen gives ids and instants a name."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], str] = {}
        self._times: dict[tuple[str, Json], dict[str, str]] = {}
        self._feeds: set[int] = set()

    def answers(self, lines: Sequence[Line], answers: Sequence[Answer]) -> list[Json]:
        """Return each answer as JSON that is equal for answers the contract does not part."""
        return [self.answer(line, answer) for line, answer in zip(lines, answers, strict=True)]

    def answer(self, line: Line, answer: Answer) -> Json:
        """Return one answer."""
        if line.binds and answer.born is not None:
            self._names[line.binds.kind, answer.born] = f"<{line.binds.kind} {line.binds.number}>"
        if answer.response is None and line.request:
            return {"trouble": answer.trouble}
        if line.socket and line.operation == "watch_events":
            self._feeds.add(line.socket)
        if answer.response is not None:
            return self._response(line, answer.response)
        shown: dict[str, Json] = {
            "messages": [self._message(line.socket, *m) for m in answer.messages]
        }
        shown |= {} if answer.closed is None else {"closed": answer.closed}
        return shown | ({"trouble": answer.trouble} if answer.trouble else {})

    # -- responses

    def _response(self, line: Line, response: Response) -> Json:
        headers = self._headers(line, response)
        shown: dict[str, Json] = {"status": response.status, "headers": headers}
        if response.content:
            shown["body"] = self._body(response.content)
        return shown

    def _headers(self, line: Line, response: Response) -> Mapping[str, Sequence[str]]:
        found: dict[str, list[str]] = {}
        for name, value in response.fields:
            found.setdefault(name.lower(), []).append(value)
        shown: dict[str, Sequence[str]] = {}
        for name, values in sorted(found.items()):
            kept = self._header(name, values, line, response)
            shown |= {name: kept} if kept else {}
        return shown

    def _header(
        self, name: str, values: list[str], line: Line, response: Response
    ) -> Sequence[str]:
        """Return the values to be compared; none if the field is free."""
        if name in FREE_HEADERS:
            return []
        if name == "connection":
            return sorted({"upgrade"} & members(values, lower=True))
        if name == "upgrade":
            return sorted(members(values, lower=True))
        if name == "allow":
            told = response.status == METHOD_NOT_ALLOWED or line.method == "OPTIONS"
            return sorted(members(values)) if told else []
        if name == "x-request-id":
            own = OWN_ID.search(sent_head(line))
            return ["<uuid>"] if own is None and _is_uuid(values) else values
        if name in ("location", "link"):
            return [self._target(value) for value in values]
        if name == "etag":
            kind = "item" if line.target.startswith("/items") else "user"
            return [self._tag(kind, value) for value in values]
        return values

    def _body(self, content: bytes) -> Json:
        try:
            body = json.loads(content, object_pairs_hook=once, parse_constant=refuse)
        except ValueError:
            return {"no JSON": content.decode("latin-1")}
        return self._value(body)

    # -- JSON

    def _value(self, value: Json) -> Json:
        """Return a body: a resource, a page, a token or a problem."""
        if isinstance(value, list):
            return [self._value(member) for member in value]
        if not isinstance(value, dict):
            return value
        shown = dict(value)
        if {"created_at", "updated_at", "id"} <= set(value):
            shown |= self._resource(value)
        if "access_token" in value:
            shown["access_token"] = self._name("token", value["access_token"])
        if "user_id" in value:
            shown["user_id"] = self._name("user", value["user_id"])
        if "data" in value:
            shown["data"] = self._value(value["data"])
        if isinstance(value.get("next"), str):
            shown["next"] = self._target(value["next"])
        return shown

    def _resource(self, value: dict[str, Json]) -> dict[str, Json]:
        kind = "item" if "owner_id" in value else "user"
        times = self._times.setdefault((kind, str(value["id"])), {})
        shown = {name: _instant(value[name], times) for name in ("created_at", "updated_at")}
        shown["id"] = self._name(kind, value["id"])
        if kind == "item":
            shown["owner_id"] = self._name("user", value["owner_id"])
        return shown

    def _name(self, kind: str, value: Json) -> Json:
        """Return the name of an id or token; a value that no line bound stays as it is."""
        right = type(value) is (str if kind == "token" else int)
        return self._names.get((kind, str(value)), value) if right else value

    def _target(self, value: str) -> str:
        """Return a path with query, or a Link that holds one, with names for the ids."""
        kind = "item" if "/items" in value else "user"
        places = {"/users/": "user", "/items/": "item", "owner_id=": "user", "after=": kind}

        def named(match: re.Match[str]) -> str:
            return match[1] + self._names.get((places[match[1]], match[2]), match[2])

        return re.sub(r"(/users/|/items/|owner_id=|after=)(\d+)", named, value, flags=re.ASCII)

    def _tag(self, kind: str, value: str) -> str:
        """Return an entity-tag with a name for the id."""
        return re.sub(
            r'(?<=^")\d+(?=-)',
            lambda match: self._names.get((kind, match[0]), match[0]),
            value,
            flags=re.ASCII,
        )

    # -- messages

    def _message(self, socket: int, opcode: int, data: bytes) -> Json:
        if opcode != TEXT or socket not in self._feeds:
            return {"opcode": opcode, "data": data.decode("latin-1")}
        try:
            message = json.loads(data, object_pairs_hook=once, parse_constant=refuse)
        except ValueError:
            return {"text": data.decode("utf-8", "backslashreplace")}
        if not isinstance(message, dict) or message.get("type") != "event":
            return message
        kind = str(message.get("event")).partition(".")[0]
        shown = message | {"data": self._value(message.get("data"))}
        shown["resource_id"] = self._name(kind, message.get("resource_id"))
        if TIMESTAMP.fullmatch(str(message.get("occurred_at"))):
            shown["occurred_at"] = "<instant>"
        return shown


def _instant(value: Json, times: dict[str, str]) -> Json:
    """Name an instant of a resource by its place among those seen of it."""
    if not isinstance(value, str) or not TIMESTAMP.fullmatch(value):
        return value
    if value not in times:
        earlier = any(value < known for known in times)
        times[value] = f"<instant {len(times) + 1}{', earlier' if earlier else ''}>"
    return times[value]


def members(values: Sequence[str], *, lower: bool = False) -> set[str]:
    """Return the members of a list-typed field."""
    listed = {member.strip() for value in values for member in value.split(",")} - {""}
    return {member.lower() for member in listed} if lower else listed


def sent_head(line: Line) -> str:
    """Return the header of a request, which holds no symbol where its own id stands."""
    text = "".join(p.decode("latin-1") if isinstance(p, bytes) else "<>" for p in line.request)
    return text.partition("\r\n\r\n")[0] + "\r\n"


def once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """Return an object; raise ValueError if a member is repeated."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member is repeated")
    return members


def refuse(constant: str) -> Json:
    """Raise ValueError: NaN and Infinity are no JSON."""
    raise ValueError(f"{constant} is no JSON")


def _is_uuid(values: Sequence[str]) -> bool:
    return len(values) == 1 and UUID4.fullmatch(values[0]) is not None
