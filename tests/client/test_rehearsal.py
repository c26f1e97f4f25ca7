from __future__ import annotations

import pytest
from joserfc.jwk import ECKey

from dpop_ext.client.exchange import Outcome, Reply
from dpop_ext.client.nonces import FRESH, NonceCache
from dpop_ext.client.protection import Protection
from dpop_ext.client.rehearsal import RehearsalFlow
from dpop_ext.client.signer import ProofSigner
from dpop_ext.core.policy import RFC9449
from dpop_ext.core.proof import parse_proof, verify_proof
from dpop_ext.core.request_digest import content_digest, query_digest
from dpop_ext.errors import StaleProofError
from tests.client.conftest import Fetch
from tests.client.driving import INVALID_PROOF, OK, drive, rs_nonce
from tests.conftest import Clock

URL = "https://api.example/upload?name=x"


def rehearse(signer: ProofSigner, *, url: str = URL) -> RehearsalFlow | None:
    return signer.rehearsal(method="POST", url=url, access_token="access")


#: Of a route that knows POST only.
NO_HEAD = [Reply(status=status) for status in (404, 405, 501)]


def begin(signer: ProofSigner) -> RehearsalFlow:
    flow = rehearse(signer)
    assert flow is not None
    return flow


def test_no_server_accepts_a_rehearsal(signer: ProofSigner, clock: Clock) -> None:
    driven = drive(begin(signer), rs_nonce("n1"))
    (fields,) = driven.headers
    assert fields["Authorization"] == "DPoP access"
    proof = verify_proof(
        parse_proof(fields["DPoP"], max_length=RFC9449.max_length),
        method="HEAD",
        url="https://api.example/upload",
        access_token="access",
        policy=RFC9449,
    )
    # All is good but the time, whatever clock the server goes by.
    for skew in (-24 * 3600, 0, 24 * 3600):
        with pytest.raises(StaleProofError):
            RFC9449.check_time(iat=proof.iat, now=clock.now + skew)
    assert driven.outcome == Outcome()


def test_it_is_sent_once_and_its_nonce_is_used(signer: ProofSigner) -> None:
    assert drive(begin(signer), rs_nonce("n1")).outcome is not None
    assert rehearse(signer) is None
    flow = signer.resource_request(
        method="POST", url=URL, access_token="access", replayable=False
    )
    assert drive(flow, OK).nonces == ["n1"]


@pytest.mark.parametrize("reply", NO_HEAD)
def test_a_route_without_head_is_asked_by_a_stranger(
    signer: ProofSigner, reply: Reply
) -> None:
    flow = begin(signer)
    question = next(flow)
    assert (question.method, question.url) == ("HEAD", URL)
    assert not question.is_anonymous
    assert question.turn() is None
    assert question.headers()
    waiting = next(begin(signer)).turn()
    assert waiting is not None
    question = flow.send(reply)
    # Others still wait for the nonce, which may come now.
    assert not waiting.done()
    assert question.is_anonymous
    assert question.method == "POST"
    assert question.url == "https://api.example/upload"
    with pytest.raises(StopIteration):
        flow.send(Reply(status=401, nonces=("n1",)))
    assert waiting.done()
    assert signer.memory()[0] == {("https://api.example", "rs"): "n1"}


def test_there_are_two_questions_at_most(signer: ProofSigner) -> None:
    assert drive(begin(signer), *NO_HEAD[:2]).outcome == Outcome()


@pytest.mark.parametrize(
    "reply", [OK, INVALID_PROOF, Reply(status=404, nonces=("n1",))]
)
def test_who_answers_head_is_asked_once(signer: ProofSigner, reply: Reply) -> None:
    driven = drive(begin(signer), reply)
    assert driven.outcome == Outcome()
    assert len(driven.headers) == 1


def test_a_server_that_wants_no_nonce_is_asked_once(signer: ProofSigner) -> None:
    flow = begin(signer)
    attempt = next(flow)
    assert attempt.turn() is None
    attempt.headers()
    with pytest.raises(StopIteration):
        flow.send(INVALID_PROOF)
    assert rehearse(signer) is None
    # The clock is not to blame: the proof was meant to be old.
    assert signer.memory() == ({}, {})


def test_it_does_not_use_the_nonce_that_is_known(signer: ProofSigner) -> None:
    # It could be good, and then no answer would have the next one.
    signer.remember({("https://api.example", "rs"): "old"}, {})
    assert drive(begin(signer), rs_nonce("n1")).nonces == [None]
    assert signer.memory()[0] == {("https://api.example", "rs"): "n1"}


def test_a_nonce_is_expected_to_be_good_for_a_while(clock: Clock) -> None:
    nonces = NonceCache(clock=clock)
    origin = "https://api.example"
    assert not nonces.is_fresh(origin, "rs")
    nonces.put(origin, "rs", "n1")
    assert nonces.is_fresh(origin, "rs")
    assert not nonces.is_fresh(origin, "as")
    clock.advance(FRESH - 1)
    assert nonces.is_fresh(origin, "rs")
    clock.advance(1)
    assert not nonces.is_fresh(origin, "rs")
    # Nobody knows how old one of an earlier process is.
    nonces.put(origin, "rs", "n2")
    nonces.restore(nonces.known())
    assert not nonces.is_fresh(origin, "rs")


def test_what_is_forgotten_takes_no_room() -> None:
    nonces = NonceCache(2)
    for name in "abc":
        nonces.put(f"https://{name}.example", "rs", "n")
    assert len(nonces._supplied) == len(nonces.known()) == 2


def test_those_that_waited_need_no_rehearsal_of_their_own(signer: ProofSigner) -> None:
    first, second = begin(signer), begin(signer)
    attempt = next(first)
    following = next(second)
    assert attempt.turn() is None
    assert attempt.is_needed()
    attempt.headers()
    waiting = following.turn()
    assert waiting is not None
    with pytest.raises(StopIteration):
        first.send(rs_nonce("n1"))
    assert waiting.done()
    assert not following.is_needed()


def test_it_is_asymmetric_so_that_no_key_is_in_the_way(
    signer: ProofSigner, fetch: Fetch
) -> None:
    fetch("access")
    assert drive(begin(signer), rs_nonce("n1")).kinds == "a"


def test_it_says_what_its_content_is_where_that_is_demanded(
    ec_key: ECKey, clock: Clock
) -> None:
    protection = Protection(request_digests=True, authenticated_responses=True)
    signer = ProofSigner(ec_key, protection=protection, clock=clock)
    (proof,) = drive(begin(signer), rs_nonce("n1")).proofs
    assert proof.claims["cd"] == content_digest(b"")
    assert proof.claims["hq"] == query_digest(URL)


def test_it_goes_nowhere_that_a_token_must_not(signer: ProofSigner) -> None:
    with pytest.raises(ValueError, match="https"):
        rehearse(signer, url="http://api.example/upload")
    with pytest.raises(ValueError, match="characters"):
        signer.rehearsal(method="POST", url=URL, access_token="a b")
