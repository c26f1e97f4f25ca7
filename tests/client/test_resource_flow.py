from __future__ import annotations

import hashlib
import logging

import pytest

from dpop_ext.client.exchange import Flow, Outcome, Reply
from dpop_ext.client.key_ring import MAX_KEYS, MAX_REMEMBERED
from dpop_ext.client.refusal import DEFAULT_PAUSE
from dpop_ext.client.signer import ProofSigner
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.policy import RFC9449
from dpop_ext.core.proof import parse_proof, verify_proof
from dpop_ext.symmetric.mac_key import MacKey
from dpop_ext.symmetric.proof import check_mac, parse_symmetric_proof
from tests.client.conftest import Fetch
from tests.client.driving import (
    EXPIRED_KEY,
    INVALID_PROOF,
    INVALID_TOKEN,
    OK,
    POLICY,
    STALE_KEY,
    TOKEN_ENDPOINT,
    UNKNOWN_KEY,
    Driven,
    as_nonce,
    drive,
    rs_nonce,
)
from tests.client.reading import read
from tests.client.token_server import SYMMETRIC_KEY
from tests.conftest import Clock

URL = "https://api.example/accounts?page=2"


def start(
    signer: ProofSigner,
    *,
    method: str = "GET",
    url: str = URL,
    access_token: str = "access",
    replayable: bool = True,
) -> Flow:
    return signer.resource_request(
        method=method, url=url, access_token=access_token, replayable=replayable
    )


@pytest.mark.requirement("P-1", "S-7", "S-9", "R-2", "P-14", "X-27")
def test_a_request_carries_the_token_and_a_proof_for_it(
    signer: ProofSigner, clock: Clock
) -> None:
    clock.advance(99.5)
    (headers,) = drive(start(signer)).headers
    assert set(headers) == {"Authorization", "DPoP"}
    assert headers["Authorization"] == "DPoP access"
    proof = verify_proof(
        parse_proof(headers["DPoP"], max_length=RFC9449.max_length),
        method="GET",
        url=URL,
        policy=RFC9449,
        access_token="access",
    )
    assert proof.jkt == signer.jkt
    assert proof.iat == clock.now
    assert proof.claims["htu"] == "https://api.example/accounts"
    assert proof.claims["ath"] == b64url_encode(hashlib.sha256(b"access").digest())
    assert proof.nonce is None


@pytest.mark.requirement("S-5", "G-4", "R-1", "U-1")
def test_headers_that_are_made_again_have_a_new_proof_of_the_present(
    signer: ProofSigner, clock: Clock
) -> None:
    attempt = next(start(signer))
    clock.advance(10)
    driven = Driven([attempt.headers(), attempt.headers()])
    one, other = (proof.claims for proof in driven.proofs)
    assert one["jti"] != other["jti"]
    assert len(one["jti"]) >= 16
    assert one["iat"] == clock.now


@pytest.mark.parametrize(
    "token", ["", "a b", "a\r\nX: y", "a,b", "\u00e9", 'a"', "=a", "a\n"]
)
def test_a_token_that_no_header_takes_is_refused(
    signer: ProofSigner, token: str
) -> None:
    with pytest.raises(ValueError, match="access token"):
        start(signer, access_token=token)


@pytest.mark.requirement("G-1")
def test_plain_http_is_refused_before_anything_is_made(signer: ProofSigner) -> None:
    with pytest.raises(ValueError, match="https"):
        start(signer, url="http://api.example/")


@pytest.mark.requirement("S-10", "Q-15", "G-4")
def test_a_nonce_is_put_into_a_second_proof(signer: ProofSigner) -> None:
    driven = drive(start(signer), rs_nonce("n1"), OK)
    assert driven.nonces == [None, "n1"]
    assert driven.proofs[0].claims["jti"] != driven.proofs[1].claims["jti"]
    assert driven.outcome == Outcome()


