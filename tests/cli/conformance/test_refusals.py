"""Requests for keys that are not allowed."""

from __future__ import annotations

import json

from dpop_ext.cli.conformance_checks import refusals
from dpop_ext.cli.conformance_checks.pair import Pair
from dpop_ext.core.base64url import b64url_decode
from tests.cli.conformance.reading import (
    by_status,
)
from tests.integrations.scripted_server import Answer, ScriptedServer


def test_a_server_that_refuses_for_another_reason_fails(
    server: ScriptedServer, pair: Pair
) -> None:
    unavailable = {
        "a key that must be and cannot",
        "an Ed25519 key and no other to encrypt for",
    }
    every = {
        "parameter and claim that disagree",
        "an encryption key with private members",
        "a low-order encryption key",
        "an RSA key of 1024 bits",
        "an RSA exponent of 3",
        "an n of 31 bytes",
        *unavailable,
    }
    for error, passed in (
        ("invalid_request", {"parameter and claim that disagree"}),
        ("dpop_sym_unavailable", unavailable),
        ("invalid_client", set()),
    ):
        for status in (400, 401):
            body = json.dumps({"error": error}).encode()
            server.play(Answer(status, body=body))
            found = by_status(refusals.check_refusals(pair))
            assert found.get("passed", set()) == (passed if status == 400 else set())
            assert found["failed"] == every - found.get("passed", set())
    # It says nothing of keys to encrypt for if the proof is no good to it.
    server.play(Answer(400, body=b'{"error": "invalid_dpop_proof"}'))
    trials = list(refusals.check_refusals(pair))
    found = by_status(trials)
    assert found["skipped"] == {"an Ed25519 key and no other to encrypt for"}
    assert len(found["passed"]) == 5
    assert {trial.party for trial in trials} == {"as"}


def test_a_symmetric_proof_at_the_token_endpoint_is_refused_as_a_proof(
    server: ScriptedServer, pair: Pair
) -> None:
    for status, error, expected in (
        (400, "invalid_dpop_proof", "passed"),
        (400, "invalid_request", "failed"),
        (401, "invalid_dpop_proof", "failed"),
        (200, "", "failed"),
    ):
        server.play(Answer(status, body=json.dumps({"error": error}).encode()))
        trial = refusals.check_symmetric_proof(pair, "a.b.c")
        assert (trial.status, trial.party) == (expected, "as")
        assert trial.requirements == ("R1005",)
        assert server.received[-1].dpop == "a.b.c"


def test_keys_that_are_asked_for_are_bad_in_one_way_each(
    server: ScriptedServer, pair: Pair
) -> None:
    list(refusals.check_refusals(pair))
    sent = [(one.proof.claims["dsk"], one.form) for one in server.received]
    (disagree, form), private, low, short, three, n, must, nobody = sent
    assert (disagree["algs"], form["dpop_sym"]) == (["HS256"], "HS512")
    assert all("dpop_sym" not in form for _, form in sent[1:])
    assert set(disagree["jwk"]) == {"kty", "crv", "x", "y"}
    assert set(private[0]["jwk"]) == {"kty", "crv", "x", "y", "d"}
    assert not any(b64url_decode(low[0]["jwk"]["x"]))
    for rsa, length, exponent in ((short, 128, "AQAB"), (three, 256, "Aw")):
        modulus = b64url_decode(rsa[0]["jwk"]["n"])
        assert (len(modulus), rsa[0]["jwk"]["e"]) == (length, exponent)
        assert modulus[0] >= 128
        assert modulus[-1] % 2
    assert len(b64url_decode(n[0]["n"])) == 31
    assert (must[0]["algs"], must[0]["must"]) == (["HS999"], True)
    assert nobody[0] == {"algs": ["HS256"], "must": True}
    assert server.received[-1].proof.header["alg"] == "Ed25519"
