"""The end of each command's help: examples, and its exit codes."""

from __future__ import annotations

from typing import Final

_USUAL: Final = "0 done, 1 refused, 2 wrong command line"


def closing(*examples: str, codes: str = _USUAL) -> str:
    """Return the epilog of a command.

    :param examples: lines as they are typed.
    :param codes: what each exit code means.
    """
    title = "Example" if len(examples) == 1 else "Examples"
    lines = "\n".join(f"  {example}" for example in examples)
    return f"\b\n{title}:\n{lines}\n\b\nExit code: {codes}.\n"
