"""What is done about a version of the secrets that is not known here.

DPoP Symmetric Profile 1.0, R1508: the issuer is asked for the sake of tokens only that
it signed, or anybody could make it work by inventing versions.
"""

from __future__ import annotations

from collections.abc import Callable

from dpop_ext.resource_server.rate_limit import RateLimit
from dpop_ext.verifier import ProofVerifier

#: Tokens with unknown versions whose signature is verified, in a second and at once.
RATE = 20


class KeyringSync:
    """Asks for newer secrets, so that a step of a decision can be tried once more.

    :param verifier: whose keyring it is.
    """

    def __init__(self, verifier: ProofVerifier) -> None:
        self._verifier = verifier
        self._limit = RateLimit(RATE, verifier.clock)

    def catch_up(self, verify_token: Callable[[], object]) -> bool:
        """Ask for the secrets of a version that is not known.

        :param verify_token: raises unless the issuer made the access token. It is
            called for :data:`RATE` requests in a second at most; the others are
            refused, and their clients go on with asymmetric proofs.
        :returns: whether the step can be tried again; if not, it failed.
        """
        if not self._verifier.can_sync or not self._limit.take():
            return False
        verify_token()
        self._verifier.sync_keyring()
        return True
