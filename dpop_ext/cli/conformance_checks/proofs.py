"""Symmetric proofs at the resource server, good and bad."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from functools import partial
from typing import Any

from dpop_ext.cli.conformance_checks.issuance import Issued
from dpop_ext.cli.conformance_checks.pair import PROOF_ERROR, Answer, Pair
from dpop_ext.cli.conformance_checks.prover import BAD_PROOFS, BadProof, Prover, dump
from dpop_ext.cli.conformance_checks.trial import Trial, judged, skipped
from dpop_ext.core.base64url import b64url_decode, b64url_encode


def check_proofs(pair: Pair, issued: Issued) -> Generator[Trial, None, bool]:
    """Send good proofs, and then every bad one.

    :returns: whether the good ones are accepted at all.
    """
    prover = Prover(pair=pair, issued=issued)
    token = issued.access_token
    answer = pair.ask(token, prover.proof)
    yield judged(
        "a symmetric proof",
        "rs",
        "R1401 R1501",
        good=answer.is_good,
        seen=str(answer),
        advice="Accept it: do both servers have the same secret, issuer and audience, "
        "and is the public URL of the resource server right?",
    )
    if not answer.is_good:
        return False
    answer = pair.ask(token, lambda nonce: pair.asymmetric_proof(token, nonce))
    yield judged(
        "an asymmetric proof with the same token",
        "rs",
        "R1301",
        good=answer.is_good,
        seen=str(answer),
        advice="Let cnf.jkt stay good beside cnf.dsk.",
    )
    yield _check_replay(prover)
    for case in BAD_PROOFS:
        answer = pair.ask(token, partial(prover.proof, **case.changes(prover)))
        yield _judge(case, answer)
    yield _check_challenge(pair, prover)
    yield from _check_tokens(prover)
    return True


def _check_replay(prover: Prover) -> Trial:
    sent: list[str] = []

    def once(nonce: str | None) -> str:
        sent.append(prover.proof(nonce))
        return sent[-1]

    first = prover.pair.ask(prover.issued.access_token, once)
    again = prover.pair.ask(prover.issued.access_token, lambda _: sent[-1])
    return judged(
        "a proof for the second time",
        "rs",
        "R1503",
        good=first.is_good and (again.status, again.error) == (401, PROOF_ERROR),
        seen=f"{first}, then {again}",
        advice="Give all nodes one replay store, and spend the proof last.",
    )


def _judge(case: BadProof, answer: Answer) -> Trial:
    return judged(
        case.name,
        "rs",
        case.requirements,
        good=(answer.status, answer.error) == (401, PROOF_ERROR),
        seen=str(answer),
        advice=f"{case.advice} Expected: 401 {PROOF_ERROR}.",
    )


def _check_challenge(pair: Pair, prover: Prover) -> Trial:
    answer = pair.ask(
        prover.issued.access_token, lambda nonce: prover.proof(nonce, key=bytes(32))
    )
    named = answer.challenge.params if answer.challenge is not None else {}
    algorithms = named.get("sym_algs", "").split()
    return judged(
        "algorithms in the challenge",
        "rs",
        "R1512",
        good=bool(named.get("algs")) and "HS256" in algorithms,
        seen=f"algs {named.get('algs')!r}, sym_algs {named.get('sym_algs')!r}",
        advice="Let a challenge name algs and sym_algs.",
    )


def _check_tokens(prover: Prover) -> Iterator[Trial]:
    """Send tokens that were edited, with proofs that fit them."""
    claims, version = prover.issued.claims, prover.issued.key.version
    dsk = prover.issued.reference
    if not dsk or version is None:
        requirements = "R1501 R1507 R1509 R2093 R2101"
        yield skipped("edited tokens", "rs", requirements, "no cnf.dsk to edit")
        return
    for name, requirement, edited in (
        ("an edited scope", "R1509", {**claims, "scope": "x"}),
        ("a version that is text", "R2101", _with_version(claims, str(version))),
        ("a version far ahead", "R1507", _with_version(claims, version + 1000)),
        ("another audience", "R1501", {**claims, "aud": "https://b.example"}),
        ("a repeated claim of the token", "R2093", None),
    ):
        token = _edited(prover.issued.access_token, edited)
        answer = prover.pair.ask(token, partial(prover.proof, token=token))
        yield judged(
            name,
            "rs",
            requirement,
            good=(answer.status, answer.error) == (401, "invalid_token"),
            seen=str(answer),
            advice="Believe nothing of a token that the issuer did not sign. "
            "Expected: 401 invalid_token.",
        )


def _with_version(claims: Mapping[str, Any], version: object) -> dict[str, Any]:
    cnf = claims["cnf"]
    return {**claims, "cnf": {**cnf, "dsk": {**cnf["dsk"], "v": version}}}


def _edited(token: str, claims: Mapping[str, Any] | None) -> str:
    """Put other claims under the same signature; None repeats one of its own."""
    header, payload, signature = token.split(".")
    text = b64url_decode(payload).decode()
    text = '{"sub":"x",' + text[1:] if claims is None else dump(claims)
    return f"{header}.{b64url_encode(text.encode())}.{signature}"
