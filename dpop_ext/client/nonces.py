"""The nonces that servers supplied, as a client keeps them: :rfc:`9449#section-8`."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

#: What a server was to this client: an authorization or a resource server. One origin
#: can be both, with nonces that are not good for each other.
Role = Literal["as", "rs"]

#: Characters of a nonce. Section 8.1 sets no limit; a header field line has one.
MAX_NONCE_LENGTH = 1024

_LEGAL = re.compile(rf"[\x21\x23-\x5b\x5d-\x7e]{{1,{MAX_NONCE_LENGTH}}}")


def read_nonce(fields: Sequence[str]) -> str | None:
    """Return the nonce that a response supplies.

    :param fields: the values of its ``DPoP-Nonce`` header fields, one for each line.
    :returns: None when there is no field, more than one, or one with characters that
        section 8.1 does not allow.
    """
    if len(fields) != 1 or not _LEGAL.fullmatch(fields[0]):
        return None
    return fields[0]


class NonceCache:
    """The newest nonce of each server, by origin and role. Threads may share it.

    :param max_servers: pairs of origin and role to remember; the one that was used
        longest ago is forgotten first, which costs one challenge.
    """

    def __init__(self, max_servers: int = 100) -> None:
        self._max_servers = max_servers
        self._nonces: OrderedDict[tuple[str, Role], str] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, origin: str, role: Role) -> str | None:
        """Return the nonce to put into the next proof for this server."""
        with self._lock:
            nonce = self._nonces.get((origin, role))
            if nonce is not None:
                self._nonces.move_to_end((origin, role))
            return nonce

    def put(self, origin: str, role: Role, nonce: str) -> None:
        """Remember *nonce* in place of the one before."""
        with self._lock:
            self._nonces[origin, role] = nonce
            self._nonces.move_to_end((origin, role))
            if len(self._nonces) > self._max_servers:
                self._nonces.popitem(last=False)
