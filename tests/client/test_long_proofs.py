"""Post-quantum proofs that are too long for a header field."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from dpop_ext.client import SessionBundle, TicketServer
from dpop_ext.client.audience import Audience
from dpop_ext.client.exchange import Outcome, Reply, extend_form
from dpop_ext.client.keyfile import load_key, save_key
from dpop_ext.client.proof_maker import MAX_FIELD
from dpop_ext.client.signer import ProofSigner
from dpop_ext.core import ml_dsa
from dpop_ext.core.ml_dsa import ML_DSA
from dpop_ext.errors import ProofTooLongError, UnsupportedKeyError
from tests import post_quantum
from tests.client.driving import (
    EXPIRED_KEY,
    INVALID_PROOF,
    ISSUER,
    OK,
    POLICY,
    RESOURCE,
    STALE_KEY,
    TOKEN_ENDPOINT,
    UNKNOWN_KEY,
    as_nonce,
    drive,
    rs_nonce,
)
from tests.client.reading import read
from tests.client.test_session_bundle import MemoryStore
from tests.client.ticket_server import ticket_reply
from tests.client.token_server import token_response
from tests.conftest import Clock

post_quantum.require()

AUDIENCE = Audience.of(ISSUER, RESOURCE)
API = f"{RESOURCE}/accounts"


@pytest.fixture
def long_signer(clock: Clock) -> ProofSigner:
    return ProofSigner.generate("ML-DSA-65", clock=clock)


@pytest.mark.parametrize("algorithm", ML_DSA)
def test_a_signer_is_made_for_a_named_algorithm(algorithm: str) -> None:
    signer = ProofSigner.generate(algorithm)
    assert signer.algorithm == algorithm
    assert len(signer.jkt) == 43
    assert ProofSigner.generate(algorithm, supported=["ES256", algorithm]).algorithm
    with pytest.raises(UnsupportedKeyError):
        ProofSigner.generate(algorithm, supported=["ES256"])


@pytest.mark.requirement("R2302")
def test_no_signer_is_post_quantum_unless_asked_to_be() -> None:
    assert ProofSigner.generate(supported=["ML-DSA-65", "RS256"]).algorithm == "RS256"
    with pytest.raises(UnsupportedKeyError):
        ProofSigner.generate(supported=list(ML_DSA))


@pytest.mark.parametrize("algorithm", ML_DSA)
def test_a_key_comes_back_from_its_file(algorithm: str, tmp_path: Path) -> None:
    key = ml_dsa.generate(algorithm)
    save_key(tmp_path / "key.jwk", key)
    loaded = load_key(tmp_path / "key.jwk")
    assert loaded.as_dict(private=True) == key.as_dict(private=True)
    assert ProofSigner(loaded).jkt == key.thumbprint()
    with pytest.raises(ValueError, match="another algorithm"):
        ProofSigner(loaded, algorithm="ES256")


def test_the_file_of_a_public_key_is_not_a_key_file(tmp_path: Path) -> None:
    path = tmp_path / "key.jwk"
    path.write_text(json.dumps(ml_dsa.generate("ML-DSA-44").as_dict()))
    path.chmod(0o600)
    with pytest.raises(ValueError, match="private JWK") as caught:
        load_key(path)
    assert caught.value.__cause__ is None


@pytest.mark.requirement("R2307", "T-1")
def test_a_token_request_has_a_long_proof_in_its_form(long_signer: ProofSigner) -> None:
    flow = long_signer.token_request(method="POST", url=TOKEN_ENDPOINT)
    attempt = next(flow)
    parameters = dict(attempt.parameters())
    assert attempt.headers() == {}
    proof = parameters.pop("dpop_proof")
    assert not parameters
    assert len(proof) > MAX_FIELD
    claims = read(proof).claims
    assert (claims["htm"], claims["htu"]) == ("POST", TOKEN_ENDPOINT)


@pytest.mark.requirement("R2307")
def test_a_short_proof_stays_in_the_header(clock: Clock) -> None:
    for algorithm in ("ES256", "ML-DSA-44"):
        signer = ProofSigner.generate(algorithm, clock=clock)
        attempt = next(signer.token_request(method="POST", url=TOKEN_ENDPOINT))
        assert attempt.parameters() == {}
        assert set(attempt.headers()) == {"DPoP"}


@pytest.mark.requirement("R2307", "S-10")
def test_the_nonce_is_in_the_next_proof_of_the_form(long_signer: ProofSigner) -> None:
    flow = long_signer.token_request(method="POST", url=TOKEN_ENDPOINT)
    first = next(flow).parameters()["dpop_proof"]
    second = flow.send(as_nonce("n-1")).parameters()["dpop_proof"]
    assert "nonce" not in read(first).claims
    assert read(second).claims["nonce"] == "n-1"
    assert read(first).claims["jti"] != read(second).claims["jti"]


@pytest.mark.requirement("R2307")
def test_a_client_that_sends_no_form_is_told(long_signer: ProofSigner) -> None:
    attempt = next(long_signer.token_request(method="POST", url=TOKEN_ENDPOINT))
    with pytest.raises(ProofTooLongError):
        attempt.headers()


@pytest.mark.requirement("R2307", "R2304")
def test_a_pushed_request_has_no_long_proof(
    long_signer: ProofSigner, clock: Clock
) -> None:
    url = f"{ISSUER}/par"
    attempt = next(long_signer.token_request(method="POST", url=url, pushed=True))
    assert (attempt.parameters(), attempt.headers()) == ({}, {})
    short = ProofSigner.generate("ML-DSA-44", clock=clock)
    attempt = next(short.token_request(method="POST", url=url, pushed=True))
    assert attempt.parameters() == {}
    assert set(attempt.headers()) == {"DPoP"}


@pytest.mark.requirement("R2307")
def test_a_resource_server_gets_no_long_proof(long_signer: ProofSigner) -> None:
    flow = long_signer.resource_request(method="GET", url=API, access_token="access")
    attempt = next(flow)
    assert attempt.parameters() == {}
    with pytest.raises(ProofTooLongError, match="symmetric key") as caught:
        attempt.headers()
    assert caught.value.code == "proof_too_long"
    assert str(MAX_FIELD) in caught.value.description


def test_the_length_of_the_request_counts_for_a_short_one(clock: Clock) -> None:
    signer = ProofSigner.generate("ML-DSA-44", clock=clock)
    flow = signer.resource_request(method="GET", url=API, access_token="access")
    assert "DPoP" in next(flow).headers()
    long_url = f"{API}/{'a' * 2000}"
    flow = signer.resource_request(method="GET", url=long_url, access_token="access")
    with pytest.raises(ProofTooLongError):
        next(flow).headers()


def test_a_short_one_is_sent_again_with_a_nonce_if_it_still_fits(clock: Clock) -> None:
    signer = ProofSigner.generate("ML-DSA-44", clock=clock)
    flow = signer.resource_request(method="GET", url=API, access_token="access")
    assert drive(flow, rs_nonce("n-1"), OK).nonces == [None, "n-1"]
    # Now there is room for this nonce, and for no longer one.
    flow = signer.resource_request(method="GET", url=API, access_token="access")
    room = MAX_FIELD - len(drive(flow).headers[0]["DPoP"])
    url = f"{API}/{'a' * (room * 3 // 4 - 3)}"
    flow = signer.resource_request(method="GET", url=url, access_token="access")
    driven = drive(flow, rs_nonce("n" * 20))
    assert driven.nonces == ["n-1"]
    assert driven.outcome == Outcome()


@pytest.fixture
def keyed_signer(long_signer: ProofSigner, clock: Clock) -> ProofSigner:
    """Has a symmetric key for the token ``access``."""
    flow = long_signer.token_request(
        method="POST", url=TOKEN_ENDPOINT, audience=AUDIENCE
    )
    proof = next(flow).parameters()["dpop_proof"]
    response = token_response(proof, access_token="access", now=clock.now)
    with pytest.raises(StopIteration):
        flow.send(Reply(status=200, body=json.dumps(response).encode()))
    return long_signer


def test_a_symmetric_key_serves_a_post_quantum_client(
    keyed_signer: ProofSigner,
) -> None:
    flow = keyed_signer.resource_request(method="GET", url=API, access_token="access")
    driven = drive(flow, OK)
    assert driven.kinds == "s"
    assert len(driven.headers[0]["DPoP"]) < 400


@pytest.mark.requirement("R2307")
@pytest.mark.parametrize(
    ("refusal", "refresh_due"),
    [
        (STALE_KEY, True),
        (EXPIRED_KEY, True),
        (UNKNOWN_KEY, False),
        (POLICY, False),
    ],
)
def test_where_no_asymmetric_proof_fits_the_refusal_is_the_answer(
    keyed_signer: ProofSigner, refusal: Reply, refresh_due: bool
) -> None:
    flow = keyed_signer.resource_request(method="GET", url=API, access_token="access")
    driven = drive(flow, refusal)
    assert driven.kinds == "s"
    assert driven.outcome is not None
    assert driven.outcome.refresh_due is refresh_due


def test_a_bundle_keeps_a_post_quantum_key() -> None:
    store = MemoryStore()
    first = SessionBundle(store, algorithm="ML-DSA-44").signer
    again = SessionBundle(store).signer
    assert (again.algorithm, again.jkt) == ("ML-DSA-44", first.jkt)


def test_a_key_that_needs_symmetric_keys_has_no_bundle() -> None:
    store = MemoryStore()
    with pytest.raises(ValueError, match="no symmetric keys"):
        SessionBundle(store, algorithm="ML-DSA-65")
    assert store.text is None


def test_a_second_symmetric_proof_is_no_matter_of_length(
    keyed_signer: ProofSigner,
) -> None:
    flow = keyed_signer.resource_request(method="GET", url=API, access_token="access")
    assert drive(flow, INVALID_PROOF, OK).kinds == "ss"


@pytest.mark.parametrize("body", ["grant_type=a&x=%20", b"grant_type=a&x=%20", "", b""])
def test_a_form_is_extended_as_it_is(body: str | bytes) -> None:
    extended = extend_form(body, {"dpop_proof": "a.b-_.c"})
    assert type(extended) is type(body)
    text = extended if isinstance(extended, str) else extended.decode()
    before = body if isinstance(body, str) else body.decode()
    assert text.startswith(before)
    assert parse_qs(text) == parse_qs(before) | {"dpop_proof": ["a.b-_.c"]}
    assert extend_form(body, {}) == body


@pytest.mark.requirement("R2309", "R1604")
@pytest.mark.parametrize("algorithm", ["ES256", "ML-DSA-65"])
def test_a_symmetric_key_comes_to_a_new_post_quantum_key(
    algorithm: str, clock: Clock
) -> None:
    signer = ProofSigner.generate(algorithm, key_algorithm="HPKE-9-KE", clock=clock)
    keys = set()
    for name in ("one", "other"):
        flow = signer.token_request(
            method="POST", url=TOKEN_ENDPOINT, audience=AUDIENCE
        )
        attempt = next(flow)
        proof = {**attempt.parameters(), **attempt.headers()}.popitem()[1]
        dsk = read(proof).claims["dsk"]
        assert dsk["kalgs"] == ["HPKE-9-KE"]
        assert set(dsk["jwk"]) == {"kty", "alg", "pub"}
        keys.add(dsk["jwk"]["pub"])
        response = token_response(proof, access_token=name, now=clock.now)
        with pytest.raises(StopIteration):
            flow.send(Reply(status=200, body=json.dumps(response).encode()))
        assert signer.has_symmetric_key(name)
    assert len(keys) == 2


@pytest.mark.requirement("R2309")
def test_a_ticket_comes_to_a_post_quantum_key_too(clock: Clock) -> None:
    signer = ProofSigner.generate("ES256", key_algorithm="HPKE-9-KE", clock=clock)
    signer.use_tickets(TicketServer.of(RESOURCE, issuer=ISSUER, client_id="client-1"))
    flow = signer.resource_request(method="GET", url=API, access_token="access")
    proof = next(flow).headers()["DPoP"]
    assert read(proof).claims["dsk"]["jwk"]["alg"] == "HPKE-9-KE"
    with pytest.raises(StopIteration):
        flow.send(ticket_reply(proof, now=clock.now, jkt=signer.jkt))
    flow = signer.resource_request(method="GET", url=API, access_token="another")
    assert drive(flow, OK).kinds == "s"


def test_a_key_algorithm_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="HPKE-9-KE"):
        ProofSigner.generate("ES256", key_algorithm="RSA1_5")  # type: ignore[arg-type]


def documented() -> Iterator[tuple[str, list[int]]]:
    """The rows of the table of sizes."""
    text = (Path(__file__).parents[2] / "docs" / "post-quantum.md").read_text("utf-8")
    for name, numbers in re.findall(
        r"^\| (ES256|ML-DSA-..) \|([ 0-9|]+)\|$", text, re.MULTILINE
    ):
        yield name, [int(number) for number in numbers.split("|")]


@pytest.mark.parametrize(("algorithm", "sizes"), list(documented()))
def test_the_sizes_in_the_documentation_are_right(
    algorithm: str, sizes: list[int]
) -> None:
    found = []
    for key_algorithm in (None, "ECDH-ES", "HPKE-9-KE"):
        signer = ProofSigner.generate(
            algorithm, key_algorithm=key_algorithm or "ECDH-ES"
        )
        attempt = next(
            signer.token_request(
                method="POST",
                url="https://as.example.com/token",
                audience=AUDIENCE if key_algorithm else None,
            )
        )
        proof = {**attempt.parameters()} or {**attempt.headers()}
        found.append(len(proof.popitem()[1]))
    proof_of_request = signer._proofs.asymmetric(
        method="GET",
        url="https://api.example.com/accounts",
        access_token="access",
        nonce="A" * 22,
    )
    assert [*found, len(proof_of_request)] == sizes
