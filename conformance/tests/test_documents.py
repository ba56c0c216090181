"""The schema of results/ is one, and nothing is written or read that does not hold to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema_rs import Draft202012Validator, meta

from rosetta.results import documents
from rosetta.results.documents import SCHEMA, DocumentError
from tests import samples

PARTS = {
    "run": samples.run().document,
    "replay": samples.replay("one", "two")
    | {"differences": [samples.difference(["one"], ["two"])]},
    "relay": samples.relay("one", "two"),
    "faults": samples.faults(),
    "stability": samples.stability(),
}


def test_the_schema_is_one() -> None:
    meta.validate(json.loads(SCHEMA.read_text()))
    assert set(documents.kinds()) == {*PARTS, "results"}


@pytest.mark.parametrize("kind", PARTS)
def test_every_kind_is_read_as_it_was_written(kind: str, tmp_path: Path) -> None:
    path = documents.write(PARTS[kind], tmp_path / "new" / "x.json")
    assert documents.read(path) == PARTS[kind]
    assert [path.name for path in path.parent.iterdir()] == ["x.json"]


@pytest.mark.parametrize("kind", PARTS)
def test_a_reader_elsewhere_needs_nothing_but_the_schema(kind: str) -> None:
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(PARTS[kind])


@pytest.mark.parametrize("kind", PARTS)
def test_no_member_may_be_missing_or_unknown(kind: str, tmp_path: Path) -> None:
    for name in PARTS[kind]:
        less = {key: value for key, value in PARTS[kind].items() if key != name}
        with pytest.raises(DocumentError, match=f"{name}|its kind is none of"):
            documents.write(less, tmp_path / "x.json")
    with pytest.raises(DocumentError, match="'verdict_' was unexpected"):
        documents.write(PARTS[kind] | {"verdict_": "identical"}, tmp_path / "x.json")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"is no result file: .*No such file"):
        documents.read(tmp_path / "x.json")
