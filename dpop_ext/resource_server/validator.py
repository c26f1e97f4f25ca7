"""DPoP for the resource protector of Authlib (:rfc:`9449#section-7`)."""

from __future__ import annotations

from functools import partial
from typing import Any

from authlib.oauth2.rfc6749 import TokenValidator
from authlib.oauth2.rfc6750 import InsufficientScopeError

from dpop_ext.core.confirmation import AccessToken, Confirmation
from dpop_ext.errors import AccessTokenError, MalformedProofError
from dpop_ext.resource_server.authlib_request import resource_request
from dpop_ext.resource_server.bound_token import read_access_token, read_confirmation
from dpop_ext.resource_server.challenges import Challenges
from dpop_ext.resource_server.credentials import ResourceRequest
from dpop_ext.resource_server.decision import next_nonce, open_request
from dpop_ext.resource_server.error_refusal import refuse
from dpop_ext.resource_server.failure_limit import FailureLimit
from dpop_ext.resource_server.keyring_sync import KeyringSync
from dpop_ext.resource_server.message import verify_message
from dpop_ext.resource_server.oauth2_error import as_oauth2_error
from dpop_ext.resource_server.public_url import check_public_url
from dpop_ext.resource_server.refusal import AccessRefusedError
from dpop_ext.resource_server.route_policy import ANY_PROOF, RoutePolicy
from dpop_ext.resource_server.spending import spend_proof
from dpop_ext.resource_server.ticket_issuer import TicketIssuer
from dpop_ext.resource_server.token_finder import TokenFinder
from dpop_ext.resource_server.translation import translated
from dpop_ext.resource_server.usual_request import UsualRequests
from dpop_ext.verifier import ProofVerifier


