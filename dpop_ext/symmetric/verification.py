"""The checks of a symmetric proof around its MAC (DPoP Symmetric Profile 1.0)."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final, NamedTuple

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.request_binding import check_request
from dpop_ext.core.token_text import parse_token, token_confirmation
from dpop_ext.errors import (
    AccessTokenError,
    ExpiredKeyError,
    MalformedJOSEError,
    MalformedProofError,
)
from dpop_ext.symmetric.mac_key import MacKey
from dpop_ext.symmetric.proof import SymmetricProof, check_mac
from dpop_ext.symmetric.secret_ring import SecretRing

#: Longest base64url text of the claims of a token read before its signature.
MAX_PEEKED_PAYLOAD = 4 * 1024 * 4 // 3 + 1
_NO_CLAIMS: Final[MappingProxyType[str, Any]] = MappingProxyType({})
#: What is said about a symmetric proof with a token that brings no key to verify it.
NO_KEY = "The access token has no key for symmetric proofs."


class DerivedKey(NamedTuple):
    """The key for the symmetric proofs with one access token, and where it is from.

    It is worth keeping once the token was verified: it stays the same for as long as
    the ring or the private key is held. What can end meanwhile is checked again with
    each proof.
    """

    mac_key: MacKey
    #: Its ``client_id`` and ``cnf`` went into the derivation, or are in the header that
    #: the key was encrypted with.
    token: AccessToken
    #: A derived key: its secret, issuer and audience went into it. Else None.
    ring: SecretRing | None
    #: The ``ath`` of proofs with this token.
    ath: str
    #: An encapsulated key: thumbprint of the key that it was encrypted for. Else None.
    recipient: str | None = None
    #: The token was verified, at some time.
    verified: bool = False
    #: From when it is not good any more, unless *ring* is replaced before, in seconds
    #: since the epoch: the end of token, key and secret. 0 if that is looked up.
    ends_at: int = 0

    def __repr__(self) -> str:
        return f"<DerivedKey {self.mac_key!r} of {self.ring or self.recipient!r}>"


def peek_access_token(
    text: str,
    *,
    issuer: str,
    audience: str,
    now: int,
    only_audience: bool = True,
) -> AccessToken:
    """Read a JWT access token whose signature has not been verified.

    What it says is used for two things only: as input of the key derivation, where a
    lie gives a wrong key, and to refuse early. It grants nothing.

    :param text: the access token, at most 16 KiB, with claims of at most 4 KiB.
    :param issuer: the issuer whose secrets this server holds.
    :param audience: this server's own identifier.
    :param now: seconds since the epoch.
    :param only_audience: the token must be for no other server beside.
    :raises AccessTokenError: not a JWT within the limits, of another issuer or for
        another or a second audience, expired, or with a malformed ``cnf``.
    """
    # Most tokens are not as long as that, all told.
    if (
        len(text) > MAX_PEEKED_PAYLOAD
        and text.rfind(".") - text.find(".") - 1 > MAX_PEEKED_PAYLOAD
    ):
        raise AccessTokenError("The access token is too long.")
    try:
        claims = parse_token(text).payload
    except MalformedJOSEError as error:
        # Most are opaque ones, for a verifier that was not told of these.
        raise AccessTokenError(
            "The access token is malformed.", check="token_form"
        ) from error
    expires_at = claims.get("exp")
    client_id = claims.get("client_id")
    if claims.get("iss") != issuer:
        raise AccessTokenError("The access token is of another issuer.", check="iss")
    if not _is_for(claims.get("aud"), audience, only=only_audience):
        raise AccessTokenError("The access token is for another audience.", check="aud")
    if type(expires_at) is not int or now >= expires_at:
        raise AccessTokenError("The access token has expired.", check="exp")
    if not isinstance(client_id, str) or not client_id:
        raise AccessTokenError("The access token names no client.", check="client_id")
    values = (
        issuer,
        (audience,),
        client_id,
        expires_at,
        None,  # token_id
        token_confirmation(claims["cnf"]) if "cnf" in claims else None,
        "",  # scope
        _NO_CLAIMS,
    )
    # Half as long as by the constructor, which passes all of them on once more.
    return tuple.__new__(AccessToken, values)


def verify_mac(
    proof: SymmetricProof, token: AccessToken, ring: SecretRing, *, now: int
) -> MacKey:
    """Derive the key that *token* refers to and verify the MAC of *proof* with it.

    :param token: peeked at, or verified.
    :param ring: the current secrets of this server: looked up on every call, so that a
        revoked version is refused at once. Its issuer and audience go into the
        derivation, never those of the token.
    :param now: seconds since the epoch.
    :returns: the derived key.
    :raises MalformedProofError: the token has no key, or one of another algorithm.
    :raises StaleKeyError: the version is retired or revoked.
    :raises UnknownKeyError: the version is newer than this server knows.
    :raises AccessTokenError: the version cannot exist, or the identities are too long.
    :raises BadSignatureError: the MAC does not verify.
    """
    dsk = token.confirmation.dsk if token.confirmation is not None else None
    if dsk is not None and proof.algorithm != dsk.algorithm:
        raise MalformedProofError("The proof does not use the algorithm of its key.")
    key = derive_key(token, ring, now=now)
    check_mac(proof, key)
    return key


def verify_known_mac(
    proof: SymmetricProof, known: DerivedKey, ring: SecretRing, *, now: int
) -> None:
    """Verify the MAC of *proof* with the key that was derived from *ring* before.

    Errors and arguments as above: its version is looked up all the same.
    """
    confirmation = known.token.confirmation
    dsk = confirmation.dsk if confirmation is not None else None
    if dsk is None:
        raise MalformedProofError(NO_KEY)
    if proof.algorithm != dsk.algorithm:
        raise MalformedProofError("The proof does not use the algorithm of its key.")
    ring.find(dsk.version, now=now)
    check_mac(proof, known.mac_key)


def derive_key(token: AccessToken, ring: SecretRing, *, now: int) -> MacKey:
    """Derive the key that *token* refers to; errors and arguments as above."""
    confirmation = token.confirmation
    if (
        confirmation is None
        or confirmation.jkt is None
        or confirmation.dsk is None
        or token.client_id is None
    ):
        raise MalformedProofError(NO_KEY)
    dsk = confirmation.dsk
    secret = ring.prepared(dsk.version, now=now)
    try:
        derived = secret.symmetric_key(
            algorithm=dsk.algorithm,
            client_id=token.client_id,
            jkt=confirmation.jkt,
            r=dsk.r,
        )
    except ValueError as error:
        raise AccessTokenError("The access token is malformed.") from error
    return MacKey(dsk.algorithm, derived)


def check_key(proof: SymmetricProof, key: MacKey) -> None:
    """Verify the MAC of *proof* with a key that came with a verified token.

    :raises MalformedProofError: the key is for another algorithm.
    :raises BadSignatureError: the MAC does not verify.
    """
    if proof.algorithm != key.algorithm:
        raise MalformedProofError("The proof does not use the algorithm of its key.")
    check_mac(proof, key)


def check_claims(
    proof: SymmetricProof,
    token: AccessToken,
    *,
    method: str,
    url: str,
    ath: str,
    now: int,
) -> None:
    """Check what a proof with a good MAC says, but for nonce and time.

    :param token: the verified token.
    :param url: absolute URL of the request; query and fragment are ignored.
    :param ath: hash of the exact text of the token.
    :raises ExpiredKeyError: the key is past ``cnf.dsk.exp``.
    :raises TargetMismatchError: ``htm`` or ``htu`` names another request.
    :raises TokenMismatchError: ``ath`` is of another token.
    :raises MalformedProofError: ``kid`` is not the version of the key, or the key has
        none.
    """
    dsk = token.confirmation.dsk if token.confirmation else None
    # An encapsulated key ends with its token.
    expires_at = token.expires_at if dsk is None else dsk.expires_at
    if expires_at is not None and now >= expires_at:
        raise ExpiredKeyError
    check_request(proof.claims, method=method, url=url, ath=ath)
    if proof.kid is not None and (dsk is None or proof.kid != str(dsk.version)):
        raise MalformedProofError("The proof names another version of the key.")


def _is_for(aud: object, audience: str, *, only: bool) -> bool:
    if aud == audience:
        return True
    return isinstance(aud, list) and (
        aud == [audience] or (not only and audience in aud)
    )
