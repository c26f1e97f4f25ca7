"""The signed cookie of a browser: who is signed in, and its CSRF token."""

from __future__ import annotations

import hmac
import secrets

from flask import Flask, request, session

from demo_server.models import User

#: How long nobody needs to sign in again, in seconds.
LIFETIME = 1800


def configure(app: Flask, *, secure: bool) -> None:
    """Set up the cookie.

    :param secure: the server is reached by https.
    """
    # New with each start: a restart signs everybody out, and nothing is kept.
    app.secret_key = secrets.token_bytes(32)
    app.config.update(
        # The prefix ties the cookie to this host, and needs https.
        SESSION_COOKIE_NAME="__Host-dpop-demo" if secure else "dpop-demo",
        SESSION_COOKIE_SECURE=secure,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=LIFETIME,
    )


def csrf_token() -> str:
    """Return the token that a form of this browser must carry."""
    if "csrf" not in session:
        session["csrf"] = secrets.token_urlsafe(32)
    return str(session["csrf"])


def is_csrf_token_valid() -> bool:
    """Whether the form that came was one of ours, for this browser."""
    sent = request.form.get("csrf_token", "")
    expected = session.get("csrf", "")
    return bool(expected) and hmac.compare_digest(sent.encode(), expected.encode())


def sign_in(user: User) -> None:
    """Remember *user*, in a session that nobody could have prepared."""
    session.clear()
    session.permanent = True
    session["username"] = user.username


def sign_out() -> None:
    """Forget who was signed in."""
    session.clear()


def username() -> str | None:
    """Return who is signed in."""
    return session.get("username")
