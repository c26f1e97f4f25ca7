"""A request to the token endpoint, :rfc:`9449#section-5`, and the key it may bring."""

from __future__ import annotations

import logging
import secrets
from functools import partial

from joserfc.jwk import OKPKey

from dpop_ext.client.audience import Audience
from dpop_ext.client.clock_skew import ClockSkew
from dpop_ext.client.destination import Destination
from dpop_ext.client.exchange import Attempt, Flow, Outcome, Reply, send
from dpop_ext.client.key_ring import KeyRing
from dpop_ext.client.nonces import NonceCache
from dpop_ext.client.proof_maker import ProofMaker
from dpop_ext.client.refusal import is_nonce_demand, is_proof_refused, read_json
from dpop_ext.client.token_response import delivered_jwe, is_bound
from dpop_ext.core.akp import AKPKey
from dpop_ext.core.proof import PROOF_PARAMETER
from dpop_ext.errors import KeyDeliveryError
from dpop_ext.log_events import log_event
from dpop_ext.symmetric.delivery import unwrap_key
from dpop_ext.symmetric.encryption_key import generate_encryption_key
from dpop_ext.symmetric.key_request import key_request_claim

_ALGORITHMS = ("HS256",)
_ENCODINGS = ("A256GCM",)

_log = logging.getLogger("dpop_ext.client")


class TokenRequest:
    """One request to the token endpoint, sent once more if the server wants a nonce.

    :param audience: of the symmetric key to ask for; None asks for none.
    :param once: do not send it again for a nonce.
    :param pushed: it is an authorization request, which ``dpop_jkt`` binds to the key:
        a proof that is too long for a header field is left out.
    :param must: rather get an error than a token without a key.
    :param key_algorithm: JWE ``alg`` for the symmetric key: ``ECDH-ES`` or
        ``HPKE-9-KE``.
    :param compose: contribute to the random value of the token, unless *audience* has
        a recipient for key material.
    """

    def __init__(
        self,
        destination: Destination,
        *,
        method: str,
        audience: Audience | None,
        must: bool,
        once: bool,
        pushed: bool,
        compose: bool,
        key_algorithm: str,
        proofs: ProofMaker,
        nonces: NonceCache,
        keys: KeyRing,
        skew: ClockSkew,
    ) -> None:
        self._destination = destination
        self._method = method
        self._audience = audience
        self._must = must
        self._once = once
        self._pushed = pushed
        self._compose = compose
        self._proofs = proofs
        self._nonces = nonces
        self._keys = keys
        self._skew = skew
        self._sent = 0
        self._key_algorithm = key_algorithm
        self._private_key: OKPKey | AKPKey | None = None
        self._is_in_form = False
        self._n: bytes | None = None

    def flow(self) -> Flow:
        """Send, send again for a nonce, and keep the key that was delivered."""
        try:
            return (yield from self._exchange())
        finally:
            # Also after a failure: whoever records the exchange and gets hold of this
            # process later must not find it.
            self._private_key = None

    def _exchange(self) -> Flow:
        attempt = Attempt(
            self._destination,
            "as",
            nonces=self._nonces,
            sign=self._headers,
            sign_form=self._parameters if self._is_for_form else None,
        )
        reply = yield from send(attempt)
        nonce_is_new = attempt.learn(reply)
        if nonce_is_new and not self._once and is_nonce_demand(reply):
            reply = yield from send(attempt)
            attempt.learn(reply)
        if is_proof_refused(reply):
            # For the next request: nobody knows whether this one has spent its grant.
            self._skew.learn(
                self._destination.origin,
                reply.dates,
                sent=self._sent,
                received=self._proofs.now(),
            )
        self._keep_key(reply)
        return Outcome()

    @property
    def _is_for_form(self) -> bool:
        return self._proofs.is_long and not self._pushed

    def _headers(self, nonce: str | None) -> dict[str, str]:
        if self._is_in_form:
            return {}
        proof = self._proof(nonce)
        if self._pushed and not self._proofs.fits_field(proof):
            return {}
        return {"DPoP": self._proofs.field(proof)}

    def _parameters(self, nonce: str | None) -> dict[str, str]:
        proof = self._proof(nonce)
        self._is_in_form = not self._proofs.fits_field(proof)
        return {PROOF_PARAMETER: proof} if self._is_in_form else {}

    def _proof(self, nonce: str | None) -> str:
        jti = secrets.token_urlsafe(12)
        self._sent = self._proofs.now()
        make = partial(
            self._proofs.asymmetric,
            method=self._method,
            url=self._destination.htu,
            nonce=nonce,
            jti=jti,
            offset=self._skew.offset(self._destination.origin),
        )
        audience = self._audience
        if audience is None:
            return make()
        # A new key for each proof, lost with this request: whoever gets hold of the
        # proof key later cannot decrypt the keys that were delivered before.
        self._private_key = generate_encryption_key(self._key_algorithm)
        material = None
        if audience.key_material is not None:
            material = audience.key_material.encrypt(jkt=self._proofs.jkt, jti=jti)
        elif self._compose:
            self._n = secrets.token_bytes(32)
        claim = key_request_claim(
            algorithms=_ALGORITHMS,
            encryption_key=self._private_key,
            key_algorithms=(self._key_algorithm,),
            encodings=_ENCODINGS,
            n=self._n,
            key_material=material,
            must=self._must,
        )
        return make(claims={"dsk": claim})

    def _keep_key(self, reply: Reply) -> None:
        if self._audience is None or self._private_key is None or reply.status != 200:
            return
        token = read_json(reply.body)
        encrypted = delivered_jwe(token)
        if encrypted is None or not is_bound(token):
            return
        try:
            delivered = unwrap_key(
                encrypted,
                private_key=self._private_key,
                algorithms=_ALGORITHMS,
                key_algorithms=(self._key_algorithm,),
                encodings=_ENCODINGS,
                issuer=self._audience.issuer,
                audience=self._audience.resource,
                access_token=token["access_token"],
                n=self._n,
                now=self._proofs.now(),
            )
        except KeyDeliveryError as error:
            log_event(
                _log,
                logging.WARNING,
                "symmetric_key_refused",
                "symmetric key not used: %s",
                error.description,
                reason=error.description,
            )
            return
        self._keys.add(token["access_token"], delivered, bases=self._audience.bases)
