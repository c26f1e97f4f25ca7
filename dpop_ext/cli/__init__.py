"""The command line ``dpop-ext``."""

from __future__ import annotations

import io
import sys

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Run a command, and end the process: 1 for a refusal, 2 for a wrong command line.

    :param arguments: without the name of the program; None takes those of the process.
    """
    try:
        from dpop_ext.cli.group import dpop_ext  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.exit("dpop-ext: the package click is missing: pip install 'dpop-ext[cli]'")
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # What cannot be written there is escaped, as on the other stream: the name of
        # a file that is no text, and what a server says in letters a terminal lacks.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        dpop_ext.main(arguments, prog_name="dpop-ext")
    except OSError as error:
        if error.strerror is None:
            # None of the system, such as that of a library: a fault of ours.
            raise
        # Help and errors are written by click itself; nobody can be told of a full disk
        # but on the other stream.
        sys.exit(f"dpop-ext: it did not work: {error.strerror}")
