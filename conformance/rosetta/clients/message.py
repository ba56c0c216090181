"""Requests as they were sent and responses as they came, of either client."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rosetta.targets.server import Target

Field = tuple[str, str]


class Headers(Mapping[str, str]):
    """Header fields, looked up in any case; repeated ones are joined by commas.

    Their names, where they are listed, are in lower case.
    """

    def __init__(self, fields: Iterable[Field]) -> None:
        self._items = [(name.lower(), value) for name, value in fields]
        self._joined: dict[str, str] = {}
        for name, value in self._items:
            known = self._joined.get(name)
            self._joined[name] = value if known is None else f"{known}, {value}"

    def __getitem__(self, name: str) -> str:
        return self._joined[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._joined

    def __iter__(self) -> Iterator[str]:
        return iter(self._joined)

    def __len__(self) -> int:
        return len(self._joined)

    def __repr__(self) -> str:
        return f"Headers({self._items})"

    def multi_items(self) -> list[Field]:
        """Return every field in the order in which they came, repeated ones apart."""
        return list(self._items)


@dataclass(frozen=True)
class Request:
    """A request to ``target`` as it was sent, byte for byte.

    ``exact`` says that the bytes matter: evidence then shows these, and not a curl command.
    """

    data: bytes
    target: Target
    exact: bool = True

    @property
    def method(self) -> str:
        """The first word of the request line."""
        return self.data.partition(b" ")[0].decode("latin-1")

    @property
    def path(self) -> str:
        """The request target, that is with the target's prefix and with the query."""
        return self._head[0].partition(" ")[2].rpartition(" ")[0]

    @property
    def url(self) -> str:
        """The URL that was asked for."""
        return self.target.base_url.removesuffix(self.target.prefix) + self.path

    @property
    def fields(self) -> list[Field]:
        """The header fields in their order."""
        split = (line.partition(":") for line in self._head[1:])
        return [(name, value.strip(" \t")) for name, _, value in split]

    @property
    def body(self) -> bytes:
        """All that follows the head, chunks as they were sent."""
        return self.data.partition(b"\r\n\r\n")[2]

    @property
    def _head(self) -> list[str]:
        return self.data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")


@dataclass(frozen=True)
class Response:
    """One response: header fields in the order and the case in which they came."""

    status: int
    reason: str
    fields: tuple[Field, ...]
    content: bytes
    request: Request

    @property
    def status_code(self) -> int:
        """The status, under the name that most clients give it."""
        return self.status

    def all(self, name: str) -> list[str]:
        """Return the values of every field of this name."""
        return [value for field, value in self.fields if field.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """Return the value of a field that may come once at most; raise AssertionError."""
        values = self.all(name)
        if len(values) > 1:
            raise AssertionError(f"{name} came {len(values)} times: {values}")
        return values[0] if values else None

    @cached_property
    def headers(self) -> Headers:
        """The same fields, to be looked up in any case."""
        return Headers(self.fields)

    @property
    def text(self) -> str:
        """The body, whatever it holds, as text."""
        return self.content.decode("utf-8", "backslashreplace")

    def json(self) -> Any:  # noqa: ANN401 - JSON
        """Return the body parsed as JSON; raise ValueError."""
        return json.loads(self.content)
