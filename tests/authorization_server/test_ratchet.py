"""From Bearer to bound at a refresh, and not back: :rfc:`9449#section-5`."""

from __future__ import annotations

from typing import Any

import pytest

from dpop_ext.authorization_server import DPoP
from tests.authorization_server.test_binding import refresh
from tests.authorization_server.test_every_grant import error_of

#: Whether refresh tokens are exchanged at each use.
either_way = pytest.mark.parametrize("rotate", [True, False])
each_client = pytest.mark.parametrize("client", ["public", "confidential"])

NO_PROOF = (400, "invalid_dpop_proof")


class OneWay(DPoP):
    """Remembers clients that have once sent a proof."""

    def remember_bound_client(self, client: Any) -> None:
        client.client_metadata["dpop_bound_access_tokens"] = True


def held(sim: Any, token: Any) -> Any:
    """Return the token whose refresh token the client holds by now."""
    return sim.tokens[-1] if sim.tokens[-1].refresh_token else token


@either_way
@each_client
@pytest.mark.requirement("T-8", "T-14")
def test_a_bearer_grant_is_bound_by_its_first_refresh_with_a_proof_for_good(
    make_sim: Any, prove: Any, client: str, *, rotate: bool
) -> None:
    sim = make_sim(rotate=rotate)
    token = sim.add_token(client)
    for proof, kind in [(None, "Bearer"), (None, "Bearer"), (prove(), "DPoP")]:
        answer = sim.token(refresh(token), proof, client=client)
        assert answer.get_json()["token_type"] == kind
        token = held(sim, token)
    before = len(sim.tokens)
    for _ in range(2):
        assert error_of(sim.token(refresh(token), client=client)) == NO_PROOF
    assert len(sim.tokens) == before
    # It costs the client nothing but the proof that it forgot.
    answer = sim.token(refresh(token), prove(), client=client)
    assert answer.get_json()["token_type"] == "DPoP"


@pytest.mark.requirement("T-10", "T-14")
def test_a_client_that_authenticates_may_change_its_key_after_the_upgrade(
    make_sim: Any, prove: Any, prove_other: Any
) -> None:
    sim = make_sim(rotate=False)
    token = sim.add_token("confidential")
    assert sim.token(refresh(token), prove()).status_code == 200
    assert token.refresh_dpop_jkt is None
    assert sim.token(refresh(token), prove_other()).status_code == 200
    assert sim.tokens[-1].dpop_jkt == prove_other.jkt
    assert error_of(sim.token(refresh(token))) == NO_PROOF


@pytest.mark.requirement("T-14")
def test_a_refused_proof_upgrades_nothing(make_sim: Any, prove: Any) -> None:
    sim = make_sim(rotate=False)
    token = sim.add_token("confidential")
    proof = prove()
    assert error_of(sim.token(refresh(token), "x")) == NO_PROOF
    assert error_of(sim.token(refresh(token), proof, client="public"))[0] == 400
    assert sim.token(refresh(token)).get_json()["token_type"] == "Bearer"


@either_way
@each_client
@pytest.mark.requirement("M-3")
def test_a_client_of_which_a_proof_is_demanded_upgrades_at_its_next_refresh(
    make_sim: Any, prove: Any, client: str, *, rotate: bool
) -> None:
    """The switch is thrown while its grants are Bearer."""
    sim = make_sim(rotate=rotate)
    token = sim.add_token(client)
    assert sim.token(refresh(token), client=client).status_code == 200
    token = held(sim, token)
    metadata = sim.clients[client].client_metadata
    metadata["dpop_bound_access_tokens"] = True
    assert error_of(sim.token(refresh(token), client=client)) == NO_PROOF
    assert sim.token(refresh(token), prove(), client=client).status_code == 200
    token = held(sim, token)
    # The switch back is no way back for a grant that went the other way.
    metadata["dpop_bound_access_tokens"] = False
    assert error_of(sim.token(refresh(token), client=client)) == NO_PROOF
    other = sim.add_token(client)
    assert sim.token(refresh(other), client=client).status_code == 200


@pytest.mark.requirement("M-3")
def test_a_client_may_be_remembered_with_all_its_grants(
    make_sim: Any, prove: Any
) -> None:
    sim = make_sim(dpop_class=OneWay)
    first, second = (sim.add_token("confidential") for _ in range(2))
    assert error_of(sim.token(refresh(first), "x")) == NO_PROOF
    assert sim.token(refresh(second)).get_json()["token_type"] == "Bearer"
    assert sim.token(refresh(first), prove()).status_code == 200
    for form in (
        refresh(sim.tokens[-2]),
        sim.grant("client_credentials"),
        sim.grant("authorization_code"),
    ):
        assert error_of(sim.token(form)) == NO_PROOF
        assert sim.token(form, prove()).status_code == 200


def test_nobody_can_lock_out_the_other_installations_of_a_public_client(
    make_sim: Any, prove: Any
) -> None:
    sim = make_sim(dpop_class=OneWay)
    installed = sim.add_token("public")
    form = sim.grant("authorization_code", "public")
    assert sim.token(form, prove(), client="public").status_code == 200
    assert sim.token(refresh(installed), client="public").status_code == 200


def test_what_is_remembered_is_stored_with_the_token(make_sim: Any, prove: Any) -> None:
    seen: list[tuple[str, int]] = []

    class Storing(DPoP):
        def mark_refresh_token(self, refresh_token: Any, jkt: str) -> None:
            assert (refresh_token, jkt) == (token, prove.jkt)
            seen.append(("token", len(sim.tokens)))

        def remember_bound_client(self, client: Any) -> None:
            seen.append((client.client_id, len(sim.tokens)))

    sim = make_sim(dpop_class=Storing, rotate=False)
    token = sim.add_token("confidential")
    assert sim.token(refresh(token)).status_code == 200
    assert seen == []
    # Before it is saved, so that one commit stores both.
    assert sim.token(refresh(token), prove()).status_code == 200
    assert seen == [("confidential", 2), ("token", 2)]
