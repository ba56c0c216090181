"""Resolve the concern maps: which symbol of which file does what, in every implementation."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from rosetta.targets.manifest import Implementation

CONCERNS = (
    "app factory",
    "routing",
    "validation",
    "data access",
    "transaction",
    "authentication",
    "authorization",
    "errors",
    "conditional requests",
    "pagination",
    "websocket",
    "feed",
    "settings",
    "migrations",
    "tests",
)


def faults(implementation: Implementation) -> list[str]:
    """Return what is wrong with a map: concerns that are missing, unknown, or lead nowhere."""
    given = implementation.concerns
    missing = [f"{name!r} is missing" for name in CONCERNS if name not in given]
    unknown = [f"{name!r} is no concern" for name in given if name not in CONCERNS]
    astray = [
        f"{name!r} leads to {place}, which does not exist"
        for name, place in given.items()
        if not _exists(implementation, place)
    ]
    return missing + unknown + astray


def _exists(implementation: Implementation, place: str) -> bool:
    file, _, symbol = place.partition(":")
    path = implementation.folder / file
    if not path.is_file() or not symbol:
        return False
    return symbol in _symbols(ast.parse(path.read_text(encoding="utf-8")))


def _symbols(node: ast.AST, prefix: str = "") -> Iterator[str]:
    """Yield the names that a module, or a class (``Class.method``), defines."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield prefix + name
            case ast.ClassDef(name=name):
                yield prefix + name
                yield from _symbols(child, f"{prefix}{name}.")
            case ast.Assign(targets=targets):
                yield from (prefix + t.id for t in targets if isinstance(t, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield prefix + name
