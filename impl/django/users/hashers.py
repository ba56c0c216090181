"""Argon2id password hashes (RFC 9106), with the parameters that every implementation has."""

import os
import threading

from django.contrib.auth.hashers import Argon2PasswordHasher

# A hash holds 19 MB and one core for about 23 ms: more at once than cores only costs memory.
_cores = threading.BoundedSemaphore(os.cpu_count() or 1)


class Argon2idPasswordHasher(Argon2PasswordHasher):
    """Django's hasher, as the contract has it."""

    time_cost = 2
    memory_cost = 19456
    parallelism = 1
    # Contract: Django would count argon2-cffi's 16 bytes of salt as 95 bits, and rewrite the hash.
    salt_entropy = 95

    def encode(self, password: str, salt: str) -> str:
        """Hash a password."""
        with _cores:
            return str(super().encode(password, salt))

    def verify(self, password: str, encoded: str) -> bool:
        """Tell whether the password is the hash's."""
        with _cores:
            return bool(super().verify(password, encoded))
