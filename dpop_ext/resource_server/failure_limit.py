"""A limit on signature checks that a holder of a symmetric key can make us do.

A MAC is cheap and its key is the client's. Whoever has one can put a token of his own
making under it, and each costs a signature check before it fails. Outsiders cannot:
without the key there is no MAC, and no check.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.errors import AccessTokenError
from dpop_ext.resource_server.error_refusal import refuse
from dpop_ext.resource_server.refusal import AccessRefusedError
from dpop_ext.verified_proof import OpenedProof

#: So many failures are allowed in a period.
LIMIT = 20
#: Length of a period, in seconds.
PERIOD = 60
#: Clients that are remembered; the one that failed longest ago is forgotten first.
MAX_CLIENTS = 10_000

_Client = tuple[str | None, str | None, str]


class FailureLimit:
    """Counts access tokens that fail although the MAC of their proof was good.

    :param clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        #: Those that failed: start of the period and failures in it.
        self.clients: OrderedDict[_Client, tuple[float, int]] = OrderedDict()

    def check(self, proof: OpenedProof | None) -> None:
        """Refuse a client that is over the limit, before its token is checked.

        :param proof: as opened; only symmetric ones are counted.
        :raises AccessRefusedError: it is.
        """
        # Most of the time nobody has failed.
        if not self.clients:
            return
        client = _client_of(proof)
        if client is None:
            return
        with self._lock:
            start, failures = self.clients.get(client, (0.0, 0))
        left = start + PERIOD - self._clock()
        if failures >= LIMIT and left > 0:
            refusal = refuse(AccessTokenError())
            raise AccessRefusedError(
                refusal._replace(
                    reason="too_many_failures",
                    # A clock that was set back must not make it longer.
                    retry_after=min(int(left) + 1, PERIOD),
                )
            )

    def concerns(self, token: AccessToken) -> bool:
        """Tell whether *token* is of a client that has failed, however long ago."""
        confirmation = token.confirmation
        return confirmation is None or (
            (token.issuer, token.client_id, confirmation.jkt) in self.clients
        )

    def count(self, proof: OpenedProof | None, error: Exception) -> None:
        """Count a token, unless it failed by no fault of its own.

        :param proof: that the token came with, as opened.
        :param error: what the check of the token raised. An issuer that is out of reach
            is no fault of a token.
        """
        client = _client_of(proof)
        if client is None or not (
            isinstance(error, AccessTokenError) or _says_invalid_token(error)
        ):
            return
        now = self._clock()
        with self._lock:
            start, failures = self.clients.pop(client, (now, 0))
            if not start <= now < start + PERIOD:
                start, failures = now, 0
            self.clients[client] = start, failures + 1
            if len(self.clients) > MAX_CLIENTS:
                self.clients.popitem(last=False)


def _client_of(proof: OpenedProof | None) -> _Client | None:
    """Return whose key made the MAC; None if there is no MAC, or none is known yet."""
    token = proof.peeked if proof is not None else None
    if token is None or token.confirmation is None or token.confirmation.jkt is None:
        return None
    return token.issuer, token.client_id, token.confirmation.jkt


def _says_invalid_token(error: Exception) -> bool:
    """Tell so of this package's refusals, as they are or as an error of Authlib."""
    return getattr(getattr(error, "refusal", None), "error", None) == "invalid_token"
