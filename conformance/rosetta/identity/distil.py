"""Distil the corpus: keep a small set of lines that still shows every behaviour.

A behaviour is an answer together with one class of values, or the shape, of its request. The part
by hand is thinned less, because each of its lines was written on purpose: it keeps every value, and
every pair of shapes at every answer to which the pair led. Lines are chosen greedily, as fuzzers
minimise a corpus: the line that adds most behaviours for its cost comes first. Each line is kept
with the lines it depends on: those that bind its symbols or changed the same resources before it.

A part with websockets keeps every successful write up to its last new behaviour: each write is an
event, so the feed, its event ids and every other answer stay exactly as they were.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rosetta.contract.blame import rules_held
from rosetta.identity import corpus
from rosetta.identity.compare import USUAL, operations_of
from rosetta.identity.corpus import CorpusError, Line, Recording, shown
from rosetta.identity.minimise import address_of
from rosetta.identity.replay import replay_all
from rosetta.targets.cpus import cpus
from rosetta.targets.manifest import Implementation, ManifestError, find
from rosetta.targets.server import ServerError
from rosetta.targets.venvs import VenvError

Json = Any
Answers = Mapping[str, Sequence[Json]]  # by part, one for each line
Behaviour = tuple[str, ...]
BY_HAND = "by-hand"  # its values were written on purpose, so each of them counts
FINDINGS = corpus.FOLDER.parent / "faults" / "findings.json"
WRITES = {"POST", "PUT", "PATCH", "DELETE"}
HASH_COST = 10  # requests that take a server as long as hashing a password
OK, CREATED, REFUSED, UNAUTHORIZED = 200, 201, 300, 401
ROUNDS = 10
NUMBER = re.compile(r"\d+")
SYMBOL = re.compile(r"<(\w+) \d+>")


class DistilError(Exception):
    """The distilled corpus does not show what the whole one does."""


# -- behaviours


def behaviours(line: Line, operation: str, answer: Json, *, pages: bool = True) -> set[Behaviour]:
    """Return the behaviours of a line: its answer, and each class of values that led to it.

    Without ``pages`` the size of a page does not count.
    """
    told, problem = (operation, line.method), f"{answer.get('status')} {_slug(answer)}"
    found = {(*told, *message) for message in heard(answer)}
    found |= {(*told, answer_of({**answer, "messages": []}, operation, pages=pages))}
    found |= {(*told, problem, shape) for shape in shapes_of(line)}
    found |= {(*told, f"echoed {'x-request-id' in answer.get('headers', {})}")}
    return found | {(problem, value) for value in classes_of(line)}


def heard(answer: Json) -> set[Behaviour]:
    """Return the kinds of the messages that came, and of each two in a row, in either order."""
    kinds = [json.dumps(_message(message)) for message in answer.get("messages", [])]
    pairs = {tuple(sorted(pair)) for pair in itertools.pairwise(kinds)}
    return {(kind,) for kind in kinds} | pairs


def choices(line: Line, operation: str, answer: Json) -> set[Behaviour]:
    """Return the behaviours of a line by hand: its answer, each value, each pair of shapes."""
    told, problem = (operation, line.method), f"{answer.get('status')} {_slug(answer)}"
    found: set[Behaviour] = {(value,) for value in values_of(line, answer.get("status", 0))}
    pairs = itertools.combinations(sorted(shapes_of(line)), 2)
    found |= {(*told, problem, *pair) for pair in pairs}
    found |= {(*told, problem, member) for member in members_of(line)}
    return found | {(*told, answer_of(answer, operation))}


def _slug(answer: Json) -> str:
    body = answer.get("body")
    return str(body.get("type", "")) if isinstance(body, dict) else ""


def answer_of(answer: Json, operation: str, *, pages: bool = True) -> str:
    """Return an answer without ids, versions and other values that depend on earlier lines."""
    body, headers = answer.get("body"), dict(answer.get("headers", {}))
    headers.pop("x-request-id", None)
    if not pages and isinstance(body, dict) and "next" in body:
        body = "page"
        headers.pop("link", None)
    told = {
        "status": answer.get("status"),
        "headers": {name: _header(name, v) for name, v in headers.items()},
        "body": _body(body),
        "messages": [_message(message) for message in answer.get("messages", [])],
        "closed": answer.get("closed"),
        "rules": sorted(rules_held(answer, operation)),
    }
    return json.dumps(told, sort_keys=True)


def _header(name: str, values: Sequence[str]) -> list[str]:
    """Return a header's values without versions, ids and lengths."""
    free = name in ("etag", "location", "link")
    return [NUMBER.sub("0", SYMBOL.sub("0", value)) if free else value for value in values]