@pytest.mark.requirement("Q-15")
def test_a_server_that_asks_for_ever_gets_two_requests(signer: ProofSigner) -> None:
    driven = drive(start(signer), rs_nonce("n1"), rs_nonce("n2"))
    assert driven.outcome == Outcome()
    assert drive(start(signer)).nonces == ["n2"]


@pytest.mark.requirement("Q-15")
@pytest.mark.parametrize("nonces", [(), ("n1", "n2"), ("n1", "n1"), ("no good",)])
def test_without_one_good_nonce_there_is_no_second_request(
    signer: ProofSigner, nonces: tuple[str, ...]
) -> None:
    assert drive(start(signer), rs_nonce(*nonces)).outcome == Outcome()
    assert drive(start(signer)).nonces == [None]


@pytest.mark.requirement("Q-15", "U-10")
def test_the_nonce_that_was_just_refused_is_not_tried_again(
    signer: ProofSigner,
) -> None:
    drive(start(signer), rs_nonce("n1"), OK)
    # Nor when the refusal brings none.
    for refusal in (rs_nonce("n1"), rs_nonce()):
        driven = drive(start(signer), refusal)
        assert driven.nonces == ["n1"]
        assert driven.outcome == Outcome()


@pytest.mark.requirement("Q-10", "U-9")
@pytest.mark.parametrize("status", [200, 204, 304, 400, 401, 403, 404, 503])
def test_every_response_may_bring_the_next_nonce(
    signer: ProofSigner, status: int
) -> None:
    drive(start(signer), Reply(status=status, nonces=("next",)))
    assert drive(start(signer)).nonces == ["next"]


@pytest.mark.requirement("Q-14", "T23")
def test_a_nonce_stays_at_the_server_that_supplied_it(signer: ProofSigner) -> None:
    drive(start(signer), Reply(status=200, nonces=("mine",)))
    assert drive(start(signer, url="https://api.example:8443/")).nonces == [None]
    assert drive(start(signer, url="https://other.example/")).nonces == [None]
    assert drive(start(signer, url="https://API.example:443/x")).nonces == ["mine"]
    at_token_endpoint = signer.token_request(method="POST", url="https://api.example/")
    assert drive(at_token_endpoint).nonces == [None]


@pytest.mark.requirement("P-13")
@pytest.mark.parametrize(
    "challenges",
    [
        ('dPoP algs="ES256", ERROR=use_dpop_nonce, x="y"',),
        ('Bearer realm="a", DPoP error="use_dpop_nonce"',),
        ('Basic realm="a, DPoP b"', 'DPOP error="use_dpop_nonce"'),
        ("DPoP", 'DPoP error="use_dpop_nonce"'),
    ],
)
def test_a_challenge_is_understood_in_every_form(
    signer: ProofSigner, challenges: tuple[str, ...]
) -> None:
    demand = Reply(status=401, challenges=challenges, nonces=("n1",))
    assert drive(start(signer), demand).nonces == [None, "n1"]


@pytest.mark.requirement("P-14", "D-4")
@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=401, challenges=('Bearer error="use_dpop_nonce"',), nonces=("n",)),
        Reply(status=401, challenges=('Bearer realm="a"',), nonces=("n",)),
        Reply(status=401, nonces=("n",)),
        Reply(status=400, challenges=('DPoP error="use_dpop_nonce"',), nonces=("n",)),
        Reply(status=400, body=b'{"error": "use_dpop_nonce"}', nonces=("n",)),
        Reply(status=407, challenges=('DPoP error="use_dpop_nonce"',), nonces=("n",)),
    ],
)
def test_what_is_no_demand_of_a_resource_server_ends_the_exchange(
    signer: ProofSigner, reply: Reply
) -> None:
    assert drive(start(signer), reply).outcome == Outcome()


