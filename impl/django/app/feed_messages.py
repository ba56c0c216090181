"""The words of the change feed: what the client may say, and what it is told."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

from app.strict_json import MalformedJSONError, parse_json

TOPICS = frozenset({"users", "items"})

CLOSE_UNAUTHORIZED = 4401  # the token has expired, or its user is gone
CLOSE_TOO_SLOW = 4408
CLOSE_GOING_AWAY = 1001  # RFC 6455 section 7.4.1
CLOSE_UNSUPPORTED_DATA = 1003


class FeedClosed(Exception):  # noqa: N818 (an end, not an error)
    """The feed ends here; the socket is to be closed with `code`."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Command(NamedTuple):
    """What the client asked for, the answer, and the topics that hold from the answer on."""

    answer: str
    topics: frozenset[str] | None = None


class FeedEvent(NamedTuple):
    """A committed event, encoded once for all who watch."""

    id: int
    topic: str
    deleted_user_id: int | None
    message: str


def feed_event(
    event_id: int,
    event: str,
    resource_id: int,
    data: Mapping[str, Any] | None,
    occurred_at: datetime,
) -> FeedEvent:
    """Encode a row of `events`."""
    message = {
        "type": "event",
        "id": event_id,
        "event": event,
        "resource_id": resource_id,
        "data": data,
        "occurred_at": occurred_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    deleted_user_id = resource_id if event == "user.deleted" else None
    return FeedEvent(event_id, event.partition(".")[0] + "s", deleted_user_id, json.dumps(message))


def ready(after: int) -> str:
    """Encode the first message: the feed starts behind event `after`."""
    return json.dumps({"type": "ready", "after": after})


def read_command(text: str) -> Command:
    """Understand a client's message; whatever it is, there is an answer."""
    try:
        message = parse_json(text)
    except MalformedJSONError:
        return _INVALID
    match message:
        case {"type": "ping", **extra} if not extra:
            return Command(json.dumps({"type": "pong"}))
        case {"type": "subscribe", "topics": [*topics], **extra} if not extra:
            return _subscribe(topics)
    return _INVALID


_INVALID = Command(json.dumps({"type": "error", "code": "invalid-message"}))


def _subscribe(topics: list[Any]) -> Command:
    known = [topic for topic in topics if isinstance(topic, str) and topic in TOPICS]
    if not topics or len(known) < len(topics) or len(set(known)) < len(known):
        return _INVALID
    answer: dict[Literal["type", "topics"], Any] = {"type": "subscribed", "topics": sorted(known)}
    return Command(json.dumps(answer), frozenset(known))
