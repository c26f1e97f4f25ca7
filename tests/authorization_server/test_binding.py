"""Codes and refresh tokens that are bound to a key."""

from __future__ import annotations

from typing import Any

import pytest

from dpop_ext.authorization_server import DPoP
from tests.authorization_server.simulator import JWT_BEARER
from tests.authorization_server.test_every_grant import error_of

every_way = pytest.mark.parametrize("way", ["extension", "grant", "both"])


def refresh(token: Any) -> dict[str, Any]:
    return {"grant_type": "refresh_token", "refresh_token": token.refresh_token}


def redeem(sim: Any, code: Any) -> dict[str, Any]:
    form: dict[str, Any] = sim.grant("authorization_code")
    return form | {"code": code.code}


# --- codes


@every_way
@pytest.mark.requirement("X-2", "X-5")
def test_a_bound_code_is_redeemed_with_its_key(
    make_sim: Any, prove: Any, way: str
) -> None:
    sim = make_sim(way=way)
    code = sim.add_code(dpop_jkt=prove.jkt)
    response = sim.token(redeem(sim, code), prove())
    assert response.get_json()["token_type"] == "DPoP"


@every_way
@pytest.mark.requirement("X-2")
def test_a_bound_code_with_another_key_is_used_up(
    make_sim: Any, prove: Any, prove_other: Any, way: str
) -> None:
    """Whoever has the code without the key has stolen it."""
    sim = make_sim(way=way)
    code = sim.add_code(dpop_jkt=prove.jkt)
    form = redeem(sim, code)
    assert error_of(sim.token(form, prove_other())) == (400, "invalid_grant")
    assert not sim.is_unused(form)
    assert sim.tokens == []
    assert error_of(sim.token(form, prove())) == (400, "invalid_grant")


@every_way
@pytest.mark.requirement("X-3", "X-5")
def test_a_bound_code_without_a_proof_is_refused_and_kept(
    make_sim: Any, prove: Any, way: str
) -> None:
    sim = make_sim(way=way)
    code = sim.add_code(dpop_jkt=prove.jkt)
    form = redeem(sim, code)
    assert error_of(sim.token(form)) == (400, "invalid_dpop_proof")
    assert sim.is_unused(form)
    assert sim.token(form, prove()).status_code == 200


def test_a_subclass_decides_what_becomes_of_a_stolen_code(
    make_sim: Any, prove: Any, prove_other: Any
) -> None:
    stolen: list[Any] = []

    class Lenient(DPoP):
        def on_code_key_mismatch(self, grant: Any, authorization_code: Any) -> None:
            stolen.append(authorization_code)

    sim = make_sim(dpop_class=Lenient)
    code = sim.add_code(dpop_jkt=prove.jkt)
    form = redeem(sim, code)
    assert error_of(sim.token(form, prove_other())) == (400, "invalid_grant")
    assert stolen == [code]
    assert sim.token(form, prove()).status_code == 200


def test_a_subclass_says_where_the_keys_are_stored(make_sim: Any, prove: Any) -> None:
    class Renamed(DPoP):
        def get_authorization_code_dpop_jkt(self, authorization_code: Any) -> str:
            return prove.jkt  # type: ignore[no-any-return]

        def get_refresh_token_dpop_jkt(self, refresh_token: Any) -> str:
            return prove.jkt  # type: ignore[no-any-return]

    sim = make_sim(dpop_class=Renamed)
    for grant in ("authorization_code", "refresh_token"):
        assert sim.token(sim.grant(grant)).status_code == 400
        assert sim.token(sim.grant(grant), prove()).status_code == 200


@pytest.mark.parametrize(
    ("name", "mixin"), [("code", "OAuth2DPoPCodeMixin"), ("token", "TokenMixin")]
)
def test_a_model_without_the_column_of_a_key_is_named(
    sim: Any, name: str, mixin: str
) -> None:
    class Plain:
        pass

    extension = sim.server.dpop_extension
    getters = {
        "code": [extension.get_authorization_code_dpop_jkt],
        "token": [
            extension.get_refresh_token_dpop_jkt,
            extension.get_access_token_dpop_jkt,
        ],
    }
    for get in getters[name]:
        with pytest.raises(AttributeError, match=f"Plain has no .*dpop_jkt: .*{mixin}"):
            get(Plain())


# --- refresh tokens of public clients


@every_way
@pytest.mark.requirement("T-7", "T-8", "T-9", "W-2")
def test_a_bound_refresh_token_keeps_its_key_through_rotation(
    make_sim: Any, prove: Any, way: str
) -> None:
    sim = make_sim(way=way)
    form = sim.grant("authorization_code", "public")
    for _ in range(3):
        assert sim.token(form, prove(), client="public").status_code == 200
        token = sim.tokens[-1]
        assert token.refresh_dpop_jkt == prove.jkt
        form = refresh(token)


@every_way
@pytest.mark.parametrize("rotate", [True, False])
@pytest.mark.requirement("T-8")
def test_a_bound_refresh_token_with_another_key_survives(
    make_sim: Any, prove: Any, prove_other: Any, way: str, *, rotate: bool
) -> None:
    """Nobody can use it but its owner, who should not lose it to a thief."""
    sim = make_sim(way=way, rotate=rotate)
    form = refresh(sim.add_token("public", refresh_dpop_jkt=prove.jkt))
    before = len(sim.tokens)
    refused = sim.token(form, prove_other(), client="public")
    assert error_of(refused) == (400, "invalid_grant")
    assert error_of(sim.token(form, client="public")) == (400, "invalid_dpop_proof")
    assert len(sim.tokens) == before
    assert sim.token(form, prove(), client="public").status_code == 200


