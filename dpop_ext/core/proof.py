"""Verifying an asymmetric proof, but for time and replay: :rfc:`9449#section-4.3`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from dpop_ext.core.claims import text_claim, time_claim
from dpop_ext.core.jose import MAX_HEADER_LENGTH, CompactJWS, parse_compact_jws
from dpop_ext.core.ml_dsa import ML_DSA
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.core.proof_header import KnownHeaders, ProofHeader, verify_signature
from dpop_ext.core.request_binding import access_token_hash, check_request
from dpop_ext.core.usual_claims import read_usual_claims
from dpop_ext.core.usual_header import read_usual_header
from dpop_ext.errors import DPoPError, MalformedProofError

#: The parameter of a token request with a proof that is too long for a header field.
PROOF_PARAMETER: Final = "dpop_proof"
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
    :param header: what :func:`~dpop_ext.core.proof_header.find_header` found; it is
        not parsed again.
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
