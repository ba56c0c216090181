"""A Redis for each run: another run's wake-ups must not reach this one's servers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from rosetta.targets import databases, wakeups
from rosetta.targets.wakeups import NoRedisError, redis_url

CONFORMANCE = Path(__file__).parents[1]
# Shows the URL of its Redis, and wakes whoever listens at each line that it is sent.
OTHER_RUN = """
import sys, redis
from rosetta.targets.wakeups import redis_url
print(redis_url(), flush=True)
with redis.Redis.from_url(redis_url()) as client:
    for line in sys.stdin:
        print(client.publish("events", "another run"), flush=True)
"""


needs_redis_server = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="redis-server is not installed"
)


@pytest.fixture(autouse=True)
def not_named(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The tester names no Redis, and what this process has started so far is not used."""
    monkeypatch.delenv("ROSETTA_REDIS_URL", raising=False)
    wakeups._own_or_shared.cache_clear()
    yield
    wakeups._own_or_shared.cache_clear()


@pytest.fixture
def other_run() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", OTHER_RUN],
        cwd=CONFORMANCE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def asked(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def wake(process: subprocess.Popen[str]) -> int:
    """Let the other run publish a wake-up; return how many it has reached."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return int(asked(process))


def gone(url: str, seconds: float = 10) -> bool:
    """Wait until nothing answers there any more."""
    begin = time.monotonic()
    while wakeups._answers(url):
        if time.monotonic() - begin > seconds:
            return False
        time.sleep(0.02)
    return True


@needs_redis_server
def test_two_runs_do_not_wake_each_others_servers(other_run: subprocess.Popen[str]) -> None:
    assert asked(other_run) != redis_url()
    with redis.Redis.from_url(redis_url()) as client, client.pubsub() as listener:
        listener.subscribe("events")
        assert listener.get_message(timeout=5) is not None  # the answer to the subscription
        assert wake(other_run) == 0
        assert client.publish("events", "this run") == 1
        message = listener.get_message(timeout=5)
        assert message is not None
        assert message["data"] == b"this run"


@needs_redis_server
def test_a_run_has_one_redis() -> None:
    assert redis_url() == redis_url() == databases.redis_url()


@needs_redis_server
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_redis_ends_with_its_run_however_that_ends(
    other_run: subprocess.Popen[str], sent: signal.Signals
) -> None:
    url = asked(other_run)
    assert wakeups._answers(url)
    other_run.send_signal(sent)
    assert gone(url)


def test_the_redis_that_the_tester_names_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROSETTA_REDIS_URL", "redis://elsewhere/1")
    assert redis_url() == "redis://elsewhere/1"


@needs_redis_server
def test_without_redis_server_the_shared_one_is_taken_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = redis_url()
    wakeups._own_or_shared.cache_clear()
    monkeypatch.setattr(wakeups, "SHARED_URL", shared)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert redis_url() == shared
    assert "Install redis-server, or name a Redis" in capsys.readouterr().err


def test_without_any_redis_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeups, "SHARED_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(NoRedisError, match="redis-server is not installed, none answers at"):
        redis_url()


@needs_redis_server
def test_a_fork_gets_a_redis_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = redis_url()
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert redis_url() != parent
