"""How old the secrets of a resource server are (DPoP Symmetric Profile 1.0)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from dpop_ext.cli.checkup.finding import Finding, bad, good, look
from dpop_ext.cli.output import duration
from dpop_ext.symmetric.keyring_claims import MAX_STALE

_AGE = "keyring age"


#: Polls after which a file was replaced if all is well: every other one is answered
#: with "not modified", and each comes up to a tenth late.
_USUAL = 2.2
#: Polls after which a keyring is given up.
_LAST = 3


def check_keyring(
    path: Path, *, poll: int, clock: Callable[[], float]
) -> Iterator[Finding]:
    """Look when the cached keyring was written: at each poll that brought another.

    :param poll: seconds between two polls that the issuer asks for.
    """
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
    if age <= _USUAL * poll:
        yield good(_AGE, seen)
    elif age < min(_LAST * poll, MAX_STALE):
        yield look(_AGE, seen, "Polls bring nothing: is the issuer reachable?")
    else:
        yield bad(
            _AGE,
            seen,
            "Symmetric proofs are refused (use_dpop_asymmetric) until a poll succeeds.",
        )
