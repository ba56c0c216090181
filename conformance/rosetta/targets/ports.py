"""TCP ports for servers, so that no two processes of this machine ever use the same one.

Each process claims a share of the range by binding the share's first port, which stays bound until
the process ends. The kernel allows one such binding only, so processes of other runs, in whatever
clone of this repository, get other shares, and a process that is killed gives its share back.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import random
import socket
from collections.abc import Iterator

HOST = "127.0.0.1"
# Below Linux's ephemeral range, so that no outgoing connection takes the port of a server
# between its stop and its restart.
PORTS = range(20000, 32000)
SHARE = 150  # ports of one process, the first of which is its claim: 80 processes at once


class PortError(Exception):
    """No port is free: other processes hold them all."""


def free_port() -> int:
    """Return a TCP port of this process's share on which nothing listens.

    The ports of the share are given out in turn, so that a port is given again as late as
    possible: a server that a test stops and restarts lets go of its port for a while.
    """
    share, turns = _share(os.getpid())
    for _ in range(len(share)):
        port = share[next(turns) % len(share)]
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                return port
    raise PortError(f"no port of {HOST} from {share.start} to {share.stop - 1} is free")


@functools.cache
def _share(process: int) -> tuple[range, Iterator[int]]:
    """Return the ports of a process; a fork of it, having another id, is given others."""
    shares = [PORTS[start : start + SHARE] for start in range(0, len(PORTS), SHARE)]
    first = process % len(shares)
    for share in shares[first:] + shares[:first]:
        claim = socket.socket()
        try:
            claim.bind((HOST, share.start))
        except OSError:
            claim.close()
        else:
            claim.detach()  # it stays bound until the process ends
            return share[1:], itertools.count(random.SystemRandom().randrange(SHARE))
    raise PortError(f"all {len(shares)} shares of ports on {HOST} are taken by other processes")
