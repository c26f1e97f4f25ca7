"""A derivation secret that was put back is noticed (DPoP Symmetric Profile 1.0).

Rows are sealed: an old one in the place of a new one opens as well as it ever did. So
each has a number that goes up, and a process remembers the highest.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from dpop_ext.errors import StoreError


class SeenSequences:
    """The highest number of each version that this process has seen, by audience.

    Ask for :meth:`known` before a query, and compare its rows with that: numbers that
    another thread has seen meanwhile are newer, and would make them look as if they had
    been put back.
    """

    def __init__(self) -> None:
        #: These dicts are replaced and never changed.
        self._seen: dict[str, Mapping[int, int]] = {}
        self._remembering = threading.Lock()

    def known(self, audience: str) -> Mapping[int, int]:
        """Return the numbers by version; what is returned does not change."""
        return self._seen.get(audience, {})

    def remember(self, audience: str, sequences: Mapping[int, int]) -> None:
        """Take over the numbers by version that were read or written."""
        with self._remembering:
            seen = dict(self.known(audience))
            for version, sequence in sequences.items():
                seen[version] = max(sequence, seen.get(version, 0))
            self._seen[audience] = seen


def check_sequences(sequences: Mapping[int, int], seen: Mapping[int, int]) -> None:
    """Refuse numbers that are lower than those before.

    :param sequences: by version, as they were read.
    :param seen: of :meth:`SeenSequences.known`, from before that.
    :raises StoreError: a row was put back.
    """
    for version, sequence in sequences.items():
        if sequence < seen.get(version, 0):
            raise StoreError("A derivation secret is older than it has been.")
