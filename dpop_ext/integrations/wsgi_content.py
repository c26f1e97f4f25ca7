"""The content of a WSGI request, read once and put back (:pep:`3333`)."""

from __future__ import annotations

import io
from typing import Any

from dpop_ext.errors import ContentTooLargeError, MalformedRequestError
from dpop_ext.integrations.form_content import content_length


def read_content(environ: dict[str, Any], limit: int) -> bytes:
    """Return the content as received, and leave it for the application to read.

    The application can read what was read here and nothing beyond it.

    :param limit: bytes that it may have.
    :raises ContentTooLargeError: it has more.
    :raises MalformedRequestError: its length is no number, or more than what came; or
        it is chunked and the server does not say where it ends.
    """
    text = environ.get("CONTENT_LENGTH") or ""
    stream = environ["wsgi.input"]
    if text:
        length = content_length(text)
        if length is None:
            raise MalformedRequestError("The length of the content is malformed.")
        if length > limit:
            raise ContentTooLargeError
        content = read_pieces(stream, length)
        if len(content) < length:
            raise MalformedRequestError("The content is incomplete.")
    elif environ.get("wsgi.input_terminated"):
        content = read_pieces(stream, limit + 1)
        if len(content) > limit:
            raise ContentTooLargeError
    elif "HTTP_TRANSFER_ENCODING" in environ:
        raise MalformedRequestError("The length of the content is not known.")
    else:
        content = b""
    environ["wsgi.input"] = io.BytesIO(content)
    return content


def read_pieces(stream: Any, size: int) -> bytes:
    """Read *size* bytes, or what there is: a socket may give them piece by piece."""
    pieces = []
    while size > 0 and (piece := stream.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
