"""DPoP for any WSGI application: :rfc:`9449#section-7`, :pep:`3333`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from dpop_ext.integrations.answer_fields import Headers, with_nonce, with_ticket
from dpop_ext.integrations.client_certificate import ClientCertificate
from dpop_ext.integrations.cors import with_exposed
from dpop_ext.integrations.wsgi_answers import (
    ANSWER,
    Application,
    Environ,
    send_signed,
)
from dpop_ext.integrations.wsgi_request import has_token_in_form, resource_request
from dpop_ext.resource_server.answer import AnswerSlot
from dpop_ext.resource_server.gate import FindToken
from dpop_ext.resource_server.observation import ObservedRequest
from dpop_ext.resource_server.observer import Observer
from dpop_ext.resource_server.observing_gate import gate_of
from dpop_ext.resource_server.refusal import AccessRefusedError, Refusal
from dpop_ext.resource_server.route_policy import ANY_PROOF, RoutePolicy
from dpop_ext.resource_server.ticket_issuer import TicketOffer
from dpop_ext.verifier import ProofVerifier

_STATUS = {
    400: "400 Bad Request",
    401: "401 Unauthorized",
    403: "403 Forbidden",
    413: "413 Content Too Large",
    429: "429 Too Many Requests",
    503: "503 Service Unavailable",
}


class DPoPMiddleware:
    """Let requests through to *app* that a :class:`Gate` lets through.

    ::

        app = DPoPMiddleware(app, verifier=verifier, find_token=validator)

    The application finds the :class:`AccessToken` in ``environ["dpop_ext.token"]`` and
    the :class:`VerifiedProof` in ``environ["dpop_ext.proof"]``, which is None for an
    unbound Bearer token. Everything below this middleware is protected, so mount public
    pages beside it.

    The server must hand on the request target as it came, as ``RAW_URI`` or
    ``REQUEST_URI`` (gunicorn, waitress, uWSGI and Werkzeug do). Without it the decoded
    path is quoted anew, and a proof is refused whose ``htu`` has an escape that
    decoding loses, such as ``%2F``.

    :param app: a WSGI application.
    :param scopes: alternatives, of which one is enough, or a function from the environ
        to them; each is one or more scope values, separated by spaces.
    :param client_certificate: where tokens that are bound to a certificate find it
        (:rfc:`8705`); None refuses such tokens.
    :param route: what a request must have beside a good proof, or a function from the
        environ to that.
    :param observer: lets requests pass whose proof is missing or bad, and counts them;
        None demands good proofs. The application finds an :class:`ObservedRequest` in
        ``environ["dpop_ext.observed"]`` then, and None for the proof, also for a good
        one.

    Answers to requests that ask for a response proof have one, see
    :class:`~dpop_ext.integrations.wsgi_answers.SignedAnswers`: middleware that changes
    answers goes inside this one.

    The other arguments are those of :class:`Gate`.
    """

    def __init__(
        self,
        app: Application,
        *,
        verifier: ProofVerifier,
        find_token: FindToken,
        scopes: Iterable[str] | Callable[[Environ], Iterable[str]] = (),
        public_url: str | None = None,
        realm: str | None = None,
        resource_metadata: str | None = None,
        accept_bearer: bool = False,
        client_certificate: ClientCertificate | None = None,
        route: RoutePolicy | Callable[[Environ], RoutePolicy] = ANY_PROOF,
        observer: Observer | None = None,
    ) -> None:
        self._app = app
        self._route = route
        self._client_certificate = client_certificate
        # A copy: an iterator would be used up by the first request.
        self._scopes = (
            scopes if callable(scopes) or isinstance(scopes, str) else tuple(scopes)
        )
        self._gate, self._decision = gate_of(
            verifier,
            find_token,
            observer=observer,
            public_url=public_url,
            realm=realm,
            resource_metadata=resource_metadata,
            accept_bearer=accept_bearer,
        )

    def __call__(
        self, environ: Environ, start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Serve the request, or refuse it."""
        if "HTTP_ORIGIN" in environ:
            start_response = _exposing(start_response)
        if ANSWER in environ:  # whoever put it there is further out, and signs
            return self._decide(environ)(environ, start_response)
        slot = environ[ANSWER] = AnswerSlot()
        app = self._decide(environ)
        if slot.signer is None:
            return app(environ, start_response)
        return send_signed(app, slot, environ, start_response)

    def _decide(self, environ: Environ) -> Application:
        """Return what answers the request."""
        scopes = self._scopes(environ) if callable(self._scopes) else self._scopes
        route = self._route(environ) if callable(self._route) else self._route
        try:
            verified = self._decision(
                resource_request(
                    environ,
                    token_in_form=has_token_in_form(environ),
                    client_certificate=self._client_certificate,
                ),
                scopes=scopes,
                route=route,
            )
        except AccessRefusedError as error:
            return partial(self._refuse, error.refusal)
        environ["dpop_ext.token"] = verified.token
        # Whoever asks for a proof must not take an observed request for a proved one.
        environ["dpop_ext.proof"] = None
        if isinstance(verified, ObservedRequest):
            environ["dpop_ext.observed"] = verified
        else:
            environ["dpop_ext.proof"] = verified.proof
        nonce = verified.next_nonce
        if nonce is None and verified.ticket is None:
            return self._app
        return partial(self._serve, nonce, verified.ticket)

    def _serve(
        self,
        nonce: str | None,
        ticket: TicketOffer | None,
        environ: Environ,
        start_response: Callable[..., Any],
    ) -> Iterable[bytes]:
        """Serve the request, with what the client is to learn from the answer."""

        def start(status: str, headers: Headers, *exc_info: Any) -> Any:
            if nonce is not None:
                headers = with_nonce(headers, nonce)
            if ticket is not None:
                headers = with_ticket(headers, ticket, status=int(status[:3]))
            return start_response(status, headers, *exc_info)

        return self._app(environ, start)

    def _refuse(
        self, refusal: Refusal, environ: Environ, start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        headers, body = self._gate.challenges.answer(refusal)
        headers.append(("Content-Length", str(len(body))))
        start_response(_STATUS[refusal.status], headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _exposing(start_response: Callable[..., Any]) -> Callable[..., Any]:
    """Let a script read the nonce and the challenge, of refusals above all.

    Whether it may read answers at all is for :class:`CORS` or the application to say.
    """

    def start(status: str, headers: Headers, *exc_info: Any) -> Any:
        return start_response(status, with_exposed(headers), *exc_info)

    return start
