"""The FAPI 2.0 Security Profile for an authorization server (section 5.3.2)."""

from __future__ import annotations

from typing import Any, Final

from authlib.oauth2.rfc6749 import (
    InvalidRequestError,
    OAuth2Error,
    UnsupportedGrantTypeError,
    UnsupportedResponseTypeError,
)

from dpop_ext.authorization_server.client_assertion import METHOD, ClientAssertion
from dpop_ext.authorization_server.code_challenge import S256CodeChallenge
from dpop_ext.authorization_server.extension import DPoP
from dpop_ext.authorization_server.issuer_parameter import IssuerIdentification
from dpop_ext.authorization_server.refusal import log_error
from dpop_ext.authorization_server.request_uri import PushedAuthorizationRequests
from dpop_ext.core.policy import FAPI2
from dpop_ext.stores.base import ReplayStore
from dpop_ext.stores.pushed_requests import PushedRequestStore

#: Seconds that an authorization code may live (5.3.2.1, item 11).
CODE_LIFETIME: Final = 60
#: How many seconds ahead a proof must be accepted and must be refused (item 13).
_FUTURE = range(10, 61)
#: Grants that a client gets through without authentication, or with a password of the
#: user (5.3.2.1, items 2 and 3).
_FORBIDDEN_GRANTS = ("password", "urn:ietf:params:oauth:grant-type:jwt-bearer")


class FAPI2SecurityProfile:
    """All that FAPI 2.0 demands and that does not depend on how things are stored.

    ::

        verifier = ProofVerifier(replay_store, policy=FAPI2)
        server.register_extension(
            FAPI2SecurityProfile(
                "https://as.example",
                dpop=DPoP(verifier, public_url="https://as.example"),
                replay_store=replay_store,
                pushed_requests=pushed_request_store,
            )
        )

    It registers :class:`DPoP`, demanded of every client;
    :class:`PushedAuthorizationRequests`, required; and :class:`ClientAssertion`, for
    every grant the one way to authenticate, so that there are no public clients.
    Authorization requests must be for a code, name their redirect URI, and have a
    ``code_challenge`` by S256, which :class:`S256CodeChallenge` compares. A code lives
    :data:`CODE_LIFETIME` seconds, if :meth:`get_code_time` knows its age. Refresh
    tokens are not exchanged for new ones. :class:`IssuerIdentification` puts ``iss``
    into every authorization response.

    What is left to the application: ``revoke_old_credential`` leaves a refresh token
    alone; a second use of a code revokes what it gave; redirections have the status
    303; and the endpoints are reached by TLS.

    :param issuer: our issuer identifier, also the audience of client assertions.
    :param dpop: with a verifier whose policy is ``FAPI2``, or a stricter one.
    :param replay_store: remembers client assertions; it may be that of the proofs.
    :param pushed_requests: keeps pushed requests.
    :raises ValueError: the policy accepts more than FAPI allows.
    """

    def __init__(
        self,
        issuer: str,
        *,
        dpop: DPoP,
        replay_store: ReplayStore,
        pushed_requests: PushedRequestStore,
    ) -> None:
        policy = dpop.verifier.policy
        if not policy.required or not set(policy.algorithms) <= set(FAPI2.algorithms):
            raise ValueError("the verifier needs policy=FAPI2, or a stricter one")
        if policy.future not in _FUTURE:
            raise ValueError("policy.future must be from 10 to 60 seconds")
        self.dpop = dpop
        self.issuer_identification = IssuerIdentification(issuer)
        self.pushed_requests = PushedAuthorizationRequests(
            pushed_requests, dpop=dpop, required=True, client_auth_methods=(METHOD,)
        )
        self.client_assertion = ClientAssertion(
            issuer, replay_store, clock=dpop.verifier.clock
        )

    def __call__(self, server: Any) -> None:
        """Extend a server; called by Authlib."""
        server.register_client_auth_method(METHOD, self.client_assertion)
        self.dpop(server)
        get_token_grant = server.get_token_grant
        get_authorization_grant = server.get_authorization_grant

        def get_restricted_token_grant(request: Any) -> Any:
            grant = get_token_grant(request)
            if grant.GRANT_TYPE in _FORBIDDEN_GRANTS:
                raise _logged(UnsupportedGrantTypeError(None), request, "token")
            _restrict(grant)
            if grant.GRANT_TYPE == "authorization_code":
                self._forget_old_codes(grant)
            return grant

        def get_restricted_authorization_grant(request: Any) -> Any:
            grant = get_authorization_grant(request)
            # Here and not in a hook, which not every grant has. The parameters are
            # final: what was pushed or signed is in their place.
            if request.payload.response_type != "code":
                unsupported = UnsupportedResponseTypeError(None)
                raise _logged(unsupported, request, "authorization")
            if not request.payload.redirect_uri:
                missing = InvalidRequestError("The redirect_uri parameter is required.")
                raise _logged(missing, request, "authorization")
            _restrict(grant)
            return grant

        server.get_token_grant = get_restricted_token_grant
        server.get_authorization_grant = get_restricted_authorization_grant
        self.pushed_requests(server)
        self.issuer_identification(server)

    def get_code_time(self, authorization_code: Any) -> int | None:
        """Return when a code was issued, in seconds since the epoch; None if unknown.

        Developers MAY re-implement this method; it reads ``auth_time``, which Authlib's
        mixin for SQLAlchemy stores. If it is unknown, ``query_authorization_code``
        must not find what is older than :data:`CODE_LIFETIME`.
        """
        time: int | None = getattr(authorization_code, "auth_time", None)
        return time

    def _forget_old_codes(self, grant: Any) -> None:
        query = grant.query_authorization_code

        def query_young_code(code: str, client: Any) -> Any:
            found = query(code, client)
            # Of a code that was used, the grant must learn, to react to a second use.
            if found is None or getattr(found, "redeemed_at", None):
                return found
            issued_at = self.get_code_time(found)
            if issued_at is None:
                return found
            is_young = self.dpop.verifier.clock() < issued_at + CODE_LIFETIME
            return found if is_young else None

        grant.query_authorization_code = query_young_code

    def get_metadata(self) -> dict[str, Any]:
        """Return the members for the metadata of the server: what is enforced."""
        return {
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": [METHOD],
            "token_endpoint_auth_signing_alg_values_supported": list(
                self.client_assertion.algorithms
            ),
            "require_pushed_authorization_requests": True,
            "authorization_response_iss_parameter_supported": True,
            **self.dpop.get_metadata(),
        }


def _logged(error: OAuth2Error, request: Any, endpoint: str) -> OAuth2Error:
    log_error(request, endpoint, error)
    return error


def _restrict(grant: Any) -> None:
    """Set on the instance, which lives for one request, what its class may not know."""
    grant.TOKEN_ENDPOINT_AUTH_METHODS = (METHOD,)
    # Only where it is known: a code is not redeemed by a grant that seems to keep what
    # it was given.
    if hasattr(grant, "INCLUDE_NEW_REFRESH_TOKEN"):
        grant.INCLUDE_NEW_REFRESH_TOKEN = False
    if grant.GRANT_TYPE == "authorization_code":
        S256CodeChallenge()(grant)
