"""Verifying an asymmetric proof, but for time and replay: :rfc:`9449#section-4.3`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from dpop_ext.core import ml_dsa
from dpop_ext.core.claims import text_claim, time_claim
from dpop_ext.core.jose import MAX_HEADER_LENGTH, CompactJWS, parse_compact_jws
from dpop_ext.core.jws_signature import (
    SignatureCheck,
    check_signature,
    signature_check,
    usual_signature_check,
)
from dpop_ext.core.key import as_key, read_public_key, thumbprint_of
from dpop_ext.core.ml_dsa import ML_DSA
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.core.recent import Recent
from dpop_ext.core.request_binding import access_token_hash, check_request
from dpop_ext.core.usual_claims import read_usual_claims
from dpop_ext.core.usual_header import read_usual_header
from dpop_ext.errors import (
    DPoPError,
    MalformedProofError,
    UnsupportedKeyError,
)

PROOF_TYPE: Final = "dpop+jwt"
#: The parameter of a token request with a proof that is too long for a header field.
PROOF_PARAMETER: Final = "dpop_proof"
#: Longest header that is remembered, in characters; one with a 4096 bit RSA key has
#: about 1000.
MAX_KNOWN_HEADER: Final = 1200
#: Longest header with an ML-DSA key, in characters; ML-DSA-87 takes about 4700.
MAX_ML_DSA_HEADER: Final = 6144


class SignedProof(NamedTuple):
    """A proof for this request, by the key in its header.

    Nonce, time, binding and replay are still to be checked. A tuple, because a frozen
    dataclass of so many fields takes a microsecond.
    """

    #: RFC 7638 SHA-256 thumbprint of the key, base64url.
    jkt: str
    #: The key, as parsed.
    jwk: Mapping[str, Any]
    algorithm: str
    jti: str
    #: In seconds since the epoch.
    iat: float
    #: The raw claim, of any type; None if there is none.
    nonce: object
    nbf: float | None
    exp: float | None
    claims: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"<SignedProof {self.algorithm} {self.jkt} {self.jti!a}>"


class ProofHeader(NamedTuple):
    """The header of a proof whose signature verified."""

    members: dict[str, Any]
    #: Of signatures with its ``alg`` by its ``jwk``.
    check: SignatureCheck
    #: RFC 7638 SHA-256 thumbprint of the key, base64url.
    jkt: str

    def __repr__(self) -> str:
        return f"<ProofHeader {self.jkt}>"


#: Headers by their text in base64url. A client sends the same one each time, and to
#: parse it and to import its key takes half as long as the signature. What a header
#: says is the same at any time; whether that is allowed is checked for each proof.
#: Only those with a good signature are put here: to push others out takes a key and a
#: signature for each.
KnownHeaders = Recent[str, ProofHeader]


def find_header(known: KnownHeaders, proof: str) -> ProofHeader | None:
    """Return what is known of the header of *proof*, by its text."""
    return known.get(proof[: proof.find(".")])


def parse_proof(
    proof: str,
    *,
    max_length: int,
    max_ml_dsa_length: int = 0,
    header: ProofHeader | None = None,
) -> CompactJWS:
    """Check the form of a proof of either kind.

    :param proof: value of the ``DPoP`` header field, as received. Two field lines that
        a server joined hold a comma, which no proof has.
    :param max_length: in characters.
    :param max_ml_dsa_length: if the ``alg`` is ML-DSA, in characters; 0 where these
        algorithms are not accepted.
    :param header: what :func:`find_header` found; it is not parsed again.
    :raises MalformedProofError: not one compact JWS of two JSON objects.
    """
    try:
        jws = parse_compact_jws(
            proof,
            max_length=max(max_length, max_ml_dsa_length),
            max_header_length=(
                MAX_ML_DSA_HEADER if max_ml_dsa_length else MAX_HEADER_LENGTH
            ),
            header=header.members if header is not None else None,
            read_header=read_usual_header,
            read_payload=read_usual_claims,
        )
        if max_ml_dsa_length:
            _check_lengths(jws, proof, max_length, max_ml_dsa_length)
        return jws
    except DPoPError:
        raise
    except Exception as error:
        # Whatever a hostile header provokes is a bad proof, not a fault of the server.
        raise MalformedProofError from error


def _check_lengths(
    jws: CompactJWS, proof: str, max_length: int, max_ml_dsa_length: int
) -> None:
    """Hold other proofs to their own limits, now that the algorithm is known."""
    if jws.header.get("alg") in ML_DSA:
        too_long = len(proof) > max_ml_dsa_length
    else:
        too_long = len(proof) > max_length or proof.find(".") > MAX_HEADER_LENGTH
    if too_long:
        raise MalformedProofError


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
    header: ProofHeader | None = None,
    known: KnownHeaders | None = None,
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
    :param header: what :func:`parse_proof` was given; its key is not imported again.
    :param known: where a header that is not known is added when its signature verifies.
    :raises MalformedProofError: ``typ`` is another, or ``jwk`` is no JWK; and, after
        the signature, a claim that is missing, mistyped or too long.
    :raises UnsupportedKeyError: ``alg`` is not allowed, or ``jwk`` does not fit it.
    :raises BadSignatureError: the signature is not by ``jwk``.
    :raises TargetMismatchError: ``htm`` or ``htu`` names another request.
    :raises TokenMismatchError: ``ath`` is missing or of another token.
    """
    try:
        header = verify_signature(jws, policy, header, known)
        proof = _read_claims(jws.payload, header, policy=policy)
        ath = access_token_hash(access_token) if access_token is not None else None
        check_request(jws.payload, method=method, url=url, ath=ath)
        return proof
    except DPoPError:
        raise
    except Exception as error:
        # As in parse_proof: never a failure of the server, and never a pass.
        raise MalformedProofError from error


