"""Signed introspection between the two demo servers (RFC 9701)."""

from __future__ import annotations

import pytest

from demo_server import demo_data
from demo_server.resource_server_keys import load_keys
from dpop_ext.errors import AccessTokenError
from dpop_ext.resource_server import IntrospectionTokenValidator, RemoteKeys
from tests.demo.parties import Parties


@pytest.mark.requirement("B-5", "B-7", "J-4")
def test_a_resource_server_can_ask_for_signed_answers(parties: Parties) -> None:
    issuer = parties.settings.issuer_url
    metadata = parties.as_client.get("/.well-known/oauth-authorization-server").json
    assert metadata is not None
    find = IntrospectionTokenValidator(
        metadata["introspection_endpoint"],
        client_id=demo_data.RESOURCE_SERVER_ID,
        signing_key=load_keys(parties.settings.rs_keys_directory)[0],
        issuer=issuer,
        audience=parties.settings.resource_url,
        jwks=RemoteKeys(metadata["jwks_uri"], fetch=parties.fetch, clock=parties.clock),
        algorithms=metadata["introspection_signing_alg_values_supported"],
        post=parties.fetch,
        clock=parties.clock,
    )
    body = parties.redeem(parties.code()).json
    assert body is not None
    token = find(body["access_token"])
    assert token.confirmation is not None
    assert token.confirmation.jkt == parties.key.thumbprint()
    with pytest.raises(AccessTokenError):
        find("unknown")