def _body(body: Json) -> Json:
    """Return a problem with its errors, the size of a page, or the members of a resource."""
    if not isinstance(body, dict):
        return type(body).__name__
    if "type" in body and "errors" in body:
        errors = {json.dumps([e.get("in"), _path(e), e.get("code")]) for e in body["errors"]}
        return [body["type"], sorted(errors)]
    if isinstance(body.get("data"), list):
        return [min(len(body["data"]), 2), body.get("next") is None]
    return [body.get("type"), sorted(body)]


def _path(error: Json) -> str:
    return NUMBER.sub("0", str(error.get("pointer", error.get("name", ""))))


def _message(message: Json) -> Json:
    if not isinstance(message, dict):
        return type(message).__name__
    told = [message.get(name) for name in ("type", "event", "code", "opcode")]
    return [*told, sorted(message)]


# -- features of a request


@dataclass(frozen=True)
class Sent:
    """The parts of a request, symbols without their numbers."""

    path: str
    query: list[tuple[str, str]]
    fields: list[tuple[str, str]]
    body: str

    @classmethod
    def of(cls, line: Line) -> Sent:
        """Return the parts of a line; of one without a request all are empty."""
        head, _, body = SYMBOL.sub(r"<\1>", shown(line.request)).partition("\r\n\r\n")
        path, _, query = SYMBOL.sub(r"<\1>", line.target).partition("?")
        pairs = [text.partition("=") for text in query.split("&") if text]
        fields = [text.partition(":") for text in head.split("\r\n")[1:]]
        told = [(name.lower(), value.strip()) for name, _, value in fields]
        return cls(
            path,
            [(name, value) for name, _, value in pairs],
            [(name, value) for name, value in told if name not in USUAL | NOTES],
            body,
        )

    @property
    def document(self) -> Json:
        """The body's JSON; raise ValueError."""
        return json.loads(self.body)


NOTES = {"x-schemathesis-testcaseid"}
MEMBERS = {
    *("name", "email", "password", "description", "price_cents", "tags", "status"),
    *("id", "owner_id", "version", "created_at", "updated_at"),
}
PARAMETERS = {"limit", "after", "owner_id", "status", "tag"}
VALUED = {"authorization", "if-match", "if-none-match", "content-type", "transfer-encoding"}


def values_of(line: Line, status: int) -> set[str]:
    """Return every value in a request, and those of a body that the server has read."""
    sent = Sent.of(line)
    signed = any(name == "authorization" for name, _ in sent.fields)
    found = {f"path {sent.path} {signed}"}
    found |= {f"query {name}={value}" for name, value in sent.query}
    found |= {f"{name}: {value}" for name, value in sent.fields}
    if status >= REFUSED and status not in READ:
        return found
    if _kind(sent) != "dict" or len(sent.body) > LONG:
        return found | {f"body {len(sent.body)} {sent.body[:LONG]}"}
    try:
        written = json.loads(sent.body, object_pairs_hook=list, parse_int=str, parse_float=str)
    except ValueError:
        return found | {f"body {sent.body}"}
    if len(dict(written)) < len(written):  # a member stands twice
        return found | {f"body {sent.body}"}
    return found | {f"member {name} {json.dumps(value)}" for name, value in written}


READ = (400, 409, 413, 422)


def members_of(line: Line) -> set[str]:
    """Return the members of a body with the type of each, one word for all that are unknown."""
    sent = Sent.of(line)
    document = sent.document if _kind(sent) == "dict" else {}
    known = {name: value for name, value in document.items() if name in MEMBERS}
    found = {f"member {name} {_type(value)}" for name, value in known.items()}
    return found | ({"member other"} if len(known) < len(document) else set())


