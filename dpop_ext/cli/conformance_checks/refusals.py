"""Requests for a symmetric key that are not allowed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from joserfc.jwk import ECKey, OKPKey

from dpop_ext.cli.conformance_checks.pair import PROOF_ERROR, Answer, Pair
from dpop_ext.cli.conformance_checks.trial import Trial, judged, skipped
from dpop_ext.core.base64url import b64url_encode


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    name: str
    requirements: str
    #: Changes of a good dsk claim.
    dsk: Mapping[str, Any]
    advice: str
    form: Mapping[str, str] = field(default_factory=dict)
    expected: str = PROOF_ERROR


def _number(bits: int) -> str:
    value = secrets.randbits(bits) | 1 << (bits - 1) | 1
    return b64url_encode(value.to_bytes(bits // 8))


_RSA: Final = {"kty": "RSA", "e": "AQAB"}
_CASES: Final = (
    _Case(
        name="parameter and claim that disagree",
        requirements="R1001 R2214",
        dsk={},
        form={"dpop_sym": "HS512"},
        expected="invalid_request",
        advice="Compare dpop_sym with dsk.algs, in order.",
    ),
    _Case(
        name="an encryption key with private members",
        requirements="R1002",
        dsk={"jwk": ECKey.generate_key("P-256").as_dict(private=True)},
        advice="Refuse d, p, q, dp, dq, qi, oth and k in dsk.jwk.",
    ),
    _Case(
        name="a low-order encryption key",
        requirements="R1002",
        dsk={"jwk": {"kty": "OKP", "crv": "X25519", "x": "A" * 43}},
        advice="Try dsk.jwk out before anything is spent.",
    ),
    _Case(
        name="an RSA key of 1024 bits",
        requirements="R2111",
        dsk={"jwk": _RSA | {"n": _number(1024)}},
        advice="Take RSA keys of 2048 to 4096 bits for encryption.",
    ),
    _Case(
        name="an RSA exponent of 3",
        requirements="R2112",
        dsk={"jwk": _RSA | {"n": _number(2048), "e": "Aw"}},
        advice="Take exponents of 17 to 32 bits that are odd.",
    ),
    _Case(
        name="an n of 31 bytes",
        requirements="R2195",
        dsk={"n": "A" * 42},
        advice="Take an n of 32 bytes and nothing else.",
    ),
    _Case(
        name="a key that must be and cannot",
        requirements="R1104",
        dsk={"algs": ["HS999"], "must": True},
        expected="dpop_sym_unavailable",
        advice="Where there is no algorithm in common, refuse a request with must.",
    ),
)
_NO_RECIPIENT: Final = _Case(
    name="an Ed25519 key and no other to encrypt for",
    requirements="R1003",
    dsk={},
    expected="dpop_sym_unavailable",
    advice="Encrypt for keys that are for encryption.",
)


def check_refusals(pair: Pair) -> Iterator[Trial]:
    """Ask for keys in ways that are not allowed."""
    jwk = ECKey.generate_key("P-256").as_dict(private=False)
    for case in _CASES:
        dsk = {"algs": ["HS256"], "jwk": jwk, **case.dsk}
        yield _refused(case, pair.request_token({"dsk": dsk}, form=case.form))
    # As a proof key it is good, and nothing can be encrypted for it.
    answer = pair.request_token(
        {"dsk": {"algs": ["HS256"], "must": True}},
        key=OKPKey.generate_key("Ed25519"),
        algorithm="Ed25519",
    )
    if answer.error == PROOF_ERROR:
        why = "the server takes no proofs under Ed25519"
        yield skipped(_NO_RECIPIENT.name, "as", _NO_RECIPIENT.requirements, why)
    else:
        yield _refused(_NO_RECIPIENT, answer)


def check_symmetric_proof(pair: Pair, proof: str) -> Trial:
    """Ask for a token with a symmetric proof.

    :param proof: good but for its place.
    """
    case = _Case(
        name="a symmetric proof at the token endpoint",
        requirements="R1005",
        dsk={},
        advice="Take asymmetric proofs only.",
    )
    return _refused(case, pair.request_token({}, proof=proof))


def _refused(case: _Case, answer: Answer) -> Trial:
    return judged(
        case.name,
        "as",
        case.requirements,
        good=(answer.status, answer.error) == (400, case.expected),
        seen=str(answer),
        advice=f"{case.advice} Expected: 400 {case.expected}.",
    )