@pytest.mark.parametrize(
    ("reply", "following", "nonce"),
    [(rs_nonce("n1"), "s", "n1"), (STALE_KEY, "a", None), (UNKNOWN_KEY, "a", None)],
)
def test_a_body_that_cannot_be_sent_again_is_not_but_the_next_request_knows_better(
    signer: ProofSigner,
    fetch: Fetch,
    reply: Reply,
    following: str,
    nonce: str | None,
) -> None:
    fetch()
    driven = drive(start(signer, method="PUT", replayable=False), reply)
    assert driven.outcome == Outcome(refresh_due=reply is STALE_KEY)
    again = drive(start(signer, method="PUT", replayable=False), OK)
    assert (again.kinds, again.nonces) == (following, [nonce])


@pytest.mark.requirement("R1401", "R1402", "R1403", "R1404")
def test_a_delivered_key_makes_symmetric_proofs(
    signer: ProofSigner, fetch: Fetch, clock: Clock
) -> None:
    fetch()
    (headers,) = drive(start(signer)).headers
    assert headers["Authorization"] == "DPoP access"
    proof = parse_symmetric_proof(parse_proof(headers["DPoP"], max_length=2048))
    check_mac(proof, MacKey("HS256", SYMMETRIC_KEY.reveal()))
    assert proof.algorithm == "HS256"
    assert (proof.claims["htm"], proof.claims["htu"]) == (
        "GET",
        "https://api.example/accounts",
    )
    assert proof.iat == clock.now
    assert proof.claims["ath"] == b64url_encode(hashlib.sha256(b"access").digest())


def test_a_symmetric_proof_gets_its_nonce(signer: ProofSigner, fetch: Fetch) -> None:
    fetch()
    driven = drive(start(signer), rs_nonce("n1"), OK)
    assert (driven.kinds, driven.nonces) == ("ss", [None, "n1"])


@pytest.mark.requirement("R1603", "T23", "R2212")
def test_a_symmetric_proof_is_for_the_audience_and_the_token_of_its_key(
    signer: ProofSigner, fetch: Fetch
) -> None:
    fetch(audience="https://api.example/v1")
    assert drive(start(signer, url="https://api.example/v1/x")).kinds == "s"
    assert drive(start(signer, url="https://api.example/v2/x")).kinds == "a"
    assert drive(start(signer, url="https://api.example/v1/../v2")).kinds == "a"
    assert drive(start(signer, url="https://other.example/v1/x")).kinds == "a"
    other = start(signer, url="https://api.example/v1/x", access_token="other")
    assert drive(other).kinds == "a"


@pytest.mark.requirement("R1603")
def test_an_audience_that_is_no_url_is_where_it_was_said_to_be(
    signer: ProofSigner, fetch: Fetch
) -> None:
    fetch(audience="urn:accounts", bases=["https://a.example", "https://b.example/x"])
    assert drive(start(signer, url="https://a.example/")).kinds == "s"
    assert drive(start(signer, url="https://b.example/x")).kinds == "s"
    assert drive(start(signer, url="https://b.example/")).kinds == "a"


def test_an_expired_key_is_not_used(
    signer: ProofSigner, fetch: Fetch, clock: Clock
) -> None:
    fetch(lifetime=60)
    clock.advance(59)
    assert drive(start(signer)).kinds == "s"
    clock.advance(1)
    assert drive(start(signer)).kinds == "a"
    assert not signer.has_symmetric_key("access")


@pytest.mark.requirement("T2")
@pytest.mark.parametrize("refusal", [STALE_KEY, EXPIRED_KEY])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_stale_key_means_the_same_request_asymmetrically_and_one_refresh(
    signer: ProofSigner, fetch: Fetch, refusal: Reply, method: str
) -> None:
    fetch()
    driven = drive(start(signer, method=method), refusal, OK)
    assert driven.kinds == "sa"
    assert driven.outcome == Outcome(refresh_due=True)
    following = drive(start(signer, method=method), OK)
    assert following.kinds == "a"
    assert following.outcome == Outcome(refresh_due=False)


