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
    it is no reason to ask about nothing else.

    :param question: raises any exception if there is no answer.
    :raises StoreError: *circuit* lets none through.
    """
    with circuit:
        begun = time.monotonic()
        try:
            return question()
        except Exception as error:
            if time.monotonic() - begun >= SLOW:
                raise
            failure = error
    try:
        raise failure
    finally:
        # Else it would be in its own traceback, and the token with it for a while.
        del failure
