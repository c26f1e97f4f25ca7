"""Making the proof for one request: :rfc:`9449#section-4.2`."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from dpop_ext.core import ml_dsa
from dpop_ext.core.akp import AKPKey, AnyKey
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.jose import json_segment
from dpop_ext.core.jws_signature import sign_segments
from dpop_ext.core.proof_header import PROOF_TYPE
from dpop_ext.core.request_binding import access_token_hash
from dpop_ext.core.target import proof_target
from dpop_ext.core.usual_claims import write_usual_claims

_CLAIMS = frozenset(("jti", "htm", "htu", "iat", "ath", "nonce"))


def make_proof(
    key: AnyKey,
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
    signing_input = proof_signing_input(
        proof_header(key, algorithm=algorithm),
        method=method,
        url=url,
        now=now,
        access_token=access_token,
        nonce=nonce,
        jti=jti,
        claims=claims,
    )
    return sign_proof(signing_input, key, algorithm=algorithm)


def proof_signing_input(
    header: str,
    *,
    method: str,
    url: str,
    now: int,
    access_token: str | None = None,
    nonce: str | None = None,
    jti: str | None = None,
    claims: Mapping[str, Any] | None = None,
) -> str:
    """Return what is signed for one request; the arguments as of :func:`make_proof`.

    :param header: of :func:`proof_header`.
    :raises ValueError: *claims* holds a claim of :rfc:`9449`, or *url* is not an
        absolute http(s) URL.
    """
    payload = write_usual_claims(
        jti=secrets.token_urlsafe(12) if jti is None else jti,
        htm=method,
        htu=proof_target(url),
        iat=now,
        ath=None if access_token is None else access_token_hash(access_token),
        nonce=nonce,
    )
    segment = join_claims(payload, claims) if claims else b64url_encode(payload)
    return f"{header}.{segment}"


def sign_proof(signing_input: str, key: AnyKey, *, algorithm: str) -> str:
    """Sign what :func:`proof_signing_input` returned; the result is the proof.

    :raises ValueError: *key* does not fit *algorithm*.
    """
    if isinstance(key, AKPKey):
        if key.alg != algorithm:
            raise ValueError("the key does not fit the algorithm")
        signature = ml_dsa.signer(key)(signing_input.encode("ascii"))
        return f"{signing_input}.{b64url_encode(signature)}"
    return sign_segments(signing_input, key, algorithm=algorithm)


def join_claims(usual: bytes, claims: Mapping[str, Any]) -> str:
    """Return the payload of a proof with further claims, encoded.

    :param usual: the claims of :rfc:`9449`, as JSON.
    :raises ValueError: one of *claims* is a claim of :rfc:`9449`.
    """
    if not _CLAIMS.isdisjoint(claims):
        raise ValueError("claims of RFC 9449 have arguments of their own")
    return json_segment({**claims, **json.loads(usual)})


def proof_header(key: AnyKey, *, algorithm: str) -> str:
    """Return the header of every proof by *key*, encoded."""
    return json_segment(
        {"typ": PROOF_TYPE, "alg": algorithm, "jwk": _public_members(key)}
    )


def _public_members(key: AnyKey) -> dict[str, Any]:
    """Return the members of *key* that its thumbprint covers, and no other."""
    if isinstance(key, AKPKey):
        return key.as_dict()
    public = key.as_dict(private=False)
    return {
        name: public[name]
        for name in ("kty", "crv", "x", "y", "n", "e")
        if name in public
    }
