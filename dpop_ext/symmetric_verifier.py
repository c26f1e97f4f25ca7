"""Symmetric proofs at a resource server, under keys that came with their tokens.

DPoP Symmetric Profile 1.0. :class:`dpop_ext.ProofVerifier` does the rest of the checks,
which are the same for both kinds of proof.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.token_text import token_digest
from dpop_ext.errors import (
    AccessTokenError,
    ExpiredKeyError,
    StoreError,
    SymmetricKeyError,
    UnboundTokenError,
)
from dpop_ext.stores.base import KeyringSource
from dpop_ext.symmetric.encapsulation import KeyDecryptor
from dpop_ext.symmetric.proof import SymmetricProof
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.verification import (
    DerivedKey,
    check_claims,
    check_key,
    derive_key,
    peek_access_token,
    verify_known_mac,
)
from dpop_ext.token_keys import TokenKeys, is_same_key
from dpop_ext.verified_proof import OpenedProof


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
        self._keys = TokenKeys(keyring, decryptor, issuer=issuer, audience=audience)
        #: See :meth:`.TokenKeys.recall`.
        self.recall = self._keys.recall
        self._issuer = issuer
        self._audience = audience
        self._audiences = (audience,)
        self._token_form = token_form
        self._clock = clock

    @property
    def modes(self) -> tuple[str, ...]:
        """How this server gets at keys, by the names of its metadata."""
        return self._keys.modes

    @property
    def can_sync(self) -> bool:
        """Whether the keyring can be asked for newer secrets."""
        return self._keys.can_sync

    def sync(self) -> None:
        """Let the keyring look for newer secrets, if it can."""
        self._keys.sync()

    def check_denied(self, token: AccessToken) -> None:
        """Refuse a token that the keyring denies.

        As long as there is no keyring to load, no token is denied: other proofs do not
        depend on it.

        :param token: verified.
        :raises AccessTokenError: it is denied.
        """
        if not self._keys.derives:
            return
        try:
            denied = self._keys.load_ring().denied
        except (StoreError, SymmetricKeyError):
            return
        if not denied.is_empty:
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
        known = self._keys.recent.get(token_digest(access_token))
        if known is None:
            token = peek_access_token(
                access_token, issuer=self._issuer, audience=self._audience, now=now
            )
            if token.confirmation is not None and token.confirmation.jwe is not None:
                return None
            return self._keys.derive(
                proof, token, access_token, self._keys.load_ring(), now
            )
        if known.token.expires_at is None or now >= known.token.expires_at:
            raise AccessTokenError("The access token has expired.", check="exp")
        if known.recipient is not None:
            self._keys.check_recipient(known.recipient)
            check_key(proof, known.mac_key)
            return known
        ring = self._keys.load_ring()
        # Another ring may have another secret under the same version.
        if known.ring is not ring:
            return self._keys.derive(proof, known.token, access_token, ring, now)
        verify_known_mac(proof, known, ring, now=now)
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
        if token.issuer != self._issuer or token.audience != self._audiences:
            raise AccessTokenError(check="iss, aud")
        confirmation = token.confirmation
        if token.client_id is None or token.expires_at is None or confirmation is None:
            raise AccessTokenError
        if confirmation.jkt is None:
            raise UnboundTokenError
        derived = opened.derived
        if derived is None:
            derived = self._verify_mac(proof, token, access_token, now)
        elif not isinstance(derived, DerivedKey) or (
            derived.token is not token and not is_same_key(derived.token, token)
        ):
            raise AccessTokenError
        elif derived.recipient is not None:
            self._keys.check_recipient(derived.recipient)
        elif confirmation.dsk is not None:
            # The MAC stands; its secret may have been revoked since.
            self._keys.load_ring().find(confirmation.dsk.version, now=now)
        check_claims(
            proof,
            token,
            method=opened.method,
            url=opened.url,
            ath=derived.ath,
            now=now,
        )
        if not derived.verified or derived.token is not token:
            self._keys.keep(access_token, derived, token)
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
        :raises SymmetricKeyError: the key is retired, expired or not known.
        :raises StoreError: the keyring did not answer.
        """
        if token.issuer != self._issuer or token.audience != self._audiences:
            raise AccessTokenError(check="iss, aud")
        dsk = token.confirmation.dsk if token.confirmation is not None else None
        if dsk is not None and dsk.expires_at is not None and now >= dsk.expires_at:
            raise ExpiredKeyError
        if proof is not None:
            derived = self._verify_mac(proof, token, access_token, now)
            return derived.mac_key.response_key()
        if token.confirmation is not None and token.confirmation.jwe is not None:
            known = self._keys.known(token, access_token)
            jwe = token.confirmation.jwe
            return self._keys.decrypt(
                token, jwe, access_token, known
            ).mac_key.response_key()
        return derive_key(token, self._keys.load_ring(), now=now).response_key()

    def _verify_mac(
        self, proof: SymmetricProof, token: AccessToken, access_token: str, now: int
    ) -> DerivedKey:
        """Verify the MAC with a key that only a verified token gives."""
        known = self._keys.known(token, access_token)
        if token.confirmation is not None and token.confirmation.jwe is not None:
            key = self._keys.decrypt(token, token.confirmation.jwe, access_token, known)
            check_key(proof, key.mac_key)
            return key
        ring = self._keys.load_ring()
        if known is not None and known.ring is ring:
            verify_known_mac(proof, known, ring, now=now)
            return known
        return self._keys.derive(proof, token, access_token, ring, now)
