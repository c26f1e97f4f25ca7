"""The profile in JavaScript, with the cryptography of Node.js and no line of ours."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.patience import PATIENCE

SCRIPTS: Final = Path(__file__).parent / "node" / "profile"


def node() -> str:
    """Return the command; skips the test where there is no Node.js that will do."""
    command = shutil.which("node")
    if command is None:
        pytest.skip("Node.js is not installed")
    probe = _run([command, "--print", "typeof ''.isWellFormed"])
    if probe.strip() != "function":
        pytest.skip("the scripts need Node.js 20 or newer")
    return command


def judge_vectors(folder: Path) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return what it finds for each vector, by file and list."""
    found: dict[str, Any] = json.loads(
        _run([node(), str(SCRIPTS / "vectors.mjs"), str(folder)])
    )
    return found


class Peer:
    """Answers one question after the other."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, operation: str, **values: Any) -> Any:
        """Return the answer; None if it refuses what it was given."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([operation, values]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def running() -> Iterator[Peer]:
    """Start it, and end it with its input."""
    with subprocess.Popen(
        [node(), str(SCRIPTS / "peer.mjs")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Peer(process)
            process.communicate(timeout=PATIENCE)
        finally:
            process.kill()


def _run(command: list[str]) -> str:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, check=True
    ).stdout
