"""What is recorded can be replayed; whatever differs is found, and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode

from machines.by_hand import some
from rosetta.clients import message
from rosetta.clients.http import PASSWORD, Api, sign_token
from rosetta.clients.raw import build
from rosetta.clients.websocket import Feed, RawWebSocket, Silence, Socket
from rosetta.contract.blame import rules_held
from rosetta.contract.model import Answer, Request
from rosetta.controls.corpus_trial import first_difference
from rosetta.identity import corpus, player
from rosetta.identity.compare import Difference, Group, agreeing, differences, grouped
from rosetta.identity.corpus import CorpusError, Frame, Line, Recording, Symbol
from rosetta.identity.judge import judge
from rosetta.identity.minimise import changing, minimised
from rosetta.identity.normalise import Normal
from rosetta.identity.player import Player
from rosetta.identity.record import PARTS, RecordError, check, record
from rosetta.identity.relay import Relay, choose, tell
from rosetta.identity.replay import Played, Replayed, Report, compare, describe, pace, steps
from rosetta.identity.tap import Scribe, implementation_defined
from rosetta.results.run import now, provenance
from rosetta.targets.manifest import ManifestError
from rosetta.targets.server import Target
from tests import faults, samples
from tests.reference import Reference, Service

KEY = "a key of which no one here knows anything"
Part = Callable[[Target, Api], None]


class OtherLabels(Service):
    """Right in another way: other headers of its own, other order of members."""

    def fields(self, answer: Answer, head: Message) -> dict[str, str]:
        fields = {k.upper(): v for k, v in super().fields(answer, head).items()}
        return {"Vary": "Accept", "Server": "other", **dict(reversed(fields.items()))}

    def respond(self, method: str, path: str, head: Message, request: Request) -> Answer:
        answer = super().respond(method, path, head, request)
        body = answer.body
        if isinstance(body, dict):
            body = dict(reversed(body.items()))
        allow = ", ".join(reversed(answer.headers.get("Allow", "").split(", ")))
        headers = {**answer.headers, **({"Allow": allow} if allow else {})}
        return Answer(answer.status, body, headers)


class FirstIdsTaken(Service):
    """Gives other ids: gaps are allowed."""

    def __init__(self) -> None:
        super().__init__()
        self.last_id = {"user": 41, "item": 17}


class SetsCookie(Service):
    """Sends a header that no rule names."""

    def fields(self, answer: Answer, head: Message) -> dict[str, str]:
        return {**super().fields(answer, head), "Set-Cookie": "a=b"}


class Deaf(Service):
    """Tells of no event."""

    def to_send(self, *_: object) -> list[Any]:
        return []


def story(target: Target, api: Api) -> None:
    """Two users, an item that changes, pages, refusals and a feed."""
    ada, bob = (api.sign_up(email=f"{name}@story.test") for name in ("ada", "bob"))
    with Feed(target, token=ada.token) as feed:
        item = api.create_item(ada, tags=["b", "a"])
        api.create_item(bob)
        feed.ask({"type": "subscribe", "topics": ["users"]})
        api.patch(item.path, token=ada, json={"price_cents": 1}, headers={"If-Match": item.etag})
        api.patch(item.path, token=ada, json={"price_cents": 2}, headers={"If-Match": item.etag})
        api.patch(bob.path, token=bob, json={"name": "Bob"})
        feed.settled()
    with Socket(target) as socket:
        socket.send("☃")
        socket.receive()
    api.get("/items", token=ada, params={"limit": 1, "owner_id": bob.id})
    api.get("/items", token=ada, params={"limit": 1, "after": item.id})
    api.get("/users", token=bob, params={"limit": 1})
    api.get("/users/me", token=bob, headers={"X-Request-ID": "mine"})
    api.delete(item.path, token=bob)
    api.request("TRACE", item.path)
    api.delete(bob.path, token=bob)
    api.get(bob.path, token=ada)


def recorded(part: Part, *mixed_in: type[Service]) -> Recording:
    with Reference(*mixed_in) as target:
        return record(target, "story", part, secret_key=None)


def played(lines: Sequence[Line], *mixed_in: type[Service]) -> list[Any]:
    with Reference(*mixed_in) as target, Player(target, KEY) as player:
        return Normal().answers(lines, player.play(lines))


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    return recorded(story).lines


# -- recording


def test_a_recording_names_what_the_server_made_by_symbols(lines: list[Line]) -> None:
    text = "".join(corpus.shown(line.request) for line in lines)
    assert "PATCH /items/<item 1> HTTP" in text
    assert "?limit=1&owner_id=<user 2> HTTP" in text
    assert "?limit=1&after=<item 1> HTTP" in text
    assert "Bearer <token 2>" in text.replace("bearer", "Bearer")
    assert "Host: <host>" in text


def test_two_recordings_are_the_same_bytes(lines: list[Line]) -> None:
    assert corpus.dump(recorded(story).lines) == corpus.dump(lines)
    assert corpus.dump(recorded(story, FirstIdsTaken, OtherLabels).lines) == corpus.dump(lines)


def test_a_frame_is_noted_whole_though_its_head_ends_the_socket() -> None:
    too_long = WireFrame(Opcode.BINARY, bytes(2**20 + 1)).serialize(mask=True)

    def send_slowly(target: Target, _: Api) -> None:
        with RawWebSocket(target) as raw:
            raw.send_bytes(too_long[:100])
            with pytest.raises(Silence):
                raw.receive(timeout=0.1)
            raw.send_bytes(too_long[100:])
            assert raw.close_code() == 1009

    sent = [line.frame.opcode for line in recorded(send_slowly).lines if line.frame]
    assert sent == [Opcode.BINARY]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("{0}", "<signed 1>"),
        ("Bearer {0}", "<signed 1>"),
        ("Bearer {0}.", "<signed 1>."),
        ("Bearer {0}=", "<signed 1>="),
        ("Bearer x{0}", "x<signed 1>"),
        ('Bearer "{0}"', '"<signed 1>"'),
        ("Bearer {0} {0}", "<signed 1> <signed 1>"),
        ("Bearer {1}", "<token 1>"),
        ("Bearer {0}y", "{0}y"),
    ],
)
def test_a_token_is_named_wherever_it_stands(sent: str, kept: str) -> None:
    """So it is as young in a replay as it was when recorded, and only its form is wrong."""
    signed, issued = sign_token(7, KEY), jwt.encode({"sub": "7"}, KEY)
    scribe = Scribe("tokens", KEY)
    for path, made in [("/users", {"id": 7}), ("/tokens", {"access_token": issued})]:
        content = json.dumps(made).encode()
        request = message.Request(b"", Target("http://127.0.0.1:1"))
        answer = message.Response(201, "Created", (), content, request)
        scribe.exchange(build("POST", path), answer, 0)
    head = build("GET", "/users/me", [("Authorization", sent.format(signed, issued))])
    assert f"{kept.format(signed)}\r\n" in corpus.shown(scribe.pieces(head))


def test_the_engine_is_recorded_alike_twice() -> None:
    from machines.engine import Choice, run

    def part(_: Target, api: Api) -> None:
        run(api, 1, Choice(phases=("coverage",)), salt="same")

    first, second = recorded(part), recorded(part)
    assert first.requests > 300
    assert corpus.dump(first.lines) == corpus.dump(second.lines)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (build("GET", "/users/%31"), "encoded-paths"),
        (build("GET", "//users"), "empty-segments"),
        (build("GET", "/users?a=%zz"), "query-utf8"),
        (build("GET", "/users?a=%ff"), "query-utf8"),
        (build("get", "/users"), "other-methods"),
        (build("GET", "/users", [("X", "a\x7f")]), "malformed-http"),
        (build("GET", "/users", [("If-Match", '"1')]), "unbalanced-tags"),
        (build("GET", "/users", [("Authorization", "a"), ("Authorization", "b")]),
         "repeated-singletons"),
        (build("GET", "/users", [("Upgrade", "websocket")]), "other-upgrades"),
        (build("GET", "/ws/echo", [("Upgrade", "h2c, websocket")]), "listed-upgrades"),
        (build("POST", "/users", [("Transfer-Encoding", "chunked\t")]), "coding-white-space"),
        (build("GET", "/users", [("X", "a" * 9000)]), "over-long-head"),
        (build("GET", "/ws/echo", [("Upgrade", "websocket")]), ""),
        (build("GET", "/users?a=%31", [("If-Match", '"1"'), ("If-Match", '"2"')]), ""),
    ],
)  # fmt: skip
def test_what_is_implementation_defined_is_left_out(request_: bytes, reason: str) -> None:
    assert implementation_defined(request_) == reason


def test_too_little_is_no_corpus() -> None:
    with pytest.raises(RecordError, match="are too few"):
        check([Recording("a", [Line((b"GET / HTTP/1.1\r\n\r\n",))])])


def test_the_part_by_hand_deals_out_every_choice_in_turn() -> None:
    dealt = [some(turn, "abcde", 2) for turn in range(5)]
    assert dealt[:3] == [["a", "b"], ["c", "d"], ["e", "a"]]
    assert Counter(choice for given in dealt for choice in given) == dict.fromkeys("abcde", 2)


# -- files


def test_a_corpus_is_read_as_it_was_written(tmp_path: Path, lines: list[Line]) -> None:
    extra = Line(socket=9, heard=1, frame=Frame(1, b"\x00\xff", fin=False), ends="cut")
    corpus.write([Recording("a", [*lines, extra])], tmp_path)
    (read,) = corpus.read(tmp_path)
    assert read.lines == [*lines, extra]
    assert (read.requests, read.messages) == (19, 7 + 1)


def test_a_corpus_that_lacks_a_line_is_refused(tmp_path: Path, lines: list[Line]) -> None:
    corpus.write([Recording("a", lines)], tmp_path)
    (tmp_path / "a.jsonl.gz").write_bytes(corpus.dump(lines[:-1]))
    with pytest.raises(CorpusError, match="is not the file"):
        corpus.read(tmp_path)


@pytest.mark.parametrize("recordings", [[], [Recording("a")]])
def test_an_empty_corpus_is_refused(tmp_path: Path, recordings: list[Recording]) -> None:
    corpus.write(recordings, tmp_path)
    with pytest.raises(CorpusError, match="no request"):
        corpus.read(tmp_path)


def test_a_missing_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="cannot be read"):
        corpus.read(tmp_path / "none")


def test_the_corpus_of_the_repository_is_whole_and_large_enough() -> None:
    recordings = corpus.read()
    check(recordings)
    assert {recording.name for recording in recordings} == set(PARTS)


# -- replay


@pytest.mark.parametrize("mixed_in", [(), (OtherLabels,), (FirstIdsTaken,)])
def test_right_answers_are_identical(lines: list[Line], mixed_in: tuple[type[Service]]) -> None:
    answers = {"a": played(lines), "b": played(lines, *mixed_in)}
    assert differences("story", lines, answers) == []
    assert {answer.get("status") for answer in answers["a"]} >= {101, 200, 201, 204, 403, 404, 412}
    assert any(answer.get("messages") for answer in answers["b"])


@pytest.mark.parametrize(
    ("fault", "operation", "rule"),
    [
        (faults.KeepsTagAtPatch, "update_item", "etag"),
        (faults.NoNosniff, "create_user", "nosniff"),
        (SetsCookie, "create_user", "headers-closed"),
        (Deaf, "watch_events", "feed"),
    ],
)
def test_a_fault_is_a_difference(
    lines: list[Line], fault: type[Service], operation: str, rule: str
) -> None:
    answers = {"good": played(lines), "faulty": played(lines, fault)}
    found = differences("story", lines, answers)
    assert (found[0].operation, found[0].rules[0]) == (operation, rule)
    assert {group.names for group in found[0].groups} == {("good",), ("faulty",)}
    assert found[0].words


@pytest.mark.parametrize(
    ("faulty", "words"),
    [
        ([], None),
        (
            [SetsCookie],
            'headers.set-cookie is ["a=b"] at the faulty one and nothing at the good',
        ),
        ([Deaf], "messages is"),
    ],
)
def test_the_corpus_is_played_until_an_answer_is_another(
    lines: list[Line],
    faulty: list[type[Service]],
    words: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = [Recording(name, lines) for name in ("without answers", "before", "story")]
    monkeypatch.setattr(corpus, "read", lambda: parts)
    servers = [Reference(), Reference(*faulty)]
    fleet: Any = SimpleNamespace(server=lambda _: servers.pop(0))
    answers = dict.fromkeys(["before", "story"], played(lines))
    found = first_difference(fleet, answers)
    assert not servers
    assert (found and found.part) == (words and "story")
    assert found is None or found.words.startswith(words or "no difference")


def test_groups_hold_all_who_agree() -> None:
    groups = grouped({"a": {"x": 1}, "b": {"x": 1.0}, "c": {"x": 1}, "d": {"x": True}})
    assert [group.names for group in groups] == [("a", "c"), ("b",), ("d",)]


def test_those_agree_who_answered_every_line_alike() -> None:
    def parted(*groups: str) -> Difference:
        made = tuple(Group(tuple(names), None) for names in groups)
        return Difference("a", 1, "x", "GET /", made, (), "")

    assert agreeing("abcd", []) == [["a", "b", "c", "d"]]
    found = [parted("acd", "b"), parted("ab", "cd")]
    assert agreeing("abcd", found) == [["c", "d"], ["a"], ["b"]]


@pytest.mark.parametrize(
    ("answer", "operation", "rules"),
    [
        ({"status": 200, "headers": {"etag": "x"}, "body": {"tags": ["a"]}}, "get_item",
         {"success", "etag", "item-schema"}),
        ({"status": 412, "body": {"type": "/problems/precondition-failed"}}, "update_item",
         {"if-match", "precedence", "problem"}),
        ({"messages": ["a"], "closed": 1000}, "echo", {"echo", "ws-close"}),
    ],
)  # fmt: skip
def test_the_rules_are_known_that_have_a_say(
    answer: object, operation: str, rules: set[str]
) -> None:
    assert rules_held(answer, operation) == rules


def test_an_instant_that_goes_back_is_a_difference() -> None:
    def body(updated: str) -> object:
        times = {"created_at": "2026-11-21T00:00:00.000001Z", "updated_at": updated}
        return Normal()._value({"id": 1, **times})

    later, earlier = "2026-11-21T00:00:00.000002Z", "2026-11-20T00:00:00.000002Z"
    assert body(later) != body(earlier)
    assert body(later) != body("2026-11-21T00:00:00.000001Z")
    assert body(later) != body("2026-11-21T00:00:00.2Z")


def test_a_script_is_cut_down_to_what_matters(lines: list[Line]) -> None:
    def last(lines: Sequence[Line], *mixed_in: type[Service]) -> str:
        return json.dumps(played(lines, *mixed_in)[-1], sort_keys=True)

    def reproduces(script: Sequence[Line]) -> bool:
        return last(script) != last(script, faults.KeepsTagAtPatch)

    changes = [n for n, line in enumerate(lines) if line.head.startswith("PATCH /items/")]
    script = minimised(lines[: changes[0] + 1], reproduces, tries=30)
    heads = [line.head.partition(" HTTP")[0] for line in script]
    assert heads == ["POST /users", "POST /tokens", "POST /items", "PATCH /items/<item 1>"]


def test_what_reads_or_was_refused_is_left_out_first() -> None:
    heads = ["POST /users", "GET /users", "POST /items", "DELETE /items/1", "HEAD /items"]
    lines = [Line((f"{head} HTTP/1.1\r\n\r\n".encode(),)) for head in heads]
    kept = changing(lines, [201, 200, 422, 204, 200])
    assert [line.head.removesuffix(" HTTP/1.1") for line in kept] == [heads[0], *heads[3:]]
    assert changing(lines, []) == [lines[0], *lines[2:]]


def test_of_a_long_script_the_end_is_shown() -> None:
    told = steps([Line((f"GET /{n} HTTP/1.1\r\n\r\n".encode(),)) for n in range(25)])
    assert told[0] == "5 more, see results/replay.json"
    assert told[-1] == "25. GET /24"


def answered(name: str, *answers: Any) -> Replayed:  # noqa: ANN401
    return Replayed(name, [Played("a", list(answers), seconds=1.0)])


@pytest.mark.parametrize(
    ("answers", "green"),
    [
        ([{"status": 200}, {"status": 200}], True),
        ([{"status": 500}, {"status": 500}], False),
        ([{"trouble": "no response"}, {"trouble": "no response"}], False),
        ([{"status": 200}], False),
        ([], False),
    ],
)
def test_a_replay_without_answers_is_red(answers: list[Any], green: bool) -> None:
    recording = Recording("a", [Line((b"GET / HTTP/1.1\r\n\r\n",))])
    replayed = [answered(str(n), given) for n, given in enumerate(answers)]
    assert Report([recording], replayed, []).green is green


def test_a_report_says_who_agrees_with_whom() -> None:
    lines = [Line((f"GET /{n} HTTP/1.1\r\n\r\n".encode(),)) for n in range(3)]
    replayed = [answered(name, *[{"status": 200}] * 3) for name in "xyz"]
    replayed[1] = answered("y", {"status": 200}, {"status": 404}, {"status": 200})
    report = Report([Recording("a", lines)], replayed, compare([Recording("a", lines)], replayed))
    assert report.partitions == [((("x", "y", "z"),), 2), ((("x", "z"), ("y",)), 1)]
    (told,) = [describe(report, place) for place in range(len(report.found))]
    assert told[2].strip() == "status is 200 at x, z and 404 at y"


def test_a_server_that_does_not_start_is_told_and_not_compared() -> None:
    recordings = [Recording("a", [Line((b"GET / HTTP/1.1\r\n\r\n",))])]
    good = [answered(name, {"status": 200}) for name in "xy"]
    replayed = [*good, Replayed("z", problem="no start")]
    report = Report(recordings, replayed, compare(recordings, replayed))
    assert (report.found, report.problems) == ([], ["z: no start"])
    assert pace(replayed[2], 1) == "z: no start"


def test_a_wrong_answer_that_all_give_alike_is_red() -> None:
    recording = Recording("a", [Line((b"GET / HTTP/1.1\r\n\r\n",))])
    replayed = [answered(name, {"status": 200}) for name in "xy"]
    for each in replayed:
        each.parts[0].judged, each.parts[0].wrong = 1, [{"rule": "etag"}]
    report = Report([recording], replayed, [])
    assert report.judged == {
        "answers": 2,
        "failures": [{"implementation": name, "rule": "etag"} for name in "xy"],
    }
    assert not report.green


# -- answers held to the contract


ASKED = b"GET /items/1 HTTP/1.1\r\nHost: h\r\n\r\n"
ITEM = {
    "id": 1,
    "owner_id": 2,
    "name": "Lamp",
    "description": None,
    "price_cents": 3,
    "tags": [],
    "status": "draft",
    "created_at": "2026-11-21T06:44:00.123456Z",
    "updated_at": "2026-11-21T06:44:00.123456Z",
}
FIELDS = {
    "Content-Type": "application/json",
    "Cache-Control": "private, no-cache",
    "ETag": '"1-1"',
    "X-Content-Type-Options": "nosniff",
    "X-Request-ID": "a",
}
PROBLEM = {"type": "/problems/not-found", "title": "Not found", "status": 404}


def judged(
    status: int,
    body: Any,  # noqa: ANN401
    fields: Mapping[str, str | None],
    asked: bytes = ASKED,
) -> list[tuple[str, str]]:
    """Return what is wrong with a response: the rule and the words."""
    given = tuple(
        (name, value) for name, value in {**FIELDS, **fields}.items() if value is not None
    )
    content = b"" if body is None else json.dumps(body).encode()
    sent = message.Request(asked, Target("http://127.0.0.1:1"))
    response = message.Response(status, "", given, content, sent)
    count, wrong = judge([Line((asked,))], [player.Answer(response)])
    assert count == 1
    return [(each.rule, each.wrong) for each in wrong]


def test_a_right_answer_passes() -> None:
    assert judged(200, ITEM, {}) == []
    assert judged(200, None, {}, ASKED.replace(b"GET", b"HEAD")) == []
    media = {"Content-Type": "application/problem+json", "ETag": None, "Cache-Control": None}
    assert judged(404, PROBLEM, media) == []
    assert judged(404, PROBLEM, media, ASKED.replace(b"items/1", b"nothing")) == []


@pytest.mark.parametrize(
    ("status", "body", "fields", "rule", "words"),
    [
        (418, ITEM, {}, "success", "status 418 is not documented for get_item"),
        (200, ITEM | {"id": "1"}, {}, "success", "the body: "),
        (200, ITEM | {"colour": 1}, {}, "success", "the body: "),
        (200, ITEM, {"ETag": None}, "headers-closed", "without the fields etag"),
        (200, ITEM, {"X-Request-ID": None}, "headers-closed", "without the fields x-request-id"),
        (200, ITEM, {"Set-Cookie": "a=b"}, "headers-closed", "with the fields set-cookie"),
        (200, ITEM, {"Content-Type": "text/html"}, "media-type", "Content-Type is text/html"),
        (304, ITEM, {"Content-Type": None}, "media-type", "a body where there is none"),
        (404, PROBLEM, {"ETag": None}, "media-type", "Content-Type is application/json"),
    ],
)
def test_a_wrong_answer_is_named_with_its_rule(
    status: int,
    body: Any,  # noqa: ANN401
    fields: Mapping[str, str | None],
    rule: str,
    words: str,
) -> None:
    found = judged(status, body, fields)
    assert [each for each in found if each[0] == rule and each[1].startswith(words)]


def test_a_problem_that_no_table_has_is_wrong_on_any_path() -> None:
    media = {"Content-Type": "application/problem+json", "ETag": None, "Cache-Control": None}
    nowhere = ASKED.replace(b"items/1", b"nothing")
    [(rule, words)] = judged(404, PROBLEM | {"title": "Nope"}, media, nowhere)
    assert rule == "problem"
    assert words.startswith("no problem of status 404")


def test_a_body_that_is_no_json_is_wrong() -> None:
    sent = message.Request(ASKED, Target("http://127.0.0.1:1"))
    response = message.Response(200, "", tuple(FIELDS.items()), b"<html>", sent)
    _, [wrong] = judge([Line((ASKED,))], [player.Answer(response)])
    assert (wrong.rule, wrong.number, wrong.operation) == ("media-type", 1, "get_item")
    assert "<html>" in wrong.answer


def test_a_replay_that_lacks_a_line_or_a_server_is_red() -> None:
    recording = Recording("a", [Line((b"GET / HTTP/1.1\r\n\r\n",))])
    good = [answered(name, {"status": 200}) for name in "xy"]
    assert Report([recording], good, []).green
    assert not Report([recording], [*good, answered("z")], []).green
    assert not Report([recording], [*good, Replayed("z", problem="no start")], []).green
    assert not Report([], good, []).green


# -- relay


def test_a_relay_asks_one_after_the_other() -> None:
    with Reference() as first, Reference() as second, Relay([first, second]) as relay:
        targets = [relay.target.base_url for _ in range(3)]
        assert targets == [first.base_url, second.base_url, first.base_url]
        body = {"email": "a@b.test", "name": "Ada", "password": PASSWORD}
        statuses = [relay.post("/users", json=body).status_code for _ in range(3)]
        assert statuses == [201, 201, 409]
        assert relay.count == 3


def test_a_relay_of_one_is_refused() -> None:
    with pytest.raises(ManifestError, match="needs 2"):
        choose(["flask"], None)
    with pytest.raises(ManifestError, match="no implementation 'x'"):
        choose([], "x")


def test_a_relay_that_sent_nothing_is_red(tmp_path: Path) -> None:
    result: dict[str, Any] = {
        **provenance("relay", "this", now()),
        "requests": 0,
        "problem": "",
        "implementations": samples.relay("x", "y")["implementations"],
        "seconds": 1,
        "migrated_by": "x",
        "seeds": [0],
    }
    assert tell(dict(result), tmp_path) == 1
    assert tell(result | {"requests": 1, "problem": "x"}, tmp_path) == 1
    assert tell(result | {"requests": 1}, tmp_path) == 0
    assert json.loads((tmp_path / "relay.json").read_text())["verdict"] == "interchangeable"


def test_symbols_are_shown_by_kind_and_number() -> None:
    assert str(Symbol("user", 3)) == "<user 3>"
    assert str(corpus.HOST) == "<host>"
