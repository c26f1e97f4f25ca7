"""The implicit and the hybrid grant of OpenID Connect, as Authlib has them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from authlib.oidc.core.grants import OpenIDHybridGrant, OpenIDImplicitGrant

from tests.authorization_server.simulator import (
    AUDIENCE,
    ISSUER,
    REDIRECT_URI,
    VERIFIER,
    Code,
    Prover,
    Simulator,
)

OTHER = "https://other.example"
REQUEST = {
    "client_id": "public",
    "redirect_uri": REDIRECT_URI,
    "scope": "openid",
    "nonce": "n",
    "code_challenge": VERIFIER,
}
IMPLICIT = ["id_token", "id_token token"]
HYBRID = ["code token", "code id_token", "code id_token token"]


class OpenID:
    """What an application writes, without the keys for ID tokens."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("none",)

    def exists_nonce(self, nonce: str, request: Any) -> bool:
        return False

    def process_implicit_token(self, token: Any, code: Any = None) -> Any:
        return token | {"id_token": "an ID token"}


class Implicit(OpenID, OpenIDImplicitGrant):
    pass


@pytest.fixture
def make_openid(
    make_sim: Callable[..., Simulator],
) -> Callable[..., tuple[Simulator, list[Code]]]:
    def make(*, forgets: bool = False, **options: Any) -> tuple[Simulator, list[Code]]:
        saved: list[Code] = []

        class Hybrid(OpenID, OpenIDHybridGrant):
            def save_authorization_code(self, code: str, request: Any) -> None:
                sim.codes[code] = Code(
                    code,
                    request.client.client_id,
                    dpop_jkt=None if forgets else request.dpop_jkt,
                    audience=request.audience,
                )
                saved.append(sim.codes[code])

        sim = make_sim(extra_grants=[Implicit, Hybrid], **options)
        sim.app.testing = True
        return sim, saved

    return make


def approve(sim: Simulator, response_type: str, **changes: str) -> dict[str, str]:
    """Return the parameters that the client gets."""
    query = urlencode(REQUEST | {"response_type": response_type} | changes)
    address = f"{ISSUER}/authorize?{query}"
    assert sim.http.get(address).status_code == 200
    response = sim.http.post(address, data={"confirm": "yes"})
    return dict(parse_qsl(urlsplit(response.headers["Location"]).fragment))


@pytest.mark.parametrize("response_type", [*IMPLICIT, *HYBRID])
@pytest.mark.parametrize("way", ["extension", "grant", "both"])
def test_a_jwt_is_for_the_resource_that_was_asked_for(
    make_openid: Any, response_type: str, way: str
) -> None:
    """Trap: no audience would be an error, and a default one another resource."""
    sim, _ = make_openid(form="jwt", way=way)
    sim.clients["public"].client_metadata["audiences"] = [AUDIENCE, OTHER]
    for audience in (AUDIENCE, OTHER):
        answer = approve(sim, response_type, resource=audience)
        assert ("token" in response_type.split()) == ("access_token" in answer)
        if "access_token" in answer:
            assert claims(answer["access_token"])["aud"] == audience
            assert "cnf" not in claims(answer["access_token"])
            assert answer["token_type"] == "Bearer"


def test_the_only_audience_of_a_client_is_that_of_its_jwt(make_openid: Any) -> None:
    sim, _ = make_openid(form="jwt")
    token = approve(sim, "id_token token")["access_token"]
    assert claims(token)["aud"] == AUDIENCE


@pytest.mark.parametrize("response_type", HYBRID)
@pytest.mark.requirement("X-5")
def test_a_code_of_the_hybrid_flow_is_bound(
    make_openid: Any, prove: Prover, prove_other: Prover, response_type: str
) -> None:
    sim, saved = make_openid()
    approve(sim, response_type, dpop_jkt=prove.jkt)
    (code,) = saved
    assert code.dpop_jkt == prove.jkt
    form = sim.grant("authorization_code", "public") | {"code": code.code}
    assert sim.token(form, client="public").status_code == 400
    assert sim.token(form, prove(), client="public").status_code == 200


def test_one_that_was_stored_without_its_key_is_not_given_out(
    make_openid: Any, prove: Prover
) -> None:
    """Trap: another grant redeems it, so this one cannot look for it."""
    sim, saved = make_openid(forgets=True)
    # That codes of the other grant are stored well says nothing about these.
    answer = sim.http.post(
        f"{ISSUER}/authorize?"
        + urlencode(REQUEST | {"response_type": "code", "dpop_jkt": prove.jkt}),
        data={"confirm": "yes"},
    )
    assert "code=" in answer.headers["Location"]
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"dpop_jkt=request\.dpop_jkt"):
            approve(sim, "code token", dpop_jkt=prove.jkt)
    assert "code" in approve(sim, "code token")
    assert len(saved) == 3


def test_it_is_given_out_where_no_grant_redeems_it(
    make_openid: Any, prove: Prover
) -> None:
    """Another server may do so, with the same database."""
    sim, _ = make_openid()
    sim.server._token_grants.clear()
    assert "code" in approve(sim, "code token", dpop_jkt=prove.jkt)


def claims(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=="))
    return found
