"""Assertions about what comes on a websocket; their failures read like bug reports."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rosetta.clients.evidence import Violation
from rosetta.clients.websocket import TIMEOUT, Feed, Message, RawWebSocket, Silence, Socket
from rosetta.contract.terms import MISSING

LONGEST = 1000  # characters of what a failure quotes


def breach(socket: Socket | RawWebSocket, expected: str, got: object) -> Violation:
    """Return the error to raise when a websocket is not what the contract says."""
    handshake, said = socket.transcript.told
    text = f"expected {expected}, got {_cut(str(got))}\n\n{handshake}\n\n{said}"
    return Violation(text, [(handshake, said)])


def expect_ready(feed: Feed, after: int) -> None:
    """Hold the first message to a ``ready`` from which the feed starts; raise Violation."""
    __tracebackhide__ = True
    if feed.ready != (wanted := {"type": "ready", "after": after}):
        raise breach(feed, f"the first message {_shown(wanted)}", _shown(feed.ready))


def expect_message(socket: Socket, wanted: Message | str | bytes, timeout: float = TIMEOUT) -> None:
    """Hold the next message to this: JSON of a feed, else text or bytes; raise Violation."""
    __tracebackhide__ = True
    try:
        got = socket.next(timeout) if isinstance(socket, Feed) else socket.receive(timeout)
    except Silence as silence:
        raise breach(socket, f"the message {_shown(wanted)}", silence) from None
    if got != wanted:
        raise breach(socket, f"the message {_shown(wanted)}", _shown(got))


def expect_events(
    feed: Feed,
    wanted: Sequence[Any],
    seen: Callable[[Message], Any] = lambda event: event,
    timeout: float = TIMEOUT,
) -> list[Message]:
    """Return the next messages if ``seen`` makes just these of them; raise Violation."""
    __tracebackhide__ = True
    try:
        events = feed.take(len(wanted), timeout)
    except Silence as silence:
        raise breach(feed, f"{len(wanted)} events, {_shown(list(wanted))}", silence) from None
    got = [seen(event) for event in events]
    for number, (one, other) in enumerate(zip(got, wanted, strict=True), 1):
        if one != other:
            raise breach(feed, f"{_shown(other)} of event {number} of {len(got)}", _shown(one))
    return events


def expect_no_gap(feed: Feed, first: int, events: Sequence[Message]) -> None:
    """Hold the ids of events to ``first``, ``first`` + 1 and so on; raise Violation."""
    __tracebackhide__ = True
    ids = [event["id"] for event in events]
    if ids != (wanted := list(range(first, first + len(ids)))):
        raise breach(feed, f"the ids {wanted}", ids)


def expect_no_event(feed: Feed) -> None:
    """Hold a feed to sending no event before it answers a ping; raise Violation."""
    __tracebackhide__ = True
    expect_answer(feed, {"type": "ping"}, {"type": "pong"})


def expect_answer(
    feed: Feed, command: Mapping[str, Any] | str, answer: Message, *, alone: bool = True
) -> list[Message]:
    """Send a command; return the events that come before its answer, which must be this.

    ``alone`` allows no events before it. Raise Violation.
    """
    __tracebackhide__ = True
    asked = f"{_shown(answer)} to {_cut(str(command))}"
    try:
        *events, got = feed.ask(command)
    except Silence as silence:
        raise breach(feed, asked, silence) from None
    if got != answer:
        raise breach(feed, asked, _shown(got))
    if alone and events:
        raise breach(feed, f"{asked} and no event before it", _shown(events))
    return events


def expect_close(socket: Socket | RawWebSocket, code: int, timeout: float = TIMEOUT) -> None:
    """Read on until the server closes, which must be with this code; raise Violation."""
    __tracebackhide__ = True
    try:
        got = socket.close_code(timeout)
    except Silence as silence:
        raise breach(socket, f"close code {code}", silence) from None
    if got != code:
        raise breach(socket, f"close code {code}", f"close code {got}")


def data_of(event: Message) -> Any:  # noqa: ANN401 - JSON
    """Return the resource that an event tells of, as it was then."""
    return event.get("data", MISSING)


def _shown(message: object) -> str:
    return _cut(json.dumps(message, ensure_ascii=False, default=str))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"