def shapes_of(line: Line) -> set[str]:
    """Return the shape of a request: who signs, on which conditions, with what kind of body."""
    sent = Sent.of(line)
    found = {f"{name}: {_shape(value)}" for name, value in sent.fields if name in VALUED}
    signed = any(name == "authorization" for name, _ in sent.fields)
    body = BODIES.get(_kind(sent), "another JSON value")
    return found | {f"body {body}"} | ({"unsigned"} if not signed else set())


BODIES = {"absent": "absent", "dict": "object", "no JSON": "no JSON"}


def _shape(value: str) -> str:
    return next((told for told, pattern in SHAPES if pattern.fullmatch(value)), "other")


SHAPES = (
    *(("token", re.compile(r"Bearer <\w+>")), ("any", re.compile(r"\*"))),
    *(("tag", re.compile(r"(W/)?\"\d+\"")), ("JSON", re.compile(r"application/json"))),
    *(("merge", re.compile(r"application/merge-patch\+json")),),
)


def classes_of(line: Line) -> set[str]:
    """Return the classes of a request's values: path, parameters, fields and members."""
    sent = Sent.of(line)
    found = {f"path {'/'.join(map(class_of, sent.path.split('/')))}"}
    found |= {f"query {n}={class_of(v)}" for n, v in sent.query if n in PARAMETERS}
    plain = [(name, value) for name, value in sent.fields if name not in VALUED]
    found |= {f"{name}: {class_of(value)}" for name, value in plain if name != "x-request-id"}
    return found | members_of(line)


def class_of(text: str) -> str:
    """Return a known word unchanged, and the kinds of characters that another text holds."""
    if text in ("*", "") or WORD.fullmatch(text):
        return text
    kinds = {name for name, pattern in KINDS if re.search(pattern, text)}
    return " ".join([*sorted(kinds), *(["long"] if len(text) > SHORT else [])])


SHORT, LONG = 64, 400
WORD = re.compile(
    r"<\w+>|Bearer <\w+>|application/[a-z+-]+|text/[a-z]+|chunked|identity"
    r"|(W/)?\"[0-9]\"|users|items|me|tokens|healthz|readyz|ws|events|echo"
)
KINDS = (
    *(("letters", r"[A-Za-z]"), ("digits", r"\d"), ("space", r"\s"), ("symbol", "<")),
    *(("other", r"[^\x00-\x7f]|%[89A-Fa-f]"), ("control", r"[\x00-\x1f\x7f]|%[01]")),
    *(("quote", '"'), ("list", ","), ("weak", r"\bW/"), ("sign", r"^[-+]"), ("mark", r"[^\w\s]")),
)


def _kind(sent: Sent) -> str:
    """Return the kind of a body: absent, no JSON, or the type of its JSON value."""
    if not sent.body:
        return "absent"
    try:
        return type(sent.document).__name__
    except (ValueError, RecursionError):
        return "no JSON"


def _type(value: Json) -> str:
    empty = value in ("", [], 0) and not isinstance(value, bool)
    return f"{type(value).__name__}{' empty' if empty else ''}"


# -- what a line depends on


@dataclass
class Part:
    """A recording with what was answered, and what each line shows and depends on."""

    recording: Recording
    answers: Sequence[Json]

    def __post_init__(self) -> None:
        lines = self.recording.lines
        self.operations = operations_of(lines)
        self.exact = any(line.socket for line in lines)
        told = list(zip(lines, self.operations, self.answers, strict=True))
        self.shows = [behaviours(*each, pages=self.exact) for each in told]
        purposes = [choices(*each) for each in told] if self.recording.name == BY_HAND else []
        self.wanted = purposes or self.shows
        self.needs = list(dependencies(lines, self.answers))

    @property
    def writes(self) -> list[int]:
        """The places of the lines that changed something."""
        pairs = zip(self.recording.lines, self.answers, strict=True)
        return [place for place, (line, answer) in enumerate(pairs) if changes(line, answer)]

    def cost(self, place: int) -> int:
        """Return what a line costs a server, in plain requests."""
        line, status = self.recording.lines[place], self.answers[place].get("status", 0)
        hashes = (
            (self.operations[place] == "create_user" and status == CREATED)
            or (self.operations[place] == "create_token" and status in (CREATED, UNAUTHORIZED))
            or ('"password"' in shown(line.request) and status == OK)
        )
        return HASH_COST if hashes else 1

    def closed(self, places: Iterable[int], but: Collection[int] = ()) -> set[int]:
        """Return these places and those of all lines that they depend on, but for some."""
        found, left = set[int](), list(places)
        while left:
            place = left.pop()
            if place not in found and place not in but:
                found.add(place)
                left += self.needs[place]
        return found


