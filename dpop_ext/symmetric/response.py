"""The proof that an answer is the answer to a request (DPoP Symmetric Profile 1.0).

A JWS of type dpop-sym-res+jwt under a key that is derived from the symmetric key of
the request's token, in the field ``DPoP-Response``.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.jose import json_segment, parse_compact_jws
from dpop_ext.core.request_digest import content_digest, query_digest
from dpop_ext.errors import MalformedJOSEError, ResponseProofError
from dpop_ext.symmetric.derivation import lp
from dpop_ext.symmetric.mac_key import MacKey
from dpop_ext.symmetric.secret_bytes import SecretBytes

RESPONSE_PROOF_TYPE: Final = "dpop-sym-res+jwt"
RESPONSE_FIELD: Final = "DPoP-Response"
#: The claim of a request's proof that asks for a response proof; its value is true.
ASKS: Final = "rsp"
#: Bytes of the longest content of an answer that has a response proof.
MAX_ANSWER: Final = 1024 * 1024
#: Longest response proof, in characters. Usual ones have about 450.
MAX_RESPONSE_PROOF: Final = 1024
#: How far the clocks may be apart, in seconds. It is the request's own proof that ties
#: an answer to the present; this finds a clock that is plainly wrong.
MAX_SKEW: Final = 300
#: The header fields that are authenticated, in the order of their digest.
PROTECTED_FIELDS: Final = (
    "Content-Type",
    "Content-Encoding",
    "Content-Range",
    "Location",
    "ETag",
    "WWW-Authenticate",
    "DPoP-Ticket",
    "Retry-After",
)

#: Answers that have no content, whatever their fields say (RFC 9110 section 6.4.1).
EMPTY_STATUS: Final = frozenset((204, 304))
_HEADER: Final = {"typ": RESPONSE_PROOF_TYPE, "alg": "HS256"}
_HEADER_SEGMENT: Final = json_segment(_HEADER)

Fields = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredRequest:
    """What a response proof says about the request: digests, base64url."""

    #: Of the value of its ``DPoP`` field.
    rph: str
    #: Of its query.
    rhq: str
    #: Of its content.
    rcd: str

    @classmethod
    def of(cls, proof: str, *, target: str, content: str) -> AnsweredRequest:
        """Describe a request.

        :param proof: value of its ``DPoP`` field.
        :param target: the request target, or the URL, as it was sent.
        :param content: digest of its content as it was sent.
        :raises ValueError: a character in *proof* or *target* that stands for no byte.
        """
        return cls(
            rph=content_digest(proof.encode("latin-1")),
            rhq=query_digest(target),
            rcd=content,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseProof:
    """A response proof that was verified. Only :func:`verify_response_proof` has one.

    It says that the answer is by who has the key. Who that is rests on how the key was
    delivered.
    """

    status: int
    #: By the clock of the server, in seconds since the epoch.
    issued_at: float


def field_digest(fields: Fields) -> str:
    """Return the ``hd`` of an answer: a digest of the fields that are protected.

    Several lines of one field count as one value, joined with a comma and a space, as
    proxies may join them (:rfc:`9110#section-5.3`). A field that is not there is
    something else than an empty one.

    :param fields: all header fields, one for each line.
    :raises ValueError: a value of more than 65,535 bytes, or a character in one that
        stands for no byte.
    """
    values: dict[str, list[str]] = {}
    for name, value in fields:
        values.setdefault(name.lower(), []).append(value.strip(" \t"))
    digest = hashlib.sha256()
    for name in PROTECTED_FIELDS:
        lines = values.get(name.lower())
        digest.update(lp(name.lower().encode()))
        if lines is None:
            digest.update(b"\0")
            continue
        text = ", ".join(lines).encode("latin-1")
        if len(text) > 0xFFFF:
            raise ValueError("a header field is too long")
        digest.update(b"\1" + lp(text))
    return b64url_encode(digest.digest())


def make_response_proof(
    key: SecretBytes,
    request: AnsweredRequest,
    *,
    status: int,
    fields: Fields,
    content: bytes,
    now: int,
) -> str:
    """Make the proof for one answer.

    :param key: from :func:`.derivation.response_key`.
    :param status: of the answer.
    :param fields: its header fields, one for each line.
    :param content: as it is sent, after content coding; empty for an answer to HEAD
        and for one with a status in :data:`EMPTY_STATUS`.
    :param now: seconds since the epoch.
    :returns: value of the ``DPoP-Response`` field.
    :raises ValueError: as :func:`field_digest`.
    """
    claims = json_segment(
        {
            "rph": request.rph,
            "rhq": request.rhq,
            "rcd": request.rcd,
            "iat": now,
            "status": status,
            "cd": content_digest(content),
            "hd": field_digest(fields),
        }
    )
    signing_input = f"{_HEADER_SEGMENT}.{claims}"
    return f"{signing_input}.{b64url_encode(_tag(key, signing_input.encode('ascii')))}"


def verify_response_proof(
    values: Sequence[str],
    key: SecretBytes,
    request: AnsweredRequest,
    *,
    status: int,
    fields: Fields,
    content: bytes,
    now: int,
) -> ResponseProof:
    """Verify that an answer is the one to *request*, by who has *key*.

    :param values: the values of its ``DPoP-Response`` fields, one for each line.
    :param key: from :func:`.derivation.response_key`.
    :param request: what was sent.
    :param status: as received, and so are *fields* and *content*.
    :param content: before content decoding.
    :param now: seconds since the epoch.
    :raises ResponseProofError: there is no proof, or more than one; it is malformed; it
        is not by *key*; it is for another request; it is of another time; it is of
        another answer.
    """
    if len(values) != 1:
        raise ResponseProofError("The answer has no response proof, or several.")
    claims = _verified_claims(values[0], key)
    _compare(claims, {"rph": request.rph, "rhq": request.rhq, "rcd": request.rcd})
    issued_at: Any = claims.get("iat")
    # A bool is an int in Python; true is no time, and no status.
    if type(issued_at) not in (int, float) or abs(issued_at - now) > MAX_SKEW:
        raise ResponseProofError("The response proof is of another time.")
    if type(claims.get("status")) is not int or claims["status"] != status:
        raise ResponseProofError("The status of the answer was changed.")
    try:
        expected = {"cd": content_digest(content), "hd": field_digest(fields)}
    except ValueError as error:
        raise ResponseProofError from error
    _compare(claims, expected)
    return ResponseProof(status=status, issued_at=issued_at)


def _verified_claims(text: str, key: SecretBytes) -> dict[str, Any]:
    try:
        jws = parse_compact_jws(text, max_length=MAX_RESPONSE_PROOF)
    except MalformedJOSEError as error:
        raise ResponseProofError("The response proof is malformed.") from error
    if jws.header != _HEADER:
        raise ResponseProofError("The response proof is malformed.")
    if not hmac.compare_digest(_tag(key, jws.signing_input), jws.signature):
        raise ResponseProofError("The response proof is not by the server's key.")
    return jws.payload


def _compare(claims: dict[str, Any], expected: dict[str, str]) -> None:
    for name, value in expected.items():
        claim = claims.get(name)
        if not isinstance(claim, str) or not hmac.compare_digest(
            claim.encode("utf-8"), value.encode()
        ):
            raise ResponseProofError


def _tag(key: SecretBytes, message: bytes) -> bytes:
    return MacKey("HS256", key.reveal()).tag(message)
