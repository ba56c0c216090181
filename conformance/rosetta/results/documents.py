"""The JSON documents of results/: one schema, held to whenever one is written or read."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema_rs import Draft202012Validator, ValidationError

Json = Any
SCHEMA = Path(__file__).resolve().parents[2] / "results.schema.json"
SUMMARY = "results.json"  # of all the others


class DocumentError(ValueError):
    """A file is no document of the schema."""


def write(document: Json, path: Path) -> Path:
    """Write a document in one step and return its path; raise DocumentError if it is none."""
    _check(document, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".json.part")
    draft.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return draft.replace(path)


def read(path: Path) -> Json:
    """Return the document of a file; raise DocumentError if it is none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DocumentError(f"{path} is no result file: {error}") from None
    _check(document, path)
    return document


def kinds() -> list[str]:
    """Return what a document can be."""
    return [str(each["$ref"]).rpartition("/")[2] for each in _schema()["oneOf"]]


def _check(document: Json, path: Path) -> None:
    kind = document.get("kind") if isinstance(document, dict) else None
    if kind not in kinds():
        raise DocumentError(f"{path} is no result file: its kind is none of {', '.join(kinds())}")
    errors = sorted(_validator(kind).iter_errors(document), key=_depth, reverse=True)
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise DocumentError(f"{path} is no result file: {_told(errors[0])}{more}")


def _told(error: ValidationError) -> str:
    place = ".".join(map(str, error.instance_path))
    return f"{place}: {error.message}" if place else error.message


def _depth(error: ValidationError) -> int:
    """Return how far inside an error is: the innermost says best what is wrong."""
    return len(error.instance_path)


@cache
def _schema() -> dict[str, Json]:
    found: dict[str, Json] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return found


@cache
def _validator(kind: str) -> Draft202012Validator:
    """Return what checks one kind: of all at once, an error would only say that none fits."""
    return Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": _schema()["$defs"]})
