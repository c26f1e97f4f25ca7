"""The text of an access token, which each step of a request hashes or parses."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Generic, TypeVar

from dpop_ext.core.jose import CompactJWS, parse_compact_jws

#: Longest access token that is looked at, in characters.
MAX_TOKEN_LENGTH = 16 * 1024

V = TypeVar("V")


class _Once(Generic[V]):
    """What a function returned last, for whoever asks about the very same string.

    By identity, not by value: no request learns anything of the token of another.
    """

    __slots__ = ("_function", "_last")

    def __init__(self, function: Callable[[str], V]) -> None:
        self._function = function
        #: One tuple, so that other threads see both or neither.
        self._last: tuple[str, V] | None = None

    def __call__(self, text: str) -> V:
        last = self._last
        if last is not None and last[0] is text:
            return last[1]
        value = self._function(text)
        self._last = (text, value)
        return value


def _digest(text: str) -> bytes:
    # A lone surrogate has no encoding. No header field has one, and it is no reason to
    # fail here.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _parse(text: str) -> CompactJWS:
    return parse_compact_jws(text, max_length=MAX_TOKEN_LENGTH)


#: Return the SHA-256 of an access token: its name in caches.
token_digest = _Once(_digest)
#: Parse an access token that is a JWT; see :func:`parse_compact_jws`. Its signature is
#: not looked at. The result is shared: do not change it.
parse_token = _Once(_parse)
