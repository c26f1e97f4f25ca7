"""The nonces that servers supplied, as a client keeps them: :rfc:`9449#section-8`."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Literal

#: What a server was to this client: an authorization or a resource server. One origin
#: can be both, with nonces that are not good for each other.
Role = Literal["as", "rs"]

#: Characters of a nonce. Section 8.1 sets no limit; a header field line has one.
MAX_NONCE_LENGTH = 1024
#: Seconds that requests wait, at most, for the first answer of a server.
FIRST_ANSWER_WAIT = 1.0
#: Seconds for which a nonce is expected to be good. Servers say nothing about that.
FRESH = 30.0

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
    :param clock: seconds, from any start.
    """

    def __init__(
        self,
        max_servers: int = 100,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_servers = max_servers
        self._clock = clock
        #: None of a server that has answered and never supplied a nonce.
        self._nonces: OrderedDict[tuple[str, Role], str | None] = OrderedDict()
        #: When each was supplied; one from an earlier process is not in here.
        self._supplied: dict[tuple[str, Role], float] = {}
        #: Requests to servers that have not answered yet, and when they went out.
        self._first: dict[tuple[str, Role], tuple[Future[None], float]] = {}
        self._lock = threading.Lock()

    def claim(self, origin: str, role: Role) -> Future[None] | None:
        """Ask whether a request is the first one to its server.

        Many that start at once would all be refused for the nonce that one of them can
        fetch. So one goes first, and the others wait for its answer.

        :returns: None if there is nothing to wait for. Then :meth:`settle` is due when
            the answer is there, or will not come. Else what is done by then; whoever
            has waited for it for :data:`FIRST_ANSWER_WAIT` seconds waits no longer.
        """
        server = origin, role
        with self._lock:
            if server in self._nonces:
                return None
            now = self._clock()
            first, since = self._first.get(server, (None, now))
            if first is not None and 0 <= now - since < FIRST_ANSWER_WAIT:
                return first
            following: Future[None] = Future()
            # Nobody who waits for it can cancel it for the others.
            following.set_running_or_notify_cancel()
            self._first[server] = following, now
            return None

    def settle(self, origin: str, role: Role, *, answered: bool) -> None:
        """Let the requests go on that wait for the first one.

        :param answered: with a nonce or without; False if no answer came.
        """
        server = origin, role
        with self._lock:
            if answered and server not in self._nonces:
                self._keep(server, None)
            first, _ = self._first.pop(server, (None, 0.0))
        if first is not None:
            first.set_result(None)

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
            self._supplied[origin, role] = self._clock()
            self._keep((origin, role), nonce)

    def is_fresh(self, origin: str, role: Role) -> bool:
        """Tell whether a request is likely to have the nonce that the server wants.

        So it is for :data:`FRESH` seconds after a nonce was supplied, and at a server
        that has answered and never supplied one.
        """
        server = origin, role
        with self._lock:
            if self._nonces.get(server) is None:
                return server in self._nonces
            supplied = self._supplied.get(server)
            return supplied is not None and 0 <= self._clock() - supplied < FRESH

    def restore(self, nonces: Mapping[tuple[str, Role], str]) -> None:
        """Take over what :meth:`known` returned, nobody knows how long ago."""
        with self._lock:
            for server, nonce in nonces.items():
                self._keep(server, nonce)
                self._supplied.pop(server, None)

    def known(self) -> dict[tuple[str, Role], str]:
        """Return the nonces by origin and role."""
        with self._lock:
            return {
                server: nonce
                for server, nonce in self._nonces.items()
                if nonce is not None
            }

    def _keep(self, server: tuple[str, Role], nonce: str | None) -> None:
        self._nonces[server] = nonce
        self._nonces.move_to_end(server)
        if len(self._nonces) > self._max_servers:
            forgotten, _ = self._nonces.popitem(last=False)
            self._supplied.pop(forgotten, None)
