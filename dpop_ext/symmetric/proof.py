"""Symmetric proofs: a JWT of type dpop-sym+jwt under a MAC (DPoP Symmetric Profile)."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.claims import text_claim, time_claim
from dpop_ext.core.jose import CompactJWS
from dpop_ext.core.proof_making import join_claims
from dpop_ext.core.request_binding import access_token_hash
from dpop_ext.core.target import proof_target
from dpop_ext.core.usual_claims import read_usual_claims, write_usual_claims
from dpop_ext.errors import (
    BadSignatureError,
    MalformedJOSEError,
    MalformedProofError,
    UnsupportedKeyError,
)
from dpop_ext.symmetric.derivation import MAC_ALGORITHMS
from dpop_ext.symmetric.mac_key import MacKey
from dpop_ext.symmetric.proof_header import (
    SYMMETRIC_PROOF_TYPE,
    USUAL_HEADERS,
    read_ticket_header,
    write_header,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes

#: Longest symmetric proof, in characters. Usual ones have about 300.
MAX_PROOF_LENGTH: Final = 2048
#: Longest ``jti``, in characters.
MAX_JTI_LENGTH: Final = 256

_HEADER_MEMBERS: Final = frozenset({"typ", "alg", "kid", "tkt"})
_KID: Final = re.compile("[1-9][0-9]{0,15}")


class SymmetricProof(NamedTuple):
    """A well-formed symmetric proof. Nothing in it is true before :func:`check_mac`.

    A tuple, because a frozen dataclass of so many fields takes as long as the MAC.
    """

    algorithm: str
    #: Version of the derivation secret, in decimal; it selects nothing.
    kid: str | None
    #: The ticket that the key is from, as it was sent; None for the key of a token.
    ticket: str | None
    jti: str
    #: In seconds since the epoch.
    iat: float
    #: The raw claim, of any type; None if there is none.
    nonce: object
    nbf: float | None
    exp: float | None
    claims: Mapping[str, Any]
    signing_input: bytes
    tag: bytes

    def __repr__(self) -> str:
        return f"<SymmetricProof {self.algorithm} {self.jti!a}>"


def make_symmetric_proof(
    key: SecretBytes,
    *,
    algorithm: str,
    method: str,
    url: str,
    now: int,
    access_token: str,
    nonce: str | None = None,
    jti: str | None = None,
    version: int | None = None,
    ticket: str | None = None,
    claims: Mapping[str, Any] | None = None,
) -> str:
    """Make the proof for one request with a symmetric key.

    :param key: the delivered key, of the length that *algorithm* demands.
    :param algorithm: ``HS256`` or ``HS512``, as it was delivered with the key.
    :param method: of the request.
    :param url: absolute URL of the request; query and fragment are left out.
    :param now: seconds since the epoch.
    :param access_token: the token that the request carries.
    :param nonce: what the server last supplied.
    :param jti: unique identifier, 96 random bits by default.
    :param version: version of the derivation secret, to be sent as ``kid``.
    :param ticket: the ticket that *key* came with, if it is the resource server's.
    :param claims: further claims, none of those above.
    :returns: value of the ``DPoP`` header field.
    :raises ValueError: *key* or *version* does not fit, there is a ticket besides,
        *url* is not absolute, or *claims* holds one that has an argument of its own.
    """
    mac_key = MacKey(algorithm, key.reveal())
    usual = write_usual_claims(
        jti=secrets.token_urlsafe(12) if jti is None else jti,
        htm=method,
        htu=proof_target(url),
        iat=now,
        ath=access_token_hash(access_token),
        nonce=nonce,
    )
    segment = join_claims(usual, claims) if claims else b64url_encode(usual)
    signing_input = f"{write_header(algorithm, version, ticket)}.{segment}"
    tag = mac_key.tag(signing_input.encode("ascii"))
    return f"{signing_input}.{b64url_encode(tag)}"


def parse_usual_proof(text: str) -> SymmetricProof | None:
    """Read a symmetric proof that is written as :func:`make_symmetric_proof` writes it.

    :returns: what :func:`parse_symmetric_proof` would return. None says nothing about
        *text* but that it is written otherwise: parse it to find out.
    """
    if len(text) > MAX_PROOF_LENGTH:
        return None
    # A fourth part would be in the second, and no base64url.
    signing_input, _, last = text.rpartition(".")
    header, _, payload = signing_input.partition(".")
    ticket = None
    algorithm = USUAL_HEADERS.get(header)
    try:
        if algorithm is None:
            found = read_ticket_header(header)
            if found is None:
                return None
            algorithm, ticket = found
        claims = read_usual_claims(b64url_decode(payload))
        tag = b64url_decode(last)
    except MalformedJOSEError:
        return None
    if claims is None or "ath" not in claims or not tag:
        return None
    values = (
        algorithm,
        None,  # kid
        ticket,
        claims["jti"],
        claims["iat"],
        claims.get("nonce"),
        None,  # nbf
        None,  # exp
        claims,
        signing_input.encode("ascii"),
        tag,
    )
    # Half as long as by the constructor, which passes all of them on once more.
    return tuple.__new__(SymmetricProof, values)


def parse_symmetric_proof(jws: CompactJWS) -> SymmetricProof:
    """Check the form of a symmetric proof, whose strict parsing is done.

    The request, the token, nonce and time are compared later, and only after
    :func:`check_mac`.

    :param jws: whose ``typ`` says that it is a symmetric proof.
    :raises MalformedProofError: longer than 2048 characters; a header member beside
        ``typ``, ``alg`` and one of ``kid`` and ``tkt``; or a claim that is missing or
        mistyped.
    :raises UnsupportedKeyError: ``alg`` is neither ``HS256`` nor ``HS512``.
    """
    header, claims = jws.header, jws.payload
    # Four characters of base64url hold three bytes.
    length = len(jws.signing_input) + 1 + -(-len(jws.signature) * 4 // 3)
    if length > MAX_PROOF_LENGTH:
        raise MalformedProofError("The symmetric proof is too long.")
    if header.get("typ") != SYMMETRIC_PROOF_TYPE:
        raise MalformedProofError("The proof is not of the symmetric type.")
    # A header member that names or holds a key must not be skipped as unknown.
    if not header.keys() <= _HEADER_MEMBERS:
        raise MalformedProofError("The symmetric proof has an unknown header member.")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in MAC_ALGORITHMS:
        raise UnsupportedKeyError
    for name in ("htm", "htu", "ath"):
        text_claim(claims, name)
    return SymmetricProof(
        algorithm=algorithm,
        kid=_kid(header),
        ticket=_ticket(header),
        jti=text_claim(claims, "jti", limit=MAX_JTI_LENGTH),
        iat=time_claim(claims, "iat"),
        nonce=claims.get("nonce"),
        nbf=time_claim(claims, "nbf") if "nbf" in claims else None,
        exp=time_claim(claims, "exp") if "exp" in claims else None,
        claims=claims,
        signing_input=jws.signing_input,
        tag=jws.signature,
    )


def check_mac(proof: SymmetricProof, key: MacKey) -> None:
    """Verify the MAC of *proof*, in constant time.

    :param key: derived for the algorithm that *proof* names.
    :raises ValueError: *key* is for another algorithm.
    :raises BadSignatureError: the MAC is not by this key, or cut off.
    """
    if proof.algorithm != key.algorithm:
        raise ValueError("the key does not fit the algorithm")
    if not hmac.compare_digest(key.tag(proof.signing_input), proof.tag):
        raise BadSignatureError


def _kid(header: Mapping[str, Any]) -> str | None:
    if "kid" not in header:
        return None
    kid = header["kid"]
    if not isinstance(kid, str) or not _KID.fullmatch(kid):
        raise MalformedProofError("The kid of the proof is not a version.")
    return kid


def _ticket(header: Mapping[str, Any]) -> str | None:
    if "tkt" not in header:
        return None
    # A ticket says which key it is by itself; a version beside it could only differ.
    if "kid" in header or not isinstance(header["tkt"], str):
        raise MalformedProofError("The ticket of the proof is malformed.")
    ticket: str = header["tkt"]
    return ticket
