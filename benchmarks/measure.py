"""Interleaved measurement: the rows of a table are compared within one run."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping

#: Rounds over all operations; a row is the median of them.
ROUNDS = 15
#: Seconds that one operation is repeated for in one round.
ROUND_SECONDS = 0.05


def measure(operations: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Time each operation, in turns, so that a noisy moment hits all of them.

    :param operations: callables without side effects that matter, by name.
    :returns: median microseconds of one call, by name.
    """
    repeats = {name: _calibrate(call) for name, call in operations.items()}
    samples: dict[str, list[float]] = {name: [] for name in operations}
    gc.disable()
    try:
        for _ in range(ROUNDS):
            for name, call in operations.items():
                samples[name].append(_time(call, repeats[name]))
            gc.collect()
    finally:
        gc.enable()
    return {name: statistics.median(times) for name, times in samples.items()}


def _calibrate(call: Callable[[], object]) -> int:
    call()
    return max(1, int(ROUND_SECONDS * 1e6 / max(_time(call, 20), 0.1)))


def _time(call: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats * 1e6