class DPoPTokenValidator(TokenValidator):
    """Accept the tokens that *inner* accepts, from whom they are bound to.

    Register it with :class:`dpop_ext.integrations.flask_oauth2.ResourceProtector`::

        require_oauth.register_token_validator(
            DPoPTokenValidator(MyTokenValidator(), verifier)
        )

    *inner* is the validator that the application has: it finds the token and decides
    whether it is valid. Its ``validate_token`` is called twice, first without scopes,
    and with them once the proof was found good: the thief of a token must not learn
    what the token may do. The verified proof is left in ``request.dpop_proof``, and in
    ``request.dpop_ticket`` a :class:`TicketOffer`, if the client asks for a ticket.

    One object serves all threads: what is known about a request is kept with it.
    ``failures`` limits how often a client's token may fail under a good MAC; it is for
    the protector to apply, because Authlib does not show this class request and token
    at once.

    :param inner: a validator of Authlib, or
        :class:`~dpop_ext.resource_server.access_token.AccessTokenValidator`.
    :param verifier: shared by all requests.
    :param public_url: what clients call this server, such as
        ``https://api.example/prefix``; without it the ``Host`` field is believed.
    :param realm: goes into every challenge.
    :param resource_metadata: absolute https URL of the :rfc:`9728` document, goes into
        every challenge.
    :raises TypeError: *inner* or *verifier* is something else.
    :raises ValueError: *public_url* is not https, loopback excepted, or *realm* or
        *resource_metadata* cannot be sent.
    """

    #: In lower case, because that is how Authlib looks it up.
    TOKEN_TYPE = "dpop"

    def __init__(
        self,
        inner: Any,
        verifier: ProofVerifier,
        *,
        public_url: str | None = None,
        realm: str | None = None,
        resource_metadata: str | None = None,
    ) -> None:
        super().__init__(realm)
        if not isinstance(verifier, ProofVerifier):
            raise TypeError("verifier is a ProofVerifier")
        if not hasattr(inner, "validate_token") or isinstance(inner, type):
            raise TypeError(
                "inner is a validator of tokens, such as AccessTokenValidator(...)"
            )
        self._inner = inner
        self._verifier = verifier
        self._public_url = check_public_url(public_url)
        self.failures = FailureLimit(verifier.clock)
        self.sync = KeyringSync(verifier)
        self.tickets = TicketIssuer.of(verifier)
        self.challenges = Challenges.of(
            verifier, realm=realm, resource_metadata=resource_metadata
        )
        #: Of *inner*, which checks all else when it finds a token.
        self._asks_scope_only = (
            getattr(type(inner), "validate_request", None),
            getattr(type(inner), "validate_token", None),
        ) == (TokenFinder.validate_request, TokenFinder.validate_token)
        own, plain = type(self), DPoPTokenValidator
        #: A quicker way for most requests; None if this one may do something else.
        self.usual_requests: UsualRequests | None = None
        if own is plain:
            self.usual_requests = UsualRequests.of(
                verifier, inner, failures=self.failures, public_url=self.public_url
            )
        #: An :class:`AccessToken` is taken as it is.
        self._is_plain = (own.get_confirmation, own.get_access_token) == (
            plain.get_confirmation,
            plain.get_access_token,
        )

    @property
    def inner(self) -> Any:
        """The validator of the application."""
        return self._inner

    @property
    def verifier(self) -> ProofVerifier:
        """Shared by all requests."""
        return self._verifier

    @property
    def public_url(self) -> str | None:
        """What clients call this server; None believes the ``Host`` field."""
        return self._public_url

    def get_confirmation(self, token: Any) -> Confirmation | None:
        """Return the key that *token* is bound to, or None. Override for other tokens.

        :param token: what the inner validator returned.
        :raises AccessTokenError: bound, but in a way that cannot be verified.
        """
        return read_confirmation(token)

    def get_access_token(self, token: Any) -> AccessToken:
        """Return what is needed of *token*. Override for other tokens."""
        return read_access_token(
            token, self.get_confirmation(token), issuer=self.verifier.issuer
        )

    def validate_request(self, request: Any) -> None:
        """Open the proof, before the token is looked at."""
        try:
            given = getattr(request, "resource_request", None)
            if not isinstance(given, ResourceRequest):
                given = resource_request(request)
            request.dpop_opened = open_request(
                given,
                verifier=self.verifier,
                public_url=self.public_url,
                sync=self.sync,
                verify_token=partial(self.verify_token, request),
                credentials=getattr(request, "dpop_credentials", None),
            )
            if not self._asks_scope_only:
                try:
                    self.inner.validate_request(request)
                except Exception as error:
                    raise translated(error) from error
        except AccessRefusedError as error:
            raise as_oauth2_error(error.refusal, self.challenges) from error

    def authenticate_token(self, token_string: str) -> Any:
        """Let the inner validator find the token."""
        try:
            token = self.inner.authenticate_token(token_string)
            if token is None:
                raise AccessTokenError
        except Exception as error:
            refusal = translated(error).refusal
            raise as_oauth2_error(refusal, self.challenges) from error
        return token

    def validate_token(
        self,
        token: Any,
        scopes: Any,
        request: Any,
        *,
        route: RoutePolicy = ANY_PROOF,
        **kwargs: Any,
    ) -> None:
        """Check the token, then that the proof is by its key, then its scope.

        :param route: what else the route demands.
        """
        try:
            opened = getattr(request, "dpop_opened", None)
            if opened is None or opened.proof is None:
                raise AccessRefusedError(refuse(MalformedProofError()))
            try:
                if not self._asks_scope_only:
                    validate_without_scope(self.inner, token, request)
                access_token = (
                    token
                    if self._is_plain and isinstance(token, AccessToken)
                    else self.get_access_token(token)
                )
            except Exception as error:
                raise translated(error) from error
            verified = verify_message(
                opened,
                access_token,
                verifier=self.verifier,
                sync=self.sync,
                route=route,
            )
            try:
                self.inner.validate_token(token, scopes, request, **kwargs)
            except Exception as error:
                nonce = next_nonce(verified)
                raise translated(error, scopes=scopes, nonce=nonce) from error
            spend_proof(
                verified,
                verifier=self.verifier,
                spent=opened.request.spent,
                answer=opened.request.answer,
            )
            request.dpop_proof = verified
            if self.tickets is not None:
                request.dpop_ticket = self.tickets.offer(
                    opened.credentials.proof, verified, access_token
                )
        except AccessRefusedError as error:
            raise as_oauth2_error(error.refusal, self.challenges) from error

    def verify_token(self, request: Any, text: str) -> None:
        """Raise unless *text* is a valid token."""
        try:
            token = self.inner.authenticate_token(text)
            if token is None:
                raise AccessTokenError
            validate_without_scope(self.inner, token, request)
        except Exception as error:
            raise translated(error) from error


def validate_without_scope(validator: Any, token: Any, request: Any) -> None:
    """Let a validator of the application check *token*, whatever it may do."""
    try:
        validator.validate_token(token, None, request)
    except InsufficientScopeError:
        # It asks for a scope of its own. The second call says so again, once the proof
        # is good.
        return
