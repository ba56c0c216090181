"""What the contract finds wrong with a body or a query: the `errors` of a `validation` problem."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from rosetta.contract.spec import load

Json = Any
Schema = Mapping[str, Any]
Error = dict[str, str]

INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)", re.ASCII)


def is_number(value: Json) -> bool:
    """Tell whether a value is a JSON number: a Python bool is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


@cache
def ecma(pattern: str) -> re.Pattern[str]:
    r"""Return an ECMA pattern for Python, where ``$`` would match before a final newline."""
    return re.compile(re.sub(r"\$$", r"\\Z", pattern), re.ASCII)


TYPES: Mapping[str, Callable[[Json], bool]] = {
    "array": lambda v: isinstance(v, list),
    "integer": lambda v: is_number(v) and v == int(v),
    "null": lambda v: v is None,
    "object": lambda v: isinstance(v, dict),
    "string": lambda v: isinstance(v, str),
}
# Keyword by keyword, in the order in which the first that fails is named.
KEYWORDS: Mapping[str, Callable[[Json, Json], bool]] = {
    "enum": lambda v, allowed: v in allowed,
    "minProperties": lambda v, least: len(v) >= least,
    "minItems": lambda v, least: len(v) >= least,
    "maxItems": lambda v, most: len(v) <= most,
    "minLength": lambda v, least: len(v) >= least,
    "maxLength": lambda v, most: len(v) <= most,
    "pattern": lambda v, pattern: ecma(pattern).search(v) is not None,
    "minimum": lambda v, least: v >= least,
    "maximum": lambda v, most: v <= most,
}


def resolve(node: Schema) -> Schema:
    """Return what a node refers to; the node's own members win."""
    if "$ref" not in node:
        return node
    found: Any = load().openapi.content
    for name in node["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    own = {name: value for name, value in node.items() if name != "$ref"}
    return {**resolve(found), **own}


def body_errors(body: Json, schema: str) -> list[Error]:
    """Return what is wrong with a body by a schema of openapi.yaml, in the contract's order."""
    return _errors("body", _violations(body, resolve({"$ref": f"#/components/schemas/{schema}"})))


def query_errors(query: Mapping[str, str], path: str) -> list[Error]:
    """Return what is wrong with the parameters of GET ``path``; unknown ones are ignored."""
    found: list[tuple[str, str]] = []
    for name, schema in query_schemas(path).items():
        if name not in query:
            continue
        value: Json = query[name]
        if schema.get("type") == "integer" and INTEGER.fullmatch(value):
            value = int(value)
        found += _violations(value, schema, f"/{name}")
    return _errors("query", found)


@cache
def query_schemas(path: str) -> dict[str, Schema]:
    """Return the schema of each query parameter of GET ``path``, in the order documented."""
    operation = load().openapi.content["paths"][path]["get"]
    parameters = [resolve(node) for node in operation.get("parameters", ())]
    return {p["name"]: resolve(p["schema"]) for p in parameters if p["in"] == "query"}


def _errors(where: str, found: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> list[Error]:
    return [{"in": where, "pointer": pointer, "code": code} for pointer, code in sorted(found)]


def _violations(value: Json, schema: Schema, pointer: str = "") -> Iterator[tuple[str, str]]:
    """Yield (pointer, keyword); nothing for the members of a container that itself fails."""
    if code := _own_violation(value, schema):
        yield pointer, code
    elif isinstance(value, dict):
        yield from _member_violations(value, schema, pointer)
    elif isinstance(value, list):
        members = [
            found
            for index, member in enumerate(value)
            for found in _violations(member, resolve(schema["items"]), f"{pointer}/{index}")
        ]
        repeated = schema.get("uniqueItems") and len(set(map(repr, value))) < len(value)
        yield from members or ([(pointer, "uniqueItems")] if repeated else [])


def _own_violation(value: Json, schema: Schema) -> str | None:
    allowed = schema.get("type", ())
    allowed = [allowed] if isinstance(allowed, str) else allowed
    if not any(TYPES[name](value) for name in allowed):
        return "type"
    if value is None:
        return None
    kept = (k for k, holds in KEYWORDS.items() if k in schema and not holds(value, schema[k]))
    return next(kept, None)


def _member_violations(
    value: dict[str, Json], schema: Schema, pointer: str
) -> Iterator[tuple[str, str]]:
    properties = schema["properties"]
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{pointer}/{name}", "required"
    for name, member in value.items():
        at = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
        if name in properties:
            yield from _violations(member, resolve(properties[name]), at)
        else:
            yield at, "additionalProperties"
