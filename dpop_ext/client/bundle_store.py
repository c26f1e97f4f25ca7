"""Where the session of a client is kept: :rfc:`9449`, sections 5 and 11.4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class BundleStore(Protocol):
    """Where a bundle is kept. What it raises comes out of the session that uses it."""

    def read(self) -> str | None:
        """Return the text that was written last; None before there was one."""

    def write(self, text: str) -> None:
        """Keep *text*, which has a private key in it, in place of the one before.

        At once and as a whole: a crash leaves one of the two.
        """

    def try_lock(self) -> Callable[[], object] | None:
        """Hold off all others that ask for the lock of the same place.

        Those are processes and threads, and a second call in this thread likewise. A
        process that ends sets it free.

        :returns: what gives it back; None if another has it.
        """
