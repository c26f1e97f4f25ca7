"""What is left for the garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Callable


def errors_left_by(act: Callable[[], object]) -> list[BaseException]:
    """Return the exceptions that *act* leaves behind.

    An error is in its own traceback if a function that it passes has it by name. It is
    then kept for a while, with whatever the functions had in their hands.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        act()
        gc.collect()
        # No isinstance: that would look into weak references.
        return [each for each in gc.garbage if issubclass(type(each), BaseException)]
    finally:
        gc.set_debug(0)
        gc.enable()
        gc.unfreeze()
        gc.garbage.clear()
