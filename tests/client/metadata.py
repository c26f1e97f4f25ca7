"""Metadata of an authorization and a resource server, for tests to change."""

from __future__ import annotations

from typing import Any

from dpop_ext.client.resource_metadata import ResourceMetadata
from dpop_ext.client.server_metadata import ServerMetadata
from dpop_ext.client.servers import Servers
from tests.client.driving import ISSUER, RESOURCE

ALGORITHMS = ["ES256", "Ed25519"]


def as_metadata(**changes: Any) -> dict[str, Any]:
    """Metadata of an authorization server; a change to None leaves a member out."""
    return _given(
        {
            "issuer": ISSUER,
            "token_endpoint": f"{ISSUER}/token",
            "authorization_endpoint": f"{ISSUER}/authorize",
            "pushed_authorization_request_endpoint": f"{ISSUER}/par",
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["ES256", "PS256"],
            "code_challenge_methods_supported": ["S256"],
            "dpop_signing_alg_values_supported": ALGORITHMS,
            "authorization_response_iss_parameter_supported": True,
            **changes,
        }
    )


def rs_metadata(**changes: Any) -> dict[str, Any]:
    """Metadata of a resource server; a change to None leaves a member out."""
    return _given(
        {
            "resource": RESOURCE,
            "authorization_servers": [ISSUER],
            "dpop_signing_alg_values_supported": ALGORITHMS,
            **changes,
        }
    )


def servers(*, resource: dict[str, Any] | None = None, **changes: Any) -> Servers:
    """The servers with these members of their metadata."""
    return Servers(
        authorization=ServerMetadata.of_document(as_metadata(**changes), issuer=ISSUER),
        resource=ResourceMetadata.of_document(
            rs_metadata(**(resource or {})), resource=RESOURCE
        ),
    )


def _given(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
