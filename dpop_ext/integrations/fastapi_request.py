"""What is read of a request of FastAPI before its route: :rfc:`9449#section-7`."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, HTTPConnection, Request

from dpop_ext.errors import ContentTooLargeError, MalformedRequestError
from dpop_ext.integrations.wsgi_request import MAX_FORM
from dpop_ext.resource_server.credentials import names_access_token

#: Digits of the longest length that is looked at.
_MAX_DIGITS = 18


async def has_token_in_form(request: HTTPConnection) -> bool:
    """Tell whether a form names an access token; the route can still read it.

    :raises ClientDisconnect: it did not come to an end.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    length = request.headers.get("content-length", "")
    if kind != "application/x-www-form-urlencoded" or not isinstance(request, Request):
        return False
    if not length.isdecimal() or len(length) > len(str(MAX_FORM)):
        return False
    if not 0 < int(length) <= MAX_FORM:
        return False
    try:
        return names_access_token((await request.body()).decode("latin-1"))
    except RuntimeError:
        # FastAPI has taken it apart, for a route with form parameters.
        return "access_token" in await request.form()


async def read_content(request: HTTPConnection, limit: int) -> bytes:
    """Return the content, which FastAPI has read before if the route takes any.

    :raises ContentTooLargeError: it has more than *limit* bytes.
    :raises MalformedRequestError: its length is not known, or it was taken apart.
    """
    length = request.headers.get("content-length", "0")
    chunked = "transfer-encoding" in request.headers
    if chunked or not length.isdecimal() or len(length) > _MAX_DIGITS:
        raise MalformedRequestError("The length of the content is not known.")
    if int(length) > limit:
        raise ContentTooLargeError
    if not isinstance(request, Request):
        return b""
    try:
        content = await request.body()
    except (RuntimeError, ClientDisconnect) as error:
        raise MalformedRequestError("The content cannot be read.") from error
    # HTTP/2 needs no Content-Length.
    if len(content) > limit:
        raise ContentTooLargeError
    return content
