"""What a resource server needs to give tickets and to take them (Symmetric Profile)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from dpop_ext.errors import DPoPError, StoreError
from dpop_ext.stores.base import CLOCK_TOLERANCE, LogoutStore, TicketKeySource
from dpop_ext.symmetric.delivery import KEY_ALGORITHMS, check_key_algorithms
from dpop_ext.symmetric.derivation import MAC_ALGORITHMS
from dpop_ext.symmetric.ticket_keys import CLOCK_SKEW, MAX_LIFETIME

#: Seconds for which a log-out is remembered: no ticket lives longer.
LOGOUT_MEMORY: Final = MAX_LIFETIME + CLOCK_SKEW + CLOCK_TOLERANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Tickets:
    """Symmetric keys of the resource server's own, for clients that ask for one.

    ::

        ProofVerifier(store, issuer=..., audience=..., tickets=Tickets(
            keys=RotatingTicketKeys(table), logouts=logouts,
        ))

    The gate and the validator that get the verifier then put ``DPoP-Ticket`` on
    answers. With several servers, *keys* and *logouts* must be shared by all.

    :raises ValueError: an algorithm is no MAC of symmetric proofs, or there is none; a
        key algorithm is not one of this profile, or not one that the cryptography
        package of this process has; or *client_rate* is not positive.
    """

    keys: TicketKeySource = field(repr=False)
    #: Who logged out. Every ticket is held against it.
    logouts: LogoutStore = field(repr=False)
    #: MAC algorithms for which there are tickets.
    algorithms: tuple[str, ...] = ("HS256",)
    #: JWE ``alg`` values that their keys are delivered with. Add ``HPKE-9-KE`` for
    #: clients with post-quantum keys.
    key_algorithms: tuple[str, ...] = KEY_ALGORITHMS
    #: Tickets in a second for all users of one client, in each process; twice as many
    #: at once. Each costs an encryption. For one key there are three at once and then
    #: one a minute, whatever this is.
    client_rate: int = 50

    def __post_init__(self) -> None:
        if not self.algorithms or not set(self.algorithms) <= MAC_ALGORITHMS.keys():
            raise ValueError("the algorithms of tickets are HS256 and HS512")
        check_key_algorithms(self.key_algorithms)
        if self.client_rate < 1:
            raise ValueError("client_rate must be positive")

    def log_out(self, *, issuer: str, jkt: str, now: int) -> None:
        """Refuse every ticket of one key that was made by now, on all servers.

        :param issuer: of the access tokens.
        :param jkt: thumbprint that they are bound to.
        :param now: seconds since the epoch.
        :raises StoreError: it was not remembered: the tickets are good until they end.
        """
        try:
            self.logouts.put(
                issuer,
                jkt,
                # The server that made the last ticket may have been ahead.
                not_before=now + CLOCK_SKEW,
                expires_at=now + LOGOUT_MEMORY,
                now=now,
            )
        except DPoPError:
            raise
        except Exception as error:
            raise StoreError from error

    def find_logout(self, *, issuer: str, jkt: str, now: int) -> int | None:
        """Return the last second of which no ticket of this key is good, or None.

        :raises StoreError: that cannot be told now.
        """
        try:
            return self.logouts.find(issuer, jkt, now=now)
        except DPoPError:
            raise
        except Exception as error:
            raise StoreError from error