@pytest.mark.requirement("T-8")
def test_a_refresh_token_stays_bound_when_its_client_gets_a_secret(
    sim: Any, prove: Any, prove_other: Any
) -> None:
    """What is stored decides, not how the client authenticates today."""
    token = sim.add_token("confidential", refresh_dpop_jkt=prove.jkt)
    form = refresh(token)
    assert error_of(sim.token(form)) == (400, "invalid_dpop_proof")
    assert error_of(sim.token(form, prove_other())) == (400, "invalid_grant")
    assert sim.token(form, prove()).status_code == 200
    assert sim.tokens[-1].refresh_dpop_jkt == prove.jkt


def test_the_application_may_revoke_the_family_of_a_stolen_refresh_token(
    make_sim: Any, prove: Any, prove_other: Any
) -> None:
    class Strict(DPoP):
        def on_refresh_token_key_mismatch(self, grant: Any, refresh_token: Any) -> None:
            refresh_token.revoked = True

    sim = make_sim(dpop_class=Strict)
    form = refresh(sim.add_token("public", refresh_dpop_jkt=prove.jkt))
    refused = sim.token(form, prove_other(), client="public")
    assert error_of(refused) == (400, "invalid_grant")
    refused = sim.token(form, prove(), client="public")
    assert error_of(refused) == (400, "invalid_grant")


@every_way
@pytest.mark.requirement("T-14", "U-28")
def test_an_unbound_refresh_token_is_bound_by_the_first_proof(
    make_sim: Any, prove: Any, prove_other: Any, way: str
) -> None:
    for rotate in (True, False):
        sim = make_sim(way=way, rotate=rotate)
        token = sim.add_token("public")
        assert sim.token(refresh(token), client="public").status_code == 200
        current = sim.tokens[-1] if rotate else token
        form = refresh(current)
        assert sim.token(form, prove(), client="public").status_code == 200
        current = sim.tokens[-1] if rotate else token
        assert current.refresh_dpop_jkt == prove.jkt
        refused = sim.token(refresh(current), prove_other(), client="public")
        assert error_of(refused) == (400, "invalid_grant")


@pytest.mark.requirement("T-14")
def test_binding_in_place_is_for_the_application_to_store(
    make_sim: Any, prove: Any
) -> None:
    bound: list[Any] = []

    class Storing(DPoP):
        def bind_refresh_token(self, refresh_token: Any, jkt: str) -> None:
            # Before the new token is saved, so that one commit stores both.
            bound.append((refresh_token, jkt, len(sim.tokens)))

    sim = make_sim(dpop_class=Storing, rotate=False)
    token = sim.add_token("public")
    assert sim.token(refresh(token), prove(), client="public").status_code == 200
    assert bound == [(token, prove.jkt, 1)]
    token = sim.add_token("confidential")
    assert sim.token(refresh(token), prove()).status_code == 200
    assert len(bound) == 1


# --- refresh tokens of clients that authenticate


@every_way
@pytest.mark.requirement("T-10", "T-5")
def test_a_confidential_client_may_change_its_key(
    make_sim: Any, prove: Any, prove_other: Any, way: str
) -> None:
    sim = make_sim(way=way)
    assert sim.token(sim.grant("authorization_code"), prove()).status_code == 200
    response = sim.token(refresh(sim.tokens[-1]), prove_other())
    assert response.status_code == 200
    assert sim.claims(response)["cnf"] == {"jkt": prove_other.jkt}


@every_way
@pytest.mark.requirement("T-8")
def test_a_confidential_client_gets_no_lesser_token_than_it_had(
    make_sim: Any, prove: Any, way: str
) -> None:
    sim = make_sim(way=way)
    assert sim.token(sim.grant("authorization_code"), prove()).status_code == 200
    form = refresh(sim.tokens[-1])
    assert error_of(sim.token(form)) == (400, "invalid_dpop_proof")
    assert sim.is_unused(form)
    assert sim.token(form, prove()).status_code == 200


@pytest.mark.requirement("T-11")
def test_a_proof_does_not_replace_what_a_refresh_needs(sim: Any, prove: Any) -> None:
    """The client authenticates, and the token is its own."""
    form = refresh(sim.add_token("confidential"))
    unauthenticated = sim.http.post(
        "https://as.example/token", data=form, headers=[("DPoP", prove())]
    )
    assert unauthenticated.get_json()["error"] == "invalid_client"
    assert error_of(sim.token(form, prove(), client="public")) == (400, "invalid_grant")
    assert error_of(sim.token(form, prove(), client="rs")) == (400, "invalid_grant")
    assert sim.token(form, prove()).status_code == 200


def test_a_grant_without_client_authentication_binds_no_refresh_token(
    sim: Any, prove: Any
) -> None:
    """With an assertion the client proves who it is, though Authlib names no method."""
    assert sim.token(sim.grant(JWT_BEARER), prove()).status_code == 200
    assert sim.tokens[-1].refresh_dpop_jkt is None
