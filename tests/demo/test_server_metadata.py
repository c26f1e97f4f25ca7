"""The documents of the demo servers say what they enforce (RFC 8414, RFC 9728)."""

from __future__ import annotations

from typing import Any

import pytest
from joserfc.jwk import ECKey, Key

from dpop_ext.core.challenge import parse_challenges
from dpop_ext.core.key import ALGORITHMS
from dpop_ext.core.proof_making import make_proof
from tests.demo.parties import CONFIDENTIAL, Parties

AS_DOCUMENT = "/.well-known/oauth-authorization-server"
RS_DOCUMENT = "/.well-known/oauth-protected-resource"


def proof(parties: Parties, key: Key, algorithm: str, **values: Any) -> str:
    return make_proof(key, algorithm=algorithm, now=parties.clock.now, **values)


@pytest.mark.requirement("J-1", "M-1")
def test_the_authorization_server_publishes_the_algorithms_it_accepts(
    parties: Parties, keys: dict[str, Key]
) -> None:
    url = f"{parties.settings.issuer_url}/token"
    document = parties.as_client.get(AS_DOCUMENT)
    assert document.content_type == "application/json"
    published = document.get_json()["dpop_signing_alg_values_supported"]
    assert isinstance(published, list)
    assert keys.keys() == ALGORITHMS.keys()
    answers = {
        name: parties.as_client.post(
            "/token",
            data={"grant_type": "client_credentials"},
            headers={
                **CONFIDENTIAL,
                "DPoP": proof(parties, key, name, method="POST", url=url),
            },
        ).get_json()["error"]
        for name, key in keys.items()
    }
    # A proof that is good but for its nonce gets one.
    accepted = [name for name in answers if answers[name] == "use_dpop_nonce"]
    assert sorted(published) == sorted(accepted)
    assert set(answers.values()) == {"use_dpop_nonce", "invalid_dpop_proof"}


@pytest.mark.requirement("J-2", "P-10")
def test_the_resource_server_publishes_the_algorithms_it_accepts(
    parties: Parties, keys: dict[str, Key]
) -> None:
    document = parties.rs_client.get(RS_DOCUMENT).get_json()
    published = document["dpop_signing_alg_values_supported"]
    errors = {}
    for name, key in keys.items():
        body = parties.redeem(parties.code()).get_json()
        values = {"method": "GET", "url": f"{document['resource']}/api/accounts"}
        response = parties.rs_client.get(
            "/api/accounts",
            headers={
                "Authorization": f"DPoP {body['access_token']}",
                "DPoP": proof(
                    parties, key, name, access_token=body["access_token"], **values
                ),
            },
        )
        (challenge,) = parse_challenges(response.headers.getlist("WWW-Authenticate"))
        assert (challenge.get("algs") or "").split() == published
        errors[name] = challenge.get("error")
    accepted = [name for name in errors if errors[name] == "use_dpop_nonce"]
    assert sorted(published) == sorted(accepted)


@pytest.mark.requirement("J-2")
@pytest.mark.parametrize("bearer", [True, False])
def test_the_resource_server_publishes_whether_it_demands_proofs(
    tmp_path: Any, clock: Any, ec_key: ECKey, bearer: bool
) -> None:
    parties = Parties.start(tmp_path, clock, ec_key, bearer=bearer)
    document = parties.rs_client.get(RS_DOCUMENT).get_json()
    unbound = parties.as_client.post(
        "/token",
        data={"grant_type": "client_credentials", "scope": "accounts"},
        headers=CONFIDENTIAL,
    ).get_json()
    assert unbound["token_type"] == "Bearer"
    response = parties.rs_client.get(
        "/api/accounts",
        headers={"Authorization": f"Bearer {unbound['access_token']}"},
    )
    assert response.status_code == (200 if bearer else 401)
    assert document["dpop_bound_access_tokens_required"] is not bearer


@pytest.mark.requirement("J-1", "J-2")
def test_the_two_documents_lead_to_each_other(parties: Parties) -> None:
    as_document = parties.as_client.get(AS_DOCUMENT).get_json()
    rs_document = parties.rs_client.get(RS_DOCUMENT).get_json()
    assert as_document["protected_resources"] == [rs_document["resource"]]
    assert rs_document["authorization_servers"] == [as_document["issuer"]]
    assert parties.settings.issuer_url == as_document["issuer"]
