"""How old the secrets of a resource server are (DPoP Symmetric Profile 1.0)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from dpop_ext.cli.checkup.finding import Finding, bad, good, look
from dpop_ext.cli.output import duration
from dpop_ext.symmetric.keyring_claims import MAX_STALE

_AGE = "keyring age"


def check_keyring(path: Path, *, clock: Callable[[], float]) -> Iterator[Finding]:
    """Look when the cached keyring was written: at each poll that brought another."""
    try:
        status = path.stat()
    except OSError as error:
        yield bad(
            _AGE,
            f"{type(error).__name__}",
            "The resource server has written no keyring: its log says why "
            "(keyring_unavailable, keyring_not_kept).",
        )
        return
    age = max(0, int(clock() - status.st_mtime))
    seen = f"written {duration(age)} ago"
    if age <= MAX_STALE // 2:
        yield good(_AGE, seen)
    elif age <= MAX_STALE:
        yield look(_AGE, seen, "Two polls were missed: is the issuer reachable?")
    else:
        yield bad(
            _AGE,
            seen,
            "Symmetric proofs are refused (use_dpop_asymmetric) until a poll succeeds.",
        )
