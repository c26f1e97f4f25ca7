from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

import pytest
from joserfc.jwk import ECKey

from dpop_ext.client.audience import Audience
from dpop_ext.client.exchange import Flow, Outcome, Reply
from dpop_ext.client.signer import ProofSigner, SymmetricMode
from dpop_ext.core.policy import RFC9449
from dpop_ext.core.proof import parse_proof, verify_proof
from dpop_ext.errors import KeyDeliveryError, SymmetricUnavailableError
from dpop_ext.symmetric.key_request import KeyRequest, parse_key_request
from tests.client.driving import (
    ISSUER,
    OK,
    RESOURCE,
    TOKEN_ENDPOINT,
    Driven,
    as_nonce,
    drive,
    rs_nonce,
)
from tests.client.reading import read
from tests.client.token_server import token_reply, token_response
from tests.conftest import Clock

AUDIENCE = Audience.of(ISSUER, RESOURCE)


def start(
    signer: ProofSigner, *, url: str = TOKEN_ENDPOINT, audience: Audience | None = None
) -> Flow:
    return signer.token_request(method="POST", url=url, audience=audience)


def receive(signer: ProofSigner, clock: Clock, **arguments: Any) -> dict[str, Any]:
    """Take a token with a symmetric key; *arguments* change the response."""
    flow = start(signer, audience=AUDIENCE)
    proof = next(flow).headers()["DPoP"]
    response = token_response(proof, access_token="access", now=clock.now, **arguments)
    with pytest.raises(StopIteration):
        flow.send(Reply(status=200, body=json.dumps(response).encode()))
    return response


@pytest.mark.requirement("T-1", "S-11", "S-7", "R-2")
def test_a_token_request_carries_a_proof_without_ath(
    signer: ProofSigner, clock: Clock
) -> None:
    driven = drive(start(signer), OK)
    (headers,) = driven.headers
    assert set(headers) == {"DPoP"}
    proof = verify_proof(
        parse_proof(headers["DPoP"], max_length=RFC9449.max_length),
        method="POST",
        url=TOKEN_ENDPOINT,
        policy=RFC9449,
    )
    assert proof.jkt == signer.jkt
    assert proof.iat == clock.now
    assert "ath" not in proof.claims
    assert "dsk" not in proof.claims
    assert driven.outcome == Outcome()


@pytest.mark.requirement("G-1")
def test_a_grant_does_not_go_over_plain_http(signer: ProofSigner) -> None:
    with pytest.raises(ValueError, match="https"):
        start(signer, url="http://as.example/token")


@pytest.mark.requirement("S-10", "Q-15", "G-4")
def test_a_nonce_is_asked_for_in_the_body(signer: ProofSigner) -> None:
    driven = drive(start(signer), as_nonce("n1"), OK)
    assert driven.nonces == [None, "n1"]
    assert driven.proofs[0].claims["jti"] != driven.proofs[1].claims["jti"]
    assert drive(start(signer)).nonces == ["n1"]


@pytest.mark.requirement("Q-15")
@pytest.mark.parametrize(
    "reply",
    [
        as_nonce(),
        as_nonce("n1", "n2"),
        as_nonce("no good"),
        rs_nonce("n1"),
        Reply(status=400, body=b'{"error": "invalid_grant"}', nonces=("n1",)),
        Reply(status=400, body=b'["use_dpop_nonce"]', nonces=("n1",)),
        Reply(status=400, body=b"[" * 100_000, nonces=("n1",)),
        Reply(status=400, body=b"\xff", nonces=("n1",)),
        Reply(status=401, body=b'{"error": "use_dpop_nonce"}', nonces=("n1",)),
        Reply(status=200, body=b'{"error": "use_dpop_nonce"}', nonces=("n1",)),
    ],
)
def test_a_grant_is_sent_again_only_after_a_demand_with_one_good_nonce(
    signer: ProofSigner, reply: Reply
) -> None:
    assert drive(start(signer), reply).outcome == Outcome()


@pytest.mark.requirement("Q-15", "U-10")
def test_a_server_that_asks_for_ever_gets_two_requests(signer: ProofSigner) -> None:
    driven = drive(start(signer), as_nonce("n1"), as_nonce("n2"))
    assert driven.outcome == Outcome()


