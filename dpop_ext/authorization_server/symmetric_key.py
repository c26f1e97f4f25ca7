"""When to issue a symmetric key, for whom, and how (DPoP Symmetric Profile 1.0)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from dpop_ext.authorization_server.key_plan import KeyPlan
from dpop_ext.authorization_server.key_registration import KeyRegistration
from dpop_ext.authorization_server.random_values import RandomValues
from dpop_ext.core.jose import b64url_encode
from dpop_ext.errors import (
    DPoPError,
    MalformedProofError,
    StoreError,
    SymmetricUnavailableError,
)
from dpop_ext.stores.base import AudienceSecrets
from dpop_ext.symmetric.delivery import choose
from dpop_ext.symmetric.derivation import MAC_ALGORITHMS, symmetric_key
from dpop_ext.symmetric.encryption_key import EncryptionKey, import_encryption_key
from dpop_ext.symmetric.key_request import KeyRequest, parse_key_request
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import SecretRing

Decision = Literal["deny", "allow", "force"]

#: Longest life of a symmetric key of a public client, in seconds.
PUBLIC_MAX_AGE: Final = 300
#: A key ends this long before its derivation secret does, in seconds: the clocks and
#: the caches of resource servers need not be ours.
SECRET_MARGIN: Final = 120


def allow(_client: Any, _audience: str) -> Decision:
    """Issue a key to every client that asks for one. The default policy."""
    return "allow"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOffer:
    """What a request says about a symmetric key, before the client is known."""

    proof_jwk: Mapping[str, Any]
    #: None if the request asks for no key.
    request: KeyRequest | None
    #: The key in the request; None if there is none.
    recipient: EncryptionKey | None


class SymmetricKeys(KeyRegistration):
    """Issues a symmetric key beside a bound access token.

    :param secrets: the derivation secrets, by audience.
    :param issuer: identifier of this server, exactly as in the tokens.
    :param policy: says for a client and an audience whether a key is issued: ``deny``,
        ``allow`` when the client wants one, or ``force``, which refuses the request if
        there can be none.
    :param max_age: longest life of a key, in seconds; it never outlives its token.
    :raises ValueError: *max_age* is not positive.
    """

    def __init__(
        self,
        secrets: AudienceSecrets,
        *,
        issuer: str,
        policy: Callable[[Any, str], Decision] = allow,
        max_age: int = 600,
    ) -> None:
        if max_age <= 0:
            raise ValueError("max_age is a positive number of seconds")
        self.issuer = issuer
        self.max_age = max_age
        self._secrets = secrets
        self._policy = policy
        self._random_values = RandomValues()

    def read_offer(
        self,
        claims: Mapping[str, Any],
        *,
        dpop_sym: str | None,
        proof_jwk: Mapping[str, Any],
    ) -> KeyOffer:
        """Read and check what a verified proof and its request ask for.

        Tries the encryption key out, too: what is wrong with a request is found before
        its client is authenticated and before anything is used up.

        :param claims: of the proof.
        :param dpop_sym: the form parameter.
        :param proof_jwk: the key of the proof.
        :raises MalformedProofError: the ``dsk`` claim or its key is malformed.
        :raises UnsupportedKeyError: the key cannot be used for encryption.
        :raises MalformedRequestError: ``dpop_sym`` is malformed or contradicts ``dsk``.
        """
        dsk = claims.get("dsk")
        if "dsk" in claims and dsk is None:
            raise MalformedProofError("The dsk claim is not an object.")
        request = parse_key_request(dsk, dpop_sym)
        jwk = request.encryption_jwk if request is not None else None
        recipient = None
        if jwk is not None:
            recipient = import_encryption_key(jwk, proof_jwk=proof_jwk)
        return KeyOffer(proof_jwk=proof_jwk, request=request, recipient=recipient)

    def decide(
        self,
        offer: KeyOffer,
        *,
        client: Any,
        audience: str | None,
        jkt: str,
        public: bool,
        now: int,
    ) -> KeyPlan | None:
        """Decide whether the token comes with a key. Derives it, but changes nothing.

        :param client: the authenticated client.
        :param audience: the one audience of the token, or None if it is not known.
        :param jkt: thumbprint of the proof's key.
        :param public: the client did not authenticate.
        :param now: seconds since the epoch.
        :returns: None for a plain DPoP token.
        :raises SymmetricUnavailableError: there can be no key, and the client or the
            policy insists on one.
        :raises StoreError: the derivation secrets could not be read.
        """
        decision = "deny" if audience is None else self._policy(client, audience)
        if decision not in ("deny", "allow", "force"):
            raise RuntimeError("The policy must return deny, allow or force.")
        choice = self.get_client_choice(client, public=public)
        request = offer.request
        if request is None and (decision == "force" or choice == "always"):
            request = KeyRequest(algorithms=self.get_client_algorithms(client))
        if request is None:
            return None
        try:
            if audience is None or decision == "deny" or choice == "never":
                raise SymmetricUnavailableError
            return self._plan(
                request,
                offer,
                client=client,
                audience=audience,
                jkt=jkt,
                public=public,
                now=now,
            )
        except SymmetricUnavailableError:
            if request.must or decision == "force":
                raise
            return None

    def _plan(
        self,
        request: KeyRequest,
        offer: KeyOffer,
        *,
        client: Any,
        audience: str,
        jkt: str,
        public: bool,
        now: int,
    ) -> KeyPlan:
        common = [name for name in request.algorithms if name in MAC_ALGORITHMS]
        if request.has_key_material or not common:
            raise SymmetricUnavailableError
        recipient = self._recipient(offer, client)
        if recipient is None or (
            recipient.is_proof_key
            and not self.is_same_key_allowed(client, public=public)
        ):
            raise SymmetricUnavailableError
        pair = choose(
            recipient.key,
            key_algorithms=request.key_algorithms,
            encodings=request.encodings,
        )
        if pair is None:
            raise SymmetricUnavailableError
        active = self._load(audience).active(now=now)
        latest = active.expires_at - SECRET_MARGIN
        if active.secret is None or latest <= now:
            raise SymmetricUnavailableError
        r = self._random_values.draw()
        try:
            key = symmetric_key(
                active.secret.reveal(),
                algorithm=common[0],
                issuer=self.issuer,
                audience=audience,
                client_id=client.get_client_id(),
                jkt=jkt,
                version=active.version,
                r=r,
            )
        except ValueError as error:  # an identifier that is too long for the derivation
            raise SymmetricUnavailableError from error
        return KeyPlan(
            issuer=self.issuer,
            audience=audience,
            algorithm=common[0],
            version=active.version,
            r=b64url_encode(r),
            key=SecretBytes(key),
            recipient=recipient,
            key_algorithm=pair[0],
            encoding=pair[1],
            max_age=min(self.max_age, PUBLIC_MAX_AGE) if public else self.max_age,
            latest=latest,
        )

    def _recipient(self, offer: KeyOffer, client: Any) -> EncryptionKey | None:
        """Return the key to encrypt for: of the request, registered, of the proof."""
        if offer.recipient is not None:
            return offer.recipient
        for jwk in self.get_registered_keys(client):
            try:
                return import_encryption_key(jwk, proof_jwk=offer.proof_jwk)
            except DPoPError:
                continue
        return import_encryption_key(None, proof_jwk=offer.proof_jwk)

    def _load(self, audience: str) -> SecretRing:
        try:
            ring = self._secrets.load(audience)
        except DPoPError:
            raise
        except Exception as error:
            raise StoreError from error
        if ring is None:
            raise SymmetricUnavailableError
        if ring.issuer != self.issuer or ring.audience != audience:
            raise StoreError("The derivation secrets are for another audience.")
        return ring
