"""What one call runs, counted: the same in every run, on every machine."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

#: Functions that are named.
SHOWN = 8
#: Calls of which the shortest is counted: one may begin anew with another server.
TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Counts of one call, by function."""

    #: Instructions of Python's own machine.
    bytecodes: Counter[str]
    python_calls: Counter[str]
    #: Calls of functions that are written in C, by the function that calls.
    c_calls: Counter[str]

    def __sub__(self, other: Trace) -> Trace:
        """Return what this call runs more than *other*; below 0 is what it spares."""
        return Trace(
            bytecodes=_less(self.bytecodes, other.bytecodes),
            python_calls=_less(self.python_calls, other.python_calls),
            c_calls=_less(self.c_calls, other.c_calls),
        )

    def as_json(self) -> Mapping[str, Any]:
        """Return the sums, and the functions with the most bytecodes."""
        packages: Counter[str] = Counter()
        for name, number in self.bytecodes.items():
            packages[_package(name)] += number
        return {
            "bytecodes": self.bytecodes.total(),
            "python_calls": self.python_calls.total(),
            "c_calls": self.c_calls.total(),
            "packages": dict(packages.most_common(SHOWN)),
            "functions": {
                name: {"calls": self.python_calls[name], "bytecodes": number}
                for name, number in self.bytecodes.most_common(SHOWN)
            },
        }


def trace(call: Callable[[], object]) -> Trace:
    """Count what *call* runs."""
    # From Python 3.12 on a function that was never traced tells of no instruction.
    _trace(call)
    traces = [_trace(call) for _ in range(TRIES)]
    return min(traces, key=lambda found: found.bytecodes.total())


def _trace(call: Callable[[], object]) -> Trace:
    bytecodes: Counter[str] = Counter()
    python_calls: Counter[str] = Counter()
    c_calls: Counter[str] = Counter()

    def each_event(frame: FrameType, event: str, _argument: object) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        name = _name(frame)
        if event == "call":
            python_calls[name] += 1
        elif event == "opcode":
            bytecodes[name] += 1
        return each_event

    def each_call(frame: FrameType, event: str, _argument: object) -> None:
        if event == "c_call":
            c_calls[_name(frame)] += 1

    before = sys.gettrace(), sys.getprofile()
    sys.setprofile(each_call)
    sys.settrace(each_event)
    try:
        call()
    finally:
        sys.settrace(before[0])
        sys.setprofile(before[1])
    # Not what makes the request, nor how the tracer is switched off.
    for counts in (bytecodes, python_calls, c_calls):
        for name in [name for name in counts if name.startswith("benchmarks.")]:
            del counts[name]
    return Trace(bytecodes=bytecodes, python_calls=python_calls, c_calls=c_calls)


def _less(more: Counter[str], other: Counter[str]) -> Counter[str]:
    # A counter less another one would leave out what is below 0.
    difference = more.copy()
    difference.subtract(other)
    return difference


def _package(name: str) -> str:
    package = name.partition(".")[0]
    return "namedtuple" if package.startswith("namedtuple_") else package


def _name(frame: FrameType) -> str:
    module = frame.f_globals.get("__name__", "?")
    return f"{module}.{frame.f_code.co_qualname}"
