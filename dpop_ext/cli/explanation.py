"""Every check of a proof by itself, with what was expected (:rfc:`9449#section-4.3`).

A verifier stops at the first fault; who looks for one wants to see them all. The
checks are those of the verifier, called one by one, and the verdict is its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from dpop_ext.cli.explanation_checks import (
    Circumstances,
    Line,
    asymmetric_lines,
    attempt,
    claim_lines,
    context_lines,
    symmetric_lines,
)
from dpop_ext.cli.explanation_values import without_private
from dpop_ext.core.jose import CompactJWS
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.core.proof import parse_proof, proof_type, verify_proof
from dpop_ext.core.proof_header import read_key
from dpop_ext.errors import DPoPError
from dpop_ext.symmetric.proof_header import SYMMETRIC_PROOF_TYPE


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What became of a proof."""

    kind: Literal["asymmetric", "symmetric", "unknown"]
    #: None: the proof could not be parsed.
    header: dict[str, Any] | None
    claims: dict[str, Any] | None
    #: Of the key, if it is a good one.
    jkt: str | None
    lines: list[Line]

    @property
    def passed(self) -> bool:
        """Whether every check passed that could be made."""
        return all(line.passed is not False for line in self.lines)


def explain(proof: str, circumstances: Circumstances) -> Explanation:
    """Make every check of *proof*."""
    policy = circumstances.policy
    limit = policy.max_ml_dsa_length if policy.has_ml_dsa else 0
    try:
        jws = parse_proof(proof, max_length=policy.max_length, max_ml_dsa_length=limit)
    except DPoPError as error:
        line = Line(
            check="form",
            passed=False,
            expected="one compact JWS of two strict JSON objects, at most "
            f"{max(policy.max_length, limit)} characters",
            actual=f"{len(proof)} characters, {proof.count('.') + 1} parts",
            advice=error.description,
        )
        return Explanation(
            kind="unknown", header=None, claims=None, jkt=None, lines=[line]
        )
    symmetric = proof_type(jws) == SYMMETRIC_PROOF_TYPE
    jkt = None if symmetric else _thumbprint(jws, policy)
    lines = [
        *(symmetric_lines(jws) if symmetric else asymmetric_lines(jws, policy)),
        *claim_lines(jws, circumstances),
        *context_lines(jws, circumstances, jkt, symmetric=symmetric),
    ]
    if not symmetric and all(line.passed is not False for line in lines):
        lines += _verdict(jws, circumstances)
    return Explanation(
        kind="symmetric" if symmetric else "asymmetric",
        header=without_private(jws.header),
        claims=without_private(jws.payload),
        jkt=jkt,
        lines=lines,
    )


def _verdict(jws: CompactJWS, circumstances: Circumstances) -> Iterator[Line]:
    """Ask the verifier itself, lest a check is missing above."""
    line = attempt(
        "all else",
        lambda: verify_proof(
            jws,
            method=circumstances.method,
            url=circumstances.url,
            policy=circumstances.policy,
            access_token=circumstances.access_token,
        ),
        expected="nothing else is wrong",
        actual="",
        advice="",
    )
    if line.passed is False:
        yield line


def _thumbprint(jws: CompactJWS, policy: ProofPolicy) -> str | None:
    with suppress(Exception):
        if jws.header.get("alg") in policy.algorithms:
            return read_key(jws.header.get("jwk"), jws.header["alg"])[0]
    return None
