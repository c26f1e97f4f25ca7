"""Hashes of what people and clients prove themselves with: scrypt, salted."""

from __future__ import annotations

import functools
import secrets

from werkzeug.security import check_password_hash, generate_password_hash

#: CPU cost 2^15, block size 8, parallelism 1: 32 MiB and some 50 ms for one check.
METHOD = "scrypt:32768:8:1"


def hash_password(password: str) -> str:
    """Return a hash to store, with its own salt and parameters in it."""
    return generate_password_hash(password, METHOD)


def check_password(stored: str | None, password: str) -> bool:
    """Whether *password* has the hash *stored*.

    Takes as long when nothing is stored: an unknown name must not be told from a
    known one by the time of the answer.
    """
    matches = check_password_hash(stored or _hash_of_nobody(), password)
    return matches and stored is not None


@functools.cache
def _hash_of_nobody() -> str:
    return hash_password(secrets.token_urlsafe())