@pytest.mark.parametrize("second", [STALE_KEY, EXPIRED_KEY, UNKNOWN_KEY])
def test_requests_that_were_under_way_when_a_key_went_stale_are_mastered(
    signer: ProofSigner, fetch: Fetch, second: Reply
) -> None:
    fetch()
    flows = [start(signer), start(signer)]
    for flow in flows:
        assert read(next(flow).headers()["DPoP"]).is_symmetric
    for flow, refusal in zip(flows, [STALE_KEY, second], strict=True):
        assert not read(flow.send(refusal).headers()["DPoP"]).is_symmetric
        with pytest.raises(StopIteration) as end:
            flow.send(OK)
        assert end.value.value == Outcome(refresh_due=refusal is not UNKNOWN_KEY)


def test_a_stale_key_and_a_nonce_are_both_mastered(
    signer: ProofSigner, fetch: Fetch
) -> None:
    fetch()
    driven = drive(start(signer), rs_nonce("n1"), STALE_KEY, OK)
    assert (driven.kinds, driven.nonces) == ("ssa", [None, "n1", "n1"])
    assert driven.outcome == Outcome(refresh_due=True)


@pytest.mark.requirement("R1602")
def test_a_new_key_of_the_stale_version_is_not_used_and_reported(
    signer: ProofSigner, fetch: Fetch, caplog: pytest.LogCaptureFixture
) -> None:
    fetch(version=7)
    drive(start(signer), STALE_KEY, OK)
    with caplog.at_level(logging.WARNING, "dpop_ext.client"):
        fetch("second", version=7)
    assert "version 7 is stale" in caplog.text
    (record,) = caplog.records
    assert vars(record)["event"] == "symmetric_key_stale"
    assert vars(record)["fields"] == {"version": 7}
    driven = drive(start(signer, access_token="second"), OK)
    assert (driven.kinds, driven.outcome) == ("a", Outcome())
    fetch("third", version=8)
    assert drive(start(signer, access_token="third")).kinds == "s"


def test_a_key_that_expired_may_come_again_in_its_version(
    signer: ProofSigner, fetch: Fetch
) -> None:
    fetch(version=7)
    drive(start(signer), EXPIRED_KEY, OK)
    fetch("second", version=7)
    assert drive(start(signer, access_token="second")).kinds == "s"


def test_an_unknown_key_is_kept_for_later(
    signer: ProofSigner, fetch: Fetch, clock: Clock
) -> None:
    fetch()
    driven = drive(start(signer), UNKNOWN_KEY, OK)
    assert (driven.kinds, driven.outcome) == ("sa", Outcome())
    clock.advance(DEFAULT_PAUSE - 1)
    assert drive(start(signer)).kinds == "a"
    clock.advance(1)
    assert drive(start(signer)).kinds == "s"


def test_retry_after_says_when_an_unknown_key_is_tried_again(
    signer: ProofSigner, fetch: Fetch, clock: Clock
) -> None:
    fetch()
    refusal = Reply(status=401, challenges=UNKNOWN_KEY.challenges, retry_after="120")
    drive(start(signer), refusal, OK)
    clock.advance(119)
    assert drive(start(signer)).kinds == "a"
    clock.advance(1)
    assert drive(start(signer)).kinds == "s"


def test_an_unknown_key_is_retried_for_a_post_too(
    signer: ProofSigner, fetch: Fetch
) -> None:
    fetch()
    assert drive(start(signer, method="POST"), UNKNOWN_KEY, OK).kinds == "sa"


def test_a_path_that_demands_asymmetric_proofs_gets_them_from_then_on(
    signer: ProofSigner, fetch: Fetch
) -> None:
    fetch()
    assert drive(start(signer), POLICY, OK).kinds == "sa"
    assert drive(start(signer, url="https://api.example/accounts")).kinds == "a"
    assert drive(start(signer, url="https://api.example/other")).kinds == "s"
    fetch("second")
    assert drive(start(signer, access_token="second")).kinds == "a"


def test_the_memory_for_such_paths_is_bounded(
    signer: ProofSigner, fetch: Fetch
) -> None:
    fetch()
    for number in range(MAX_REMEMBERED + 1):
        drive(start(signer, url=f"https://api.example/{number}"), POLICY, OK)
    assert drive(start(signer, url="https://api.example/0")).kinds == "s"
    assert drive(start(signer, url=f"https://api.example/{number}")).kinds == "a"


