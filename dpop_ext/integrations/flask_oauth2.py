"""The resource protector of Authlib for Flask, with DPoP: :rfc:`9449#section-7`."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

from dpop_ext.extras import needs

with needs("flask"):
    from authlib.integrations.flask_oauth2 import (
        ResourceProtector as _ResourceProtector,
    )
    from authlib.integrations.flask_oauth2 import token_authenticated
    from flask import g
    from flask import request as flask_request

from dpop_ext import telemetry
from dpop_ext.core.confirmation import AccessToken
from dpop_ext.integrations.client_certificate import ClientCertificate
from dpop_ext.integrations.flask_answers import (
    expose_fields,
    log_refused,
    log_unless_served,
    tell_client,
)
from dpop_ext.integrations.flask_async import awaited
from dpop_ext.integrations.flask_current import current_observation, current_proof
from dpop_ext.integrations.flask_request import (
    ProtectedRequest,
    has_token_in_form,
    read_flask_content,
)
from dpop_ext.integrations.wsgi_request import accept_usual, resource_request
from dpop_ext.resource_server.authlib_token import (
    authenticate_token,
    check_bearer_token,
    check_transport,
    client_id_of,
)
from dpop_ext.resource_server.challenges import Challenges
from dpop_ext.resource_server.credentials import parse_credentials, parse_token
from dpop_ext.resource_server.decision import next_nonce
from dpop_ext.resource_server.oauth2_error import (
    MissingCredentialsError,
    RefusedRequestError,
    as_oauth2_error,
)
from dpop_ext.resource_server.observed_token import observe_token
from dpop_ext.resource_server.observer import Observer, require_observer
from dpop_ext.resource_server.refusal import (
    AccessRefusedError,
    Refusal,
    Scheme,
    bearer_refused,
    no_credentials,
)
from dpop_ext.resource_server.route_policy import ANY_PROOF, RoutePolicy
from dpop_ext.resource_server.translation import translated
from dpop_ext.resource_server.validator import DPoPTokenValidator
from dpop_ext.verified_proof import VerifiedProof

__all__ = ["ResourceProtector", "current_observation", "current_proof"]

#: What stands behind the proxies of Flask, of which each use is four calls.
_served, _kept = flask_request._get_current_object, g._get_current_object  # type: ignore[attr-defined] # noqa: SLF001


class ResourceProtector(_ResourceProtector):
    """Protect views of Flask by a DPoP proof, as Authlib's protector does by a token.

    ::

        require_oauth = ResourceProtector()
        require_oauth.register_token_validator(
            DPoPTokenValidator(MyTokenValidator(), verifier)
        )

        @app.route("/accounts")
        @require_oauth("accounts")
        def accounts(): ...

    A validator for Bearer may be registered beside it; then unbound tokens are accepted
    under Bearer too, and bound ones are refused there.

    What a view demands beyond a good proof is its policy, and what it answers can be
    signed for clients that ask for it::

        @require_oauth("transfers", route=RoutePolicy(asymmetric=True))
        def transfer(): ...

        app.wsgi_app = SignedAnswers(app.wsgi_app)

    Do not read ``request.form`` or ``request.stream`` before a protected view does: the
    content is gone then, and a proof that covers it is refused.

    Every refusal carries the challenges of :rfc:`9449#section-7.1` and is logged in one
    line. In the view, :data:`current_proof` is the verified proof, and Authlib's
    ``current_token`` is what the validator returned.

    :param client_certificate: where tokens that are bound to a certificate find it
        (:rfc:`8705`), see :class:`ClientCertificate`; None refuses such tokens.
    :param observer: lets requests pass whose proof is missing or bad, and counts them;
        None demands good proofs. In the view, :data:`current_observation` is what was
        seen then, and :data:`current_proof` is None, also for a good proof. It takes a
        validator for Bearer.
    :raises TypeError: *observer* is something else.
    """

    def __init__(
        self,
        *,
        client_certificate: ClientCertificate | None = None,
        observer: Observer | None = None,
    ) -> None:
        super().__init__()
        self._client_certificate = client_certificate
        self._observer = None if observer is None else require_observer(observer)
        own, plain = type(self), ResourceProtector
        #: Requests may be served by a quicker way; a subclass may do something else.
        self._knows_usual = (
            observer is None
            # Of the application, too: it may refuse a request.
            and client_certificate is None
            and (own.validate_request, own.parse_request_authorization)
            == (plain.validate_request, plain.parse_request_authorization)
        )

    def __call__(
        self,
        scopes: Any = None,
        optional: bool = False,  # noqa: FBT001, FBT002  as Authlib has it
        **kwargs: Any,
    ) -> Any:
        """Protect a view, which may be a coroutine function.

        Flask runs one by itself only if it can see that it is one, and needs its extra
        ``async`` for it.
        """
        if callable(scopes):
            return super().__call__(optional=optional, **kwargs)(awaited(scopes))
        protect = super().__call__(scopes, optional, **kwargs)
        return lambda view: protect(awaited(view))

    def register_token_validator(self, validator: Any) -> None:
        """Register a validator for DPoP or for Bearer, one of each.

        :raises TypeError: it is for DPoP, but no :class:`DPoPTokenValidator`; or one
            that goes into one.
        :raises ValueError: it is for another scheme, or the second for the same.
            Authlib ignores both without a word.
        """
        scheme = getattr(validator, "TOKEN_TYPE", None)
        if scheme is None:
            raise TypeError(
                "wrap it: DPoPTokenValidator(validator, verifier, public_url=...)"
            )
        if scheme not in ("dpop", "bearer") or scheme in self._token_validators:
            raise ValueError("one validator with TOKEN_TYPE dpop, one with bearer")
        if scheme == "dpop" and not isinstance(validator, DPoPTokenValidator):
            raise TypeError("a validator for DPoP is a DPoPTokenValidator")
        super().register_token_validator(validator)

    def acquire_token(self, scopes: Any = None, **kwargs: Any) -> Any:
        """Return the token of a request that may be served.

        Authlib's own puts the URL together first, which nothing here needs: that takes
        longer than the MAC of a proof.

        :param scopes: alternatives, of which one is enough.
        :raises RefusedRequestError: it may not.
        """
        token, kept = None, _kept()
        if self._knows_usual and not kwargs:
            token = self._accept_usual(scopes, kept)
        if token is None:
            demands = {"scopes": scopes, **kwargs}
            for name, value in demands.items():
                if isinstance(value, str):
                    demands[name] = [value]
            token = self.validate_request(request=ProtectedRequest(), **demands)
        if token_authenticated.receivers:
            token_authenticated.send(self, token=token)
        kept.authlib_server_oauth2_token = token
        return token

    def _accept_usual(self, scopes: Any, kept: Any) -> AccessToken | None:
        """Return the token of a usual request; None says nothing about it.

        :param kept: the ``g`` of Flask.
        :raises RefusedRequestError: it may not be served.
        """
        dpop = self._token_validators.get("dpop")
        environ = _served().environ
        if dpop is None or dpop.usual_requests is None or "HTTP_ORIGIN" in environ:
            return None
        try:
            found = accept_usual(
                environ, dpop.usual_requests, () if scopes is None else scopes
            )
        except AccessRefusedError as error:
            raise self._refused(error.refusal, error.client_id) from error
        if found is None:
            return None
        token, proof = found
        kept.dpop_seen = proof, None
        if proof.next_nonce is not None:
            tell_client(proof.next_nonce, None)
        return token

    def parse_request_authorization(self, request: Any) -> tuple[Any, str]:
        """Return the validator and the access token.

        :raises AccessRefusedError: no credentials, several, or malformed ones.
        """
        # Not Authlib's: it splits at any white space, so that two fields that were
        # joined with a comma become one token.
        found: tuple[Scheme, str] | None
        if self._observer is not None:
            # A proof that is missing may be no reason to refuse.
            found = parse_token(request.resource_request)
        else:
            request.dpop_credentials = parse_credentials(request.resource_request)
            found = request.dpop_credentials and request.dpop_credentials[:2]
        if found is None:
            raise AccessRefusedError(no_credentials(self._dpop_validator().verifier))
        scheme, token = found
        validator = self._token_validators.get(scheme)
        if validator is None:
            check_transport(self._dpop_validator(), request)
            raise AccessRefusedError(bearer_refused())
        return validator, token

    def validate_request(
        self,
        scopes: Any,
        request: Any,
        *,
        route: RoutePolicy = ANY_PROOF,
        **kwargs: Any,
    ) -> Any:
        """Return the token of a request that may be served.

        :param route: what the route demands beyond a good proof.
        :raises RefusedRequestError: it may not.
        """
        dpop = self._token_validators.get("dpop") or self._dpop_validator()
        if self._observer is not None and "bearer" not in self._token_validators:
            raise RuntimeError("only who accepts Bearer tokens can observe proofs")
        environ = _served().environ
        if "HTTP_ORIGIN" in environ:
            expose_fields()
        request.resource_request = resource_request(
            environ,
            # Most requests have no body, and nothing in it to parse.
            token_in_form=bool(environ.get("CONTENT_LENGTH")) and has_token_in_form(),
            client_certificate=self._client_certificate,
            content=read_flask_content,
        )
        token = None
        try:
            validator, text = self.parse_request_authorization(request)
            scheme: Scheme = validator.TOKEN_TYPE
            if self._observer is not None and not route.needs_proof:
                token, observed = observe_token(
                    dpop,
                    validator,
                    request,
                    scopes,
                    observer=self._observer,
                    **kwargs,
                )
                if observed is not None:
                    g.dpop_seen = None, observed
                    tell_client(observed.next_nonce, observed.ticket)
                    return token
            if scheme == "dpop":
                kwargs["route"] = route
            try:
                if scheme == "bearer":
                    check_transport(dpop, request)
                validator.validate_request(request)
                token = authenticate_token(dpop, validator, text, request)
                if scheme == "bearer":
                    check_bearer_token(
                        dpop,
                        validator,
                        token,
                        certificate=request.resource_request.certificate,
                    )
                    if route.needs_proof:
                        raise AccessRefusedError(bearer_refused())
                validator.validate_token(token, scopes, request, **kwargs)
            except Exception as error:
                raise translated(error, scheme=scheme, scopes=scopes) from error
        except AccessRefusedError as error:
            raise self._refused(error.refusal, client_id_of(token)) from error
        if scheme == "bearer":
            telemetry.count_request(
                "rs", outcome="accepted", reason="ok", kind="bearer"
            )
        proof: VerifiedProof | None = getattr(request, "dpop_proof", None)
        _kept().dpop_seen = proof, None
        tell_client(next_nonce(proof), getattr(request, "dpop_ticket", None))
        return token

    def _refused(self, refusal: Refusal, client_id: str | None) -> RefusedRequestError:
        """Log a refusal, and return what to raise."""
        refused = as_oauth2_error(refusal, self._challenges())
        if isinstance(refused, MissingCredentialsError):
            log_unless_served(refusal)
        else:
            log_refused(refusal, client_id=client_id)
        return refused

    def _dpop_validator(self) -> DPoPTokenValidator:
        if "dpop" not in self._token_validators:
            raise RuntimeError("register a DPoPTokenValidator")
        validator: DPoPTokenValidator = self._token_validators["dpop"]
        return validator

    def _challenges(self) -> Challenges:
        validator = self._dpop_validator()
        accept_bearer = "bearer" in self._token_validators
        return _challenging(validator.challenges, accept_bearer=accept_bearer)


# The answers that were written stay with it.
@lru_cache(maxsize=16)
def _challenging(challenges: Challenges, *, accept_bearer: bool) -> Challenges:
    return replace(challenges, accept_bearer=accept_bearer)
