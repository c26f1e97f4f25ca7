from __future__ import annotations

from typing import Any

import pytest
from joserfc.jwk import RSAKey

from dpop_ext.client.signer import ProofSigner
from dpop_ext.errors import UnsupportedServerError
from tests.client.metadata import servers

SYMMETRIC = {
    "dpop_symmetric_alg_values_supported": ["HS256"],
    "dpop_symmetric_key_encryption_alg_values_supported": ["ECDH-ES"],
}
DERIVED = {
    "dpop_symmetric_alg_values_supported": ["HS256"],
    "dpop_symmetric_modes_supported": ["derived"],
}


def test_the_key_is_for_an_algorithm_of_both_servers(signer: ProofSigner) -> None:
    both = servers(resource={"dpop_signing_alg_values_supported": ["Ed25519"]})
    assert both.algorithms() == ("Ed25519",)
    assert both.make_signer().algorithm == "Ed25519"
    with pytest.raises(UnsupportedServerError):
        both.require("oauth2", signer=signer)
    servers().require("oauth2", signer=signer)


@pytest.mark.parametrize(
    "changes",
    [
        {"dpop_signing_alg_values_supported": None},
        {"dpop_signing_alg_values_supported": []},
        {"resource": {"dpop_signing_alg_values_supported": []}},
        {"resource": {"dpop_signing_alg_values_supported": ["ES512"]}},
    ],
)
@pytest.mark.parametrize("profile", ["oauth2", "fapi2"])
def test_without_dpop_there_is_no_way_on(
    signer: ProofSigner, changes: dict[str, Any], profile: Any
) -> None:
    found = servers(**changes)
    with pytest.raises(UnsupportedServerError):
        found.algorithms(profile)
    with pytest.raises(UnsupportedServerError):
        found.make_signer(profile)
    with pytest.raises(UnsupportedServerError):
        found.require(profile, signer=signer)


@pytest.mark.parametrize(
    ("changes", "refused_by"),
    [
        ({"code_challenge_methods_supported": ["plain"]}, {"oauth2", "fapi2"}),
        ({"code_challenge_methods_supported": []}, {"oauth2", "fapi2"}),
        ({"code_challenge_methods_supported": None}, {"fapi2"}),
        ({"pushed_authorization_request_endpoint": None}, {"fapi2"}),
        ({"authorization_response_iss_parameter_supported": None}, {"fapi2"}),
        (
            {
                "pushed_authorization_request_endpoint": None,
                "require_pushed_authorization_requests": True,
            },
            {"oauth2", "fapi2"},
        ),
        ({}, set()),
    ],
)
def test_what_a_client_cannot_do_without(
    signer: ProofSigner, changes: dict[str, Any], refused_by: set[str]
) -> None:
    found = servers(**changes)
    profiles: tuple[Any, ...] = ("oauth2", "fapi2")
    for profile in profiles:
        if profile in refused_by:
            with pytest.raises(UnsupportedServerError):
                found.require(profile, signer=signer)
        else:
            found.require(profile, signer=signer)


@pytest.mark.requirement("F-12")
def test_fapi_has_no_rs256(rsa_key: RSAKey) -> None:
    found = servers(
        dpop_signing_alg_values_supported=["RS256", "PS256"],
        resource={"dpop_signing_alg_values_supported": None},
    )
    assert found.algorithms() == ("RS256", "PS256")
    assert found.algorithms("fapi2") == ("PS256",)
    assert found.make_signer("fapi2").algorithm == "PS256"
    with pytest.raises(UnsupportedServerError):
        found.require("fapi2", signer=ProofSigner(rsa_key, algorithm="RS256"))
    with pytest.raises(UnsupportedServerError):
        found.auth_method("fapi2", has_secret=False, key_algorithm="RS256")


@pytest.mark.parametrize(
    ("offered", "has_secret", "algorithm", "chosen"),
    [
        (["private_key_jwt", "none"], False, "ES256", "private_key_jwt"),
        (["private_key_jwt"], False, "Ed25519", None),
        (["client_secret_basic"], False, "ES256", None),
        (None, True, None, "client_secret_basic"),
        (None, False, "ES256", None),
        (["client_secret_post"], True, None, "client_secret_post"),
        (["private_key_jwt"], True, None, None),
        (["private_key_jwt"], False, None, "none"),
    ],
)
def test_the_client_authenticates_as_it_can(
    offered: list[str] | None,
    has_secret: bool,
    algorithm: str | None,
    chosen: str | None,
) -> None:
    found = servers(token_endpoint_auth_methods_supported=offered)
    if chosen is None:
        with pytest.raises(UnsupportedServerError):
            found.auth_method(has_secret=has_secret, key_algorithm=algorithm)
    else:
        method = found.auth_method(has_secret=has_secret, key_algorithm=algorithm)
        assert method == chosen


def test_fapi_takes_no_secret() -> None:
    found = servers(token_endpoint_auth_methods_supported=["client_secret_basic"])
    with pytest.raises(UnsupportedServerError):
        found.auth_method("fapi2", has_secret=True, key_algorithm=None)


@pytest.mark.parametrize(
    ("server", "resource", "offered"),
    [
        (SYMMETRIC, DERIVED, True),
        ({"dpop_symmetric_alg_values_supported": ["HS256"]}, DERIVED, True),
        ({}, DERIVED, False),
        (SYMMETRIC, {}, False),
        (SYMMETRIC, {**DERIVED, "dpop_symmetric_modes_supported": ["ticket"]}, False),
        (
            SYMMETRIC,
            {**DERIVED, "dpop_symmetric_alg_values_supported": ["HS512"]},
            False,
        ),
        (
            {
                **SYMMETRIC,
                "dpop_symmetric_key_encryption_alg_values_supported": ["HPKE-9-KE"],
            },
            DERIVED,
            False,
        ),
    ],
)
def test_a_symmetric_key_is_asked_for_where_both_have_it(
    signer: ProofSigner,
    server: dict[str, Any],
    resource: dict[str, Any],
    offered: bool,
) -> None:
    found = servers(resource=resource, **server)
    assert found.offers_symmetric_key(signer) is offered
