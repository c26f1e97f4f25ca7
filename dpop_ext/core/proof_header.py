"""The header of a proof, its key, and the signature by it: :rfc:`9449#section-4.2`."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from dpop_ext.core import ml_dsa
from dpop_ext.core.jose import CompactJWS
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
from dpop_ext.errors import MalformedProofError, UnsupportedKeyError

PROOF_TYPE: Final = "dpop+jwt"
#: Longest header that is remembered, in characters; one with a 4096 bit RSA key has
#: about 1000.
MAX_KNOWN_HEADER: Final = 1200


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


def verify_signature(
    jws: CompactJWS,
    policy: ProofPolicy,
    header: ProofHeader | None = None,
    known: KnownHeaders | None = None,
) -> ProofHeader:
    """Check the header and the signature of a proof.

    :param header: what :func:`find_header` found, and the proof was parsed with.
    :param known: where a header that is not known is added when its signature verifies.
    :raises MalformedProofError: ``typ`` is another, or ``jwk`` is no JWK.
    :raises UnsupportedKeyError: ``alg`` is not allowed, or ``jwk`` does not fit it.
    :raises BadSignatureError: the signature is not by ``jwk``.
    """
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
