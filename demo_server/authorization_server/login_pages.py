"""Where people sign in, and out again."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from flask import Blueprint, redirect, request, url_for
from werkzeug import Response

from demo_server.authorization_server import attempt_limit, browser_session
from demo_server.authorization_server.html_page import error_page, page
from demo_server.authorization_server.server import (
    AUTHORIZATION_PATH,
    Server,
    log_refusal,
)
from demo_server.models import Client, User
from demo_server.passwords import check_password

#: Where a log-in may lead: back to an authorization request, and nowhere else.
_TARGET = re.compile(re.escape(AUTHORIZATION_PATH) + r"\?[\x21-\x7e]{1,8000}")


def create_blueprint(server: Server) -> Blueprint:
    """Return the pages."""
    pages = Blueprint("login", __name__)

    def ask(target: str, message: str = "", status: int = 200) -> Response:
        client = _client(server, target)
        return page("login.html", status, target=target, message=message, client=client)

    @pages.get("/")
    def index() -> Response:
        application = server.settings.client_url
        return page("index.html", issuer=server.issuer, application=application)

    @pages.get("/login")
    def form() -> Response:
        return ask(request.args.get("next", ""))

    @pages.post("/login")
    def submit() -> Response:
        target = request.form.get("next", "")
        if not browser_session.is_csrf_token_valid():
            log_refusal("stale_form")
            return ask(target, "This page was too old. Please try again.", 400)
        name = request.form.get("username", "")
        # No name in the log: people type passwords into the wrong field.
        if not attempt_limit.may_try(server, _counted(name), request.remote_addr):
            log_refusal("too_many_log_ins")
            minutes = attempt_limit.WINDOW // 60
            text = f"Too many attempts for this name. Please wait {minutes} minutes."
            response = ask(target, text, 429)
            response.headers["Retry-After"] = str(attempt_limit.WINDOW)
            return response
        user = _find(server, name, request.form.get("password", ""))
        if user is None:
            log_refusal("wrong_password")
            return ask(target, "Name or password are not right.", 401)
        attempt_limit.forget(server, _counted(name), request.remote_addr)
        browser_session.sign_in(server, user)
        return redirect(target if is_target(target) else url_for(".index"), 303)

    @pages.post("/logout")
    def logout() -> Response:
        if not browser_session.is_csrf_token_valid():
            log_refusal("stale_form")
            return error_page(400, "This page was too old.")
        browser_session.sign_out(server)
        return redirect(url_for(".form", next=request.form.get("next", "")), 303)

    return pages


def is_target(target: str) -> bool:
    """Whether a log-in may lead to *target*: an authorization request to us."""
    return _TARGET.fullmatch(target) is not None


def _counted(username: str) -> str:
    return f"user {username}"


def _client(server: Server, target: str) -> Client | None:
    """Return who is waiting for the person, as far as that is known already."""
    if not is_target(target):
        return None
    names = parse_qs(urlsplit(target).query).get("client_id", [])
    return server.query_client(names[0]) if len(names) == 1 else None


def _find(server: Server, name: str, password: str) -> User | None:
    # PostgreSQL refuses to look for a name with a NUL.
    user = None if "\0" in name else server.database.session.get(User, name)
    stored = user.password_hash if user is not None else None
    return user if check_password(stored, password) else None
