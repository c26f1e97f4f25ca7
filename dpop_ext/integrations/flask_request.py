"""What is read of a request of Flask, and left for the view (:rfc:`9449#section-7`)."""

from __future__ import annotations

from functools import cached_property

from authlib.integrations.flask_oauth2.requests import (
    FlaskJsonPayload,
    FlaskJsonRequest,
)
from flask import request as flask_request
from werkzeug.datastructures import Headers

from dpop_ext.errors import ContentTooLargeError
from dpop_ext.integrations.form_content import FORM, MAX_FORM
from dpop_ext.integrations.wsgi_content import read_content


class ProtectedRequest(FlaskJsonRequest):
    """The request that is being served, as the validators of Authlib know it."""

    # Authlib's reads all of it, and what no validator asks for need not be made.
    __init__ = object.__init__

    @cached_property
    def method(self) -> str:
        """The method, as it came."""
        return flask_request.method

    @cached_property
    def uri(self) -> str:
        """The URL, as Flask puts it together."""
        return flask_request.url

    @cached_property
    def headers(self) -> Headers:
        """The header fields."""
        return flask_request.headers

    @cached_property
    def payload(self) -> FlaskJsonPayload:
        """The parameters in the content."""
        return FlaskJsonPayload(flask_request)


def has_token_in_form() -> bool:
    """Tell whether a form names an access token; the view can still read the body."""
    length = flask_request.content_length or 0
    if flask_request.mimetype != FORM:
        return False
    if not 0 < length <= MAX_FORM:
        return False
    # Kept first, because parsing a form uses the body up.
    flask_request.get_data(cache=True)
    return "access_token" in flask_request.form


def read_flask_content(limit: int) -> bytes:
    """Return the content; the view can still read it.

    :param limit: bytes that it may have.
    :raises ContentTooLargeError: it is longer.
    """
    if "stream" not in vars(flask_request):
        return read_content(flask_request.environ, limit)
    # Somebody has begun to read it. Whoever kept it finds it here; else it is empty.
    content = flask_request.get_data(cache=True)
    if len(content) > limit:
        raise ContentTooLargeError
    return content
