"""The contract: the three files of spec/, loaded, with references resolved and sets spelled out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urldefrag, urljoin

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

SPEC = Path(__file__).resolve().parents[3] / "spec"
METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")
ANY_PROBLEM = "#/components/schemas/Problem"
OF_OTHERS = (("schemas", "Problem"), ("responses", "OtherProblem"), ("examples", "OtherProblem"))
ANY = 0  # the status of an Answer that holds whatever the status


@dataclass(frozen=True)
class Problem:
    """A row of the table of problems."""

    slug: str
    status: int
    title: str

    @property
    def body(self) -> dict[str, object]:
        """Return the whole problem; `validation` has `errors` besides."""
        return {"type": f"/problems/{self.slug}", "title": self.title, "status": self.status}


@dataclass(frozen=True)
class Check:
    """A step of the order of checks; `free` if its place is implementation-defined."""

    check: str
    status: int
    slug: str
    operations: tuple[str, ...]
    free: bool


@dataclass(frozen=True)
class Answer:
    """What a rule makes operations answer, or (`response`) a response that belongs to none."""

    status: int
    problem: str | None
    headers: frozenset[str]
    optional_headers: frozenset[str]
    operations: tuple[str, ...]
    response: str | None


@dataclass(frozen=True)
class Rule:
    """One rule; `operations` are those it is about, whether by its answers or by itself."""

    id: str
    group: str
    title: str
    text: str
    sources: tuple[str, ...]
    operations: tuple[str, ...]
    parameters: frozenset[str]
    answers: tuple[Answer, ...]
    close_codes: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Node:
    """A part of a document, and where it stands."""

    content: Any
    uri: str
    path: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """Return the document's address and a JSON Pointer into it."""
        steps = (step.replace("~", "~0").replace("/", "~1") for step in self.path)
        return f"{self.uri}#{quote(''.join('/' + step for step in steps))}"

    def child(self, key: str | int) -> Node:
        """Return a member or element, its reference not followed."""
        key = int(key) if isinstance(self.content, list) else key
        return Node(self.content[key], self.uri, (*self.path, str(key)))


@dataclass(frozen=True)
class Response:
    """What a document says of one status: the slug of its problem, and its header names."""

    problem: str | None
    headers: frozenset[str]
    required: frozenset[str]


@dataclass(frozen=True)
class Operation:
    """An HTTP operation, or (method GET) the handshake of a websocket."""

    id: str
    method: str
    path: str
    media_types: tuple[str, ...]
    signed: bool
    parameters: tuple[Node, ...]
    responses: Mapping[int, Response]


