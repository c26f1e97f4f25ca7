"""Errors outside the protocol: constant text, and never a stack trace."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable

from flask import Flask, Response, jsonify, request
from gunicorn.http.errors import ParseException
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from demo_server.private_file import PrivateFileError
from dpop_ext.errors import StoreError

log = logging.getLogger(__name__)

#: After how many seconds it is worth to try again.
RETRY_AFTER = 5


def register(
    app: Flask,
    *,
    html_for: Callable[[int, str], Response] | None = None,
    html_endpoints: tuple[str, ...] = (),
) -> None:
    """Handle every error that *app* has not handled.

    :param html_for: makes a page for a person, given status and text.
    :param html_endpoints: prefixes of the endpoints that are for a person.
    """

    def answer(status: int, error: str, text: str) -> Response:
        if html_for is not None and (request.endpoint or "").startswith(html_endpoints):
            response = html_for(status, text)
        else:
            response = jsonify(error=error, error_description=text)
            response.status_code = status
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response | HTTPException:
        if type(error).__module__ != HTTPException.__module__:
            return error  # a challenge of Authlib, which is an answer of the protocol
        status = error.code or 500
        reason, endpoint = error.name.lower().replace(" ", "_"), request.endpoint
        log.info("refused: %s, client -, %s endpoint", reason, endpoint or "unknown")
        response = answer(status, "invalid_request", error.name)
        for name, value in error.get_headers():
            if name.lower() in ("allow", "retry-after", "www-authenticate", "location"):
                response.headers[name] = value
        return response

    @app.errorhandler(ParseException)
    def malformed_body(error: ParseException) -> Response:
        # What the HTTP server finds out while the body is being read.
        log.warning("Bad Request: %s", type(error).__name__)
        return answer(400, "invalid_request", "Bad Request")

    @app.errorhandler(SQLAlchemyError)
    @app.errorhandler(StoreError)
    @app.errorhandler(PrivateFileError)
    def store_error(error: Exception) -> Response:
        log.error("%s at %s", type(error).__name__, _place(error))
        text = "The server cannot answer at the moment. Please try again."
        response = answer(503, "temporarily_unavailable", text)
        response.headers["Retry-After"] = str(RETRY_AFTER)
        return response

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        # Class and place: the message of an exception may repeat what was sent.
        log.error("unexpected %s at %s", type(error).__name__, _place(error))
        return answer(500, "server_error", "Something went wrong on our side.")


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{f.filename}:{f.lineno}" for f in reversed(frames[-4:]))
