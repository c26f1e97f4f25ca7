"""A process that prints one JSON line for each step, and ends with its input."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.patience import PATIENCE


class Script:
    """A script of ``node/`` or ``python/`` as a context manager.

    :param command: program and arguments.
    :param inputs: becomes the last argument, as JSON.
    :param cwd: where it runs.
    """

    def __init__(
        self, command: Sequence[str | Path], inputs: dict[str, Any], *, cwd: Path
    ) -> None:
        self._command = [*command, json.dumps(inputs)]
        self._cwd = cwd

    def __enter__(self) -> Self:
        """Start it."""
        # A file, because a pipe that nobody reads gets full.
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            self._command,
            cwd=self._cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End its input, and wait for its end.

        :raises AssertionError: it failed.
        :raises subprocess.TimeoutExpired: it did not end by itself.
        """
        with self._errors, self._process:
            try:
                if kind is not None:
                    self._process.kill()
                self._process.communicate(timeout=PATIENCE)
            finally:
                self._process.kill()
            if kind is None and self._process.returncode:
                raise self._failure("its end")

    def step(self, *names: str) -> dict[str, Any]:
        """Return the next line, which must be that of one of the steps *names*."""
        with self._killed_if_it_hangs():
            line = self._stdout.readline()
        if not line:
            raise self._failure(" or ".join(names))
        fields: dict[str, Any] = json.loads(line)
        assert fields["step"] in names, fields
        return fields

    def tell(self, text: str) -> None:
        """Give it a line to read."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()

    @contextmanager
    def _killed_if_it_hangs(self) -> Iterator[None]:
        """Wait for one step only so long, however many came before it."""
        timer = threading.Timer(PATIENCE, self._process.kill)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _failure(self, missed: str) -> AssertionError:
        self._errors.seek(0)
        return AssertionError(f"failed before {missed}:\n{self._errors.read()}")

    @property
    def _stdout(self) -> Any:
        return self._process.stdout
