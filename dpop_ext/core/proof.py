"""Make and verify asymmetric DPoP proofs (RFC 9449 sections 4.2 and 4.3)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from joserfc.jwk import Key

from dpop_ext.core.claims import text_claim, time_claim
from dpop_ext.core.jose import (
    CompactJWS,
    b64url_encode,
    parse_compact_jws,
    sign_compact,
    verify_signature,
)
from dpop_ext.core.key import import_proof_key, thumbprint
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.core.target import normalize_target, proof_target
from dpop_ext.errors import (
    DPoPError,
    MalformedProofError,
    TargetMismatchError,
    TokenMismatchError,
    UnsupportedKeyError,
)

PROOF_TYPE: Final = "dpop+jwt"

_CLAIMS = frozenset(("jti", "htm", "htu", "iat", "ath", "nonce"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedProof:
    """A proof for this request, by the key in its header.

    Nonce, time, binding and replay are still to be checked.
    """

    #: RFC 7638 SHA-256 thumbprint of the key, base64url.
    jkt: str
    #: The key, as parsed.
    jwk: Mapping[str, Any] = field(repr=False)
    algorithm: str
    jti: str
    #: In seconds since the epoch.
    iat: float
    #: The raw claim, of any type; None if there is none.
    nonce: object
    nbf: float | None
    exp: float | None
    claims: Mapping[str, Any] = field(repr=False)


class _LastDigest:
    """The last token that was hashed: every step of a request asks for the same one."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        #: One tuple, so that other threads see both or neither.
        self._last = ("", hashlib.sha256(b"").digest())

    def of(self, token: str) -> bytes:
        last, digest = self._last
        if last is not token:
            # A lone surrogate has no encoding. No header field has one, and it is no
            # reason to fail here.
            data = token.encode("utf-8", "surrogatepass")
            digest = hashlib.sha256(data).digest()
            self._last = token, digest
        return digest


#: Return the SHA-256 of the text of an access token: its name in caches.
access_token_digest = _LastDigest().of


def access_token_hash(token: str) -> str:
    """Return the ``ath`` of an access token: its SHA-256, base64url."""
    return b64url_encode(access_token_digest(token))


def make_proof(
    key: Key,
    *,
    algorithm: str,
    method: str,
    url: str,
    now: int,
    access_token: str | None = None,
    nonce: str | None = None,
    jti: str | None = None,
    claims: Mapping[str, Any] | None = None,
) -> str:
    """Make the proof for one request.

    :param key: the private key.
    :param algorithm: JWS algorithm that fits *key*.
    :param method: of the request, as it goes out.
    :param url: absolute URL of the request, as it goes out; userinfo, query, fragment
        and a default port are left out.
    :param now: seconds since the epoch.
    :param access_token: the token that the request carries; None at a token endpoint,
        where a proof has no ``ath``.
    :param nonce: what this server last supplied.
    :param jti: unique identifier, 96 random bits by default.
    :param claims: further claims, none of those above.
    :returns: value of the ``DPoP`` header field.
    :raises ValueError: *claims* holds a claim of :rfc:`9449`, *url* is not an absolute
        http(s) URL, or *key* does not fit *algorithm*.
    """
    claims = claims or {}
    if not _CLAIMS.isdisjoint(claims):
        raise ValueError("claims of RFC 9449 have arguments of their own")
    header = {
        "typ": PROOF_TYPE,
        "alg": algorithm,
        "jwk": _public_members(key),
    }
    payload: dict[str, Any] = {
        **claims,
        "jti": secrets.token_urlsafe(12) if jti is None else jti,
        "htm": method,
        "htu": proof_target(url),
        "iat": now,
    }
    if access_token is not None:
        payload["ath"] = access_token_hash(access_token)
    if nonce is not None:
        payload["nonce"] = nonce
    return sign_compact(header, payload, key)


def parse_proof(proof: str, *, max_length: int) -> CompactJWS:
    """Check the form of a proof of either kind.

    :param proof: value of the ``DPoP`` header field, as received. Two field lines that
        a server joined hold a comma, which no proof has.
    :param max_length: in characters.
    :raises MalformedProofError: not one compact JWS of two JSON objects.
    """
    try:
        return parse_compact_jws(proof, max_length=max_length)
    except Exception as error:
        # Whatever a hostile header provokes is a bad proof, not a fault of the server.
        raise MalformedProofError from error


