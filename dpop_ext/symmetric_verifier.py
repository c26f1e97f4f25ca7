"""Symmetric proofs at a resource server, and the keys that were derived for them.

DPoP Symmetric Profile 1.0. :class:`dpop_ext.ProofVerifier` does the rest of the checks,
which are the same for both kinds of proof.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.proof import access_token_hash
from dpop_ext.core.recent import Recent
from dpop_ext.core.token_text import token_digest
from dpop_ext.errors import (
    AccessTokenError,
    DPoPError,
    MalformedProofError,
    StoreError,
    SymmetricKeyError,
    UnboundTokenError,
    UnknownKeyError,
)
from dpop_ext.stores.base import KeyringSource, SyncingKeyringSource
from dpop_ext.symmetric.encapsulation import KeyDecryptor
from dpop_ext.symmetric.proof import SymmetricProof
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import SecretRing
from dpop_ext.symmetric.verification import (
    NO_KEY,
    DerivedKey,
    check_claims,
    check_key,
    derive_key,
    peek_access_token,
    verify_mac,
)
from dpop_ext.verified_proof import OpenedProof

#: Derived keys that are remembered at most. Each takes about 1 kB beside its token.
MAX_KEYS = 10_000


class SymmetricVerifier:
    """Verify symmetric proofs with keys that one resource server derives or decrypts.

    :param keyring: this resource server's derivation secrets; None: it has none.
    :param decryptor: of the keys that tokens bring along; None: it takes no such keys.
    :param issuer: identifier of the authorization server.
    :param audience: this resource server's own identifier.
    :param token_form: whether the tokens of *issuer* are JWTs or opaque.
    :param clock: seconds since the epoch.
    """

    def __init__(
        self,
        keyring: KeyringSource | None,
        decryptor: KeyDecryptor | None,
        *,
        issuer: str,
        audience: str,
        token_form: Literal["jwt", "opaque"],
        clock: Callable[[], float],
    ) -> None:
        self._keyring = keyring
        self._decryptor = decryptor
        self._issuer = issuer
        self._audience = audience
        self._token_form = token_form
        self._clock = clock
        #: Keys of proofs that verified with a verified token, by the hash of that
        #: token.
        self._derived: Recent[bytes, DerivedKey] = Recent(MAX_KEYS)

    @property
    def modes(self) -> tuple[str, ...]:
        """How this server gets at keys, by the names of its metadata."""
        derived = ("derived",) if self._keyring is not None else ()
        return (*derived, "encapsulated") if self._decryptor is not None else derived

    @property
    def can_sync(self) -> bool:
        """Whether the keyring can be asked for newer secrets."""
        return isinstance(self._keyring, SyncingKeyringSource)

    def sync(self) -> None:
        """Let the keyring look for newer secrets, if it can."""
        if isinstance(self._keyring, SyncingKeyringSource):
            self._keyring.sync()

    def check_denied(self, token: AccessToken) -> None:
        """Refuse a token that the keyring denies.

        As long as there is no keyring to load, no token is denied: other proofs do not
        depend on it.

        :param token: verified.
        :raises AccessTokenError: it is denied.
        """
        if self._keyring is None:
            return
        try:
            denied = self._load_ring().denied
        except (StoreError, SymmetricKeyError):
            return
        if denied:
            denied.check(token, now=int(self._clock()))

    def open(self, proof: SymmetricProof, access_token: str) -> DerivedKey | None:
        """Verify the MAC with a JWT that may be unverified.

        :returns: None for opaque tokens, of which nothing is known yet, and for tokens
            with an encrypted key, which is not decrypted for whoever makes one up.
        :raises AccessTokenError: the token cannot be one for this server.
        :raises ProofError: the MAC does not verify, or the token has no key for it.
        :raises SymmetricKeyError: the key is retired or not known.
        :raises StoreError: the keyring did not answer.
        """
        if self._token_form != "jwt":
            return None
        now = int(self._clock())
        known = self._derived.get(token_digest(access_token))
        if known is None:
            token = peek_access_token(
                access_token, issuer=self._issuer, audience=self._audience, now=now
            )
            if token.confirmation is not None and token.confirmation.jwe is not None:
                return None
            return self._derive(proof, token, access_token, self._load_ring(), now)
        if known.token.expires_at is None or now >= known.token.expires_at:
            raise AccessTokenError("The access token has expired.")
        if known.recipient is not None:
            self._check_recipient(known.recipient)
            check_key(proof, known.mac_key)
            return known
        ring = self._load_ring()
        # Another ring may have another secret under the same version.
        if known.ring is not ring:
            return self._derive(proof, known.token, access_token, ring, now)
        verify_mac(proof, known.token, ring, now=now, key=known.mac_key)
        return known

    def verify(
        self,
        opened: OpenedProof,
        proof: SymmetricProof,
        token: AccessToken,
        access_token: str,
        *,
        now: int,
    ) -> str:
        """Return the thumbprint of the client's key once MAC and claims hold.

        :param opened: the proof, opened.
        :param proof: what was opened.
        :param token: the verified access token.
        :param access_token: its exact text.
        :param now: seconds since the epoch.
        :raises AccessTokenError: the token does not fit a symmetric proof.
        :raises UnboundTokenError: the token is bound to no key.
        :raises SymmetricKeyError: the key is retired, expired or not known.
        :raises ProofError: the MAC, or a claim.
        :raises StoreError: the keyring did not answer.
        """
        if token.issuer != self._issuer or token.audience != (self._audience,):
            raise AccessTokenError
        confirmation = token.confirmation
        if token.client_id is None or token.expires_at is None or confirmation is None:
            raise AccessTokenError
        if confirmation.jkt is None:
            raise UnboundTokenError
        derived = opened.derived
        if derived is None:
            derived = self._verify_mac(proof, token, access_token, now)
        elif not isinstance(derived, DerivedKey) or not _same_key(derived.token, token):
            raise AccessTokenError
        elif derived.recipient is not None:
            self._check_recipient(derived.recipient)
        elif confirmation.dsk is not None:
            # The MAC stands; its secret may have been revoked since.
            self._load_ring().find(confirmation.dsk.version, now=now)
        check_claims(
            proof,
            token,
            method=opened.method,
            url=opened.url,
            ath=derived.ath,
            now=now,
        )
        self._keep(access_token, derived, token)
        return confirmation.jkt

    def response_key(
        self,
        proof: SymmetricProof | None,
        token: AccessToken,
        access_token: str,
        *,
        now: int,
    ) -> SecretBytes:
        """Return the key of the response proof for a request with *token*.

        The MAC is verified here, whatever was verified before: a key that is given
        out too early would sign for a forger.

        :param proof: a symmetric one; None for an asymmetric one that was verified, by
            the key that *token* is bound to.
        :param token: verified.
        :param access_token: its exact text.
        :param now: seconds since the epoch.
        :raises AccessTokenError: *token* is not for this server.
        :raises ProofError: it has no key, or the MAC is not by it.
        :raises SymmetricKeyError: the key is retired or not known.
        :raises StoreError: the keyring did not answer.
        """
        if token.issuer != self._issuer or token.audience != (self._audience,):
            raise AccessTokenError
        if proof is not None:
            derived = self._verify_mac(proof, token, access_token, now)
            return derived.mac_key.response_key()
        if token.confirmation is not None and token.confirmation.jwe is not None:
            known = self._known(token, access_token)
            jwe = token.confirmation.jwe
            return self._decrypt(token, jwe, access_token, known).mac_key.response_key()
        return derive_key(token, self._load_ring(), now=now).response_key()

    def _known(self, token: AccessToken, access_token: str) -> DerivedKey | None:
        """Return the key of this token, if it was used before."""
        known = self._derived.get(token_digest(access_token))
        # It can say something else today than it did before.
        return known if known is not None and _same_key(known.token, token) else None

    def _keep(self, text: str, derived: DerivedKey, token: AccessToken) -> None:
        """Remember a key, now that the token that it was derived from is verified."""
        if derived.verified and derived.token is token:
            return
        # Else what open() read of the token is not what was found out about it.
        if derived.token.expires_at == token.expires_at:
            kept = derived._replace(token=token, verified=True)
            self._derived.put(token_digest(text), kept)

    def _verify_mac(
        self, proof: SymmetricProof, token: AccessToken, access_token: str, now: int
    ) -> DerivedKey:
        """Verify the MAC with a key that only a verified token gives."""
        known = self._known(token, access_token)
        if token.confirmation is not None and token.confirmation.jwe is not None:
            key = self._decrypt(token, token.confirmation.jwe, access_token, known)
            check_key(proof, key.mac_key)
            return key
        ring = self._load_ring()
        if known is not None and known.ring is ring:
            verify_mac(proof, token, ring, now=now, key=known.mac_key)
            return known
        return self._derive(proof, token, access_token, ring, now)

    def _derive(
        self,
        proof: SymmetricProof,
        token: AccessToken,
        access_token: str,
        ring: SecretRing,
        now: int,
    ) -> DerivedKey:
        return DerivedKey(
            mac_key=verify_mac(proof, token, ring, now=now),
            token=token,
            ring=ring,
            ath=access_token_hash(access_token),
        )

    def _decrypt(
        self,
        token: AccessToken,
        jwe: str,
        access_token: str,
        known: DerivedKey | None,
    ) -> DerivedKey:
        """Decrypt the key in a verified token, if that was not done before."""
        if self._decryptor is None:
            raise MalformedProofError(NO_KEY)
        # The expiry is in what is decrypted.
        if known is not None and known.token.expires_at == token.expires_at:
            self._check_recipient(known.recipient)
            return known
        encapsulated = self._decryptor.decrypt(
            jwe, token, issuer=self._issuer, audience=self._audience
        )
        key = DerivedKey(
            mac_key=encapsulated.mac_key,
            token=token,
            ring=None,
            recipient=encapsulated.recipient,
            ath=access_token_hash(access_token),
        )
        # Before the MAC is looked at: else each bad one would cost a decryption.
        self._keep(access_token, key, token)
        return key

    def _check_recipient(self, recipient: str | None) -> None:
        """Check that the private key is still one of ours."""
        if self._decryptor is None or recipient is None:
            raise UnknownKeyError
        self._decryptor.find(recipient)

    def _load_ring(self) -> SecretRing:
        if self._keyring is None:
            raise MalformedProofError(NO_KEY)
        try:
            ring = self._keyring.load()
        except DPoPError:
            raise
        except Exception as error:
            raise StoreError from error
        if ring.issuer != self._issuer or ring.audience != self._audience:
            raise StoreError("The keyring is for another issuer or audience.")
        return ring


def _same_key(peeked: AccessToken, token: AccessToken) -> bool:
    """Tell whether both name the same inputs of the key derivation."""
    return peeked is token or (
        peeked.client_id == token.client_id
        and (
            # Most are one object, and to compare two takes a microsecond.
            peeked.confirmation is token.confirmation
            or peeked.confirmation == token.confirmation
        )
    )