def test_what_is_sent_once_is_not_sent_again_for_a_nonce(signer: ProofSigner) -> None:
    flow = signer.token_request(method="POST", url=TOKEN_ENDPOINT, once=True)
    assert drive(flow, as_nonce("n1")).outcome == Outcome()
    # The next one has it.
    assert drive(start(signer)).nonces == ["n1"]


def test_the_nonce_of_the_second_answer_is_for_the_next_request(
    signer: ProofSigner,
) -> None:
    drive(start(signer), as_nonce("n1"), Reply(status=200, nonces=("n2",)))
    assert drive(start(signer)).nonces == ["n2"]
    assert signer.memory()[0] == {(ISSUER, "as"): "n2"}


@pytest.mark.requirement("Q-15")
def test_the_nonce_that_was_just_refused_is_not_tried_again(
    signer: ProofSigner,
) -> None:
    drive(start(signer), as_nonce("n1"), OK)
    # Nor when the refusal brings none.
    for refusal in (as_nonce("n1"), as_nonce()):
        assert drive(start(signer), refusal).outcome == Outcome()


@pytest.mark.requirement("Q-10", "Q-14")
def test_the_nonce_of_a_success_is_for_the_next_token_request(
    signer: ProofSigner,
) -> None:
    drive(start(signer), Reply(status=200, nonces=("next",)))
    assert drive(start(signer)).nonces == ["next"]
    at_resource = signer.resource_request(
        method="GET", url=TOKEN_ENDPOINT, access_token="access"
    )
    assert drive(at_resource).nonces == [None]


@pytest.mark.requirement("R1604", "R1002", "R1003")
def test_a_symmetric_key_is_asked_for_with_a_new_encryption_key_each_time(
    signer: ProofSigner,
) -> None:
    driven = drive(start(signer, audience=AUDIENCE), as_nonce("n1"), OK)
    one, other = (proof.claims["dsk"] for proof in driven.proofs)
    assert one["jwk"]["x"] != other["jwk"]["x"]
    assert set(one["jwk"]) == {"kty", "crv", "x"}
    request = parse_key_request(one, None)
    assert request == KeyRequest(
        algorithms=("HS256",),
        encryption_jwk=one["jwk"],
        key_algorithms=("ECDH-ES",),
        encodings=("A256GCM",),
        must=False,
    )


@pytest.mark.requirement("T7")
@pytest.mark.parametrize(
    ("symmetric", "must"), [("prefer", False), ("must", True), ("never", None)]
)
def test_the_mode_decides_what_is_asked_for(
    ec_key: ECKey, symmetric: SymmetricMode, must: bool | None
) -> None:
    signer = ProofSigner(ec_key, symmetric=symmetric)
    (proof,) = drive(start(signer, audience=AUDIENCE)).proofs
    request = parse_key_request(proof.claims.get("dsk"), None)
    assert (request and request.must) == must


@pytest.mark.requirement("R1601")
def test_the_key_that_was_asked_for_is_kept_for_its_token(
    signer: ProofSigner, clock: Clock
) -> None:
    receive(signer, clock)
    assert signer.has_symmetric_key("access")
    assert not signer.has_symmetric_key("other")
    signer.forget("access")
    assert not signer.has_symmetric_key("access")


def test_the_key_of_the_second_attempt_is_the_one_that_is_used(
    signer: ProofSigner, clock: Clock
) -> None:
    flow = start(signer, audience=AUDIENCE)
    next(flow).headers()
    proof = flow.send(as_nonce("n1")).headers()["DPoP"]
    with pytest.raises(StopIteration):
        flow.send(token_reply(proof, access_token="access", now=clock.now))
    assert signer.has_symmetric_key("access")