def verify_signature(
    jws: CompactJWS,
    policy: ProofPolicy,
    header: ProofHeader | None = None,
    known: KnownHeaders | None = None,
) -> ProofHeader:
    """Check the header and the signature of a proof; see :func:`verify_proof`."""
    # Exactly this text: other forms of the media type are not for proofs.
    if jws.header.get("typ") != PROOF_TYPE:
        raise MalformedProofError("The typ of the DPoP proof is not dpop+jwt.")
    algorithm = jws.header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in policy.algorithms:
        raise UnsupportedKeyError
    # The key of the header and no other: kid, jku, x5u and x5c are never looked at.
    if header is not None and header.members is jws.header:
        check_signature(header.check, jws.signing_input, jws.signature)
        return header
    jkt, check = read_key(jws.header.get("jwk"), algorithm)
    check_signature(check, jws.signing_input, jws.signature)
    header = tuple.__new__(ProofHeader, (jws.header, check, jkt))
    if known is not None:
        segment = jws.signing_input.partition(b".")[0].decode("ascii")
        if len(segment) <= MAX_KNOWN_HEADER:
            known.put(segment, header)
    return header


def read_key(jwk: object, algorithm: str) -> tuple[str, SignatureCheck]:
    """Return the thumbprint of the key, and what checks its signatures.

    :param jwk: the header member, as parsed.
    :raises MalformedProofError: not a JSON object, or a member is missing or mistyped.
    :raises UnsupportedKeyError: it does not fit *algorithm*, or is private or weak.
    """
    if algorithm in ML_DSA:
        akp = ml_dsa.import_proof_key(jwk, algorithm=algorithm)
        return akp.thumbprint(), ml_dsa.signature_check(akp)
    public, known_jwk = read_public_key(jwk, algorithm=algorithm)
    check = usual_signature_check(public, algorithm=algorithm)
    if check is None:
        check = signature_check(as_key(public, known_jwk), algorithm=algorithm)
    return thumbprint_of(known_jwk), check


def _read_claims(
    claims: dict[str, Any], header: ProofHeader, *, policy: ProofPolicy
) -> SignedProof:
    text_claim(claims, "htm")
    text_claim(claims, "htu")
    values = (
        header.jkt,
        # Read-only, as later proofs with the same header share it.
        MappingProxyType(header.members["jwk"]),
        header.members["alg"],
        text_claim(claims, "jti", limit=policy.max_jti_length),
        time_claim(claims, "iat"),
        claims.get("nonce"),
        time_claim(claims, "nbf") if "nbf" in claims else None,
        time_claim(claims, "exp") if "exp" in claims else None,
        claims,
    )
    # Half as long as by the constructor, which passes all of them on once more.
    return tuple.__new__(SignedProof, values)
