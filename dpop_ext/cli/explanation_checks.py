"""The checks of a proof, each by itself (:rfc:`9449#section-4.3`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dpop_ext.cli.explanation_values import age, show, show_key
from dpop_ext.core.claims import text_claim, time_claim
from dpop_ext.core.jose import CompactJWS
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.core.proof import proof_type
from dpop_ext.core.proof_header import PROOF_TYPE, read_key, verify_signature
from dpop_ext.core.request_binding import access_token_hash, check_target
from dpop_ext.core.target import normalize_target
from dpop_ext.errors import DPoPError
from dpop_ext.symmetric.proof import parse_symmetric_proof


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


def asymmetric_lines(jws: CompactJWS, policy: ProofPolicy) -> Iterator[Line]:
    """Check what only an asymmetric proof has: the key, and its signature."""
    header = jws.header
    yield Line(
        check="typ",
        passed=proof_type(jws) == PROOF_TYPE,
        expected=PROOF_TYPE,
        actual=show(header.get("typ")),
        advice="Set typ in the header, in this spelling.",
    )
    yield Line(
        check="alg",
        passed=header.get("alg") in policy.algorithms,
        expected=" ".join(policy.algorithms),
        actual=show(header.get("alg")),
        advice="Sign with an algorithm that the server's algs names.",
    )
    yield attempt(
        "jwk",
        lambda: read_key(header.get("jwk"), str(header.get("alg"))),
        expected="a public key for alg, without private members",
        actual=show_key(header.get("jwk")),
        advice="Put the public key of the signature into the header: nothing of "
        "the private one, coordinates in full length.",
    )
    yield attempt(
        "signature",
        lambda: verify_signature(jws, policy),
        expected="by jwk, over the first two parts",
        actual=f"{len(jws.signature)} bytes",
        advice="Sign header and payload as they are sent; ECDSA is r and s in full "
        "length, not DER.",
    )


def symmetric_lines(jws: CompactJWS) -> Iterator[Line]:
    """Check what only a symmetric proof has."""
    yield attempt(
        "header",
        lambda: parse_symmetric_proof(jws),
        expected="typ, alg HS256 or HS512, perhaps kid or tkt; usual claims and ath",
        actual=show(jws.header),
        advice="Leave out every other header member, jwk above all.",
    )
    yield Line(
        check="MAC",
        passed=None,
        expected="by the key that the token's cnf refers to",
        actual=f"{len(jws.signature)} bytes",
    )


def claim_lines(jws: CompactJWS, circumstances: Circumstances) -> Iterator[Line]:
    """Check the claims that name the request."""
    claims, policy = jws.payload, circumstances.policy
    yield attempt(
        "jti",
        lambda: text_claim(claims, "jti", limit=policy.max_jti_length),
        expected=f"text of 1 to {policy.max_jti_length} characters",
        actual=show(claims.get("jti")),
        advice="Make a new random one for each time that a request is sent.",
    )
    yield Line(
        check="htm",
        passed=claims.get("htm") == circumstances.method,
        expected=circumstances.method,
        actual=show(claims.get("htm")),
        advice="Name the method as it is sent, in the same case.",
    )
    with suppress(ValueError):
        yield attempt(
            "htu",
            lambda: check_target(claims["htu"], circumstances.url),
            expected=normalize_target(circumstances.url),
            actual=show(claims.get("htu")),
            advice="If the client is right about the URL, the server is not: set its "
            "public_url to what clients call, with the prefix that a proxy removes.",
        )


def context_lines(
    jws: CompactJWS,
    circumstances: Circumstances,
    jkt: str | None,
    *,
    symmetric: bool,
) -> Iterator[Line]:
    """Check what depends on time, token and server."""
    claims, policy, now = jws.payload, circumstances.policy, circumstances.now
    yield attempt(
        "iat",
        lambda: policy.check_time(
            iat=time_claim(claims, "iat"), nbf=None, exp=None, now=now
        ),
        expected=f"from {now - policy.window} to {now + policy.future}",
        actual=show(claims.get("iat")) + age(claims.get("iat"), now),
        advice="Sign when the request is sent, in seconds, and synchronise the clock.",
    )
    for name, edge in (("nbf", policy.future), ("exp", policy.leeway)):
        if name in claims:
            yield attempt(
                name,
                lambda name=name: _check_end(claims, name, policy, now),  # type: ignore[misc]
                expected=(
                    f"at most {now + edge}" if name == "nbf" else f"over {now - edge}"
                ),
                actual=show(claims[name]) + age(claims[name], now),
                advice="A proof needs neither nbf nor exp; they can only narrow iat.",
            )
    if circumstances.access_token is not None:
        expected = access_token_hash(circumstances.access_token)
        yield Line(
            check="ath",
            passed=claims.get("ath") == expected,
            expected=expected,
            actual=show(claims.get("ath")),
            advice="Hash the ASCII text of the token with SHA-256, in base64url "
            "without padding.",
        )
    elif "ath" in claims:
        yield Line(
            check="ath",
            passed=None,
            expected="the hash of the access token",
            actual=show(claims["ath"]),
        )
    if circumstances.nonce is not None:
        yield Line(
            check="nonce",
            passed=claims.get("nonce") == circumstances.nonce,
            expected=circumstances.nonce,
            actual=show(claims.get("nonce")),
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


def attempt(
    check: str,
    run: Callable[[], object],
    *,
    expected: str,
    actual: str,
    advice: str,
) -> Line:
    """Return what became of one check.

    :param run: raises what a verifier would.
    """
    try:
        run()
    except Exception as error:  # noqa: BLE001 - as the verifier: bad input is a bad proof
        text = error.description if isinstance(error, DPoPError) else ""
        advice = f"{text} {advice}".strip()
        return Line(
            check=check, passed=False, expected=expected, actual=actual, advice=advice
        )
    return Line(check=check, passed=True, expected=expected, actual=actual)
