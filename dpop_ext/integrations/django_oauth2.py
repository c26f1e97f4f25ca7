"""DPoP for Django: a middleware, and a decorator for views (:rfc:`9449#section-7`).

Importing it needs the extra ``django``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from dpop_ext.extras import needs

with needs("django"):
    from asgiref.sync import (
        iscoroutinefunction,
        markcoroutinefunction,
        sync_to_async,
    )
    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase

from dpop_ext.integrations.answer_fields import Headers, with_nonce, with_ticket
from dpop_ext.integrations.client_certificate import ClientCertificate
from dpop_ext.integrations.cors import with_exposed
from dpop_ext.integrations.django_request import resource_request
from dpop_ext.resource_server.gate import FindToken, VerifiedRequest
from dpop_ext.resource_server.observation import ObservedRequest
from dpop_ext.resource_server.observer import Observer
from dpop_ext.resource_server.observing_gate import gate_of
from dpop_ext.resource_server.refusal import AccessRefusedError, Refusal
from dpop_ext.resource_server.route_policy import ANY_PROOF, RoutePolicy
from dpop_ext.verifier import ProofVerifier

__all__ = ["DPoPProtector"]

View = TypeVar("View", bound=Callable[..., Any])


class DPoPProtector:
    """Protect views, or all of them, by a DPoP proof.

    ::

        protector = DPoPProtector(verifier=verifier, find_token=validator,
                                  public_url="https://api.example")

        @protector("accounts")
        def accounts(request):
            return JsonResponse({"client": request.dpop.token.client_id})

    For every view, let the settings name a function that makes the middleware::

        MIDDLEWARE = ["myproject.dpop.require_dpop", ...]

        def require_dpop(get_response):
            return protector.middleware(get_response)

    A view finds the :class:`~dpop_ext.resource_server.gate.VerifiedRequest` in
    ``request.dpop``. Views may be coroutines. Response proofs are made by what stands
    around the application: :class:`.wsgi_answers.SignedAnswers`, or the one of
    :mod:`.asgi_answers`.

    :param verifier: shared by all requests.
    :param client_certificate: where tokens that are bound to a certificate find it
        (:rfc:`8705`), in ``request.META``; None refuses such tokens.
    :param observer: lets requests pass whose proof is missing or bad, and counts them;
        None demands good proofs. A view finds an :class:`ObservedRequest` in
        ``request.dpop`` then, whose ``proof`` is None, also for a good one.

    The other arguments are those of :class:`Gate`.
    """

    def __init__(
        self,
        *,
        verifier: ProofVerifier,
        find_token: FindToken,
        public_url: str | None = None,
        realm: str | None = None,
        resource_metadata: str | None = None,
        accept_bearer: bool = False,
        client_certificate: ClientCertificate | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._client_certificate = client_certificate
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
        self, *scopes: str, route: RoutePolicy = ANY_PROOF
    ) -> Callable[[View], View]:
        """Return a decorator for views.

        :param scopes: alternatives, of which one is enough; each is one or more scope
            values, separated by spaces.
        :param route: what a view demands beyond a good proof.
        :raises TypeError: a scope is the view.
        """
        if not all(isinstance(scope, str) for scope in scopes):
            raise TypeError("scopes are strings; write @protector() with parentheses")

        def decorate(view: View) -> View:
            protected = self._around(view, scopes, route)
            # Proofs take the place of the token against forgery across sites: a
            # browser does not add them by itself.
            protected.csrf_exempt = True  # type: ignore[attr-defined]
            return wraps(view)(protected)  # type: ignore[return-value]

        return decorate

    def middleware(
        self,
        get_response: Callable[..., Any],
        *scopes: str,
        route: RoutePolicy = ANY_PROOF,
    ) -> Callable[..., Any]:
        """Return a middleware that protects every view.

        :param get_response: of Django.
        """
        protected = self._around(get_response, scopes, route)
        if iscoroutinefunction(protected):
            markcoroutinefunction(protected)
        return protected

    middleware.sync_capable = True  # type: ignore[attr-defined]
    middleware.async_capable = True  # type: ignore[attr-defined]

    def _around(
        self, view: Callable[..., Any], scopes: tuple[str, ...], route: RoutePolicy
    ) -> Callable[..., Any]:
        if _is_awaited(view):

            async def protected_async(request: Any, *args: Any, **kwargs: Any) -> Any:
                # A decision may wait for a store or an issuer.
                admit = sync_to_async(self._admit, thread_sensitive=False)
                refused = await admit(request, scopes, route)
                if refused is not None:
                    return refused
                response = await view(request, *args, **kwargs)
                finish = sync_to_async(self._finish, thread_sensitive=False)
                return await finish(request, response)

            return protected_async

        def protected(request: Any, *args: Any, **kwargs: Any) -> Any:
            refused = self._admit(request, scopes, route)
            if refused is not None:
                return refused
            return self._finish(request, view(request, *args, **kwargs))

        return protected

    def _admit(
        self, request: Any, scopes: tuple[str, ...], route: RoutePolicy
    ) -> HttpResponse | None:
        """Decide about a request; return the answer to one that is refused."""
        try:
            request.dpop = self._decision(
                resource_request(request, self._client_certificate),
                scopes=scopes,
                route=route,
            )
        except AccessRefusedError as error:
            return self._refuse(request, error.refusal)
        return None

    def _refuse(self, request: HttpRequest, refusal: Refusal) -> HttpResponse:
        headers, body = self._gate.challenges.answer(refusal)
        response = HttpResponse(body, status=refusal.status)
        _set(response, headers)
        return _exposed(request, response)

    def _finish(self, request: Any, response: HttpResponseBase) -> HttpResponseBase:
        """Put on an answer what the client is to learn from it."""
        verified: VerifiedRequest | ObservedRequest = request.dpop
        headers = list(response.items())
        if verified.next_nonce is not None:
            headers = with_nonce(headers, verified.next_nonce)
        if verified.ticket is not None:
            headers = with_ticket(headers, verified.ticket, status=response.status_code)
        _set(response, headers)
        return _exposed(request, response)


def _is_awaited(view: Any) -> bool:
    """Tell whether what a view returns is awaited.

    The ``dispatch`` of a class whose methods are coroutines is none itself, and comes
    from ``method_decorator`` as a partial.
    """
    instance = getattr(getattr(view, "func", view), "__self__", None)
    return iscoroutinefunction(view) or getattr(instance, "view_is_async", False)


def _set(response: Any, headers: Headers) -> None:
    """Set fields, of which Django keeps one value each: several are joined."""
    joined: dict[str, str] = {}
    for name, value in headers:
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    for name, value in joined.items():
        response[name] = value
    if getattr(response, "is_rendered", True):
        _set_length(response)
    else:
        # Of a template, or of Django REST framework: there is no content yet.
        response.add_post_render_callback(_set_length)


def _set_length(response: Any) -> None:
    """Say how long an answer is: whoever signs it has to know when it is complete."""
    if not response.streaming and "Content-Length" not in response:
        response["Content-Length"] = str(len(response.content))


def _exposed(request: HttpRequest, response: Any) -> Any:
    if "Origin" in request.headers:
        for name, value in with_exposed(list(response.items())):
            response[name] = value
    return response
