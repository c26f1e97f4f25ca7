"""What a flow has to know of a response (:rfc:`9449#section-8.2`)."""

from __future__ import annotations

import io
from dataclasses import replace

from requests.models import Response
from urllib3 import HTTPHeaderDict, HTTPResponse
from urllib3.exceptions import HTTPError

from dpop_ext.client.exchange import Outcome, Reply
from dpop_ext.client.protection import AuthenticatedResponse
from dpop_ext.symmetric.response import MAX_ANSWER, RESPONSE_FIELD

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

    :param with_body: the content after content decoding is part of it.
    :param whole: all fields and the content before content decoding are part of it.
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
        body=response.content if with_body else b"",
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