def changes(line: Line, answer: Json) -> bool:
    """Tell whether a request changed something, as its answer says."""
    return line.method in WRITES and answer.get("status", REFUSED) < REFUSED


def dependencies(lines: Sequence[Line], answers: Sequence[Json]) -> Iterator[list[int]]:
    """Yield for each line the places of the earlier ones that changed what it is about.

    A token is about the user who logged in for it.
    """
    changed: dict[str, list[int]] = defaultdict(list)
    users: dict[str, str] = {}  # by address, and by token
    for place, (line, answer) in enumerate(zip(lines, answers, strict=True)):
        about = {str(symbol) for symbol in line.needs} | {address_of(line)} - {""}
        about |= {users[name] for name in about if name in users}
        yield sorted({earlier for name in about for earlier in changed[name]})
        if changes(line, answer):
            touched = set(re.findall(r"<\w+ \d+>", line.target)) | {address_of(line)} - {""}
            bound = {str(line.binds)} if line.binds else set()
            for name in touched | bound:
                changed[name].append(place)
            owners = {name for name in touched | bound | about if name.startswith("<user")}
            for name in {address_of(line), *bound} - {""} if len(owners) == 1 else ():
                users[name] = next(iter(owners))


# -- choosing


def chosen(part: Part, kept: Collection[int], seen: Collection[Behaviour] = ()) -> set[int]:
    """Return the places of lines that show every behaviour of a part, and what they depend on.

    ``kept`` are places that stay in any case, ``seen`` are the behaviours of other parts.
    """
    found = part.closed(kept) | (part.closed(begun(part, kept, seen)) if part.exact else set())
    seen = {*seen, *(each for place in found for each in part.wanted[place])}

    def gain(place: int) -> float:
        cost = sum(map(part.cost, part.closed([place], found)))
        return -len(part.wanted[place] - seen) / cost

    heap = [(gain(place), place) for place in range(len(part.wanted)) if place not in found]
    heapq.heapify(heap)
    while heap:
        _, place = heapq.heappop(heap)
        if place in found or not (now := gain(place)):
            continue
        if heap and (now, place) > heap[0]:
            heapq.heappush(heap, (now, place))
            continue
        added = part.closed([place], found)
        found |= added
        seen |= {each for other in added for each in part.wanted[other]}
    return found


def begun(part: Part, kept: Collection[int], seen: Collection[Behaviour]) -> list[int]:
    """Return the writes and the lines of sockets up to the last that shows something new."""
    known, end = set(seen), max(kept, default=0)
    for place, wanted in enumerate(part.wanted):
        if not wanted <= known:
            known |= wanted
            end = max(end, place)
    scenes = {*part.writes, *(p for p, line in enumerate(part.recording.lines) if line.socket)}
    return [place for place in sorted(scenes) if place <= end]


def distilled(parts: Sequence[Part], caught: Mapping[str, Collection[int]]) -> dict[str, set[int]]:
    """Return the places that are kept of each part.

    What was written by hand comes first: others keep only what it does not show.
    """
    kept, seen = dict[str, set[int]](), set[Behaviour]()
    for part in sorted(parts, key=lambda part: part.recording.name != BY_HAND):
        name = part.recording.name
        kept[name] = chosen(part, caught.get(name, ()), seen)
        seen |= {each for place in kept[name] for each in part.shows[place]}
    return kept


def only(recording: Recording, places: Collection[int]) -> Recording:
    """Return a recording with only the lines of these places."""
    return recording.only([place + 1 for place in sorted(places)])


def strayed(part: Part, places: Collection[int], answers: Sequence[Json]) -> list[int]:
    """Return the places of lines that show something else without the lines left out."""

    def told(place: int, answer: Json) -> str:
        return answer_of(answer, part.operations[place], pages=part.exact)

    return [
        place
        for place, answer in zip(sorted(places), answers, strict=True)
        if told(place, answer) != told(place, part.answers[place])
    ]


