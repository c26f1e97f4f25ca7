"""The independent packages, from their lock files, in ``build/``."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CACHE = ROOT / "build" / "interop"
HERE = Path(__file__).parent

#: For one command that installs, in seconds.
TIMEOUT = 300


def install_node_packages() -> Path:
    """Return the directory in which the scripts of ``node/`` can be run.

    Skips the test where there is no Node.js that they run on, or no registry.
    """
    need_npm()
    probe = _run(["node", "--print", "typeof URL.parse"], cwd=HERE)
    if probe.stdout.strip() != "function":
        pytest.skip("oidc-provider needs a newer Node.js, with URL.parse")
    return install_from_npm(HERE / "node", CACHE / "node")


def need_npm() -> None:
    """Skip the test where there is no Node.js, or no npm."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("Node.js with npm is not installed")


def install_from_npm(source: Path, target: Path) -> Path:
    """Return *target*, a copy of *source* with the packages of its lock file.

    Skips the test where they cannot be had.
    """
    with _once(target, source / "package.json", source / "package-lock.json") as needed:
        # Modules are looked for beside the script that imports them.
        shutil.copytree(source, target, dirs_exist_ok=True)
        if needed:
            # No package runs a script of its own on the machine of a developer.
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            _install(command, cwd=target)
    return target


def install_python_packages() -> Path:
    """Return the Python that has the packages of ``python/requirements.txt``.

    Skips the test where they cannot be had.
    """
    requirements = HERE / "python" / "requirements.txt"
    target = CACHE / "python"
    python = target / "bin" / "python"
    with _once(target, requirements, Path(sys.executable)) as needed:
        if needed:
            _install([sys.executable, "-m", "venv", "--clear", target], cwd=HERE)
            options = ["--quiet", "--require-hashes", "--only-binary=:all:"]
            pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
            files = ["--requirement", str(requirements)]
            _install([*pip, "install", *options, *files], cwd=HERE)
    return python


@contextmanager
def _once(target: Path, *inputs: Path) -> Iterator[bool]:
    """Tell whether *target* must be made, and keep other test runs out meanwhile."""
    CACHE.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()
    stamp = target.with_suffix(".installed")
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        needed = not stamp.exists() or stamp.read_text() != digest
        if needed:
            # What fails half-way does not count as installed.
            stamp.unlink(missing_ok=True)
        yield needed
        stamp.write_text(digest)


def _install(command: Sequence[str | Path], *, cwd: Path) -> None:
    result = _run(command, cwd=cwd)
    if result.returncode:
        lines = result.stderr.splitlines()
        error = next((line for line in lines if "error" in line.lower()), "no message")
        pytest.skip(f"{Path(command[0]).name} cannot install the packages: {error}")


def _run(
    command: Sequence[str | Path], *, cwd: Path
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
