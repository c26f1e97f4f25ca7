"""A resource server in memory, of the real parts (:rfc:`9449#section-7`)."""

from __future__ import annotations

import secrets
from typing import Any

from authlib.integrations.flask_oauth2 import current_token
from flask import Flask, Response, jsonify, request

from dpop_ext.core.nonce import NonceIssuer
from dpop_ext.integrations.flask_oauth2 import ResourceProtector, current_proof
from dpop_ext.resource_server import AccessTokenValidator, DPoPTokenValidator
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.testing.authorization_server import AUDIENCE, AuthorizationServer
from dpop_ext.verifier import ProofVerifier


class ResourceServer:
    """An API whose one route, ``/echo``, answers with how it was called.

    :param issuer: whose tokens it accepts; it need not run.
    :param nonces: demand nonces in proofs.
    :param scope: what a token must have.
    """

    def __init__(
        self, issuer: AuthorizationServer, *, nonces: bool = False, scope: str = ""
    ) -> None:
        self.url = ""
        self._issuer = issuer
        self._nonces = NonceIssuer([secrets.token_bytes(32)]) if nonces else None
        self._scope = scope

    def make_app(self) -> Flask:
        """Return the application."""
        issuer = self._issuer
        app = Flask("resource-server")
        keyring = issuer.keyring
        verifier = ProofVerifier(
            MemoryReplayStore(),
            nonces=self._nonces,
            keyring=keyring,
            issuer=issuer.url if keyring is not None else None,
            audience=AUDIENCE if keyring is not None else None,
            clock=issuer.clock,
        )
        tokens = AccessTokenValidator(
            issuer.url, AUDIENCE, jwks=issuer.jwks, clock=issuer.clock
        )
        protector = ResourceProtector()
        protector.register_token_validator(
            DPoPTokenValidator(tokens, verifier, public_url=self.url)
        )

        @app.route("/echo", methods=["GET", "POST", "PUT", "DELETE"])
        @protector(self._scope or None)  # type: ignore[untyped-decorator]
        def echo() -> Response:
            proof: Any = current_proof
            return jsonify(
                method=request.method,
                proof=proof.kind,
                jkt=proof.jkt,
                client=current_token.client_id,
            )

        return app
