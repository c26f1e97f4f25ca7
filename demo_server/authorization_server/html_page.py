"""HTML pages for people: never kept, never framed, without a script."""

from __future__ import annotations

from flask import Response, make_response, render_template

from demo_server.authorization_server import browser_session


def page(template: str, status: int = 200, **values: object) -> Response:
    """Return a page with the CSRF token for its forms."""
    token = browser_session.csrf_token()
    body = render_template(template, csrf_token=token, **values)
    response = make_response(body, status)
    response.headers["Cache-Control"] = "no-store"
    return response


def error_page(status: int, text: str) -> Response:
    """Return a page that says what is wrong."""
    return page("error.html", status, text=text)
