"""What a ``request_uri`` stands for at the authorization endpoint (RFC 9126 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Error, OAuth2Request
from authlib.oauth2.rfc9101.errors import InvalidRequestUriError

from dpop_ext.authorization_server.client_metadata import metadata_of
from dpop_ext.authorization_server.extension import DPoP
from dpop_ext.authorization_server.pushed_parameters import PushedPayload
from dpop_ext.authorization_server.pushed_request import (
    REQUEST_URI_PREFIX,
    PushedAuthorizationEndpoint,
)
from dpop_ext.authorization_server.refusal import log_error, refused
from dpop_ext.errors import StoreError
from dpop_ext.stores.pushed_requests import PushedRequestStore

#: Seconds that a ``request_uri`` may live: ten minutes are long for a log-in.
LIFETIMES = range(5, 600)


class PushedAuthorizationRequests:
    """Pushed authorization requests (:rfc:`9126`), which may come with a proof.

    ::

        server.register_extension(PushedAuthorizationRequests(store, dpop=dpop))

        @app.route("/par", methods=["POST"])
        def pushed_authorization_request():
            return server.create_endpoint_response("pushed_authorization_request")

    A ``request_uri`` has one use, which is the decision about the request: log-in and
    consent page may be loaded as often as needed, until
    ``create_authorization_response``. A signed request object (:rfc:`9101`) is kept as
    it was pushed and verified each time, so its ``exp`` must leave time for a log-in.

    An application that is made anew registers one more at the same server: the last
    one decides.

    :param store: keeps the requests.
    :param dpop: verifies proofs; register it too.
    :param required: accept authorization requests only if they were pushed, from every
        client; otherwise from those that registered so.
    :param lifetime: of a ``request_uri``, in seconds, from 5 to 599.
    :param client_auth_methods: by which a client may authenticate when it pushes; None
        allows those of the grants that have an authorization request, since the rules
        of the token endpoint apply (:rfc:`9126#section-2`).
    :raises ValueError: *lifetime* is out of range.
    """

    def __init__(
        self,
        store: PushedRequestStore,
        *,
        dpop: DPoP,
        required: bool = False,
        lifetime: int = 300,
        client_auth_methods: Sequence[str] | None = None,
    ) -> None:
        if lifetime not in LIFETIMES:
            raise ValueError("lifetime must be from 5 to 599 seconds")
        self.store = store
        self.dpop = dpop
        self.required = required
        self.lifetime = lifetime
        self._client_auth_methods = client_auth_methods

    def __call__(self, server: Any) -> None:
        """Extend a server; called by Authlib."""
        replaced = getattr(server, "pushed_authorization_requests", None)
        server.pushed_authorization_requests = self
        if replaced is not None:
            return
        server.register_endpoint(PushedAuthorizationEndpoint)
        # On the instance, and not by a hook: hooks run in no order, and the one of
        # signed requests must see what was pushed.
        server.get_authorization_grant = _resolving(server)
        server.create_authorization_response = _keeping_request(server)

    def is_required(self, client: Any) -> bool:
        """Tell whether the client registered to push its requests.

        Developers MAY re-implement this method; it reads
        ``require_pushed_authorization_requests`` of the client metadata
        (:rfc:`9126#section-6`).
        """
        return bool(metadata_of(client).get("require_pushed_authorization_requests"))

    def get_client_auth_methods(self, server: Any) -> Sequence[str]:
        """Return the methods by which a client may authenticate when it pushes."""
        if self._client_auth_methods is not None:
            return self._client_auth_methods
        methods: dict[str, None] = {}
        for grant, _ in server._authorization_grants:  # noqa: SLF001
            methods |= dict.fromkeys(getattr(grant, "TOKEN_ENDPOINT_AUTH_METHODS", ()))
        return list(methods)

    def _resolve(self, server: Any, request: Any) -> None:
        """Put what was pushed in the place of the query."""
        payload = request.payload
        request_uri = payload.data.get("request_uri")
        if not isinstance(request_uri, str) or not request_uri.startswith(
            REQUEST_URI_PREFIX
        ):
            client_id = payload.client_id
            client = server.query_client(client_id) if client_id else None
            if self.required or (client is not None and self.is_required(client)):
                # Not by redirection: nobody has validated where to.
                raise InvalidRequestError("The authorization request must be pushed.")
            request.pushed_reference = None
            return
        reference = request_uri.removeprefix(REQUEST_URI_PREFIX)
        pushed = self.store.load(reference)
        if (
            pushed is None
            or self.dpop.verifier.clock() >= pushed.expires_at
            or payload.datalist.get("client_id") != [pushed.client_id]
            or payload.datalist.get("request_uri") != [request_uri]
        ):
            raise InvalidRequestUriError
        # All that stands beside it is ignored (RFC 9101 section 5).
        request.payload = PushedPayload(pushed.parameters)
        request.pushed_reference = reference
        request.pushed_dpop_jkt = pushed.dpop_jkt

    def _finish(self, grant: Any, request: Any) -> None:
        """Bind the code to the key of the proof, and make the response the one use."""
        if request.pushed_dpop_jkt is not None:
            # Here, because a signed object has taken the place of the parameters.
            request.payload = PushedPayload(
                {**request.payload.datalist, "dpop_jkt": [request.pushed_dpop_jkt]}
            )
        create_response = grant.create_authorization_response

        def consume_and_create_response(*args: Any, **kwargs: Any) -> Any:
            try:
                consumed = self.store.consume(request.pushed_reference)
            except StoreError as error:
                raise refused(error, request, "authorization") from error
            if not consumed:
                used = InvalidRequestUriError()
                log_error(request, "authorization", used)
                raise used
            return create_response(*args, **kwargs)

        grant.create_authorization_response = consume_and_create_response


def _resolving(server: Any) -> Callable[[Any], Any]:
    get_authorization_grant = server.get_authorization_grant

    def get_resolved_grant(request: Any) -> Any:
        if getattr(request, "is_being_pushed", False):
            return get_authorization_grant(request)
        extension: PushedAuthorizationRequests = server.pushed_authorization_requests
        try:
            if not hasattr(request, "pushed_reference"):
                extension._resolve(server, request)  # noqa: SLF001
            grant = get_authorization_grant(request)
        except StoreError as error:
            raise refused(error, request, "authorization") from error
        except OAuth2Error as error:
            log_error(request, "authorization", error)
            raise
        if request.pushed_reference is not None:
            extension._finish(grant, request)  # noqa: SLF001
        return grant

    return get_resolved_grant


def _keeping_request(server: Any) -> Callable[..., Any]:
    """Answer with the ``state`` of the request that was pushed.

    Authlib reads it from a new request, which has the ``request_uri`` alone, so that
    a client would never learn what was denied.
    """
    create_response = server.create_authorization_response

    def respond(request: Any = None, grant_user: Any = None, grant: Any = None) -> Any:
        if grant is not None:
            request = grant.request
        elif not isinstance(request, OAuth2Request):
            request = server.create_oauth2_request(request)
        try:
            return create_response(request=request, grant_user=grant_user, grant=grant)
        except OAuth2Error as error:
            # Without a grant, Authlib finds one outside of its own error handling.
            return server.handle_error_response(request, error)

    return respond
