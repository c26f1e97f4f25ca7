"""The key of response proofs follows from the key of the request, whatever kind."""

from __future__ import annotations

from typing import Any

import pytest
from joserfc.jwk import ECKey

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.proof_making import make_proof
from dpop_ext.symmetric.derivation import response_key
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.verifier import ProofVerifier
from tests.conftest import Clock
from tests.test_encapsulated_keys import KEY, Encapsulated
from tests.test_ticket_verifier import Holder
from tests.test_verifier import AUDIENCE, URL, Symmetric, bound

WRONG = SecretBytes(bytes(range(1, 33)))


def found(
    verifier: ProofVerifier, proof: str, text: str, token: AccessToken
) -> SecretBytes | None:
    opened = verifier.open(proof, method="GET", url=URL, access_token=text)
    return verifier.response_key(opened, token)


def asymmetric(key: ECKey, clock: Clock, text: str) -> str:
    return make_proof(
        key, algorithm="ES256", method="GET", url=URL, now=clock.now, access_token=text
    )


@pytest.mark.requirement("R2151")
def test_under_a_ticket_it_follows_from_the_ticket(ec_key: ECKey, clock: Clock) -> None:
    holder = Holder(ec_key, clock)
    text = holder.token()
    expected = SecretBytes(response_key(holder.key().reveal()))
    for _ in range(2):
        proof = holder.proof(text)
        assert found(holder.verifier, proof, text, bound(holder.jkt)) == expected
    proof = asymmetric(ec_key, clock, text)
    assert found(holder.verifier, proof, text, bound(holder.jkt)) is None


@pytest.mark.requirement("R2151", "R1902")
def test_an_opaque_token_with_a_ticket_has_its_mac_verified_first(
    ec_key: ECKey, clock: Clock
) -> None:
    holder = Holder(ec_key, clock, token_form="opaque")
    good, bad = holder.proof("opaque"), holder.proof("opaque", key=WRONG)
    assert found(holder.verifier, good, "opaque", bound(holder.jkt))
    assert found(holder.verifier, bad, "opaque", bound(holder.jkt)) is None


@pytest.fixture(params=["jwt", "opaque"])
def party(request: Any, ec_key: ECKey, clock: Clock) -> Encapsulated:
    return Encapsulated(ec_key, clock, token_form=request.param)


@pytest.mark.requirement("R2151", "R1902")
def test_an_encapsulated_key_is_used_for_proofs_of_both_kinds(
    party: Encapsulated, ec_key: ECKey, other_ec_key: ECKey, clock: Clock
) -> None:
    expected = SecretBytes(response_key(KEY.reveal()))
    token = party.verified()
    for proof in (
        party.proof(),
        asymmetric(ec_key, clock, party.text),
        party.proof(),
    ):
        assert found(party.verifier, proof, party.text, token) == expected
    bad = party.proof(key=WRONG)
    foreign = asymmetric(other_ec_key, clock, party.text)
    assert found(party.verifier, foreign, party.text, token) is None
    if party.opaque:
        assert found(party.verifier, bad, party.text, token) is None


def test_without_the_private_key_there_is_none(
    party: Encapsulated, ec_key: ECKey, clock: Clock
) -> None:
    party.keys[:] = [ECKey.generate_key("P-256")]
    proof = asymmetric(ec_key, clock, party.text)
    assert found(party.verifier, proof, party.text, party.verified()) is None


OTHER = "https://other.example"


def test_a_token_for_other_servers_brings_no_key(ec_key: ECKey, clock: Clock) -> None:
    party, holder = Symmetric(ec_key, clock), Holder(ec_key, clock)
    text = party.token()
    of_token = asymmetric(ec_key, clock, text)
    assert found(party.verifier, of_token, text, party.verified())
    for changes in ({"issuer": OTHER}, {"audience": (AUDIENCE, OTHER)}):
        token = party.verified(**changes)
        assert found(party.verifier, of_token, text, token) is None
    text = holder.token()
    token = bound(holder.jkt, issuer=OTHER)
    assert found(holder.verifier, holder.proof(text), text, token) is None


def test_an_authorization_server_proves_no_answers(ec_key: ECKey, clock: Clock) -> None:
    holder = Holder(ec_key, clock)
    proof = make_proof(ec_key, algorithm="ES256", method="GET", url=URL, now=clock.now)
    opened = holder.verifier.open(proof, method="GET", url=URL)
    assert holder.verifier.response_key(opened, bound(holder.jkt)) is None
