"""Sessions that are made of what servers say about themselves (RFC 8414, RFC 9728)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Self

from joserfc.jwk import Key

from dpop_ext.client.authorization_request import (
    AuthorizationDraft,
    AuthorizationRequest,
)
from dpop_ext.client.authorization_response import check_issuer, read_response
from dpop_ext.client.client_assertion import AssertionSigner
from dpop_ext.client.exchange import extend_form
from dpop_ext.client.external_key import ExternalKey
from dpop_ext.client.servers import Profile, Servers
from dpop_ext.client.session_bundle import SessionBundle, require_bundle
from dpop_ext.client.signer import ProofSigner
from dpop_ext.client.ticket_server import TicketServer
from dpop_ext.errors import (
    AuthorizationResponseError,
    UnsupportedServerError,
    WrongIssuerError,
)

#: Methods that put the client's name into the form themselves.
_NAMED_BY = frozenset(("none", "client_secret_post"))


class DiscoveredSession:
    """What all sessions do with the metadata of servers; mixed into one of Authlib."""

    _servers: Servers | None = None

    @classmethod
    def for_servers(
        cls,
        servers: Servers,
        client_id: str,
        *,
        client_secret: str | None = None,
        client_key: Key | ExternalKey | None = None,
        profile: Profile = "oauth2",
        dpop: ProofSigner | None = None,
        bundle: SessionBundle | None = None,
        resource: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Make a session of what the servers offer, and refuse servers that lack it.

        It uses DPoP and PKCE, pushes its requests where that is offered, and asks for
        a symmetric key where both servers have them.

        :param servers: as the ``Discovery`` of the same module found them.
        :param client_id: who the client is there.
        :param client_secret: None for a client that has none. It is sent to the server
            that was found: name the issuer, and do not leave that to a resource server.
        :param client_key: the private key of ``private_key_jwt``, or what signs with
            it.
        :param profile: ``fapi2`` refuses servers without what the FAPI 2.0 Security
            Profile demands, and asks for no symmetric keys.
        :param dpop: None makes a new key, of an algorithm that both servers support.
        :param bundle: in place of *dpop*; a new one can be made for an algorithm of
            :meth:`.Servers.algorithms`.
        :param resource: what tokens are for, where *servers* has no resource server.
        :param kwargs: as of the class: ``scope``, ``redirect_uri``, ...
        :raises UnsupportedServerError: a server does not offer what the client must
            have, DPoP above all.
        :raises OtherIssuerError: the token in the bundle is of another server, or of
            another client: nothing was sent.
        :raises TypeError: the signer or the bundle is something else.
        :raises ValueError: both a secret and a key; and as of the class.
        """
        if client_secret is not None and client_key is not None:
            raise ValueError("A client authenticates with a secret or with a key.")
        if dpop is None and bundle is None:
            dpop = servers.make_signer(profile)
        if bundle is not None:
            require_bundle(bundle)
        signer = bundle.signer if bundle is not None else dpop
        if signer is None or (bundle is not None and dpop is not None):
            raise ValueError("Signer and token are in the bundle.")
        servers.require(profile, signer=signer)
        server = servers.authorization
        assertions = None
        if client_key is not None:
            assertions = AssertionSigner(
                client_id,
                client_key,
                issuer=server.issuer,
                clock=partial(signer.time_at, server.token_endpoint),
            )
        method = servers.auth_method(
            profile,
            has_secret=client_secret is not None,
            key_algorithm=assertions.algorithm if assertions is not None else None,
        )
        if servers.resource is not None:
            resource = resource or servers.resource.resource
        has_keys = (
            profile != "fapi2"
            and resource is not None
            and servers.offers_symmetric_key(signer)
        )
        if signer.symmetric == "must" and not has_keys:
            raise UnsupportedServerError("The servers have no symmetric keys.")
        make: Any = cls
        session: Self = make(
            client_id,
            client_secret,
            dpop=dpop,
            bundle=bundle,
            issuer=server.issuer if has_keys else None,
            resource=resource,
            token_endpoint=server.token_endpoint,
            token_endpoint_auth_method=method,
            revocation_endpoint_auth_method=method,
            **kwargs,
        )
        if bundle is not None:
            bundle.belong_to(
                issuer=server.issuer,
                client_id=client_id,
                **({"resource": resource} if resource is not None else {}),
            )
        session._set_servers(servers, assertions, uses_tickets=profile != "fapi2")
        return session

    @property
    def servers(self) -> Servers:
        """The servers that the session was made for.

        :raises ValueError: it was made without: see :meth:`for_servers`.
        """
        if self._servers is None:
            raise ValueError("The session is one of for_servers.")
        return self._servers

    def _set_servers(
        self: Any,
        servers: Servers,
        assertions: AssertionSigner | None,
        *,
        uses_tickets: bool,
    ) -> None:
        self._servers = servers
        if assertions is not None:
            self.register_client_auth_method(
                ("private_key_jwt", partial(_authenticate, assertions))
            )
        if uses_tickets and servers.resource is not None:
            tickets = TicketServer.of_metadata(
                servers.resource.document,
                issuer=servers.authorization.issuer,
                client_id=self.client_id,
            )
            if tickets is not None:
                self.dpop.use_tickets(tickets)

    def draft_authorization(
        self: Any, parameters: Mapping[str, Any]
    ) -> AuthorizationDraft:
        """Return what is to be asked of the authorization server."""
        return AuthorizationDraft(
            self.servers.authorization,
            client_id=self.client_id,
            redirect_uri=self.redirect_uri,
            jkt=self.dpop.jkt,
            extra={
                "scope": self.scope,
                "resource": self._resource.name,
                **parameters,
            },
        )

    def pushed_form(self: Any, draft: AuthorizationDraft) -> dict[str, str]:
        """Return the form that is pushed; client authentication adds its own."""
        form = dict(draft.parameters)
        if self.token_endpoint_auth_method in _NAMED_BY:
            del form["client_id"]
        return form

    def check_response(self, kwargs: Mapping[str, Any]) -> None:
        """Refuse a code of another server, if the session knows its own.

        :param kwargs: of :meth:`fetch_token`.
        """
        response = kwargs.get("authorization_response")
        if response is not None and self._servers is not None:
            server = self._servers.authorization
            check_issuer(
                read_response(response),
                issuer=server.issuer,
                promises_issuer=server.promises_issuer,
            )

    def code_parameters(
        self: Any, request: AuthorizationRequest, response: str | Mapping[str, str]
    ) -> dict[str, str]:
        """Return the parameters of the token request for the code in *response*."""
        if request.issuer != self.servers.authorization.issuer:
            raise WrongIssuerError
        if request.jkt != self.dpop.jkt:
            raise AuthorizationResponseError(
                "The authorization request was made with another key."
            )
        return {
            "grant_type": "authorization_code",
            "code": request.read_code(response),
            "redirect_uri": request.redirect_uri,
            "code_verifier": request.code_verifier,
        }


def _authenticate(
    assertions: AssertionSigner,
    _client: Any,
    _method: str,
    url: str,
    headers: Any,
    body: Any,
) -> tuple[str, Any, Any]:
    """Add an assertion to a form; called by Authlib for each attempt."""
    return url, headers, extend_form(body or "", assertions.parameters())
