"""All implementations on one database: the models of layer 3 go from one to the next.

One PostgreSQL database, one Redis, one SECRET_KEY. Each request of the models goes to the next
implementation, each feed is opened at the next; so tokens, passwords, versions, pages and events
of one are taken up by another, and whatever differs from the model is red.
"""

from __future__ import annotations

import argparse
import itertools
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import redis

from machines.feed_machine import FeedMachine
from machines.http_machine import HttpMachine
from machines.machine import run_machine
from machines.world import World
from rosetta.clients.http import Account, Api, expect
from rosetta.clients.message import Response
from rosetta.clients.websocket import Feed, HandshakeRefused, Silence
from rosetta.results import documents
from rosetta.results.reasons import closing
from rosetta.results.run import now, provenance, tested
from rosetta.targets import databases
from rosetta.targets.fleet import Fleet, start_together
from rosetta.targets.manifest import Implementation, ManifestError, find, select
from rosetta.targets.server import Server, ServerError, Target
from rosetta.targets.venvs import VenvError, environment_of

SEEDS = (0, 1)
HTTP_EXAMPLES = 40
FEED_EXAMPLES = 30
LEAST = 2  # implementations


class Relay(Api):
    """A client whose every request goes to the next server, and every feed too."""

    def __init__(self, targets: Sequence[Target]) -> None:
        super().__init__(targets[0])
        self._apis = [Api(target) for target in targets]
        self._next = itertools.cycle(self._apis)
        self._feeds = itertools.cycle(targets)
        self.count = 0

    @property
    def target(self) -> Target:
        """The server at which the next feed is opened."""
        return next(self._feeds)

    @target.setter
    def target(self, _: Target) -> None:
        """Take no notice: a relay has many."""

    def request(self, method: str, path: str, **options: Any) -> Response:  # noqa: ANN401
        """Send one request to the next server."""
        self.count += 1
        return next(self._next).request(method, path, **options)

    def close(self) -> None:
        """Close all connections."""
        super().close()
        for api in self._apis:
            api.close()


@contextmanager
def running(
    implementations: Sequence[Implementation], migrated_by: Implementation, logs: Path
) -> Iterator[dict[str, Server]]:
    """Run a server of each on one database, which one of them has migrated."""
    with ExitStack() as stack:
        fleets = {}
        for implementation in (migrated_by, *implementations):
            fleet = Fleet(implementation, "postgresql", 1, logs / implementation.name)
            fleets[implementation.name] = fleet
            stack.callback(fleet.close)
        url = fleets[migrated_by.name].database().url
        wakes = {"REDIS_URL": databases.redis_url()}
        servers = {
            implementation.name: fleets[implementation.name].server(
                "relay", database_url=url, environment=wakes
            )
            for implementation in implementations
        }
        start_together(servers.values())
        yield servers


# -- what is relayed


def models(servers: Mapping[str, Server]) -> int:
    """Run the machines of layer 3 and return how many requests they sent; raise on a difference."""
    with Relay(list(servers.values())) as relay:
        for seed in SEEDS:
            run_machine(HttpMachine, World(relay), seed, examples=HTTP_EXAMPLES)
            run_machine(FeedMachine, World(relay), seed, examples=FEED_EXAMPLES)
        return relay.count


def hand_over(servers: Mapping[str, Server]) -> int:
    """Take an account, an item and a feed from each server to each; return how many requests."""
    count = 0
    with ExitStack() as stack:
        apis = [stack.enter_context(Api(server)) for server in servers.values()]
        accounts = [api.sign_up() for api in apis]
        for at, writer in enumerate(apis):
            for account in accounts:
                count += _pass_round(apis[at:] + apis[:at], account, writer)
    return count + 2 * len(apis)


def _pass_round(apis: Sequence[Api], account: Account, writer: Api) -> int:
    """Write at one server what all the others then change, read and hear of."""
    watcher = apis[-1].target
    with Feed(watcher, token=account.token) as feed:
        item = writer.create_item(account, tags=["b", "a"])
        events = [("item.created", item.body)]
        etag = item.etag
        for price, api in enumerate(apis):
            patch = {"json": {"price_cents": price}, "headers": {"If-Match": etag}}
            changed = expect(api.patch(item.path, token=account, **patch), 200)
            expect(apis[0].patch(item.path, token=account, **patch), 412)
            etag = changed.headers["ETag"]
            events.append(("item.updated", changed.json()))
        for api in apis:
            read = expect(api.get(item.path, token=account), 200)
            if read.json() != events[-1][1] or read.headers["ETag"] != etag:
                raise AssertionError(f"{api.target.base_url} reads {read.text}, not {events[-1]}")
        try:
            heard = [(m["event"], m["data"]) for m in feed.take(len(events))]
        except Silence as silence:
            text = (
                f"{watcher.base_url} fell silent on what {writer.target.base_url} and others wrote"
            )
            raise AssertionError(f"{text}: {silence}") from None
        if heard != events:
            raise AssertionError(f"{watcher.base_url} tells {heard}, not {events}")
    return 1 + 3 * len(apis)


def run(options: argparse.Namespace) -> int:
    """Return 0 only if nothing differed from the model."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = now()
    (options.results / "relay.json").unlink(missing_ok=True)  # that of an older run
    result: dict[str, Any] = {"implementations": {}, "migrated_by": "", "requests": 0}
    result |= {"problem": "", "seeds": list(SEEDS)}
    begin = time.monotonic()
    try:
        chosen, migrated_by = choose(options.names, options.migrated_by)
        result["migrated_by"] = migrated_by.name
        for one in chosen:
            result["implementations"][one.name] = tested(one, environment_of(one))
        with running(chosen, migrated_by, options.results / "relay.logs") as servers:
            names = {server.base_url: name for name, server in servers.items()}
            try:
                result["requests"] = hand_over(servers) + models(servers)
            except (AssertionError, HandshakeRefused, Silence, OSError) as error:
                result["problem"] = named(str(error) or repr(error), names)
    except (ManifestError, VenvError, ServerError, psycopg.Error, redis.RedisError) as error:
        result["problem"] = str(error)
    result["seconds"] = round(time.monotonic() - begin, 1)
    return tell(provenance("relay", uuid4().hex, started) | result, options.results)


def choose(
    names: Sequence[str], migrated_by: str | None
) -> tuple[list[Implementation], Implementation]:
    """Return the implementations to run and the one to migrate; raise ManifestError."""
    chosen = list(select(names).values())
    if len(chosen) < LEAST:
        raise ManifestError(f"a relay needs {LEAST} implementations; there are {len(chosen)}")
    return chosen, find(migrated_by) if migrated_by else chosen[0]


def named(text: str, names: Mapping[str, str]) -> str:
    """Return a text with each server's address followed by whose it is."""
    for url, name in names.items():
        text = text.replace(url, f"{url} ({name})")
    return text


def tell(result: dict[str, Any], directory: Path) -> int:
    """Write results/relay.json, print the closing line, return the exit code."""
    green = not result["problem"] and result["requests"] > 0
    verdict = {"verdict": "interchangeable" if green else "different"}
    path = documents.write(result | verdict, directory / "relay.json")
    if result["problem"]:
        print(result["problem"], file=sys.stderr)
    green, line = closing(documents.read(path))
    print(line, file=sys.stdout if green else sys.stderr)
    return 0 if green else 1
