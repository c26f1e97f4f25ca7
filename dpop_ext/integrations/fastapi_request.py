"""What is read of a request of FastAPI before its route: :rfc:`9449#section-7`."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, HTTPConnection, Request

from dpop_ext.errors import ContentTooLargeError, MalformedRequestError
from dpop_ext.integrations.form_content import content_length, form_length, is_form
from dpop_ext.resource_server.credentials import names_access_token


async def has_token_in_form(request: HTTPConnection) -> bool:
    """Tell whether a form names an access token; the route can still read it.

    :raises ClientDisconnect: it did not come to an end.
    """
    fields = request.headers
    if not is_form(fields.get("content-type", "")) or not isinstance(request, Request):
        return False
    if not form_length(fields.get("content-length", "")):
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
    length = content_length(request.headers.get("content-length", "0"))
    if length is None or "transfer-encoding" in request.headers:
        raise MalformedRequestError("The length of the content is not known.")
    if length > limit:
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
