"""What a resource server never goes back behind (DPoP Symmetric Profile, R1701)."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dpop_ext.core.confirmation import MAX_VERSION
from dpop_ext.core.strict_json import parse_json_object
from dpop_ext.errors import MalformedJOSEError

#: Versions that can be revoked and not yet below the lowest live one.
MAX_REVOKED = 256


class KeyringError(ValueError):
    """A keyring is refused. The text is constant and may go into a log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyringFloor:
    """How far the keyrings of one audience have come. It holds no secret."""

    epoch: int = 0
    #: 0: there was none yet.
    sequence: int = 0
    #: SHA-256 of what that keyring said, in hexadecimal digits.
    content: str = ""
    min_live: int = 1
    revoked: frozenset[int] = frozenset()

    def check(self, *, epoch: int, sequence: int, content: str) -> None:
        """Refuse a keyring that is older than one before.

        :raises KeyringError: it is, or it is as old and says something else.
        """
        if (epoch, sequence) < (self.epoch, self.sequence):
            raise KeyringError("the keyring is older than one before")
        same = hmac.compare_digest(content.encode(), self.content.encode())
        if (epoch, sequence) == (self.epoch, self.sequence) and not same:
            raise KeyringError("two keyrings with one sequence number differ")

    def raised(
        self,
        *,
        epoch: int,
        sequence: int,
        content: str,
        min_live: int,
        revoked: Iterable[int],
    ) -> KeyringFloor:
        """Return the floor after a keyring that was accepted.

        A version that has ended does not come back, even in a later keyring.

        :raises KeyringError: too many versions are revoked.
        """
        lowest = max(self.min_live, min_live)
        ended = frozenset(v for v in self.revoked.union(revoked) if v >= lowest)
        if len(ended) > MAX_REVOKED:
            raise KeyringError("too many versions are revoked")
        return KeyringFloor(
            epoch=epoch,
            sequence=sequence,
            content=content,
            min_live=lowest,
            revoked=ended,
        )

    def dump(self) -> bytes:
        """Return it as JSON."""
        return json.dumps(
            {
                "epoch": self.epoch,
                "seq": self.sequence,
                "content": self.content,
                "min_live": self.min_live,
                "revoked": sorted(self.revoked),
            }
        ).encode()


def parse_floor(raw: bytes) -> KeyringFloor:
    """Read what :meth:`KeyringFloor.dump` wrote.

    :raises KeyringError: it is something else.
    """
    try:
        values = parse_json_object(raw, max_structural=MAX_REVOKED + 32)
        return KeyringFloor(
            epoch=number(values["epoch"]),
            sequence=number(values["seq"]),
            content=_digest(values["content"]),
            min_live=number(values["min_live"], least=1),
            revoked=versions(values["revoked"]),
        )
    except KeyringError:
        raise
    except (MalformedJOSEError, KeyError, TypeError) as error:
        raise KeyringError("the floor of the keyrings is malformed") from error


def _digest(value: object) -> str:
    if not isinstance(value, str):
        raise KeyringError("the floor of the keyrings is malformed")
    return value


def number(value: Any, *, least: int = 0) -> int:
    """Return an integer from JSON that is from *least* to 2**53-1.

    :raises KeyringError: it is something else, such as true.
    """
    if type(value) is not int or not least <= value <= MAX_VERSION:
        raise KeyringError("a number of the keyring is malformed")
    return value


def versions(values: Any) -> frozenset[int]:
    """Return a list of versions from JSON.

    :raises KeyringError: it is something else, or longer than :data:`MAX_REVOKED`.
    """
    if not isinstance(values, list) or len(values) > MAX_REVOKED:
        raise KeyringError("the revoked versions of the keyring are malformed")
    return frozenset(number(value, least=1) for value in values)
