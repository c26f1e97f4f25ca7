"""Where decisions are made that may have to wait for a store or an issuer."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final, TypeVar

#: Decisions that are made at the same time; more wait.
MAX_THREADS: Final = 32

T = TypeVar("T")


def make_executor() -> Executor:
    """Return the threads of one application."""
    return ThreadPoolExecutor(MAX_THREADS, "dpop-decision")


async def in_thread(decide: Callable[[], T], executor: Executor) -> T:
    """Return what *decide* returns, with the context variables of the caller."""
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(executor, lambda: context.run(decide))
