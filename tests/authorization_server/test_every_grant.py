"""The same facts for seven grants, two ways in, and two forms of token."""

from __future__ import annotations

from typing import Any

import pytest

from dpop_ext.core.nonce import NonceIssuer
from tests.authorization_server.conftest import NONCE_SECRET
from tests.authorization_server.simulator import GRANTS, PUBLIC_GRANTS

every_grant = pytest.mark.parametrize("grant", GRANTS)
every_way = pytest.mark.parametrize("way", ["extension", "grant", "both"])
every_form = pytest.mark.parametrize("form", ["opaque", "jwt"])


def error_of(response: Any) -> tuple[int, str]:
    """Status and code; and what every error of a token endpoint has in common."""
    body = response.get_json()
    assert set(body) <= {"error", "error_description"}
    assert response.headers["Cache-Control"] == "no-store"
    assert response.content_type == "application/json"
    assert "DPoP" not in response.headers.get("WWW-Authenticate", "")
    return response.status_code, body["error"]


@every_form
@every_way
@every_grant
@pytest.mark.requirement("T-4", "T-5", "B-3", "B-5", "B-6", "X-27")
def test_a_token_is_bound_to_the_key_of_the_proof(
    make_sim: Any, prove: Any, grant: str, way: str, form: str
) -> None:
    """Trap: hooks of Authlib reach one of seven, the others would issue Bearer."""
    sim = make_sim(way=way, form=form)
    response = sim.token(sim.grant(grant), prove())
    assert response.status_code == 200
    body = response.get_json()
    assert body["token_type"] == "DPoP"
    assert "cnf" not in body
    assert sim.claims(response)["cnf"] == {"jkt": prove.jkt}
    saved = sim.tokens[-1]
    assert (saved.token_type, saved.dpop_jkt) == ("DPoP", prove.jkt)


@every_form
@every_way
@every_grant
@pytest.mark.requirement("T-6")
def test_a_token_without_a_proof_is_bearer_and_unbound(
    make_sim: Any, grant: str, way: str, form: str
) -> None:
    sim = make_sim(way=way, form=form)
    response = sim.token(sim.grant(grant))
    assert response.status_code == 200
    assert response.get_json()["token_type"] == "Bearer"
    assert "cnf" not in sim.claims(response)
    assert sim.tokens[-1].dpop_jkt is None


@every_form
@every_way
@every_grant
@pytest.mark.requirement("Q-1", "Q-4", "Q-6", "Q-18")
def test_a_nonce_challenge_uses_nothing_up(
    make_sim: Any, prove: Any, grant: str, way: str, form: str
) -> None:
    """Trap: grants consume codes and assertions while they validate the request.

    A proof verified after that could not be retried: the retry would be refused
    because of the code.
    """
    sim = make_sim(way=way, form=form, nonces=NonceIssuer([NONCE_SECRET]))
    request = sim.grant(grant)
    challenge = sim.token(request, prove())
    assert error_of(challenge) == (400, "use_dpop_nonce")
    assert len(challenge.headers.getlist("DPoP-Nonce")) == 1
    assert sim.is_unused(request)
    retry = sim.token(request, prove(nonce=challenge.headers["DPoP-Nonce"]))
    assert retry.status_code == 200
    assert sim.claims(retry)["cnf"] == {"jkt": prove.jkt}


@every_way
@every_grant
@pytest.mark.requirement("T-2", "T-3")
def test_a_faulty_proof_uses_nothing_up(
    make_sim: Any, prove: Any, grant: str, way: str
) -> None:
    sim = make_sim(way=way)
    request = sim.grant(grant)
    refused = sim.token(request, prove(url="https://as.example/other"))
    assert error_of(refused) == (400, "invalid_dpop_proof")
    assert sim.is_unused(request)
    assert sim.token(request, prove()).status_code == 200


@every_way
@every_grant
@pytest.mark.requirement("M-3")
def test_a_client_that_must_use_dpop_gets_nothing_without_a_proof(
    make_sim: Any, nonces: Any, prove: Any, grant: str, way: str
) -> None:
    """Not even a nonce challenge: with no proof there is nothing to repeat."""
    sim = make_sim(way=way, nonces=nonces)
    sim.clients["confidential"].client_metadata["dpop_bound_access_tokens"] = True
    response = sim.token(sim.grant(grant))
    assert error_of(response) == (400, "invalid_dpop_proof")
    assert "DPoP-Nonce" not in response.headers
    nonce = nonces.issue(purpose="as", now=sim.clock.now)
    assert sim.token(sim.grant(grant), prove(nonce=nonce)).status_code == 200


@every_way
@every_grant
@pytest.mark.requirement("X-15")
def test_a_proof_is_good_once(make_sim: Any, prove: Any, grant: str, way: str) -> None:
    sim = make_sim(way=way)
    proof = prove()
    assert sim.token(sim.grant(grant), proof).status_code == 200
    request = sim.grant(grant)
    assert error_of(sim.token(request, proof)) == (400, "invalid_dpop_proof")


@pytest.mark.parametrize("grant", PUBLIC_GRANTS)
@every_way
@pytest.mark.requirement("T-7", "T-10")
def test_refresh_token_is_bound_for_public_clients_only(
    make_sim: Any, prove: Any, grant: str, way: str
) -> None:
    sim = make_sim(way=way)
    assert sim.token(sim.grant(grant), prove()).status_code == 200
    assert sim.tokens[-1].refresh_token is not None
    assert sim.tokens[-1].refresh_dpop_jkt is None
    response = sim.token(sim.grant(grant, "public"), prove(), client="public")
    assert response.status_code == 200
    assert sim.tokens[-1].refresh_token is not None
    assert sim.tokens[-1].refresh_dpop_jkt == prove.jkt


@every_grant
def test_an_authenticated_grant_outlives_a_replay_store_that_does_not_answer(
    make_sim: Any, prove: Any, grant: str
) -> None:
    """A store that cannot tell is never taken for "not replayed"."""

    class Broken:
        def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
            raise OSError

    sim = make_sim(replay_store=Broken())
    request = sim.grant(grant)
    before = len(sim.tokens)
    response = sim.token(request, prove())
    assert error_of(response) == (503, "temporarily_unavailable")
    assert int(response.headers["Retry-After"]) > 0
    assert len(sim.tokens) == before
    if "assertion" not in request:  # which this application uses up by itself
        assert sim.is_unused(request)
