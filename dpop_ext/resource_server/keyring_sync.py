"""What is done about a version of the secrets that is not known here.

DPoP Symmetric Profile 1.0, R1508: the issuer is asked for the sake of tokens only that
it signed, or anybody could make it work by inventing versions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from dpop_ext.errors import UnknownKeyError
from dpop_ext.resource_server.rate_limit import RateLimit
from dpop_ext.verifier import ProofVerifier

T = TypeVar("T")

#: Tokens with unknown versions whose signature is verified, in a second and at once.
RATE = 20


class KeyringSync:
    """Repeats a step of a decision once, after newer secrets were asked for.

    :param verifier: whose keyring it is.
    """

    def __init__(self, verifier: ProofVerifier) -> None:
        self._verifier = verifier
        self._limit = RateLimit(RATE, verifier.clock)

    def repeating(self, step: Callable[[], T], verify_token: Callable[[], object]) -> T:
        """Return the result of *step*.

        :param step: leaves no trace.
        :param verify_token: raises unless the issuer made the access token. It is
            called for :data:`RATE` requests in a second at most; the others are
            refused, and their clients go on with asymmetric proofs.
        :raises UnknownKeyError: the version is not known, still.
        """
        try:
            return step()
        except UnknownKeyError:
            if not self._verifier.can_sync or not self._limit.take():
                raise
        verify_token()
        self._verifier.sync_keyring()
        return step()
