"""How codes and tokens are stored: as a hash, which opens nothing."""

from __future__ import annotations

import hashlib


def token_hash(token: str) -> str:
    """Return the SHA-256 of a code or token, in hexadecimal.

    No salt and no stretching: these are random and long, so there is nothing to
    guess, and they must be found by this value.
    """
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
