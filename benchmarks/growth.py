"""How the cost of a symmetric request grows with what the server remembers."""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.measure import measure
from benchmarks.world import (
    EC_KEY,
    NOW,
    ResourceServer,
    access_token,
    delivered_key,
    serving,
    symmetric_proof,
    warm,
)
from dpop_ext.core.token_text import token_digest
from dpop_ext.stores.base import REPLAY_KEY_LENGTH
from dpop_ext.stores.memory import MemoryReplayStore

#: Requests for each size, each with a proof of its own.
REQUESTS = 5_000
#: Proofs that a measurement with one store may use up.
USED_UP = 200_000
#: Tokens whose memory is measured.
TOKENS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """The cost at the large size, as a multiple of the one at the small size."""

    name: str
    factor: float
    budget: float


def growth() -> list[Growth]:
    """Measure each pair of sizes, in turns."""
    found = []
    for name, small, large, budget in (
        ("1 to 1,000 secret versions", _versions(1), _versions(1000), 1.5),
        ("1 to 10,000 remembered tokens", _versions(1), _remembered(10_000), 1.5),
        ("0 to 1,000,000 live proofs", _live(0), _live(1_000_000), 1.5),
        ("access token of 0.8 to 5 kB", _padded(0), _padded(3200), 2.0),
    ):
        times = measure({"small": small, "large": large})
        factor = times["large"].median / times["small"].median
        found.append(Growth(name=name, factor=factor, budget=budget))
        gc.collect()
    return found


def bytes_per_token() -> float:
    """Return what a remembered token takes, in Python's memory."""
    server = ResourceServer()
    texts = [access_token(EC_KEY, number=number) for number in range(TOKENS)]
    server.find_token(texts[0])
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for text in texts[1:]:
        server.find_token(text)
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return taken / (TOKENS - 1)


def _requests(padding: int = 0) -> list[tuple[str, str]]:
    text, key = access_token(EC_KEY, padding=padding), delivered_key(EC_KEY)
    return [(text, symmetric_proof(key, text)) for _ in range(REQUESTS)]


def _versions(number: int) -> Callable[[], None]:
    requests = _requests()
    first = requests.pop()
    return serving(requests, lambda: warm(ResourceServer(versions=number), first))


def _remembered(number: int) -> Callable[[], None]:
    """Return a call against a server that remembers so many tokens and their keys."""
    requests = _requests()
    first = requests.pop()

    def full() -> ResourceServer:
        server = warm(ResourceServer(), first)
        name = token_digest(first[0])
        for cache in server.caches():
            entry = cache.get(name)
            for _ in range(number - len(cache)):
                cache.put(os.urandom(32), entry)
            # It was pushed out meanwhile, or nearly.
            cache.put(name, entry)
        return server

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
    return lambda: server.serve(text, next(proofs))


def _padded(padding: int) -> Callable[[], None]:
    requests = _requests(padding)
    first = requests.pop()
    return serving(requests, lambda: warm(ResourceServer(), first))
