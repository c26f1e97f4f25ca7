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
_PIECE = 64 * 1024
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


def read_reply(
    response: Response, *, with_body: bool, whole_within: float | None = None
) -> Reply:
    """Return what a flow has to know.

    :param with_body: the content is part of it, which is not compressed.
    :param whole_within: all fields and the content before content decoding are part of
        it, for which there are so many seconds.
    :raises ServerAnswerError: *with_body*, and it is compressed, has more than 128 KiB
        or takes longer than a minute.
    """
    if whole_within is not None:
        # As long as nobody has said whose it is, nobody else gets to see any of it.
        content = _take_content(response, seconds=whole_within)
        fields = getattr(response.raw, "headers", {}).items()
        return replace(
            read_reply(response, with_body=with_body),
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
    content = None
    length = getattr(response.raw, "length_remaining", None)
    if is_redirect if length is None else length <= MAX_REFUSAL:
        content = _read_raw(response, limit=MAX_REFUSAL, seconds=REFUSAL_TIMEOUT)
    response.close()
    if content is None or not is_plain(response.headers.get("Content-Encoding")):
        content = b""
    _keep(response, content)


def _read_raw(response: Response, *, limit: int, seconds: float) -> bytes | None:
    """Read content before content decoding; unless that is all, end its connection.

    :param limit: in bytes.
    :param seconds: that it may take.
    :returns: None if it has more than that, takes longer, or does not come to its end;
        or if the adapter is not built on urllib3, so that nobody knows what it was.
    """
    raw = response.raw
    if not isinstance(raw, HTTPResponse):
        return None
    # Not in urllib3 2.0.
    read_once = getattr(raw, "read1", None)
    deadline = time.monotonic() + seconds

    def read() -> bytes | None:
        content = bytearray()
        # ValueError: of a TLS socket that was shut down, as below.
        with suppress(HTTPError, OSError, ValueError):
            while time.monotonic() < deadline and len(content) <= limit:
                piece = (read_once or raw.read)(_PIECE, decode_content=False)
                if not piece:
                    return bytes(content)
                content += piece
        # Here: another thread would wait for the end of what this one reads.
        raw.close()
        raw.release_conn()
        return None

    if read_once is not None and raw.length_remaining is not None:
        return read()
    # The lines between chunks may come byte by byte, or never end: who reads them does
    # not look at the time.
    try:
        return within(seconds, read, late=TimeoutError, url=response.url)
    except TimeoutError:
        # So that the caller does not close, or hand back, what the thread still has.
        _replace_raw(response, b"")
        # Ends the thread and the connection; not in urllib3 before 2.3, where it ends
        # when the server lets go. RuntimeError, ValueError: it has just ended.
        with suppress(AttributeError, OSError, RuntimeError, ValueError):
            raw.shutdown()
        return None


def _replace_raw(response: Response, content: bytes) -> None:
    """Let *content* be read in place of what comes from the connection."""
    raw = response.raw
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

    content = within(TOKEN_DEADLINE, read, late=limited.late, url=response.url)
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


def _take_content(response: Response, *, seconds: float) -> bytes | None:
    """Read the content before content decoding, and let it be read once more.

    :returns: None as :func:`_read_raw` does.
    """
    content = _read_raw(response, limit=MAX_ANSWER, seconds=seconds)
    if content is None:
        response.close()
    else:
        _replace_raw(response, content)
    return content
