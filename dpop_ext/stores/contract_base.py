"""What the tests of the contract of replay stores have in common."""

from __future__ import annotations

import time
from typing import ClassVar

from dpop_ext.core.policy import RFC9449
from dpop_ext.stores.base import REPLAY_KEY_LENGTH, ReplayStore

#: Seconds for which a proof is remembered, from when it was made.
WINDOW = RFC9449.window + 1
#: Seconds after which one who waits for the others of a race gives up.
PATIENCE = 30


class ContractBase:
    """What every suite has. Each test gets an empty store from :meth:`make_store`."""

    #: Entries expire by a clock of the store, not by the ``now`` of the calls: they
    #: may then stay longer than these calls pretend.
    expires_by_own_clock: ClassVar[bool] = False
    #: Entries of the test that floods the store.
    flood: ClassVar[int] = 2000

    def make_store(self) -> ReplayStore:
        """Return an empty store."""
        raise NotImplementedError

    def now(self) -> int:
        """Return the time at which a test begins, in seconds since the epoch."""
        return int(time.time())


def make_key(number: int) -> bytes:
    """Return the key of a store that stands for a proof."""
    return number.to_bytes(REPLAY_KEY_LENGTH, "big")
