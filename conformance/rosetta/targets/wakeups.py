"""The Redis through which the workers of a server wake each other.

The contract fixes the name of the channel, and channels are global across a Redis's database
numbers. Two runs on one Redis would wake each other's servers: no rule would break, but a server
that publishes nothing could pass by the other run's wake-ups. So each process of a run has a Redis
of its own, started at the first use where ``redis-server`` is installed.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import subprocess
import sys
import time

import redis

from rosetta.targets.ports import HOST, free_port

VARIABLE = "ROSETTA_REDIS_URL"
SHARED_URL = "redis://127.0.0.1:6379/0"
START_DEADLINE = 10.0
# The shell ends Redis when its input ends: so it does not outlive a run that was killed.
KEEPER = 'trap "" INT; "$@" </dev/null & read -r line; kill $!; wait $!'
SHARING = f"""\
redis-server is not installed: this run shares the Redis at {SHARED_URL}. Another run that uses it
meanwhile may hide that a wake-up was never published. Install redis-server, or name a Redis of
this run's own in {VARIABLE}.
"""


class NoRedisError(redis.RedisError):
    """There is no Redis to use; the message says what to install or set."""


def redis_url() -> str:
    """Return the URL of this process's Redis, which is started at the first call.

    ROSETTA_REDIS_URL, where it is set, names one that runs already. Where redis-server is not
    installed it is the one on the usual port, and a warning on standard error says what that may
    hide. Raise NoRedisError if none answers.
    """
    return os.environ.get(VARIABLE) or _own_or_shared(os.getpid())


@functools.cache
def _own_or_shared(process: int) -> str:
    """Return the URL for a process; a fork of it, having another id, starts another Redis."""
    program = shutil.which("redis-server")
    if program:
        return start(program)
    if not _answers(SHARED_URL):
        raise NoRedisError(
            f"no Redis: redis-server is not installed, none answers at {SHARED_URL}, "
            f"and {VARIABLE} is not set"
        )
    print(SHARING, end="", file=sys.stderr)
    return SHARED_URL


def start(program: str) -> str:
    """Start a Redis that keeps nothing and ends with this process; return its URL."""
    port = free_port()
    settings = ["--port", str(port), "--bind", HOST, "--save", "", "--appendonly", "no"]
    keeper = subprocess.Popen(  # noqa: S603
        ["/bin/sh", "-c", KEEPER, "sh", program, *settings],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    atexit.register(_end, keeper)
    url = f"redis://{HOST}:{port}/0"
    begin = time.monotonic()
    while not _answers(url):
        if time.monotonic() - begin > START_DEADLINE:
            raise NoRedisError(f"{program} did not answer on port {port} in {START_DEADLINE:g} s")
        time.sleep(0.01)
    return url


def _answers(url: str) -> bool:
    with (
        redis.Redis.from_url(url, socket_timeout=1) as client,
        contextlib.suppress(redis.RedisError),
    ):
        return bool(client.ping())
    return False


def _end(keeper: subprocess.Popen[bytes]) -> None:
    assert keeper.stdin is not None
    keeper.stdin.close()
    keeper.wait()
