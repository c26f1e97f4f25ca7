"""Pushed authorization requests: the endpoint (RFC 9126 section 2)."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from authlib.consts import default_json_headers
from authlib.oauth2.rfc6749 import (
    Endpoint,
    EndpointRequest,
    InvalidRequestError,
    OAuth2Error,
)

from dpop_ext.authorization_server.errors import Header, nonce_fields
from dpop_ext.authorization_server.pushed_parameters import (
    PushedPayload,
    read_pushed_parameters,
)
from dpop_ext.authorization_server.refusal import (
    log_error,
    refused,
    run_grant_validation,
)
from dpop_ext.errors import DPoPError
from dpop_ext.stores.pushed_requests import PushedRequest
from dpop_ext.verified_proof import VerifiedProof

if TYPE_CHECKING:
    from dpop_ext.authorization_server.request_uri import PushedAuthorizationRequests

#: What every ``request_uri`` of ours begins with (:rfc:`9126#section-2.2`).
REQUEST_URI_PREFIX = "urn:ietf:params:oauth:request_uri:"
#: Random bytes in a ``request_uri``.
REFERENCE_BYTES = 32


class PushedAuthorizationEndpoint(Endpoint):
    """Takes an authorization request from an authenticated client.

    :class:`PushedAuthorizationRequests` registers it; the application routes to it::

        @app.route("/par", methods=["POST"])
        def pushed_authorization_request():
            return server.create_endpoint_response("pushed_authorization_request")

    """

    ENDPOINT_NAME = "pushed_authorization_request"

    @property
    def _extension(self) -> PushedAuthorizationRequests:
        """What has the store, the lifetime and the :class:`DPoP`."""
        extension: PushedAuthorizationRequests
        extension = self.server.pushed_authorization_requests
        return extension

    def create_endpoint_response(
        self, request: Any
    ) -> tuple[int, dict[str, Any], list[Header]]:
        """Answer a request. An error is for the client, and never a redirection."""
        try:
            result: tuple[int, dict[str, Any], list[Header]] = (
                super().create_endpoint_response(request)
            )
        except DPoPError as error:
            raise refused(error, request, self.ENDPOINT_NAME) from error
        except OAuth2Error as error:
            log_error(request, self.ENDPOINT_NAME, error)
            # Trap: with these, Authlib would make a redirection of it.
            error.redirect_uri = error.state = None
            raise
        return result

    def validate_request(self, request: Any) -> EndpointRequest:
        """Check everything, and store the request once nothing can fail any more.

        The order is that of the token endpoint: a proof that has to be made again, for
        want of a nonce, must not have cost the client its assertion.
        """
        dpop = self._extension.dpop
        parameters = read_pushed_parameters(request)
        proof = dpop.verify_proof(request)
        verified = proof.verified if proof is not None else None
        client = run_grant_validation(lambda: self._authenticate(request))
        client_id = client.get_client_id()
        # A signed request object names the client inside, and authentication may have
        # named it elsewhere.
        if parameters.setdefault("client_id", [client_id]) != [client_id]:
            raise InvalidRequestError("The client_id is that of another client.")
        self._validate(request, parameters, verified)
        if verified is not None:
            dpop.verifier.spend(verified)
        reference = secrets.token_urlsafe(REFERENCE_BYTES)
        now = int(dpop.verifier.clock())
        self._extension.store.save(
            reference,
            PushedRequest(
                client_id=client_id,
                parameters=parameters,
                dpop_jkt=verified.jkt if verified is not None else None,
                expires_at=now + self._extension.lifetime,
            ),
            now=now,
        )
        request.request_uri = REQUEST_URI_PREFIX + reference
        request.next_nonce = verified.next_nonce if verified is not None else None
        return EndpointRequest(request=request, client=client)

    def create_response(
        self, validated_request: EndpointRequest
    ) -> tuple[int, dict[str, Any], list[Header]]:
        """Answer with the ``request_uri``, and a nonce when the client needs one."""
        request = validated_request.request
        body = {
            "request_uri": request.request_uri,
            "expires_in": self._extension.lifetime,
        }
        nonce = request.next_nonce
        fields = [] if nonce is None else nonce_fields(nonce, request)
        # Never append: this list belongs to every response of the process.
        return 201, body, [*default_json_headers, *fields]

    def _authenticate(self, request: Any) -> Any:
        methods = self._extension.get_client_auth_methods(self.server)
        # Of the token endpoint: what a client registers is its method there.
        client = self.server.authenticate_client(request, methods, "token")
        request.client = client
        return client

    def _validate(
        self,
        request: Any,
        parameters: dict[str, list[str]],
        proof: VerifiedProof | None,
    ) -> None:
        """Validate what was pushed as the authorization endpoint would."""
        request.payload = PushedPayload(parameters)
        request.is_being_pushed = True
        # Authlib repeats an unknown response type in its error, which refuses quotes.
        grant = run_grant_validation(
            lambda: self.server.get_authorization_grant(request)
        )
        self._extension.dpop.extend_grant(grant)
        run_grant_validation(lambda: _check_redirect_uri(request))
        run_grant_validation(grant.validate_authorization_request)
        # Of the request that was validated: it may have been inside a signed object.
        named = request.dpop_jkt
        if proof is not None and named is not None and named != proof.jkt:
            raise InvalidRequestError(
                "The dpop_jkt parameter is not the thumbprint of the DPoP proof."
            )


def _check_redirect_uri(request: Any) -> None:
    """Refuse what Authlib would refuse, without repeating it."""
    redirect_uri = request.payload.redirect_uri
    if redirect_uri and not request.client.check_redirect_uri(redirect_uri):
        raise InvalidRequestError("The redirect_uri is not registered.")
