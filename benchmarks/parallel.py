"""Threads of one process: locks and the interpreter's own lock cost throughput."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator

from benchmarks.world import (
    EC_KEY,
    ResourceServer,
    access_token,
    asymmetric_proof,
    delivered_key,
    symmetric_proof,
    warm,
)
from dpop_ext.stores.base import NoReplayProtection

THREADS = 4
ROUNDS = 5
#: Requests of one thread in a round.
SYMMETRIC, ASYMMETRIC = 4_000, 1_000


def throughput() -> list[tuple[str, int, float, float]]:
    """Return kind, threads, throughput as a multiple of one thread's, and budget."""
    text, key = access_token(EC_KEY), delivered_key(EC_KEY)
    first = symmetric_proof(key, text)
    symmetric = iter(lambda: symmetric_proof(key, text), "")
    signed = asymmetric_proof(EC_KEY, "ES256", text)
    return [
        ("symmetric", THREADS, _factor(text, first, symmetric, SYMMETRIC), 0.85),
        (
            "ES256",
            THREADS,
            _factor(text, first, iter(lambda: signed, ""), ASYMMETRIC),
            1,
        ),
    ]


def _factor(text: str, first: str, proofs: Iterator[str], number: int) -> float:
    one, many = [], []
    for _ in range(ROUNDS):
        one.append(_rate(1, text, first, proofs, number))
        many.append(_rate(THREADS, text, first, proofs, number))
    return statistics.median(many) / statistics.median(one)


def _rate(
    threads: int, text: str, first: str, proofs: Iterator[str], number: int
) -> float:
    """Return requests in a second, by so many threads against one server."""
    server = warm(ResourceServer(), (text, first))
    shares = [[next(proofs) for _ in range(number)] for _ in range(threads)]
    if shares[0][0] == shares[0][1]:
        # To sign a proof for each would take too long; the store is measured above.
        server.verifier.replay_store = NoReplayProtection()
    start = threading.Barrier(threads + 1)
    workers = [
        threading.Thread(target=_work(server, text, share, start)) for share in shares
    ]
    for worker in workers:
        worker.start()
    start.wait()
    began = time.perf_counter()
    for worker in workers:
        worker.join()
    return threads * number / (time.perf_counter() - began)


def _work(
    server: ResourceServer, text: str, proofs: list[str], start: threading.Barrier
) -> Callable[[], None]:
    def run() -> None:
        start.wait()
        for proof in proofs:
            server.serve(text, proof)

    return run
