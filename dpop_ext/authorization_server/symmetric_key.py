"""When to issue a symmetric key, for whom, and how (DPoP Symmetric Profile 1.0)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from joserfc.jwk import Key

from dpop_ext.authorization_server.key_offer import KeyOffer
from dpop_ext.authorization_server.key_origin import (
    DerivedKeys,
    EncapsulatedKeys,
    KeyOwner,
)
from dpop_ext.authorization_server.key_plan import Derivation, Encapsulation, KeyPlan
from dpop_ext.authorization_server.key_registration import KeyRegistration
from dpop_ext.authorization_server.refusal import log_no_key
from dpop_ext.errors import (
    DPoPError,
    StoreError,
    SymmetricUnavailableError,
)
from dpop_ext.stores.base import AudienceSecrets, require_same_issuer
from dpop_ext.symmetric.delivery import (
    KEY_ALGORITHMS,
    check_key_algorithms,
    choose,
)
from dpop_ext.symmetric.derivation import MAC_ALGORITHMS
from dpop_ext.symmetric.encapsulation import KeyRecipient
from dpop_ext.symmetric.encryption_key import EncryptionKey, import_encryption_key
from dpop_ext.symmetric.hpke import HPKE_ALGORITHM
from dpop_ext.symmetric.key_request import KeyRequest
from dpop_ext.symmetric.secret_bytes import SecretBytes

Decision = Literal["deny", "allow", "force"]

#: Longest life of a symmetric key of a public client, in seconds.
PUBLIC_MAX_AGE: Final = 300

#: The resource server of an audience that gets its keys encrypted, or None for one
#: that derives them.
FindRecipient = Callable[[str], KeyRecipient | None]


def allow(_client: Any, _audience: str) -> Decision:
    """Issue a key to every client that asks for one. The default policy."""
    return "allow"


class SymmetricKeys(KeyRegistration):
    """Issues a symmetric key beside a bound access token.

    :param secrets: the derivation secrets, by audience; None if every resource server
        gets its keys encrypted.
    :param issuer: identifier of this server, exactly as in the tokens.
    :param recipients: the resource servers that get their keys encrypted, by audience:
        they share no secret with this server. Their tokens live no longer than
        *max_age* allows. None: every key is derived.
    :param policy: says for a client and an audience whether a key is issued: ``deny``,
        ``allow`` when the client wants one, or ``force``, which refuses the request if
        there can be none.
    :param max_age: longest life of a key, in seconds; it never outlives its token.
    :param same_key: let clients that authenticate receive a key under the key that
        signs their proofs. False: every client sends a key of its own for that, or has
        registered one.
    :param key_algorithms: JWE ``alg`` values that keys are delivered with. Add
        ``HPKE-9-KE`` for clients with post-quantum keys.
    :param private_keys: returns the private keys for key material that clients send,
        the one at our ``jwks_uri`` first. Without it such material cannot be used.
    :raises TypeError: *secrets* or *private_keys* is something else.
    :raises ValueError: *max_age* is not positive; there are neither *secrets* nor
        *recipients*; *secrets* are of another issuer; or an algorithm is not one of
        this profile, or not one that the cryptography package of this process has.
    """

    def __init__(
        self,
        secrets: AudienceSecrets | None,
        *,
        issuer: str,
        recipients: FindRecipient | None = None,
        policy: Callable[[Any, str], Decision] = allow,
        max_age: int = 600,
        same_key: bool = True,
        key_algorithms: Sequence[str] = KEY_ALGORITHMS,
        private_keys: Callable[[], Sequence[Key]] = tuple,
    ) -> None:
        if max_age <= 0:
            raise ValueError("max_age is a positive number of seconds")
        if secrets is None and recipients is None:
            raise ValueError("a symmetric key needs secrets or recipients")
        if secrets is not None and not callable(getattr(secrets, "load", None)):
            raise TypeError("secrets is an AudienceSecrets, such as SQLAudienceSecrets")
        require_same_issuer(secrets, issuer)
        if not callable(private_keys):
            raise TypeError("private_keys is a function that returns the keys")
        check_key_algorithms(key_algorithms)
        #: Whether the key in an offer may be a post-quantum one.
        self.allow_hpke = HPKE_ALGORITHM in key_algorithms
        super().__init__(same_key=same_key)
        self.key_algorithms = tuple(key_algorithms)
        self.issuer = issuer
        self.max_age = max_age
        self._recipients = recipients
        self._policy = policy
        self._derived = None
        if secrets is not None:
            self._derived = DerivedKeys(secrets, issuer=issuer)
        self._encapsulated = EncapsulatedKeys(private_keys, issuer=issuer)

    @property
    def derives(self) -> bool:
        """Whether keys are derived for some audience."""
        return self._derived is not None

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
        """Decide whether the token comes with a key. Makes it, but changes nothing.

        Key material of the client is decrypted here: call it for a client that is
        authenticated, with a grant that is valid.

        :param client: the authenticated client.
        :param audience: the one audience of the token, or None if it is not known.
        :param jkt: thumbprint of the proof's key.
        :param public: the client did not authenticate.
        :param now: seconds since the epoch.
        :returns: None for a plain DPoP token.
        :raises SymmetricUnavailableError: there can be no key, and the client or the
            policy insists on one.
        :raises MalformedProofError: key material of the client cannot be used.
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
            if audience is None:
                raise SymmetricUnavailableError(lacks="audience")
            if decision == "deny":
                raise SymmetricUnavailableError(lacks="policy")
            if choice == "never":
                raise SymmetricUnavailableError(lacks="registration")
            return self._plan(
                request,
                offer,
                client=client,
                audience=audience,
                jkt=jkt,
                public=public,
                now=now,
            )
        except SymmetricUnavailableError as error:
            log_no_key(client, audience, error.lacks)
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
        for algorithm in request.algorithms:
            if algorithm in MAC_ALGORITHMS:
                break
        else:
            raise SymmetricUnavailableError(lacks="algs")
        recipient = offer.recipient or self._other_recipient(offer, client)
        if recipient is None or (
            recipient.is_proof_key
            and not self.is_same_key_allowed(client, public=public)
        ):
            raise SymmetricUnavailableError(lacks="jwk")
        pair = choose(
            recipient.key,
            key_algorithms=request.key_algorithms,
            encodings=request.encodings,
            accepted=self.key_algorithms,
        )
        if pair is None:
            raise SymmetricUnavailableError(lacks="kalgs")
        max_age = min(self.max_age, PUBLIC_MAX_AGE) if public else self.max_age
        # Half as long as by the constructor, which passes all of them on once more.
        owner = tuple.__new__(
            KeyOwner, (audience, client.get_client_id(), jkt, offer.jti, algorithm)
        )
        server = None
        if self._recipients is not None:
            server = _find_server(self._recipients, audience)
        key: SecretBytes
        origin: Derivation | Encapsulation
        if server is not None:
            key, origin = self._encapsulated.make(
                owner, request, recipient=server, latest=now + max_age
            )
        elif self._derived is not None:
            key, origin = self._derived.make(owner, request, now=now)
        else:
            raise SymmetricUnavailableError(lacks="secret")
        values = (
            self.issuer,
            audience,
            algorithm,
            key,
            origin,
            recipient,
            pair[0],
            pair[1],
            max_age,
        )
        return tuple.__new__(KeyPlan, values)

    def _other_recipient(self, offer: KeyOffer, client: Any) -> EncryptionKey | None:
        """Return the key to encrypt for: one that is registered, or of the proof."""
        for jwk in self.get_registered_keys(client):
            try:
                return import_encryption_key(
                    jwk, proof_jwk=offer.proof_jwk, allow_hpke=self.allow_hpke
                )
            except DPoPError:
                continue
        return import_encryption_key(None, proof_jwk=offer.proof_jwk)


def _find_server(find: FindRecipient, audience: str) -> KeyRecipient | None:
    try:
        return find(audience)
    except DPoPError:
        raise
    except Exception as error:
        raise StoreError from error
