"""Every check of a proof by itself, with what was expected (:rfc:`9449#section-4.3`).

A verifier stops at the first fault; who looks for one wants to see them all. The
checks are those of the verifier, called one by one, and the verdict is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from dpop_ext.core import proof as proofs
from dpop_ext.core.claims import text_claim, time_claim
from dpop_ext.core.jose import CompactJWS
from dpop_ext.core.key import PRIVATE_MEMBERS
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.core.request_binding import access_token_hash, check_target
from dpop_ext.core.target import normalize_target
from dpop_ext.errors import DPoPError
from dpop_ext.symmetric.proof import SYMMETRIC_PROOF_TYPE, parse_symmetric_proof

#: Characters of a value that are shown.
_SHOWN = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One check."""

    check: str
    #: None: it could not be made, for want of what the options did not say.
    passed: bool | None
    expected: str
    actual: str
    #: What to change, if it failed.
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """The request that carried the proof, and what the server expects of it."""

    method: str
    url: str
    now: int
    policy: ProofPolicy
    #: None: a request to a token endpoint, or not known.
    access_token: str | None = None
    #: What the token is bound to; None if it is not known.
    jkt: str | None = None
    #: What the server supplied; None if it is not known.
    nonce: str | None = None


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
        jws = proofs.parse_proof(
            proof, max_length=policy.max_length, max_ml_dsa_length=limit
        )
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
    symmetric = proofs.proof_type(jws) == SYMMETRIC_PROOF_TYPE
    jkt = None if symmetric else _thumbprint(jws, policy)
    lines = [
        *(_symmetric_lines(jws) if symmetric else _asymmetric_lines(jws, policy)),
        *_claim_lines(jws, circumstances),
        *_context_lines(jws, circumstances, jkt, symmetric=symmetric),
    ]
    if not symmetric and all(line.passed is not False for line in lines):
        lines += _verdict(jws, circumstances)
    return Explanation(
        kind="symmetric" if symmetric else "asymmetric",
        header=_without_private(jws.header),
        claims=jws.payload,
        jkt=jkt,
        lines=lines,
    )


def _asymmetric_lines(jws: CompactJWS, policy: ProofPolicy) -> Iterator[Line]:
    header = jws.header
    yield Line(
        check="typ",
        passed=proofs.proof_type(jws) == proofs.PROOF_TYPE,
        expected=proofs.PROOF_TYPE,
        actual=_show(header.get("typ")),
        advice="Set typ in the header, in this spelling.",
    )
    yield Line(
        check="alg",
        passed=header.get("alg") in policy.algorithms,
        expected=" ".join(policy.algorithms),
        actual=_show(header.get("alg")),
        advice="Sign with an algorithm that the server's algs names.",
    )
    yield _attempt(
        "jwk",
        lambda: proofs.read_key(header.get("jwk"), str(header.get("alg"))),
        expected="a public key for alg, without private members",
        actual=_show_key(header.get("jwk")),
        advice="Put the public key of the signature into the header: nothing of "
        "the private one, coordinates in full length.",
    )
    yield _attempt(
        "signature",
        lambda: proofs.verify_signature(jws, policy),
        expected="by jwk, over the first two parts",
        actual=f"{len(jws.signature)} bytes",
        advice="Sign header and payload as they are sent; ECDSA is r and s in full "
        "length, not DER.",
    )


def _symmetric_lines(jws: CompactJWS) -> Iterator[Line]:
    yield _attempt(
        "header",
        lambda: parse_symmetric_proof(jws),
        expected="typ, alg HS256 or HS512, perhaps kid or tkt; usual claims and ath",
        actual=_show(jws.header),
        advice="Leave out every other header member, jwk above all.",
    )
    yield Line(
        check="MAC",
        passed=None,
        expected="by the key that the token's cnf refers to",
        actual=f"{len(jws.signature)} bytes",
    )


def _claim_lines(jws: CompactJWS, circumstances: Circumstances) -> Iterator[Line]:
    claims, policy = jws.payload, circumstances.policy
    yield _attempt(
        "jti",
        lambda: text_claim(claims, "jti", limit=policy.max_jti_length),
        expected=f"text of 1 to {policy.max_jti_length} characters",
        actual=_show(claims.get("jti")),
        advice="Make a new random one for each time that a request is sent.",
    )
    yield Line(
        check="htm",
        passed=claims.get("htm") == circumstances.method,
        expected=circumstances.method,
        actual=_show(claims.get("htm")),
        advice="Name the method as it is sent, in the same case.",
    )
    with suppress(ValueError):
        yield _attempt(
            "htu",
            lambda: check_target(claims["htu"], circumstances.url),
            expected=normalize_target(circumstances.url),
            actual=_show(claims.get("htu")),
            advice="If the client is right about the URL, the server is not: set its "
            "public_url to what clients call, with the prefix that a proxy removes.",
        )


