"""The authorization endpoint: what a person allows a client (RFC 6749 section 4.1)."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlsplit

from authlib.oauth2 import OAuth2Error
from flask import Blueprint, redirect, request, url_for
from werkzeug import Response

from demo_server import demo_data
from demo_server.authorization_server import browser_session
from demo_server.authorization_server.html_page import error_page, page
from demo_server.authorization_server.login_pages import is_target
from demo_server.authorization_server.server import (
    AUTHORIZATION_PATH,
    Server,
    log_refusal,
)
from demo_server.models import User

#: What an error that has nowhere to go tells the person before the screen.
_EXPLANATIONS = {
    "invalid_client": "The application that sent you here is not known to this server.",
    "unauthorized_client": "The application that sent you here may not do this.",
    "invalid_request_uri": "This request is too old, or was answered already. "
    "Please start once more in the application.",
}
_EXPLANATION = "The application that sent you here made a faulty request."


def create_blueprint(server: Server) -> Blueprint:
    """Return the endpoint.

    The request is validated three times: before the log-in, before the question, and
    when the answer comes back. What it says is read from its URL each time, so nothing
    can be lost or changed in between.
    """
    pages = Blueprint("authorization", __name__)

    def refuse(error: OAuth2Error) -> Response:
        """Tell the client, if it is clear who that is; else the person."""
        if not error.redirect_uri:
            return error_page(400, _EXPLANATIONS.get(error.error, _EXPLANATION))
        return _see_other(server.handle_error_response(None, error))

    @pages.get(AUTHORIZATION_PATH)
    def ask() -> Response:
        try:
            grant = server.get_consent_grant()
        except OAuth2Error as error:
            return refuse(error)
        target = f"{AUTHORIZATION_PATH}?{request.query_string.decode('latin-1')}"
        if not is_target(target):
            return error_page(400, _EXPLANATION)
        user = _signed_in(server)
        if user is None:
            return redirect(url_for("login.form", next=target), 303)
        response = page(
            "consent.html",
            user=user,
            client=grant.client,
            scopes=[demo_data.SCOPES[name] for name in grant.request.scope.split()],
            audience=grant.request.audience,
            key=_shortened(grant.request.dpop_jkt),
            returns_to=_origin(grant.redirect_uri),
            target=target,
        )
        # Browsers apply form-action to the redirections that follow a form.
        source = _source(grant.redirect_uri)
        response.content_security_policy.form_action = f"'self' {source}"
        return response

    @pages.post(AUTHORIZATION_PATH)
    def decide() -> Response:
        user = _signed_in(server)
        if user is None or not browser_session.is_csrf_token_valid():
            log_refusal("stale_form")
            return error_page(400, "This page was too old. Please start once more.")
        decision = request.form.get("decision")
        if decision not in ("allow", "deny"):
            log_refusal("no_decision")
            return error_page(400, "Please choose to allow or to deny.")
        try:
            grant = server.get_consent_grant(end_user=user)
        except OAuth2Error as error:
            return refuse(error)
        response: Response = server.create_authorization_response(
            grant_user=user if decision == "allow" else None, grant=grant
        )
        if response.location is None:
            # Of two answers to one pushed request, the second.
            return error_page(400, _EXPLANATIONS["invalid_request_uri"])
        return _see_other(response)

    return pages


def _see_other(response: Response) -> Response:
    """Make a redirection to the client one that repeats no form and is not kept."""
    response.headers["Cache-Control"] = "no-store"
    response.status_code = HTTPStatus.SEE_OTHER
    return response


def _signed_in(server: Server) -> User | None:
    name = browser_session.username(server)
    return server.database.session.get(User, name) if name else None


def _shortened(jkt: str | None) -> str | None:
    """Return enough of a thumbprint to compare it with what an application shows."""
    return f"{jkt[:8]}…{jkt[-4:]}" if jkt else None


def _origin(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"


def _source(uri: str) -> str:
    """Return the source expression of a content security policy for *uri*."""
    origin = _origin(uri)
    # There is none for an IPv6 address, only for its scheme.
    return "http:" if "[" in origin else origin