class Rules:
    """spec/rules.yaml."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content
        self.version: str = content["version"]
        self.sets = {name: self.expand(members) for name, members in content["sets"].items()}
        self.problems = {row["slug"]: Problem(**row) for row in content["problems"]}
        self.precedence = [self._check(row) for row in content["precedence"]]
        self.configuration = {row["name"]: row for row in content["configuration"]}
        self.groups = {row["id"]: row["title"] for row in content["groups"]}
        self.rules = {row["id"]: self._rule(row) for row in content["rules"]}
        self.implementation_defined = {
            row["id"]: row["text"] for row in content["implementation_defined"]
        }

    def expand(self, names: list[str]) -> tuple[str, ...]:
        """Return the operations that a list of operationIds and sets names."""
        sets = self.content["sets"]
        return tuple(dict.fromkeys(one for name in names for one in sets.get(name, [name])))

    def _check(self, row: Mapping[str, Any]) -> Check:
        operations = self.expand(row["operations"])
        free = row.get("order") == "free"
        return Check(row["check"], row["status"], row["slug"], operations, free)

    def _answer(self, row: Mapping[str, Any]) -> Answer:
        return Answer(
            status=ANY if row["status"] == "any" else row["status"],
            problem=row.get("problem"),
            headers=frozenset(row.get("headers", ())),
            optional_headers=frozenset(row.get("optional_headers", ())),
            operations=self.expand(row.get("operations", [])),
            response=row.get("response"),
        )

    def _rule(self, row: Mapping[str, Any]) -> Rule:
        answers = tuple(self._answer(answer) for answer in row.get("answers", ()))
        own = self.expand(row.get("operations", []))
        return Rule(
            id=row["id"],
            group=row["group"],
            title=row["title"],
            text=row["text"],
            sources=tuple(row["sources"]),
            operations=own or tuple({one: 0 for answer in answers for one in answer.operations}),
            parameters=frozenset(row.get("parameters", ())),
            answers=answers,
            close_codes={name: tuple(codes) for name, codes in row.get("close_codes", {}).items()},
        )


class Spec:
    """The three documents; a Node's references are followed across them."""

    def __init__(self, folder: Path = SPEC) -> None:
        self.folder = folder
        self.openapi = own_answers(self._document("openapi.yaml"))
        self.asyncapi = self._document("asyncapi.yaml")
        self.rules = Rules(self._document("rules.yaml").content)

    def _document(self, name: str) -> Node:
        path = self.folder / name
        return Node(read_yaml(path), path.as_uri())

    @cached_property
    def registry(self) -> Registry[Any]:
        """Return both descriptions by their addresses, for a JSON Schema validator."""
        return Registry().with_resources(
            (node.uri, DRAFT202012.create_resource(node.content))
            for node in (self.openapi, self.asyncapi)
        )

    def resolve(self, node: Node) -> Node:
        """Return what a node stands for: itself, or what its `$ref` names."""
        while isinstance(node.content, Mapping) and "$ref" in node.content:
            uri, pointer = urldefrag(urljoin(node.uri, node.content["$ref"]))
            node = next(root for root in (self.openapi, self.asyncapi) if root.uri == uri)
            for step in unquote(pointer).split("/")[1:]:
                node = node.child(step.replace("~1", "/").replace("~0", "~"))
        return node

    def at(self, node: Node, *keys: str | int) -> Node:
        """Return the node below, each `$ref` on the way followed."""
        for key in keys:
            node = self.resolve(node).child(key)
        return self.resolve(node)

    def children(self, node: Node, key: str) -> Iterator[tuple[str, Node]]:
        """Yield the named, resolved members of a mapping that may be missing."""
        for name in self.resolve(node).content.get(key, {}):
            yield name, self.at(node, key, name)

    def validator(self, schema: Node) -> Draft202012Validator:
        """Return a validator of a schema in either document."""
        return Draft202012Validator({"$ref": schema.address}, registry=self.registry)

    def schema(self, name: str) -> Draft202012Validator:
        """Return a validator of one of openapi.yaml's named schemas."""
        return self.validator(self.at(self.openapi, "components", "schemas", name))

    @cached_property
    def operations(self) -> dict[str, Operation]:
        """Return the HTTP operations by operationId, in the order of openapi.yaml."""
        return {
            content["operationId"]: self._operation(path, method)
            for path, item in self.openapi.content["paths"].items()
            for method, content in item.items()
            if method in METHODS
        }

    def _operation(self, path: str, method: str) -> Operation:
        item = self.at(self.openapi, "paths", path)
        node = self.at(item, method)
        parameters = [
            self.at(owner, "parameters", index)
            for owner in (item, node)
            for index in range(len(owner.content.get("parameters", ())))
        ]
        body = self.at(node, "requestBody").content if "requestBody" in node.content else {}
        return Operation(
            id=node.content["operationId"],
            method=method.upper(),
            path=path,
            media_types=tuple(body.get("content", ())),
            signed=bool(node.content.get("security")),
            parameters=tuple(parameters),
            responses=self._responses(node, "responses"),
        )

    @cached_property
    def websockets(self) -> dict[str, Operation]:
        """Return the handshakes of the websockets by the channel's name."""
        secured = {
            operation["channel"]["$ref"].rpartition("/")[2]
            for operation in self.asyncapi.content["operations"].values()
            if operation.get("security")
        }
        return {
            name: Operation(
                id=name,
                method=channel.content["bindings"]["ws"]["method"],
                path=channel.content["address"],
                media_types=(),
                signed=name in secured,
                parameters=(),
                responses=self._responses(channel, "x-handshake-responses"),
            )
            for name, channel in self.children(self.asyncapi, "channels")
        }

    def _responses(self, node: Node, key: str) -> dict[int, Response]:
        return {int(status): self.response(found) for status, found in self.children(node, key)}

    def response(self, node: Node) -> Response:
        """Return the summary of a Response Object."""
        headers = dict(self.children(node, "headers"))
        return Response(
            problem=self._slug(node),
            headers=frozenset(headers),
            required=frozenset(
                name for name, header in headers.items() if header.content.get("required")
            ),
        )

    def _slug(self, node: Node) -> str | None:
        media = "application/problem+json"
        if media not in node.content.get("content", {}):
            return None
        schema = self.at(node, "content", media, "schema")
        kind: str = schema.content["properties"]["type"]["const"]
        return kind.removeprefix("/problems/")


def own_answers(openapi: Node) -> Node:
    """Return the description without what only others answer: a gateway, a rate limiter.

    For generated clients every operation has a `default` response, and every problem may be any
    `Problem` as well. The service itself is held to its own problems.
    """
    components = openapi.content["components"]
    responses = components["responses"]
    for content in (response.get("content", {}) for response in responses.values()):
        for media in content.values():
            own, *others = media["schema"].get("anyOf", [media["schema"]])
            if others == [{"$ref": ANY_PROBLEM}]:
                media["schema"] = own
    for item in openapi.content["paths"].values():
        for method in item.keys() & set(METHODS):
            item[method]["responses"].pop("default", None)
    for kind, name in OF_OTHERS:
        components[kind].pop(name, None)
    return openapi


def read_yaml(path: Path) -> Any:  # noqa: ANN401 - JSON
    """Return what a file holds, parsed by libyaml where PyYAML has it; raise OSError, YAMLError."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text(encoding="utf-8"), loader)  # noqa: S506 - both are safe


@cache
def load(folder: Path = SPEC) -> Spec:
    """Return the contract in a folder, read once."""
    return Spec(folder)