@pytest.mark.requirement("R1601", "T13", "R2212")
@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://other.example"},
        {"audience": "https://other.example"},
        {"lifetime": 0},
        {"access_token": "other"},
        {"cnf": {"jwe": "a.b.c.d.e"}},
    ],
)
def test_a_key_that_is_not_what_was_asked_for_is_not_used(
    signer: ProofSigner,
    clock: Clock,
    changes: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    flow = start(signer, audience=AUDIENCE)
    arguments = {"access_token": "access", "now": clock.now, **changes}
    cnf = arguments.pop("cnf", None)
    response = token_response(next(flow).headers()["DPoP"], **arguments)
    response["access_token"] = "access"
    response["cnf"] = cnf or response["cnf"]
    with caplog.at_level(logging.WARNING), pytest.raises(StopIteration):
        flow.send(Reply(status=200, body=json.dumps(response).encode()))
    assert not signer.has_symmetric_key("access")
    assert caplog.messages == [
        f"symmetric key not used: {KeyDeliveryError.description}"
    ]
    (record,) = caplog.records
    assert vars(record)["event"] == "symmetric_key_refused"
    assert vars(record)["fields"] == {"reason": KeyDeliveryError.description}


@pytest.mark.requirement("R1103")
@pytest.mark.parametrize(
    "changes",
    [
        {"token_type": "Bearer"},
        {"token_type": None},
        {"access_token": 5},
        {"cnf": None},
        {"cnf": {}},
        {"cnf": {"jwe": 5}},
        {"cnf": "jwe"},
    ],
)
def test_a_response_that_is_no_bound_token_with_a_key_brings_none(
    signer: ProofSigner,
    clock: Clock,
    changes: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    flow = start(signer, audience=AUDIENCE)
    proof = next(flow).headers()["DPoP"]
    response = token_response(proof, access_token="access", now=clock.now)
    body = json.dumps({**response, **changes}).encode()
    with caplog.at_level(logging.WARNING), pytest.raises(StopIteration):
        flow.send(Reply(status=200, body=body))
    assert not signer.has_symmetric_key("access")
    # None was refused.
    assert caplog.messages == []


def test_a_key_in_an_answer_that_is_no_success_is_not_used(
    signer: ProofSigner, clock: Clock
) -> None:
    flow = start(signer, audience=AUDIENCE)
    proof = next(flow).headers()["DPoP"]
    reply = token_reply(proof, access_token="access", now=clock.now)
    with pytest.raises(StopIteration):
        flow.send(replace(reply, status=400))
    assert not signer.has_symmetric_key("access")


@pytest.mark.parametrize("reply", [Reply(status=200, body=b"{}"), Reply(status=500)])
def test_a_response_without_a_token_brings_no_key(
    signer: ProofSigner, reply: Reply
) -> None:
    assert drive(start(signer, audience=AUDIENCE), reply).outcome == Outcome()


@pytest.mark.requirement("R1601")
def test_a_key_that_was_not_asked_for_is_not_used(
    signer: ProofSigner, clock: Clock
) -> None:
    response = receive(ProofSigner.generate(clock=clock), clock)
    body = json.dumps(response).encode()
    assert drive(start(signer), Reply(status=200, body=body)).outcome == Outcome()
    assert not signer.has_symmetric_key("access")


@pytest.mark.requirement("T7")
def test_a_signer_that_must_have_a_key_refuses_a_token_without_one(
    ec_key: ECKey, clock: Clock
) -> None:
    signer = ProofSigner(ec_key, symmetric="must", clock=clock)
    with pytest.raises(SymmetricUnavailableError):
        signer.require_symmetric_key({"access_token": "access", "cnf": {"jkt": "x"}})
    with pytest.raises(KeyDeliveryError):
        signer.require_symmetric_key({"access_token": "access", "cnf": {"jwe": "x"}})
    signer.require_symmetric_key(receive(signer, clock))


@pytest.mark.requirement("R1103")
@pytest.mark.parametrize("symmetric", ["prefer", "never"])
def test_other_signers_do_without_a_key(
    ec_key: ECKey, symmetric: SymmetricMode
) -> None:
    signer = ProofSigner(ec_key, symmetric=symmetric)
    signer.require_symmetric_key({"access_token": "access"})
    assert not signer.has_symmetric_key("access")


def test_a_signer_that_must_have_a_key_survives_a_stale_version(
    ec_key: ECKey, clock: Clock
) -> None:
    signer = ProofSigner(ec_key, symmetric="must", clock=clock)
    receive(signer, clock)
    stale = 'DPoP error="invalid_token", sym_error="stale_key"'
    driven: Driven = drive(
        signer.resource_request(method="GET", url=RESOURCE, access_token="access"),
        Reply(status=401, challenges=(stale,)),
        OK,
    )
    assert driven.kinds == "sa"
    signer.require_symmetric_key(receive(signer, clock))
    flow = signer.resource_request(method="GET", url=RESOURCE, access_token="access")
    assert not read(next(flow).headers()["DPoP"]).is_symmetric
