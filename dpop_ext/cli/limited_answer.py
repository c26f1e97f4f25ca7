"""Answers of servers under examination, as far as they are read (:rfc:`9110`)."""

from __future__ import annotations

from typing import Any, Final

import requests
from requests import Response
from urllib3.exceptions import HTTPError

from dpop_ext.client.answer_limit import MAX_TOKEN_ANSWER, PLAIN_FIELDS, LimitedContent
from dpop_ext.client.time_limit import within
from dpop_ext.errors import ServerAnswerError
from dpop_ext.integrations.requests_client.redirect import forget_target

#: Seconds that one request may take as a whole.
TIMEOUT: Final = 10
#: Characters ``{}[]:,`` that a JSON object may have.
MAX_STRUCTURAL: Final = 8192

#: Bytes that are read at a time.
_PIECE = 16 * 1024


def ask(
    session: requests.Session,
    method: str,
    url: str,
    *,
    limit: int = MAX_TOKEN_ANSWER,
    **options: Any,
) -> tuple[Response, bytes]:
    """Send a request, and return the answer and its content before content decoding.

    No redirect is followed, and no compression asked for. A server that is looked into
    because something is wrong with it may send anything, for as long as it likes.

    :param session: gets no other of its settings changed.
    :param limit: bytes of the content; 0 reads none.
    :param options: of :meth:`requests.Session.request`.
    :raises requests.RequestException: no answer.
    :raises ServerAnswerError: it is too long, breaks off, or takes over
        :data:`TIMEOUT` seconds.
    """
    limited = LimitedContent(limit=limit, seconds=TIMEOUT)
    fields = {**PLAIN_FIELDS, **options.pop("headers", {})}

    def act() -> Response:
        with session.request(
            method,
            url,
            headers=fields,
            stream=True,
            timeout=TIMEOUT,
            allow_redirects=False,
            hooks={"response": forget_target},
            **options,
        ) as response:
            if limit:
                _read(response, limited)
            return response

    return within(TIMEOUT, act, late=limited.late, url=url), limited.content


def _read(response: Response, limited: LimitedContent) -> None:
    try:
        for piece in response.raw.stream(_PIECE, decode_content=False):
            limited.add(piece)
    except HTTPError as error:
        raise ServerAnswerError("The answer broke off.") from error