def test_the_memory_for_keys_is_bounded(signer: ProofSigner, fetch: Fetch) -> None:
    for number in range(MAX_KEYS):
        fetch(f"token-{number}")
    assert drive(start(signer, access_token="token-0")).kinds == "s"
    fetch("one-more")
    assert signer.has_symmetric_key("token-0")
    assert not signer.has_symmetric_key("token-1")


def test_an_idempotent_request_is_tried_symmetrically_again_then_asymmetrically(
    signer: ProofSigner, fetch: Fetch
) -> None:
    fetch()
    driven = drive(start(signer), INVALID_PROOF, INVALID_PROOF, OK)
    assert (driven.kinds, driven.outcome) == ("ssa", Outcome())
    assert drive(start(signer)).kinds == "a"


@pytest.mark.requirement("R2181")
def test_a_request_whose_outcome_is_unknown_is_not_repeated(
    signer: ProofSigner, fetch: Fetch
) -> None:
    fetch()
    driven = drive(start(signer, method="POST"), INVALID_PROOF)
    assert (driven.kinds, driven.outcome) == ("s", Outcome())
    assert drive(start(signer, method="POST")).kinds == "a"


@pytest.mark.parametrize(
    "refusal", [INVALID_TOKEN, Reply(status=403), Reply(status=500)]
)
def test_other_refusals_are_the_callers(
    signer: ProofSigner, fetch: Fetch, refusal: Reply
) -> None:
    fetch()
    assert drive(start(signer), refusal).outcome == Outcome()
    assert drive(start(signer)).kinds == "s"


@pytest.mark.parametrize(
    "refusal", [INVALID_PROOF, UNKNOWN_KEY, POLICY, STALE_KEY, EXPIRED_KEY]
)
def test_an_asymmetric_proof_has_nothing_to_fall_back_to(
    signer: ProofSigner, refusal: Reply
) -> None:
    assert drive(start(signer), refusal).outcome == Outcome()


def test_a_request_goes_out_four_times_at_most(
    signer: ProofSigner, fetch: Fetch
) -> None:
    fetch()
    driven = drive(
        start(signer), rs_nonce("n1"), INVALID_PROOF, STALE_KEY, rs_nonce("n2")
    )
    assert driven.kinds == "sssa"
    assert driven.outcome == Outcome(refresh_due=True)
    identifiers = {proof.claims["jti"] for proof in driven.proofs}
    assert len(identifiers) == 4


@pytest.mark.parametrize("kind", ["resource", "token"])
def test_requests_that_start_at_once_wait_for_the_first(
    signer: ProofSigner, kind: str
) -> None:
    def begin() -> Flow:
        if kind == "resource":
            return start(signer)
        return signer.token_request(method="POST", url=TOKEN_ENDPOINT, audience=None)

    first, second = begin(), begin()
    attempt, following = next(first), next(second)
    assert attempt.turn() is None
    assert attempt.turn() is None, "it does not wait for itself"
    attempt.headers()
    waiting = following.turn()
    assert waiting is not None
    assert not waiting.done()
    attempt = first.send(rs_nonce("n1") if kind == "resource" else as_nonce("n1"))
    assert waiting.done()
    assert read(following.headers()["DPoP"]).claims["nonce"] == "n1"
    assert attempt.turn() is None
    assert next(begin()).turn() is None, "the server is known now"


def test_a_request_that_fails_holds_up_no_other(signer: ProofSigner) -> None:
    first, second, third = (start(signer) for _ in range(3))
    assert next(first).turn() is None
    attempt = next(second)
    waiting = attempt.turn()
    assert waiting is not None
    # What becomes of a flow that nobody goes on with.
    first.close()
    assert waiting.done()
    # Of the server nothing is known yet.
    assert attempt.turn() is None
    assert next(third).turn() is not None
