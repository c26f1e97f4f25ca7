"""Symmetric proofs at a resource server, and the keys that were derived for them.

DPoP Symmetric Profile 1.0. :class:`dpop_ext.ProofVerifier` does the rest of the checks,
which are the same for both kinds of proof.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.proof import access_token_hash
from dpop_ext.core.recent import Recent
from dpop_ext.core.token_text import token_digest
from dpop_ext.errors import (
    AccessTokenError,
    DPoPError,
    StoreError,
    SymmetricKeyError,
    UnboundTokenError,
)
from dpop_ext.stores.base import KeyringSource, SyncingKeyringSource
from dpop_ext.symmetric.proof import SymmetricProof
from dpop_ext.symmetric.secret_ring import SecretRing
from dpop_ext.symmetric.verification import (
    DerivedKey,
    check_claims,
    peek_access_token,
    verify_mac,
)
from dpop_ext.verified_proof import OpenedProof

#: Derived keys that are remembered at most. Each takes about 1 kB beside its token.
MAX_KEYS = 10_000


class SymmetricVerifier:
    """Verify symmetric proofs with the secrets of one keyring.

    :param keyring: this resource server's derivation secrets.
    :param issuer: identifier of the authorization server.
    :param audience: this resource server's own identifier.
    :param token_form: whether the tokens of *issuer* are JWTs or opaque.
    :param clock: seconds since the epoch.
    """

    def __init__(
        self,
        keyring: KeyringSource,
        *,
        issuer: str,
        audience: str,
        token_form: Literal["jwt", "opaque"],
        clock: Callable[[], float],
    ) -> None:
        self._keyring = keyring
        self._issuer = issuer
        self._audience = audience
        self._token_form = token_form
        self._clock = clock
        #: Keys of proofs that verified with a verified token, by the hash of that
        #: token.
        self._derived: Recent[bytes, DerivedKey] = Recent(MAX_KEYS)

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

        As long as there is no keyring to load, no token is denied: asymmetric proofs
        do not depend on it.

        :param token: verified.
        :raises AccessTokenError: it is denied.
        """
        try:
            denied = self._load_ring().denied
        except (StoreError, SymmetricKeyError):
            return
        denied.check(token, now=int(self._clock()))

    def open(self, proof: SymmetricProof, access_token: str) -> DerivedKey | None:
        """Verify the MAC with a JWT that may be unverified.

        :returns: None for opaque tokens, of which nothing is known yet.
        :raises AccessTokenError: the token cannot be one for this server.
        :raises ProofError: the MAC does not verify, or the token has no key for it.
        :raises SymmetricKeyError: the key is retired or not known.
        :raises StoreError: the keyring did not answer.
        """
        if self._token_form != "jwt":
            return None
        ring, now = self._load_ring(), int(self._clock())
        known = self._known(access_token, ring)
        if known is None:
            token = peek_access_token(
                access_token, issuer=ring.issuer, audience=ring.audience, now=now
            )
            return DerivedKey(
                mac_key=verify_mac(proof, token, ring, now=now),
                token=token,
                ring=ring,
                ath=access_token_hash(access_token),
            )
        if known.token.expires_at is None or now >= known.token.expires_at:
            raise AccessTokenError("The access token has expired.")
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
        ring = self._load_ring()
        if token.issuer != ring.issuer or token.audience != (ring.audience,):
            raise AccessTokenError
        confirmation = token.confirmation
        if token.client_id is None or token.expires_at is None or confirmation is None:
            raise AccessTokenError
        if confirmation.jkt is None:
            raise UnboundTokenError
        derived = opened.derived
        if derived is None:
            derived = self._verify_mac(proof, token, access_token, ring, now)
        elif (
            confirmation.dsk is None
            or not isinstance(derived, DerivedKey)
            or not _same_key(derived.token, token)
        ):
            raise AccessTokenError
        else:
            # The MAC stands; its secret may have been revoked since.
            ring.find(confirmation.dsk.version, now=now)
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

    def _known(self, access_token: str, ring: SecretRing) -> DerivedKey | None:
        """Return the key that *ring* gave for this token before."""
        known = self._derived.get(token_digest(access_token))
        # Another ring may have another secret under the same version.
        return known if known is not None and known.ring is ring else None

    def _keep(self, text: str, derived: DerivedKey, token: AccessToken) -> None:
        """Remember a key, now that the token that it was derived from is verified."""
        if derived.verified and derived.token is token:
            return
        # Else what open() read of the token is not what was found out about it.
        if derived.token.expires_at == token.expires_at:
            kept = replace(derived, token=token, verified=True)
            self._derived.put(token_digest(text), kept)

    def _verify_mac(
        self,
        proof: SymmetricProof,
        token: AccessToken,
        access_token: str,
        ring: SecretRing,
        now: int,
    ) -> DerivedKey:
        """Verify the MAC, with a verified token that only its issuer can read."""
        known = self._known(access_token, ring)
        # It can say something else today than it did before.
        if known is not None and _same_key(known.token, token):
            verify_mac(proof, token, ring, now=now, key=known.mac_key)
            return known
        return DerivedKey(
            mac_key=verify_mac(proof, token, ring, now=now),
            token=token,
            ring=ring,
            ath=access_token_hash(access_token),
        )

    def _load_ring(self) -> SecretRing:
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
        and peeked.confirmation == token.confirmation
    )
