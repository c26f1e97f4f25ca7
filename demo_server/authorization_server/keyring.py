"""Where the resource server gets its derivation secrets (DPoP Symmetric Profile)."""

from __future__ import annotations

from flask import Blueprint, Response

from demo_server.authorization_server.server import Server
from demo_server.derivation_secrets import POLL_INTERVAL
from demo_server.signing_keys import ALGORITHM
from dpop_ext.authorization_server import SymmetricKeyringEndpoint
from dpop_ext.stores.base import NumberedSecrets, ReplayStore

PATH = "/keyring"


def create_blueprint(
    server: Server, secrets: NumberedSecrets, replay_store: ReplayStore
) -> Blueprint:
    """Return the endpoint.

    :param secrets: of all audiences.
    :param replay_store: remembers the assertions that were used.
    """
    endpoints = Blueprint("keyring", __name__)
    server.register_endpoint(
        SymmetricKeyringEndpoint(
            secrets,
            replay_store,
            issuer=server.issuer,
            signing_keys=server.signing_keys.signing_key,
            alg=ALGORITHM,
            poll=POLL_INTERVAL,
            clock=server.clock,
        )
    )

    @endpoints.post(PATH)
    def keyring() -> Response:
        response: Response = server.create_endpoint_response("dpop_symmetric_keyring")
        return response

    return endpoints
