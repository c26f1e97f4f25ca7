"""Who is signed in: a signed cookie that names a row, which ends with the log-out."""

from __future__ import annotations

import hmac
import secrets

from flask import Flask, request, session
from sqlalchemy import delete

from demo_server import private_file
from demo_server.authorization_server.server import Server
from demo_server.models import BrowserSession, User
from demo_server.settings import Settings
from demo_server.token_hash import token_hash

#: How long nobody needs to sign in again, in seconds.
LIFETIME = 1800


def configure(app: Flask, settings: Settings) -> None:
    """Set up the cookie.

    :raises PrivateFileError: the file of its key cannot be read, written or trusted.
    """
    # Of a file, because any worker may get the next request of a browser.
    path = settings.keys_directory / "session.key"
    app.secret_key = private_file.read_or_create(path, lambda: secrets.token_bytes(32))
    secure = settings.issuer_url.startswith("https:")
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


def sign_in(server: Server, user: User) -> None:
    """Remember *user*, in a session that nobody could have prepared."""
    session.clear()
    session.permanent = True
    session["id"] = secrets.token_urlsafe(32)
    rows = server.database.session
    rows.execute(delete(BrowserSession).where(BrowserSession.expires_at <= server.now))
    rows.add(
        BrowserSession(
            session_hash=token_hash(session["id"]),
            username=user.username,
            expires_at=server.now + LIFETIME,
        )
    )
    rows.commit()


def sign_out(server: Server) -> None:
    """End the session: the cookie is good no more, wherever a copy of it is."""
    hashed = token_hash(session.get("id", ""))
    rows = server.database.session
    rows.execute(delete(BrowserSession).where(BrowserSession.session_hash == hashed))
    rows.commit()
    session.clear()


def username(server: Server) -> str | None:
    """Return who is signed in."""
    hashed = token_hash(session.get("id", ""))
    row = server.database.session.get(BrowserSession, hashed)
    if row is None or server.now >= row.expires_at:
        return None
    return row.username
