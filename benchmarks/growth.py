"""How the cost of a symmetric request grows with what the server remembers."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Literal

from benchmarks.measure import measure
from benchmarks.world import (
    EC_KEY,
    NOW,
    ResourceServer,
    Serve,
    access_token,
    delivered_key,
    received,
    serving,
    symmetric_proof,
    warm_server,
)
from dpop_ext.core.base64url import b64url_decode
from dpop_ext.core.token_text import token_digest
from dpop_ext.stores.base import REPLAY_KEY_LENGTH
from dpop_ext.stores.memory import MemoryReplayStore

#: Requests for each size, each with a proof of its own.
REQUESTS = 5_000
#: Proofs that a measurement with one store may use up.
USED_UP = 200_000
#: Of the tokens that are remembered, those that requests come with.
IN_USE = 1_000
#: Bytes of a claim that fills the claims of an access token up to 4 KiB, and of one
#: that makes a token of 10 kB.
PADDING, MORE_PADDING = 3_700, 6_900
GROWTH_ROUNDS = 60
#: Tokens whose memory is measured.
TOKENS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """The cost at the large size, as a multiple of the one at the small size."""

    name: str
    factor: float
    budget: float
    #: The factor if nothing grew but what libraries have to do.
    floor: float
    floor_is: str


def growth() -> list[Growth]:
    """Measure each pair of sizes, in turns."""
    lengths = [len(access_token(EC_KEY, padding=n)) for n in (0, PADDING, MORE_PADDING)]
    usual, long, longest = (f"{length / 1000:.1f}" for length in lengths)
    found = []
    for name, small, large, budget, hashed in (
        ("1 to 1,000 secret versions", _versions(1), _versions(1000), 1.5, 0),
        ("1 to 100,000 remembered tokens", _tokens(1), _tokens(100_000), 1.5, 0),
        ("0 to 1,000,000 live proofs", _live(0), _live(1_000_000), 1.5, 0),
        # Of a longer JWT a symmetric proof is refused before anything is verified,
        # unless the verifier takes it for opaque.
        (f"access token of {usual} to {long} kB", *_lengths(PADDING), 2.0, lengths[1]),
        (
            f"access token of {usual} to {longest} kB, as if opaque",
            *_lengths(MORE_PADDING, "opaque"),
            *(2.0, lengths[2]),
        ),
    ):
        calls = {"small": small, "large": large}
        if hashed:
            calls |= {"hash": _hash(hashed), "none": _hash(lengths[0])}
        times = measure(calls, rounds=GROWTH_ROUNDS)
        more = times["hash"].median - times["none"].median if hashed else 0.0
        small_time = times["small"].median
        found.append(
            Growth(
                name=name,
                factor=times["large"].median / small_time,
                budget=budget,
                floor=(small_time + more) / small_time,
                floor_is=f"{more:.1f} us more for SHA-256 of the token",
            )
        )
        gc.collect()
    return found


def bytes_per_token() -> tuple[float, float]:
    """Return what a remembered token takes of memory, and what its claims alone do."""
    server = ResourceServer()
    texts = [access_token(EC_KEY, number=number) for number in range(TOKENS)]
    server.find_token(texts[0])
    gc.collect()
    held = _bytes_of(server.find_token, texts[1:])
    return held, _bytes_of(lambda text: json.loads(_claims(text)), texts[1:])


def _bytes_of(make: Callable[[str], object], texts: Sequence[str]) -> float:
    """Return what each thing that *make* returns takes of memory."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    made = [make(text) for text in texts]
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return (taken - sys.getsizeof(made)) / len(made)


def _claims(text: str) -> bytes:
    return b64url_decode(text.split(".")[1])


def _requests(padding: int = 0) -> list[tuple[str, str]]:
    text, key = access_token(EC_KEY, padding=padding), delivered_key(EC_KEY)
    return [(text, symmetric_proof(key, text)) for _ in range(REQUESTS)]


def _versions(number: int) -> Callable[[], None]:
    requests = _requests()
    return serving(requests, warm_server(requests, versions=number))


def _tokens(number: int) -> Callable[[], None]:
    """Return a call against a server that remembers so many tokens and their keys.

    The requests come with one token after the other: what a server that serves many
    users remembers is not in the caches of the processor. Of more tokens than can be
    signed in this time, the rest are entries that nobody asks for.
    """
    key = delivered_key(EC_KEY)
    in_use = [access_token(EC_KEY, number=n) for n in range(min(number, IN_USE))]
    texts = islice(cycle(in_use), REQUESTS)
    requests = [(text, symmetric_proof(key, text)) for text in texts]
    firsts = [(text, symmetric_proof(key, text)) for text in in_use]

    def full() -> Serve:
        server = ResourceServer()
        # Twice as much room, since half of it is a generation that is not complete.
        server.resize_caches(max(4 * number, 4))
        for first in firsts:
            server.serve(*first)
        for cache in server.caches():
            entry = cache.get(token_digest(in_use[0]))
            for _ in range(number - len(cache)):
                cache.put(os.urandom(32), entry)
        return server.serve

    return serving(requests, full)


def _live(number: int) -> Callable[[], None]:
    """Return a call against one store, which the used proofs of others fill."""
    store = MemoryReplayStore(10_000_000)
    for other in range(number):
        store.add(
            other.to_bytes(REPLAY_KEY_LENGTH, "little"), expires_at=NOW + 66, now=NOW
        )
    server = ResourceServer(store=store)
    text, key = access_token(EC_KEY), delivered_key(EC_KEY)
    proofs = iter([symmetric_proof(key, text) for _ in range(USED_UP)])
    texts = cycle([received(text) for _ in range(2)])
    return lambda: server.serve(next(texts), next(proofs))


def _lengths(
    padding: int, form: Literal["jwt", "opaque"] = "jwt"
) -> tuple[Callable[[], None], Callable[[], None]]:
    return _padded(0, form), _padded(padding, form)


def _hash(length: int) -> Callable[[], None]:
    text = "x" * length

    def call() -> None:
        hashlib.sha256(text.encode()).digest()

    return call


def _padded(padding: int, form: Literal["jwt", "opaque"]) -> Callable[[], None]:
    requests = _requests(padding)
    return serving(requests, warm_server(requests, token_form=form))
