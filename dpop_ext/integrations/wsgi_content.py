"""The content of a WSGI request, read once and put back (:pep:`3333`)."""

from __future__ import annotations

import io
from typing import Any

from dpop_ext.errors import ContentTooLargeError, MalformedRequestError

#: Digits of the longest length that is looked at.
_MAX_DIGITS = 18


def read_content(environ: dict[str, Any], limit: int) -> bytes:
    """Return the content as received, and leave it for the application to read.

    The application can read what was read here and nothing beyond it.

    :param limit: bytes that it may have.
    :raises ContentTooLargeError: it has more.
    :raises MalformedRequestError: its length is no number, or more than what came; or
        it is chunked and the server does not say where it ends.
    """
    length = environ.get("CONTENT_LENGTH") or ""
    stream = environ["wsgi.input"]
    if length:
        if not (length.isascii() and length.isdecimal() and len(length) < _MAX_DIGITS):
            raise MalformedRequestError("The length of the content is malformed.")
        if int(length) > limit:
            raise ContentTooLargeError
        content = read_pieces(stream, int(length))
        if len(content) < int(length):
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
