"""The resource parameter of token requests."""

from __future__ import annotations

from typing import Any

import pytest

from dpop_ext.authorization_server import DPoP
from tests.authorization_server.simulator import AUDIENCE, GRANTS, Code
from tests.authorization_server.test_every_grant import error_of

OTHER = "https://b.example"
CLIENT_CREDENTIALS = {"grant_type": "client_credentials"}

every_grant = pytest.mark.parametrize("grant", GRANTS)
every_form = pytest.mark.parametrize("form", ["opaque", "jwt"])


def register(sim: Any, *audiences: str, **metadata: Any) -> None:
    for client in ("confidential", "public"):
        sim.clients[client].client_metadata |= {"audiences": list(audiences)}
        sim.clients[client].client_metadata |= metadata


@every_grant
@every_form
@pytest.mark.parametrize("proof", [True, False])
def test_the_token_is_for_the_resource_that_was_asked_for(
    make_sim: Any, prove: Any, grant: str, form: str, *, proof: bool
) -> None:
    sim = make_sim(form=form)
    register(sim, AUDIENCE, OTHER)
    request = sim.grant(grant) | {"resource": OTHER}
    response = sim.token(request, prove() if proof else None)
    assert sim.claims(response)["aud"] == OTHER
    assert sim.tokens[-1].audience == OTHER


@every_form
def test_the_only_audience_of_a_client_is_the_default(
    make_sim: Any, prove: Any, form: str
) -> None:
    sim = make_sim(form=form)
    assert sim.claims(sim.token(CLIENT_CREDENTIALS, prove()))["aud"] == AUDIENCE


def test_a_client_can_have_a_default_among_several(sim: Any, prove: Any) -> None:
    register(sim, AUDIENCE, OTHER, default_audience=OTHER)
    assert sim.claims(sim.token(CLIENT_CREDENTIALS, prove()))["aud"] == OTHER


@every_grant
def test_a_resource_that_is_not_for_the_client_uses_nothing_up(
    sim: Any, prove: Any, grant: str
) -> None:
    request = sim.grant(grant)
    proof = prove()
    for value in (OTHER, "", AUDIENCE + "/", '"\xe9', [AUDIENCE, AUDIENCE]):
        if "assertion" in request:
            request = sim.grant(grant)
        refused = sim.token(request | {"resource": value}, proof)
        assert error_of(refused) == (400, "invalid_target")
    if "assertion" not in request:
        assert sim.is_unused(request)
        assert sim.token(request, proof).status_code == 200


def test_a_client_with_several_must_choose(sim: Any, prove: Any) -> None:
    register(sim, AUDIENCE, OTHER)
    refused = sim.token(CLIENT_CREDENTIALS, prove())
    assert error_of(refused) == (400, "invalid_target")
    register(sim)
    refused = sim.token(CLIENT_CREDENTIALS, prove())
    assert error_of(refused) == (400, "invalid_target")


def test_the_code_and_the_refresh_token_keep_their_audience(
    sim: Any, prove: Any
) -> None:
    register(sim, AUDIENCE, OTHER)
    code = sim.add_code(audience=OTHER)
    request = sim.grant("authorization_code") | {"code": code.code}
    for _ in range(3):
        refused = sim.token(request | {"resource": AUDIENCE}, prove())
        assert error_of(refused) == (400, "invalid_target")
        response = sim.token(request, prove())
        assert sim.claims(response)["aud"] == OTHER
        request = {
            "grant_type": "refresh_token",
            "refresh_token": response.get_json()["refresh_token"],
        }
    assert sim.token(request | {"resource": OTHER}, prove()).status_code == 200


def test_a_grant_does_not_outlive_the_registration_of_its_audience(
    sim: Any, prove: Any
) -> None:
    token = sim.add_token(audience=OTHER)
    request = {"grant_type": "refresh_token", "refresh_token": token.refresh_token}
    assert error_of(sim.token(request, prove())) == (400, "invalid_target")


def test_an_application_that_forgets_the_audience_is_told(sim: Any, prove: Any) -> None:
    """The user agreed to one of them: the token must not be for another."""

    class Forgetful(Code):
        def __getattribute__(self, name: str) -> Any:
            if name == "audience":
                raise AttributeError(name)
            return super().__getattribute__(name)

    sim.app.testing = True
    code = Forgetful("code", "confidential")
    sim.codes["code"] = code
    request = sim.grant("authorization_code") | {"code": "code", "resource": AUDIENCE}
    register(sim, AUDIENCE, OTHER)
    with pytest.raises(RuntimeError, match="Store request"):
        sim.token(request, prove())
    register(sim, AUDIENCE)
    assert sim.token(request, prove()).status_code == 200


def test_without_registered_audiences_resource_means_nothing(
    sim: Any, prove: Any
) -> None:
    """A server that does not know the parameter ignores it, as others that it gets."""
    del sim.clients["confidential"].client_metadata["audiences"]
    response = sim.token(CLIENT_CREDENTIALS | {"resource": OTHER}, prove())
    assert response.status_code == 200
    assert sim.tokens[-1].audience is None


def test_a_resource_in_the_query_of_a_token_request_is_ignored(
    sim: Any, prove: Any
) -> None:
    url = f"https://as.example/token?resource={OTHER}"
    response = sim.token(CLIENT_CREDENTIALS, prove(), url=url)
    assert sim.claims(response)["aud"] == AUDIENCE


def test_a_subclass_chooses_otherwise(make_sim: Any, prove: Any) -> None:
    class Scoped(DPoP):
        def get_audience(self, request: Any, client: Any) -> str | None:
            return OTHER if request.payload.scope == "b" else AUDIENCE

    sim = make_sim(dpop_class=Scoped)
    response = sim.token(CLIENT_CREDENTIALS | {"scope": "b"}, prove())
    assert sim.claims(response)["aud"] == OTHER


@pytest.mark.parametrize("resource", ["https://api", AUDIENCE, None])
def test_audiences_that_are_one_text_are_a_fault(
    sim: Any, prove: Any, resource: str | None
) -> None:
    """Trap: a part of a text is "in" it, and would be an audience, too."""
    sim.app.testing = True
    sim.clients["confidential"].client_metadata["audiences"] = AUDIENCE
    form = CLIENT_CREDENTIALS | ({"resource": resource} if resource else {})
    with pytest.raises(RuntimeError, match="list of strings"):
        sim.token(form, prove())
