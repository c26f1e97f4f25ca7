"""A nonce before it is needed: :rfc:`9449#section-9`.

A request whose body can be sent once only must not be the one that is refused for want
of a nonce. So another one goes first, without content, and with a proof that is a year
old. No server can accept that one: who wants a nonce says so and supplies it, and any
other refuses the proof for its age. So nothing is done there, whatever the method. It
is that of the request to come: a route may have no other.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from dpop_ext.client.clock_skew import ClockSkew
from dpop_ext.client.destination import Destination
from dpop_ext.client.exchange import Attempt, Flow, Outcome, send
from dpop_ext.client.key_ring import KeyRing
from dpop_ext.client.nonces import NonceCache
from dpop_ext.client.proof_maker import ProofMaker
from dpop_ext.client.request_message import RequestMessage
from dpop_ext.client.resource_flow import require_token68
from dpop_ext.errors import ProofTooLongError

#: Seconds by which the proof is too old: more than any clock is off.
AGE: Final = 366 * 24 * 3600


class Rehearsal:
    """One request to a resource server, for the nonce in the refusal.

    :param message: what its proof says of content, which there is none of, and query.
    """

    def __init__(
        self,
        destination: Destination,
        *,
        method: str,
        access_token: str,
        proofs: ProofMaker,
        nonces: NonceCache,
        keys: KeyRing,
        skew: ClockSkew,
        message: RequestMessage,
    ) -> None:
        require_token68(access_token)
        self._destination = destination
        self._method = method
        self._token = access_token
        self._proofs = proofs
        self._nonces = nonces
        self._keys = keys
        self._skew = skew
        self._message = message

    def flow(self) -> Flow:
        """Send it once, and keep the nonce."""
        attempt = Attempt(
            self._destination,
            "rs",
            nonces=self._nonces,
            sign=self._headers,
            is_needed=self._is_needed,
        )
        attempt.learn((yield from send(attempt)))
        return Outcome()

    def _is_needed(self) -> bool:
        return not self._nonces.is_fresh(self._destination.origin, "rs")

    def _headers(self, _nonce: str | None) -> dict[str, str]:
        # Without the nonce that is known: it may be good, and no answer then has one.
        make = partial(
            self._proofs.asymmetric,
            method=self._method,
            url=self._destination.htu,
            access_token=self._token,
            claims=self._message.claims(),
            offset=self._skew.offset(self._destination.origin) - AGE,
        )
        # Asymmetric where that is possible: a key that is refused says nothing of
        # nonces.
        proof = make()
        if not self._proofs.fits_field(proof):
            key = self._keys.find(
                self._token, self._destination, now=self._proofs.now()
            )
            if key is None:
                raise ProofTooLongError
            proof = self._proofs.symmetric(key, **make.keywords)
        return {"Authorization": f"DPoP {self._token}", "DPoP": proof}
