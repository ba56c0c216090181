"""The distilled corpus shows what the whole one does, and is made from it alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rosetta.controls import corpus_trial
from rosetta.identity import corpus
from rosetta.identity.corpus import HOST, CorpusError, Frame, Line, Piece, Recording, Symbol
from rosetta.identity.distil import (
    DistilError,
    Part,
    caught,
    changes,
    chosen,
    dependencies,
    distilled,
    settled,
    shown_by,
    strayed,
)
from rosetta.identity.normalise import Normal
from rosetta.identity.player import Player
from rosetta.targets.fleet import SECRET_KEY
from tests.reference import Reference

Json = Any
MOST = 3000  # requests of the distilled corpus
ADA = Symbol("user", 1)
LAMP, DESK = Symbol("item", 1), Symbol("item", 2)
SIGNED = Symbol("signed", 1)
NOT_FOUND = {"status": 404, "headers": {}, "body": {"type": "/problems/not-found"}}


def line(
    method: str, *path: str | Symbol, body: str = "", binds: Symbol | None = None, socket: int = 0
) -> Line:
    """Return a request that the first user signs."""
    target = [piece.encode() if isinstance(piece, str) else piece for piece in path]
    first: list[Piece] = [f"{method} ".encode(), *target, b" HTTP/1.1\r\nHost: ", HOST]
    rest: list[Piece] = [b"\r\nAuthorization: Bearer ", SIGNED, f"\r\n\r\n{body}".encode()]
    return Line(corpus.join([*first, *rest]), binds=binds, socket=socket)


def ok(status: int = 200, **members: Json) -> Json:
    """Return an answer with a body."""
    return {"status": status, "headers": {}, "body": members}


def unsigned(method: str, path: str, body: str, binds: Symbol) -> Line:
    """Return a request without a token."""
    head = f"{method} {path} HTTP/1.1\r\nHost: ".encode()
    return Line((head, HOST, f"\r\n\r\n{body}".encode()), binds=binds)


STORY: Sequence[tuple[Line, Json]] = (
    (unsigned("POST", "/users", '{"email": "ada@a.test"}', ADA), ok(201, id=1)),
    (line("POST", "/items", body='{"name": "a"}', binds=LAMP), ok(201, id=1)),
    (line("POST", "/items", body='{"name": "a"}', binds=DESK), ok(201, id=2)),
    (line("GET", "/items/", LAMP), ok(id=1)),
    (line("GET", "/items/", LAMP), ok(id=1)),
    (line("DELETE", "/items/", DESK), {"status": 204, "headers": {}}),
    (line("GET", "/items/", DESK), NOT_FOUND),
    (line("GET", "/items/", DESK), NOT_FOUND),
)


def part(story: Sequence[tuple[Line, Json]] = STORY, name: str = "story") -> Part:
    """Return a made-up part of the corpus."""
    lines, answers = zip(*story, strict=True)
    return Part(Recording(name, list(lines)), list(answers))


# -- choosing


def test_a_new_behaviour_is_kept_with_what_it_depends_on_and_a_repetition_is_not() -> None:
    kept = chosen(part(), ())
    gone = {6, 7} & kept
    assert len(gone) == 1
    assert {0, 2, 5} <= kept  # the user who signs, the item, its deletion
    assert len({3, 4} & kept) == 1


def test_a_line_depends_on_the_writes_to_its_resource_and_no_others() -> None:
    needs = [set(places) for places in dependencies(*zip(*STORY, strict=True))]
    assert needs[3] == {0, 1}
    assert needs[6] == {0, 2, 5}


def test_a_token_is_about_the_user_who_logged_in() -> None:
    token = Symbol("token", 1)
    login = unsigned("POST", "/tokens", '{"email": "ada@a.test"}', token)
    mine = Line((b"GET /users/me HTTP/1.1\r\nAuthorization: Bearer ", token, b"\r\n\r\n"))
    gone = line("DELETE", "/users/", ADA)
    story = [STORY[0], (login, ok(201)), (gone, {"status": 204}), (mine, {"status": 401})]
    assert list(dependencies(*zip(*story, strict=True)))[3] == [0, 1, 2]


def test_what_another_part_shows_is_not_kept_again() -> None:
    first, second = part(name="by-hand"), part(name="contract")
    kept = distilled([second, first], {})
    assert kept["by-hand"]
    assert not kept["contract"]


def test_a_line_that_caught_a_fault_is_kept() -> None:
    finding = {"identity": {"tests": ["corpus/story::story, line 8"]}, "rules": {"tests": []}}
    places = caught({"a-fault": finding, "another": {}})
    assert places == {"story": {7}}
    assert 7 in distilled([part()], places)["story"]


def test_a_part_with_sockets_keeps_every_write_before_its_last_new_behaviour() -> None:
    opens = line("GET", "/ws/events", socket=1)
    frame = Line(socket=1, heard=1, frame=Frame(1, b"x"))
    event = {"messages": [{"type": "event", "event": "item.created"}]}
    write = (line("PATCH", "/items/", LAMP, body="{}"), ok(id=1))
    story = [*STORY[:2], write, write, (opens, {"status": 101}), (frame, event), write, write]
    assert chosen(part(story), ()) == {0, 1, 2, 3, 4, 5}


def test_the_cheaper_of_two_lines_is_kept() -> None:
    dear = line("PATCH", "/users/", ADA, body='{"password": "x", "name": "y"}')
    both = [(dear, ok(id=1)), (line("PATCH", "/users/", ADA, body='{"name": "y"}'), ok(id=1))]
    made = part([STORY[0], *both])
    assert made.cost(1) > made.cost(2)


def test_the_same_corpus_gives_the_same_lines() -> None:
    assert chosen(part(), ()) == chosen(part(), ())


def test_a_refused_write_changes_nothing() -> None:
    assert changes(*STORY[1])
    assert not changes(STORY[1][0], NOT_FOUND)
    assert not changes(*STORY[3])


# -- checking


def answering(answers: dict[int, Json]) -> Any:  # noqa: ANN401 - a function that notes its calls
    """Return a player that answers as the story does, and otherwise to some lines at first."""
    played: list[list[int]] = []

    def play(recordings: Sequence[Recording]) -> dict[str, list[Json]]:
        [recording] = recordings
        played.append(list(recording.numbers))
        other = answers if len(played) == 1 else {}
        told = [other.get(number - 1, STORY[number - 1][1]) for number in recording.numbers]
        return {recording.name: told}

    return play


def test_a_line_that_is_answered_otherwise_gets_back_the_writes_before_it() -> None:
    kept = settled([part()], {"story": {3}}, answering({3: NOT_FOUND}))
    assert kept == {"story": {0, 1, 2, 3}}


def test_what_never_settles_is_an_error() -> None:
    def play(recordings: Sequence[Recording]) -> dict[str, list[Json]]:
        return {each.name: [NOT_FOUND for _ in each.lines] for each in recordings}

    with pytest.raises(DistilError, match="not answered as the whole"):
        settled([part()], {"story": {3}}, play)


def test_the_value_of_an_id_may_differ_and_its_error_may_not() -> None:
    made = part()
    assert strayed(made, {3, 6}, [ok(id=99), NOT_FOUND]) == []
    assert strayed(made, {3, 6}, [NOT_FOUND, NOT_FOUND]) == [3]


# -- the file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    corpus.write([part().recording], tmp_path)
    corpus.write_distilled({"story": [1, 2, 3, 5, 8]}, {"shown": {}}, tmp_path)
    return tmp_path


def test_a_distilled_corpus_is_read_with_the_numbers_of_the_whole(folder: Path) -> None:
    assert "1-3 5 8" in (folder / corpus.DISTILLED).read_text()
    [whole], [read] = corpus.read(folder), corpus.read(folder, distilled=True)
    assert read.lines == [whole.lines[place] for place in (0, 1, 2, 4, 7)]
    assert [read.number(place) for place in range(5)] == [1, 2, 3, 5, 8]
    assert [whole.number(place) for place in (0, 7)] == [1, 8]


def test_a_fault_is_found_at_the_line_of_the_whole_corpus(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_trial, "corpus", SimpleNamespace(read=partial(corpus.read, folder)))
    [kept] = corpus.read(folder, distilled=True)
    with Reference() as server, Player(server, SECRET_KEY) as player:
        right = Normal().answers(kept.lines, player.play(kept.lines))
    fleet: Any = SimpleNamespace(server=lambda _: Reference())
    assert corpus_trial.first_difference(fleet, {"story": right}) is None
    found = corpus_trial.first_difference(fleet, {"story": [*right[:-1], NOT_FOUND]})
    assert found
    assert found.number == 8


def test_lines_of_another_corpus_are_an_error(folder: Path) -> None:
    corpus.write([Recording("story", part().recording.lines[:-1])], folder)
    with pytest.raises(CorpusError, match="distilled from another corpus: run `nox -s distil`"):
        corpus.read(folder, distilled=True)
    assert corpus.read(folder)


@pytest.mark.parametrize("lines", ["1-99", "x", "0"])
def test_lines_that_do_not_exist_are_an_error(folder: Path, lines: str) -> None:
    file = folder / corpus.DISTILLED
    file.write_text(file.read_text().replace("1-3 5 8", lines))
    with pytest.raises(CorpusError, match="cannot be read"):
        corpus.read(folder, distilled=True)


def test_the_committed_lines_are_few_and_show_all_that_the_corpus_does() -> None:
    kept = corpus.read(distilled=True)
    assert 0 < sum(recording.requests for recording in kept) <= MOST
    told = json.loads((corpus.FOLDER / corpus.DISTILLED).read_text(encoding="utf-8"))
    assert told["kept"].keys() == told["shown"].keys()
    for operation, counts in told["shown"].items():
        assert told["kept"][operation].keys() == counts.keys(), operation
    sizes = Counter({name: sum(counts.values()) for name, counts in told["kept"].items()})
    assert sizes["create_item"] < sum(told["shown"]["create_item"].values())


def test_answers_are_counted_by_operation_status_and_problem() -> None:
    assert shown_by([part()])["get_item"] == {"200": 2, "404 /problems/not-found": 2}
    assert shown_by([part()], {"story": {3}}) == {"get_item": {"200": 1}}
