"""Threads of one process: locks and the interpreter's own lock cost throughput."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import repeat

from benchmarks.profile import library_work
from benchmarks.world import (
    EC_KEY,
    ResourceServer,
    access_token,
    asymmetric_proof,
    delivered_key,
    received,
    symmetric_proof,
    warm,
)
from dpop_ext.stores.base import NoReplayProtection

THREADS = 4
ROUNDS = 5
#: Requests of one thread in a round.
SYMMETRIC, ASYMMETRIC = 4_000, 1_000


def throughput() -> list[tuple[str, int, float, float, float]]:
    """Return kind, threads, throughput as a multiple of one thread's, and budget.

    The last figure is the multiple of calls that do nothing but what libraries do.
    """
    bare = _multiple(_bare_rate, SYMMETRIC)
    text, key = access_token(EC_KEY), delivered_key(EC_KEY)
    first = symmetric_proof(key, text)
    symmetric = iter(lambda: symmetric_proof(key, text), "")
    signed = asymmetric_proof(EC_KEY, "ES256", text)
    found = []
    for kind, proofs, number, budget in (
        ("symmetric", symmetric, SYMMETRIC, 0.85),
        ("ES256, key and token seen before", repeat(signed), ASYMMETRIC, 1),
    ):
        rate = partial(_rate, text, first, proofs)
        found.append((kind, THREADS, _multiple(rate, number), budget, bare))
    return found


def _multiple(rate: Callable[[int, int], float], number: int) -> float:
    one, many = [], []
    for _ in range(ROUNDS):
        one.append(rate(1, number))
        many.append(rate(THREADS, number))
    return statistics.median(many) / statistics.median(one)


def _bare_rate(threads: int, number: int) -> float:
    """Return how often so many threads do the work of libraries in a second."""
    work = library_work()
    start = threading.Barrier(threads + 1)

    def run() -> None:
        start.wait()
        for _ in range(number):
            work()

    return threads * number / _seconds([run] * threads, start)


def _rate(
    text: str, first: str, proofs: Iterator[str], threads: int, number: int
) -> float:
    """Return requests in a second, by so many threads against one server."""
    server = warm(ResourceServer(), (text, first))
    shares = [[next(proofs) for _ in range(number)] for _ in range(threads)]
    if shares[0][0] == shares[0][1]:
        # To sign a proof for each would take too long; the store is measured above.
        server.verifier.replay_store = NoReplayProtection()
    start = threading.Barrier(threads + 1)
    work = [_work(server, text, share, start) for share in shares]
    return threads * number / _seconds(work, start)


def _seconds(work: Sequence[Callable[[], None]], start: threading.Barrier) -> float:
    threads = [threading.Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def _work(
    server: ResourceServer, text: str, proofs: list[str], start: threading.Barrier
) -> Callable[[], None]:
    requests = [(received(text), proof) for proof in proofs]

    def run() -> None:
        start.wait()
        for request in requests:
            server.serve(*request)

    return run
