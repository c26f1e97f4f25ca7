"""How long a test waits for what must come."""

from __future__ import annotations

from typing import Any, Final

#: Seconds. A net for what hangs, and no measure of speed: a machine that is slow, busy
#: or stopped for a while needs far less, and what is broken mostly says so at once.
#: Where a time-out is what a test is about, it has one of its own.
PATIENCE: Final = 120

#: The same for a store on Redis, which gives up after half a second if it is not told.
PATIENT: Final[dict[str, Any]] = {"connect_timeout": PATIENCE, "timeout": PATIENCE}
