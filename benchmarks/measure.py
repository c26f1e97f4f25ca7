"""Interleaved measurement: the rows of a table are compared within one run."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

#: Rounds over all operations; a row is the median of them.
ROUNDS = 100
#: Seconds that one operation is repeated for in one round: short, so that a burst of
#: other work on the machine meets all operations, and not one.
ROUND_SECONDS = 0.006
#: Calls before the clock of a round starts. What other rows leave of the processor's
#: caches makes the first ones dearer: a round of token requests by a tenth. Of two rows
#: that are compared, the slower one has fewer calls in a round to share that.
UNTIMED = 3
#: Rounds between two collections of garbage.
COLLECT = 20
#: Parts of a run, one after the other: how much their medians differ is how much two
#: runs would.
PARTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Of one operation, in microseconds for one call."""

    median: float
    #: A quarter of the rounds was faster than the first, and slower than the second.
    quartiles: tuple[float, float]
    #: The medians of the parts of the run.
    parts: tuple[float, ...]
    #: What was measured in each round.
    rounds: tuple[float, ...] = ()

    @property
    def spread(self) -> float:
        """How far the quartiles are apart, as a part of the median."""
        return (self.quartiles[1] - self.quartiles[0]) / self.median

    def ratio(self, *base: Timing) -> float:
        """Return how many times all of *base* this takes."""
        return self.median / sum(each.median for each in base)

    def ratios(self, *base: Timing) -> tuple[float, float]:
        """Return the least and the greatest ratio of a part of the run."""
        sums = [sum(part) for part in zip(*(each.parts for each in base), strict=True)]
        found = [one / other for one, other in zip(self.parts, sums, strict=True)]
        return min(found), max(found)

    def added_to(self, base: Timing) -> tuple[float, float, float]:
        """Return what this takes more than *base*, and the range of it.

        The median of the differences within the rounds: what slows the machine down
        for a while slows both of a round, and the median of one operation may be of
        another time than that of the other. The range is that of the parts of the run.
        """
        more = [a - b for a, b in zip(self.rounds, base.rounds, strict=True)]
        parts = _medians(more)
        return statistics.median(more), min(parts), max(parts)


def measure(
    operations: Mapping[str, Callable[[], object]],
    *,
    timer: Callable[[], float] = time.thread_time,
    rounds: int = ROUNDS,
) -> dict[str, Timing]:
    """Time each operation, in turns, so that a noisy moment hits all of them.

    :param operations: callables without side effects that matter, by name.
    :param timer: in seconds. The time of the processor is not troubled by whatever
        else runs on the machine; an operation that waits for something needs another.
    :param rounds: a multiple of :data:`PARTS`.
    """
    repeats = {name: _calibrate(call, timer) for name, call in operations.items()}
    samples: dict[str, list[float]] = {name: [] for name in operations}
    gc.disable()
    try:
        for number in range(rounds):
            for name, call in operations.items():
                samples[name].append(_time(call, repeats[name], timer))
            if number % COLLECT == 0:
                gc.collect()
    finally:
        gc.enable()
    return {name: _timing(times) for name, times in samples.items()}


def _timing(times: list[float]) -> Timing:
    low, median, high = statistics.quantiles(times, n=4)
    return Timing(
        median=median,
        quartiles=(low, high),
        parts=_medians(times),
        rounds=tuple(times),
    )


def _medians(rounds: list[float]) -> tuple[float, ...]:
    """Return the median of each part of a run."""
    size = len(rounds) // PARTS
    parts = [rounds[n * size : (n + 1) * size] for n in range(PARTS)]
    return tuple(statistics.median(part) for part in parts)


def _calibrate(call: Callable[[], object], timer: Callable[[], float]) -> int:
    call()
    return max(1, int(ROUND_SECONDS * 1e6 / max(_time(call, 20, timer), 0.1)))


def _time(
    call: Callable[[], object], repeats: int, timer: Callable[[], float]
) -> float:
    for _ in range(UNTIMED):
        call()
    start = timer()
    for _ in range(repeats):
        call()
    return (timer() - start) / repeats * 1e6
