"""The symmetric keys of access tokens at a resource server: derived or decrypted.

DPoP Symmetric Profile 1.0, models 1 and 1b. They are remembered: the private key is
used once for a token, and so is the derivation.
"""

from __future__ import annotations

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.recent import Recent
from dpop_ext.core.request_binding import access_token_hash
from dpop_ext.core.token_text import token_digest
from dpop_ext.errors import DPoPError, MalformedProofError, StoreError, UnknownKeyError
from dpop_ext.stores.base import KeyringSource, SyncingKeyringSource
from dpop_ext.symmetric.encapsulation import KeyDecryptor
from dpop_ext.symmetric.proof import SymmetricProof
from dpop_ext.symmetric.secret_ring import SecretRing
from dpop_ext.symmetric.verification import NO_KEY, DerivedKey, verify_mac

#: Keys that are remembered at most. Each takes about 1 kB beside its token.
MAX_KEYS = 10_000


class TokenKeys:
    """Finds the key of a token, and remembers it once the token was verified.

    :param keyring: this resource server's derivation secrets; None: it has none.
    :param decryptor: of the keys that tokens bring along; None: it takes no such keys.
    :param issuer: identifier of the authorization server.
    :param audience: this resource server's own identifier.
    :raises TypeError: *keyring* or *decryptor* is something else.
    """

    def __init__(
        self,
        keyring: KeyringSource | None,
        decryptor: KeyDecryptor | None,
        *,
        issuer: str,
        audience: str,
    ) -> None:
        # At the start, and not with the first request.
        if keyring is not None and not callable(getattr(keyring, "load", None)):
            raise TypeError("keyring is a KeyringSource, such as HTTPKeyringSource")
        if decryptor is not None and not callable(getattr(decryptor, "decrypt", None)):
            raise TypeError("decryptor is a KeyDecryptor")
        self._keyring = keyring
        #: Whether there is a keyring.
        self.derives = keyring is not None
        self._decryptor = decryptor
        self._issuer = issuer
        self._audience = audience
        #: The ring that was found to be for this server last.
        self._ring: SecretRing | None = None
        #: Keys of proofs that verified with a verified token, by the hash of that
        #: token.
        self.recent: Recent[bytes, DerivedKey] = Recent(MAX_KEYS)

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

    def known(self, token: AccessToken, access_token: str) -> DerivedKey | None:
        """Return the key of this token, if it was used before."""
        known = self.recent.get(token_digest(access_token))
        # It can say something else today than it did before.
        return known if known is not None and is_same_key(known.token, token) else None

    def recall(
        self, name: bytes, token: AccessToken, *, algorithm: str, now: int
    ) -> DerivedKey | None:
        """Return the key that was derived for a token, if token and key are good now.

        :param name: the SHA-256 of the exact text of the token.
        :param token: verified; this very object, as it was then.
        :param algorithm: of the proof.
        :param now: seconds since the epoch.
        :returns: None if it has to be derived, decrypted, or found out why not.
        :raises Exception: *token* is denied; or the keyring has none to load.
        """
        found = self.recent.young.get(name) or self.recent.get(name)
        if found is None or self._keyring is None:
            return None
        mac_key, known, derived_from, _, _, _, ends_at = found
        if known is not token or now >= ends_at or mac_key.algorithm != algorithm:
            return None
        ring = self._keyring.load()
        # What is revoked is not in the next one, and this one is for this server.
        if ring is not derived_from:
            return None
        if not ring.denied.is_empty:
            ring.denied.check(token, now=now)
        return found

    def keep(self, text: str, derived: DerivedKey, token: AccessToken) -> None:
        """Remember a key, now that the token that it was derived from is verified."""
        # Else what open() read of the token is not what was found out about it.
        if derived.token.expires_at == token.expires_at:
            ring, ends_at = derived.ring, 0
            if ring is not None:
                ends_at = _end(token, ring)
            values = (
                derived.mac_key,
                token,
                ring,
                derived.ath,
                derived.recipient,
                True,  # verified
                ends_at,
            )
            # Half as long as by the constructor, which passes all of them on once more.
            self.recent.put(token_digest(text), tuple.__new__(DerivedKey, values))

    def derive(
        self,
        proof: SymmetricProof,
        token: AccessToken,
        access_token: str,
        ring: SecretRing,
        now: int,
    ) -> DerivedKey:
        """Derive the key of a token, which may be unverified, and verify a MAC by it.

        :raises DPoPError: as :func:`.verification.verify_mac`.
        """
        mac_key = verify_mac(proof, token, ring, now=now)
        ath = access_token_hash(access_token)
        values = (mac_key, token, ring, ath, None, False)  # recipient, verified
        return tuple.__new__(DerivedKey, values)

    def decrypt(
        self,
        token: AccessToken,
        jwe: str,
        access_token: str,
        known: DerivedKey | None,
    ) -> DerivedKey:
        """Decrypt the key in a verified token, if that was not done before.

        :param jwe: its ``cnf.jwe``.
        :param known: what :meth:`known` returned for it.
        :raises MalformedProofError: this server takes no such keys.
        :raises UnknownKeyError: its private key is not held here.
        :raises StoreError: the private keys are not available.
        :raises AccessTokenError: it is not the key of this token.
        """
        if self._decryptor is None:
            raise MalformedProofError(NO_KEY)
        # The expiry is in what is decrypted.
        if known is not None and known.token.expires_at == token.expires_at:
            self.check_recipient(known.recipient)
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
        self.keep(access_token, key, token)
        return key

    def check_recipient(self, recipient: str | None) -> None:
        """Check that the private key is still one of ours.

        :param recipient: thumbprint of the key that an encapsulated key is for.
        :raises UnknownKeyError: it is not.
        :raises StoreError: the private keys are not available.
        """
        if self._decryptor is None or recipient is None:
            raise UnknownKeyError
        self._decryptor.find(recipient)

    def load_ring(self) -> SecretRing:
        """Return the current derivation secrets.

        :raises MalformedProofError: this server has none.
        :raises SymmetricKeyError: they are too old to be relied on.
        :raises StoreError: the keyring did not answer, or is for another server.
        """
        if self._keyring is None:
            raise MalformedProofError(NO_KEY)
        try:
            ring = self._keyring.load()
        except DPoPError:
            raise
        except Exception as error:
            raise StoreError from error
        if ring is not self._ring:
            if ring.issuer != self._issuer or ring.audience != self._audience:
                raise StoreError("The keyring is for another issuer or audience.")
            self._ring = ring
        return ring


def _end(token: AccessToken, ring: SecretRing) -> int:
    """Return from when the derived key of *token* is not good any more."""
    dsk = token.confirmation.dsk if token.confirmation is not None else None
    if dsk is None or token.expires_at is None:
        return 0
    ends_at = min(token.expires_at, ring.ends_at(dsk.version))
    return ends_at if dsk.expires_at is None else min(ends_at, dsk.expires_at)


def is_same_key(peeked: AccessToken, token: AccessToken) -> bool:
    """Tell whether both name the same inputs of the key derivation."""
    return peeked.client_id == token.client_id and (
        # Most are one object, and to compare two takes a microsecond.
        peeked.confirmation is token.confirmation
        or peeked.confirmation == token.confirmation
    )