def proof_type(jws: CompactJWS) -> str:
    """Return the ``typ`` of a proof; empty if it has none that is a string."""
    typ = jws.header.get("typ")
    return typ if isinstance(typ, str) else ""


def verify_proof(
    jws: CompactJWS,
    *,
    method: str,
    url: str,
    policy: ProofPolicy,
    access_token: str | None = None,
) -> SignedProof:
    """Verify a proof against the request that carried it.

    Does items 3 to 9 and 12a of :rfc:`9449#section-4.3`. Item 1 is the adapter's, item
    2 that of :func:`parse_proof`; nonce (10), time (11), binding (12b) and replay
    (section 11.1) are the caller's, in that order.

    :param jws: from :func:`parse_proof`.
    :param method: of the request, as received.
    :param url: absolute URL of the request; query and fragment are ignored.
    :param policy: algorithms and limits.
    :param access_token: the exact text of the token of a resource request; None at an
        authorization server, which ignores ``ath``.
    :raises MalformedProofError: ``typ`` is another, or ``jwk`` is no JWK; and, after
        the signature, a claim that is missing, mistyped or too long.
    :raises UnsupportedKeyError: ``alg`` is not allowed, or ``jwk`` does not fit it.
    :raises BadSignatureError: the signature is not by ``jwk``.
    :raises TargetMismatchError: ``htm`` or ``htu`` names another request.
    :raises TokenMismatchError: ``ath`` is missing or of another token.
    """
    try:
        return _verify(jws, method, url, policy, access_token)
    except DPoPError:
        raise
    except Exception as error:
        # As in parse_proof: never a failure of the server, and never a pass.
        raise MalformedProofError from error


def _verify(
    jws: CompactJWS,
    method: str,
    url: str,
    policy: ProofPolicy,
    access_token: str | None,
) -> SignedProof:
    header, claims = jws.header, jws.payload
    # Exactly this text: other forms of the media type are not for proofs.
    if proof_type(jws) != PROOF_TYPE:
        raise MalformedProofError("The typ of the DPoP proof is not dpop+jwt.")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in policy.algorithms:
        raise UnsupportedKeyError
    key = import_proof_key(header.get("jwk"), algorithm=algorithm)
    # The key of the header and no other: kid, jku, x5u and x5c are never looked at.
    verify_signature(jws, key, algorithm=algorithm)
    htm, htu = text_claim(claims, "htm"), text_claim(claims, "htu")
    proof = SignedProof(
        jkt=thumbprint(key),
        jwk=header["jwk"],
        algorithm=algorithm,
        jti=text_claim(claims, "jti", limit=policy.max_jti_length),
        iat=time_claim(claims, "iat"),
        nonce=claims.get("nonce"),
        nbf=time_claim(claims, "nbf") if "nbf" in claims else None,
        exp=time_claim(claims, "exp") if "exp" in claims else None,
        claims=claims,
    )
    # Methods are case-sensitive, and HEAD is not GET.
    if htm != method:
        raise TargetMismatchError
    check_target(htu, url)
    if access_token is not None:
        check_access_token_hash(claims.get("ath"), access_token)
    return proof


def check_target(htu: str, url: str) -> None:
    """Compare ``htu`` with the URL of the request, both normalised.

    :raises TargetMismatchError: they differ, or one is not an absolute http(s) URI.
    """
    try:
        target = normalize_target(url)
        # What is normalised stays as it is.
        same = htu == target or normalize_target(htu) == target
    except ValueError as error:
        raise TargetMismatchError from error
    if not same:
        raise TargetMismatchError


def check_access_token_hash(ath: object, access_token: str) -> None:
    """Compare ``ath`` with the access token of the request.

    :raises TokenMismatchError: it is missing, mistyped, or of another token.
    """
    check_hash(ath, access_token_hash(access_token))


def check_hash(ath: object, expected: str) -> None:
    """Compare ``ath`` with the hash of the access token of the request.

    :raises TokenMismatchError: it is missing, mistyped, or of another token.
    """
    if not isinstance(ath, str) or not hmac.compare_digest(
        ath.encode(), expected.encode()
    ):
        raise TokenMismatchError


def _public_members(key: Key) -> dict[str, Any]:
    """Return the members of *key* that its thumbprint covers, and no other."""
    public = key.as_dict(private=False)
    return {
        name: public[name]
        for name in ("kty", "crv", "x", "y", "n", "e")
        if name in public
    }
