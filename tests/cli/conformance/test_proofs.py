"""Proofs as they should be and as they should not, and what is made of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from dpop_ext.cli.conformance_checks.issuance import Issued
from dpop_ext.cli.conformance_checks.pair import Pair
from dpop_ext.cli.conformance_checks.proofs import check_proofs
from dpop_ext.cli.conformance_checks.prover import BAD_PROOFS, Prover
from dpop_ext.core.base64url import b64url_decode, b64url_encode
from tests.cli.conformance.reading import (
    KEY,
    OK,
    by_status,
    decoded,
    mac,
    refusal,
)
from tests.conftest import Clock
from tests.integrations.scripted_server import Answer, ScriptedServer


def test_a_proof_is_good_but_for_what_is_given(prover: Prover, clock: Clock) -> None:
    proof = prover.proof("n-1")
    head, said, tag = proof.split(".")
    assert json.loads(b64url_decode(head)) == {"typ": "dpop-sym+jwt", "alg": "HS256"}
    claims = json.loads(b64url_decode(said))
    assert len(claims.pop("jti")) == 16
    ath = b64url_encode(hashlib.sha256(prover.issued.access_token.encode()).digest())
    assert claims == {
        "htm": "GET",
        "htu": prover.pair.url,
        "iat": clock.now,
        "ath": ath,
        "nonce": "n-1",
    }
    assert b64url_decode(tag) == mac(KEY, proof)
    assert "nonce" not in decoded(prover.proof(None))


#: The members in which a proof is another one, and what its MAC is.
BAD = {
    "no typ": {"typ"},
    "typ JWT": {"typ"},
    "jwk in the header": {"jwk"},
    "jku in the header": {"jku"},
    "crit in the header": {"crit", "b64"},
    "an unknown header member": {"x"},
    "alg none": {"alg"},
    "HS384": {"alg"},
    "HS512 with a key for HS256": {"alg"},
    "a kid with a zero": {"kid"},
    "the kid of another version": {"kid"},
    "no ath": {"ath"},
    "the ath of another token": {"ath"},
    "another method": {"htm"},
    "another URL": {"htu"},
    "iat an hour ago": {"iat"},
    "iat that is true": {"iat"},
    "a repeated claim": set[str](),
    "a MAC of 16 bytes": set[str](),
    "no MAC": set[str](),
    "another key": set[str](),
    "a MAC under the thumbprint": set[str](),
    "an asymmetric proof with a MAC": {"typ", "jwk"},
    "an asymmetric proof with an oct key": {"typ", "jwk"},
}
OTHER_MAC = {
    "a MAC of 16 bytes",
    "no MAC",
    "another key",
    "a MAC under the thumbprint",
    "an asymmetric proof with an oct key",
}


@pytest.mark.parametrize("case", BAD_PROOFS, ids=lambda case: case.name)
def test_a_bad_proof_is_bad_in_one_way(prover: Prover, case: Any) -> None:
    """Else a server that misses this one could refuse it for another."""
    good = decoded(prover.proof("n-1"))
    proof = prover.proof("n-1", **case.changes(prover))
    made = decoded(proof)
    changed = {name for name in made | good if made.get(name, "") != good.get(name, "")}
    assert changed == BAD[case.name]
    hashes = {"HS384": "sha384", "HS512": "sha512"}
    expected = mac(KEY, proof, hashes.get(made["alg"], "sha256"))
    tag = b64url_decode(proof.rpartition(".")[2])
    if case.name in OTHER_MAC:
        assert tag != expected
        assert len(tag) == {"a MAC of 16 bytes": 16, "no MAC": 0}.get(case.name, 32)
        assert len(tag) == 32 or expected.startswith(tag)
    else:
        assert tag == expected
    text = b64url_decode(proof.split(".")[1]).decode()
    assert text.count('"htm"') == (2 if case.name == "a repeated claim" else 1)


def test_every_bad_proof_is_tried() -> None:
    assert [case.name for case in BAD_PROOFS] == list(BAD)


GOOD_PROOFS = {
    "a symmetric proof",
    "an asymmetric proof with the same token",
}
EDITED = {
    "an edited scope",
    "a version that is text",
    "a version far ahead",
    "another audience",
    "a repeated claim of the token",
}
REPLAY = "a proof for the second time"
CHALLENGE = "algorithms in the challenge"


@pytest.mark.parametrize(
    ("answer", "passed"),
    [
        (OK, set[str]()),
        (
            refusal("invalid_dpop_proof", algs="ES256", sym_algs="HS256"),
            set(BAD) | {CHALLENGE},
        ),
        (
            refusal("invalid_dpop_proof", 403, algs="ES256", sym_algs="HS256"),
            {CHALLENGE},
        ),
        (refusal("invalid_dpop_proof", sym_algs="HS256"), set(BAD)),
        (refusal("invalid_dpop_proof", algs="ES256", sym_algs="HS512"), set(BAD)),
        (refusal("invalid_token"), EDITED),
        (refusal("invalid_token", 403), set[str]()),
    ],
)
def test_a_server_passes_by_status_and_error(
    server: ScriptedServer, pair: Pair, issued: Issued, answer: Answer, passed: set[str]
) -> None:
    # Served are the two that are good, and the one that is sent again.
    good = [OK, OK, OK]
    server.play(*good, answer)
    trials = list(check_proofs(pair, issued))
    assert by_status(trials).get("failed", set()) == (
        set(BAD) | EDITED | {REPLAY, CHALLENGE}
    ) - passed - ({REPLAY} if passed >= set(BAD) else set())
    assert by_status(trials)["passed"] >= GOOD_PROOFS
    assert {trial.party for trial in trials} == {"rs"}


def test_a_server_that_takes_no_good_proof_is_tried_no_further(
    server: ScriptedServer, pair: Pair, issued: Issued
) -> None:
    server.play(Answer(300))
    checked = check_proofs(pair, issued)
    trial = next(checked)
    assert (trial.name, trial.status) == ("a symmetric proof", "failed")
    with pytest.raises(StopIteration) as end:
        next(checked)
    assert end.value.value is False
    server.play(OK, Answer(300))
    found = by_status(check_proofs(pair, issued))
    assert "an asymmetric proof with the same token" in found["failed"]


def test_edited_tokens_are_edited_in_one_way(
    server: ScriptedServer, pair: Pair, issued: Issued
) -> None:
    list(check_proofs(pair, issued))
    sent = server.received[-5:]
    tokens = [one.authorization.removeprefix("DPoP ") for one in sent]
    scope, text, ahead, audience, repeated = (
        b64url_decode(token.split(".")[1]).decode() for token in tokens
    )
    good = dict(issued.claims)
    assert json.loads(scope) == {**good, "scope": "x"}
    for edited, version in ((text, "7"), (ahead, 1007)):
        assert json.loads(edited) == {**good, "cnf": {"dsk": {"v": version, "r": "r"}}}
    assert json.loads(audience) == {**good, "aud": "https://b.example"}
    assert json.loads(repeated) == {"sub": "x", **good}
    for one, token in zip(sent, tokens, strict=True):
        head, _, signature = token.split(".")
        assert f"{head}..{signature}" == "e30..c2ln"
        # The proof is for this token, so nothing but the token is wrong.
        hashed = hashlib.sha256(token.encode()).digest()
        assert one.proof.claims["ath"] == b64url_encode(hashed)


@pytest.mark.parametrize(
    "changes", [{"claims": {}}, {"claims": {"cnf": {}}}, {"version": None}]
)
def test_a_token_with_nothing_to_edit_is_not_edited(
    pair: Pair, issued: Issued, changes: dict[str, Any]
) -> None:
    if "version" in changes:
        issued = replace(issued, key=replace(issued.key, version=None))
    else:
        issued = replace(issued, claims=changes["claims"])
    *_, last = check_proofs(pair, issued)
    assert (last.name, last.status) == ("edited tokens", "skipped")
    assert last.party == "rs"