def _context_lines(
    jws: CompactJWS,
    circumstances: Circumstances,
    jkt: str | None,
    *,
    symmetric: bool,
) -> Iterator[Line]:
    claims, policy, now = jws.payload, circumstances.policy, circumstances.now
    yield _attempt(
        "iat",
        lambda: policy.check_time(
            iat=time_claim(claims, "iat"), nbf=None, exp=None, now=now
        ),
        expected=f"from {now - policy.window} to {now + policy.future}",
        actual=_show(claims.get("iat")) + _age(claims.get("iat"), now),
        advice="Sign when the request is sent, in seconds, and synchronise the clock.",
    )
    for name, edge in (("nbf", policy.future), ("exp", policy.leeway)):
        if name in claims:
            yield _attempt(
                name,
                lambda name=name: _check_end(claims, name, policy, now),  # type: ignore[misc]
                expected=(
                    f"at most {now + edge}" if name == "nbf" else f"over {now - edge}"
                ),
                actual=_show(claims[name]) + _age(claims[name], now),
                advice="A proof needs neither nbf nor exp; they can only narrow iat.",
            )
    if circumstances.access_token is not None:
        expected = access_token_hash(circumstances.access_token)
        yield Line(
            check="ath",
            passed=claims.get("ath") == expected,
            expected=expected,
            actual=_show(claims.get("ath")),
            advice="Hash the ASCII text of the token with SHA-256, in base64url "
            "without padding.",
        )
    elif "ath" in claims:
        yield Line(
            check="ath",
            passed=None,
            expected="the hash of the access token",
            actual=_show(claims["ath"]),
        )
    if circumstances.nonce is not None:
        yield Line(
            check="nonce",
            passed=claims.get("nonce") == circumstances.nonce,
            expected=circumstances.nonce,
            actual=_show(claims.get("nonce")),
            advice="Use what the last DPoP-Nonce field of this server said.",
        )
    if circumstances.jkt is not None and not symmetric:
        yield Line(
            check="binding",
            passed=jkt == circumstances.jkt,
            expected=circumstances.jkt,
            actual=jkt or "no key",
            advice="Sign with the key that the token was requested with.",
        )


def _check_end(
    claims: dict[str, Any], name: str, policy: ProofPolicy, now: int
) -> None:
    value = time_claim(claims, name)
    nbf, exp = (value, None) if name == "nbf" else (None, value)
    policy.check_time(iat=now, nbf=nbf, exp=exp, now=now)


def _verdict(jws: CompactJWS, circumstances: Circumstances) -> Iterator[Line]:
    """Ask the verifier itself, lest a check is missing above."""
    line = _attempt(
        "all else",
        lambda: proofs.verify_proof(
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
            return proofs.read_key(jws.header.get("jwk"), jws.header["alg"])[0]
    return None


def _attempt(
    check: str,
    run: Callable[[], object],
    *,
    expected: str,
    actual: str,
    advice: str,
) -> Line:
    try:
        run()
    except Exception as error:  # noqa: BLE001 - as the verifier: bad input is a bad proof
        text = error.description if isinstance(error, DPoPError) else ""
        advice = f"{text} {advice}".strip()
        return Line(
            check=check, passed=False, expected=expected, actual=actual, advice=advice
        )
    return Line(check=check, passed=True, expected=expected, actual=actual)


def _without_private(header: dict[str, Any]) -> dict[str, Any]:
    """Return a header to show, in which a private key may have gone astray."""
    jwk = header.get("jwk")
    if not isinstance(jwk, dict):
        return header
    shown = {
        name: "(not shown)" if name in PRIVATE_MEMBERS else value
        for name, value in jwk.items()
    }
    return {**header, "jwk": shown}


def _show(value: object) -> str:
    """Return a value that a terminal can take; it came from who knows where."""
    if value is None:
        return "missing"
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)})"


def _show_key(jwk: object) -> str:
    """Return the names of the members of a key, and no private one's value."""
    if not isinstance(jwk, dict):
        return _show(jwk)
    return f"kty {_show(jwk.get('kty'))}, members {', '.join(map(ascii, jwk))}"


def _age(value: object, now: int) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    difference = now - value
    side = "ago" if difference >= 0 else "ahead"
    return f" ({abs(difference):.0f} s {side})"