def settled(
    parts: Sequence[Part],
    kept: Mapping[str, set[int]],
    play: Callable[[Sequence[Recording]], Answers],
) -> dict[str, set[int]]:
    """Put lines back until each kept line is answered as in the whole; raise DistilError.

    A line that is not gets back every write before it.
    """
    kept = dict(kept)
    for _ in range(ROUNDS):
        names = [part.recording.name for part in parts]
        answers = play([only(p.recording, kept[n]) for p, n in zip(parts, names, strict=True)])
        astray = {n: strayed(p, kept[n], answers[n]) for p, n in zip(parts, names, strict=True)}
        print({name: len(places) for name, places in astray.items()}, flush=True)
        if not any(astray.values()):
            return kept
        for part, name in zip(parts, names, strict=True):
            last = max(astray[name], default=0)
            kept[name] |= part.closed([place for place in part.writes if place < last])
    raise DistilError("the distilled corpus is not answered as the whole one")


# -- the verb


def caught(findings: Mapping[str, Json]) -> dict[str, set[int]]:
    """Return the places, by part, of the lines that have caught a fault at layer 4."""
    found: dict[str, set[int]] = defaultdict(set)
    for finding in findings.values():
        for test in finding.get("identity", {}).get("tests", []):
            part, _, number = test.removeprefix("corpus/").partition("::")[2].partition(", line ")
            found[part].add(int(number) - 1)
    return found


def shown_by(
    parts: Iterable[Part], kept: Mapping[str, Collection[int]] | None = None
) -> dict[str, dict[str, int]]:
    """Return how many lines, all or those kept, show each status and problem, by operation."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for part in parts:
        places = range(len(part.answers)) if kept is None else kept[part.recording.name]
        for place in places:
            answer = part.answers[place]
            if "status" in answer:
                problem = f"{answer['status']} {_slug(answer)}".rstrip()
                counts[part.operations[place]][problem] += 1
    return {operation: dict(sorted(found.items())) for operation, found in sorted(counts.items())}


def player_of(
    implementation: Implementation, logs: Path
) -> Callable[[Sequence[Recording]], Answers]:
    """Return a function that plays recordings to new servers; it raises ServerError."""

    def play(recordings: Sequence[Recording]) -> Answers:
        [replayed] = replay_all([implementation], recordings, "sqlite", logs, cpus() + 1)
        if replayed.problem:
            raise ServerError(replayed.problem)
        return replayed.answers

    return play


def distil(
    recordings: Sequence[Recording], implementations: Sequence[Implementation], logs: Path
) -> tuple[dict[str, set[int]], list[Part]]:
    """Return what is kept of each part; the first implementation answers, every one checks.

    Raise ServerError or DistilError.
    """
    first = player_of(implementations[0], logs)(recordings)
    parts = [Part(recording, first[recording.name]) for recording in recordings]
    findings = json.loads(FINDINGS.read_text(encoding="utf-8"))
    kept = distilled(parts, caught(findings))
    for implementation in implementations:
        kept = settled(parts, kept, player_of(implementation, logs))
    return kept, parts


def run(options: argparse.Namespace) -> int:
    """Write conformance/corpus/distilled.json and return 0; return 1 if nothing was distilled."""
    try:
        implementations = [find(name) for name in options.names]
        recordings = corpus.read()
        with TemporaryDirectory(prefix="rosetta-distil-") as logs:
            kept, parts = distil(recordings, implementations, Path(logs))
    except (CorpusError, DistilError, ManifestError, ServerError, VenvError) as error:
        print(f"RED: nothing distilled: {error}", file=sys.stderr)
        return 1
    corpus.write_distilled(
        {name: [place + 1 for place in sorted(places)] for name, places in kept.items()},
        {"shown": shown_by(parts), "kept": shown_by(parts, kept)},
    )
    for whole, left in zip(recordings, corpus.read(distilled=True), strict=True):
        print(
            f"{whole.name}: {left.requests} of {whole.requests} requests, "
            f"{left.messages} of {whole.messages} messages"
        )
    return 0
