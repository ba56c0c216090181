"""Write the corpus: every exchange of the generators of layers 1 and 3, and of the part by hand.

The seeds are fixed and nothing that a server makes stands in the corpus, so at one commit every
conforming implementation gives the same requests and frames, in the same order. Chance is only
where the end of a socket stands among the lines of others, and what it had heard by then.
"""

from __future__ import annotations

import argparse
import itertools
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from machines.by_hand import write_all
from machines.engine import EVERYTHING, Choice
from machines.engine import run as run_engine
from machines.feed_machine import FeedMachine
from machines.http_machine import HttpMachine
from machines.machine import run_machine
from machines.world import World
from rosetta.clients.http import Api
from rosetta.identity import corpus
from rosetta.identity.corpus import Recording
from rosetta.identity.tap import Scribe, Tap
from rosetta.targets.fleet import SECRET_KEY, Fleet
from rosetta.targets.manifest import Implementation, ManifestError, find
from rosetta.targets.server import ServerError, Target
from rosetta.targets.venvs import VenvError

SEEDS = (0, 1, 2)
# Each makes the server hash a password, which takes it as long as ten other requests: so they
# are recorded with few seeds, and else only as they must be refused.
HASHING = ("create_user", "create_token", "replace_user", "update_user", "delete_user")
PROBES = ("liveness", "readiness")
AT_RANDOM = Choice(phases=("fuzzing", "stateful"))
WITHOUT_HASHES = Choice(phases=("fuzzing",), without=(*HASHING, *PROBES), examples=31)
REFUSED = Choice(phases=("fuzzing",), without=PROBES, examples=31, modes=("negative",))
CONTRACT = (
    (0, EVERYTHING),
    (1, AT_RANDOM),
    *((seed, choice) for seed in (2, 3) for choice in (WITHOUT_HASHES, REFUSED)),
)
HTTP_EXAMPLES = 15
HTTP_STEPS = 60
FEED_EXAMPLES = 10
TIMEOUT = 30.0
BY_HAND = "by-hand"
# Besides the part by hand.
LEAST = {"requests": 5900, "messages": 500}


class RecordError(Exception):
    """What was recorded is no corpus."""


def contract(_: Target, api: Api) -> None:
    """Let the engine of layer 1 run as chosen for each seed; raise RecordError for its findings."""
    for number, (seed, choice) in enumerate(CONTRACT):
        outcome = run_engine(api, seed, choice, salt=f"s{number}")
        if outcome.findings or outcome.problems:
            raise RecordError("\n".join([*map(str, outcome.findings), *outcome.problems]))


class FrugalHttpMachine(HttpMachine):
    """The HTTP machine, with long examples and few hashes."""

    most_hashes = 1


def http(_: Target, api: Api) -> None:
    """Let the HTTP machine of layer 3 run once for each seed."""
    for seed in SEEDS:
        world = World(api, addresses(seed))
        run_machine(FrugalHttpMachine, world, seed, examples=HTTP_EXAMPLES, steps=HTTP_STEPS)


def feed(_: Target, api: Api) -> None:
    """Let the feed machine of layer 3 run once for each seed."""
    for seed in SEEDS:
        world = World(api, addresses(seed))
        run_machine(FeedMachine, world, seed, examples=FEED_EXAMPLES)


# What is called by a name of the contract stands for it: one file each.
PARTS: dict[str, Callable[[Target, Api], None]] = {
    "contract": contract,
    "http": http,
    "feed": feed,
    BY_HAND: write_all,
}


def addresses(seed: int) -> Callable[[str], str]:
    """Return a maker of e-mail addresses that are the same in every recording."""
    numbers = itertools.count(1)
    return lambda prefix: f"{prefix}-{next(numbers)}-s{seed}@rosetta.test"


def record(
    server: Target,
    name: str,
    part: Callable[[Target, Api], None],
    secret_key: str | None = SECRET_KEY,
) -> Recording:
    """Return what a part sends to a server that is new; raise RecordError.

    With the server's key the clients sign tokens instead of logging in.
    """
    scribe = Scribe(name, secret_key or "")
    with Tap(server, scribe) as tap, Api(tap.target, secret_key=secret_key, timeout=TIMEOUT) as api:
        part(tap.target, api)
    if scribe.problems:
        raise RecordError("\n".join(scribe.problems))
    left = ", ".join(f"{count} {reason}" for reason, count in sorted(scribe.left_out.items()))
    made = scribe.recording
    print(
        f"{name}: {made.requests} requests, {made.messages} messages"
        f"{f'; implementation-defined and left out: {left}' if left else ''}",
        flush=True,
    )
    return made


def record_all(implementation: Implementation, logs: Path) -> list[Recording]:
    """Return every part, each sent to a server of its own."""
    fleet = Fleet(implementation, "sqlite", 1, logs)
    recordings = []
    try:
        for name, part in PARTS.items():
            with fleet.server(name) as server:
                recordings.append(record(server, name, part))
    finally:
        fleet.close()
    return recordings


def check(recordings: Sequence[Recording]) -> None:
    """Raise RecordError if the generators gave too little."""
    generated = [recording for recording in recordings if recording.name != BY_HAND]
    found = {name: sum(getattr(r, name) for r in generated) for name in LEAST}
    for name, least in LEAST.items():
        if found[name] < least:
            raise RecordError(f"{found[name]} {name} are too few: {least} are needed")


def run(options: argparse.Namespace) -> int:
    """Write conformance/corpus/ and return 0; return 1 if there is nothing good to write."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = options.corpus or corpus.FOLDER
    begin = time.monotonic()
    try:
        with TemporaryDirectory(prefix="rosetta-record-") as logs:
            recordings = record_all(find(options.name), Path(logs))
        check(recordings)
    except (ManifestError, VenvError, ServerError, RecordError, AssertionError) as error:
        print(f"RED: nothing recorded: {error}", file=sys.stderr)
        return 1
    corpus.write(recordings, folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{size / 1000:.0f} kB in {time.monotonic() - begin:.0f} s")
    return 0
