"""Argon2id password hashes (RFC 9106), computed on threads of their own.

Every function returns a `concurrent.futures.Future`: a thread waits with `.result()`, a
coroutine with `await asyncio.wrap_future(…)`, and an event loop is never blocked.
"""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# A hash holds 19 MB and one core for about 23 ms: more at once than cores only costs memory.
_pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="argon2")
_hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)


def hash_password(password: str) -> Future[str]:
    """Hash a password into the standard `$argon2id$…` string."""
    return _pool.submit(_hasher.hash, password)


def verify_password(password_hash: str | None, password: str) -> Future[bool]:
    """Tell whether the password is the hash's; without a hash, take as long and say no."""
    return _pool.submit(_verify, password_hash, password)


@cache
def _dummy_hash() -> str:
    return _hasher.hash(os.urandom(16))


def _verify(password_hash: str | None, password: str) -> bool:
    try:
        matches = _hasher.verify(password_hash or _dummy_hash(), password)
    except (InvalidHashError, VerificationError):
        return False
    return matches and password_hash is not None
