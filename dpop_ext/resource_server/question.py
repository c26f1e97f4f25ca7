"""A question to another server that must not hold up all threads.

:rfc:`7662#section-2.2`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from dpop_ext.stores.circuit import CircuitBreaker

#: Seconds after which a question that failed has held somebody up.
SLOW: Final = 1.0

T = TypeVar("T")


def put(question: Callable[[], T], *, circuit: CircuitBreaker) -> T:
    """Return what *question* returns, unless those before it were waited for in vain.

    One that fails at once costs no thread, and what it asks about may be the reason:
    it is no reason to ask about nothing else. Nor does it say that the others are not
    waited for in vain.

    :param question: raises any exception if there is no answer.
    :raises StoreError: *circuit* lets none through.
    """
    circuit.__enter__()
    begun = time.monotonic()
    try:
        answer = question()
    except BaseException as error:
        if isinstance(error, Exception) and time.monotonic() - begun < SLOW:
            circuit.leave_out()
        else:
            circuit.__exit__(type(error), error, error.__traceback__)
        raise
    circuit.__exit__(None, None, None)
    return answer
