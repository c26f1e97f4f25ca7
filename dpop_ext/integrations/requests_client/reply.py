"""What a flow has to know of a response (:rfc:`9449#section-8.2`)."""

from __future__ import annotations

import io
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

from requests.models import PreparedRequest, Response
from urllib3 import HTTPHeaderDict, HTTPResponse
from urllib3.exceptions import HTTPError

from dpop_ext.client.answer_limit import (
    MAX_REFUSAL,
    REFUSAL_TIMEOUT,
    TOKEN_DEADLINE,
    LimitedContent,
    is_plain,
)
from dpop_ext.client.exchange import Outcome, Reply
from dpop_ext.client.protection import AuthenticatedResponse
from dpop_ext.client.time_limit import within
from dpop_ext.symmetric.response import MAX_ANSWER, RESPONSE_FIELD

#: Bytes that are read at a time.
_PIECE = 16 * 1024
#: Attribute of a response.
_AUTHENTICATION = "_dpop_authentication"


def note_authentication(response: Response, outcome: Outcome) -> None:
    """Keep with *response* what was found out about it."""
    setattr(response, _AUTHENTICATION, outcome.authentication)


def response_authentication(response: Response) -> AuthenticatedResponse | None:
    """Return what was found out about a response to a :class:`.DPoPAuth` request.

    :returns: None unless its protection has ``authenticated_responses``; then there is
        no response that was not authenticated.
    """
    found: AuthenticatedResponse | None = getattr(response, _AUTHENTICATION, None)
    return found


def read_reply(response: Response, *, with_body: bool, whole: bool) -> Reply:
    """Return what a flow has to know.

    :param with_body: the content is part of it, which is not compressed.
    :param whole: all fields and the content before content decoding are part of it.
    :raises ServerAnswerError: *with_body*, and it is compressed, has more than 128 KiB
        or takes longer than a minute.
    """
    if whole:
        # As long as nobody has said whose it is, nobody else gets to see any of it.
        content = _take_content(response)
        fields = getattr(response.raw, "headers", {}).items()
        return replace(
            read_reply(response, with_body=with_body, whole=False),
            response_proofs=field_lines(response, RESPONSE_FIELD),
            fields=tuple(fields),
            content=content,
        )
    return Reply(
        status=response.status_code,
        nonces=field_lines(response, "DPoP-Nonce"),
        challenges=field_lines(response, "WWW-Authenticate"),
        tickets=field_lines(response, "DPoP-Ticket"),
        retry_after=response.headers.get("Retry-After"),
        dates=field_lines(response, "Date"),
        body=_read_limited(response) if with_body else b"",
    )


def field_lines(response: Response, name: str) -> tuple[str, ...]:
    """Return each field line by itself: requests joins them, and two are not one."""
    fields = getattr(response.raw, "headers", None)
    if isinstance(fields, HTTPHeaderDict):
        return tuple(fields.getlist(name))
    # Of an adapter that is not built on urllib3. A joined value has a space, which no
    # nonce has.
    value = response.headers.get(name)
    return () if value is None else (value,)


def drain(response: Response, *, is_redirect: bool = False) -> None:
    """Read a refusal to its end if that is near, so that its connection is of use.

    Content that is longer or compressed is lost.

    :param is_redirect: try it even if nobody has said how near that is. requests would
        read all of a redirect, whether it follows or not.
    """
    if getattr(response, "_content_consumed", False):
        response.close()
        return
    content = _read_refusal(response.raw, most=MAX_REFUSAL if is_redirect else 0)
    response.close()
    if not is_plain(response.headers.get("Content-Encoding")):
        content = b""
    _keep(response, content)


def _read_refusal(raw: object, *, most: int) -> bytes:
    """Return the content before content decoding; empty if it is not near its end.

    :param most: bytes to try if it does not say its length.
    """
    read = getattr(raw, "read1", None)
    length = getattr(raw, "length_remaining", None)
    limit = MAX_REFUSAL if length is not None else most
    if read is None or (length or 0) > limit or not limit:
        return b""
    deadline = time.monotonic() + REFUSAL_TIMEOUT
    content = b""
    with suppress(HTTPError, OSError):
        while time.monotonic() < deadline:
            piece = read(_PIECE, decode_content=False)
            if not piece:
                return content
            content += piece
            if len(content) > limit:
                break
    return b""


def _keep(response: Response, content: bytes) -> None:
    """Let *content* be read once more."""
    # Private, but whoever reads it anew would find nothing.
    response._content = content  # noqa: SLF001
    response._content_consumed = True  # type: ignore[attr-defined]  # noqa: SLF001


def _read_limited(response: Response) -> bytes:
    """Read the content of an answer, and let it be read once more."""
    limited = LimitedContent()

    def read() -> bytes:
        try:
            limited.require_plain(response.headers.get("Content-Encoding"))
            for piece in response.iter_content(_PIECE):
                limited.add(piece)
        except Exception:
            # Here: another thread would wait for the end of what this one reads.
            response.close()
            raise
        return limited.content

    content = within(TOKEN_DEADLINE, read, late=limited.late())
    _keep(response, content)
    return content


def limit_answer(response: Response, **_: Any) -> None:
    """Read an answer as far as it may be read; a response hook of requests.

    :raises ServerAnswerError: it is compressed, has more than 128 KiB or takes longer
        than a minute.
    """
    _read_limited(response)


def is_limited(request: PreparedRequest) -> bool:
    """Tell whether the answer to a request is read by :func:`limit_answer`."""
    return limit_answer in request.hooks["response"]


def _take_content(response: Response) -> bytes | None:
    """Read the content before content decoding, and let it be read once more.

    :returns: None if it has more than 1 MiB, or does not come to its end; or if the
        adapter is not built on urllib3, so that nobody knows what it was.
    """
    raw = response.raw
    if not isinstance(raw, HTTPResponse):
        return None
    pieces: list[bytes] = []
    left = MAX_ANSWER + 1
    try:
        while left and (piece := raw.read(left, decode_content=False)):
            pieces.append(piece)
            left -= len(piece)
    except HTTPError:
        left = 0
    if not left:
        response.close()
        return None
    content = b"".join(pieces)
    response.raw = HTTPResponse(
        body=io.BytesIO(content),
        headers=raw.headers,
        status=raw.status,
        version=raw.version,
        reason=raw.reason,
        preload_content=False,
        # It has the cookies.
        original_response=getattr(raw, "_original_response", None),
        request_method=response.request.method,
        enforce_content_length=False,
    )
    return content
