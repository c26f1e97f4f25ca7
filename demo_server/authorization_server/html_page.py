"""HTML pages for people: never kept, never framed, without a script."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Response, make_response, render_template, request

from demo_server.authorization_server import browser_session


def page(template: str, status: int = 200, **values: object) -> Response:
    """Return a page with the CSRF token for its forms."""
    token = browser_session.csrf_token()
    # Its own name, not what the request says: people compare it with the address.
    host = urlsplit(request.url_root).netloc
    body = render_template(template, csrf_token=token, host=host, **values)
    response = make_response(body, status)
    response.headers["Cache-Control"] = "no-store"
    return response


def error_page(status: int, text: str) -> Response:
    """Return a page that says what is wrong."""
    return page("error.html", status, text=text)
