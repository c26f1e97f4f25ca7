"""One signed request in httpx or httpx2: a proof for each time it is written.

The two have one interface under two names, so this names neither. An ``auth`` of httpx
is called above redirects and above transports that repeat a request, and both copy the
header fields. So a proof is made when a transport reads the fields, below all of that,
and a copy has no credentials in it (:rfc:`9449#section-4` wants a new proof each time).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from functools import cache, partial
from typing import Any, TypeGuard

from dpop_ext.client.cookie_field import with_cookies
from dpop_ext.client.destination import Destination
from dpop_ext.client.exchange import Attempt, Flow, Outcome, Reply
from dpop_ext.integrations.httpx_auth.limited import drain

_CREDENTIALS = ("Authorization", "DPoP")

#: Yields a request of either library, and is sent the response; or yields a ``Future``
#: to wait for before it goes on.
Sending = Generator[Any, Any, Any]


@cache
def signed_headers_type(base: Any) -> Any:
    """Return a class of header fields that are signed when a transport reads them.

    :param base: ``Headers`` of the library.
    """

    class SignedHeaders(base):
        """Header fields whose ``raw`` form has a new proof each time it is read.

        The library copies the fields without it for a redirect, whichever origin that
        leads to. The proof that stands under its name has been sent already, for
        whoever looks at ``response.request``.
        """

        def __init__(self, fields: Any, attempt: Attempt, authorization: Any) -> None:
            # With a known encoding: else the base class reads ``raw`` to guess it.
            super().__init__(fields, encoding=fields.encoding)
            self._attempt = attempt
            self._authorization = authorization
            self._sent: dict[str, str] = {}

        @property
        def raw(self) -> list[tuple[bytes, bytes]]:
            sent = dict(self._attempt.headers())
            if self._authorization is not None:
                sent.setdefault("Authorization", self._authorization)
            self._sent = {name.lower(): value for name, value in sent.items()}
            credentials = [
                (name.encode("ascii"), value.encode("ascii"))
                for name, value in sent.items()
            ]
            return [*super().raw, *credentials]

        def __getitem__(self, name: str) -> str:
            if name.lower() in self._sent:
                return self._sent[name.lower()]
            value: str = super().__getitem__(name)
            return value

        def __contains__(self, name: object) -> bool:
            return str(name).lower() in self._sent or super().__contains__(name)

        def __repr__(self) -> str:
            # Not the one of the base class, which would show the token.
            return f"<SignedHeaders {', '.join(self)}>"

    return SignedHeaders


def send_signed(
    request: Any,
    flow: Flow,
    *,
    earlier: list[Any],
    finish: Callable[[Outcome], None] | None = None,
    prepare: Callable[[Any, Attempt], Any] = lambda request, _attempt: request,
    with_body: bool = False,
) -> Generator[Any, Any, list[Any]]:
    """Send a request as its flow says.

    :param earlier: the responses to earlier attempts; those to the ones made here are
        added.
    :param prepare: makes the request of one attempt.
    :param finish: told how the exchange ended.
    :param with_body: the flow reads the body of the response.
    :returns: the responses from the answer to the last attempt on: more than one if the
        library followed a redirect.
    """
    attempt = next(flow)
    while True:
        first = attempt.turn()
        if first is not None:
            yield first
        signed = prepare(request, attempt)
        response = yield sign(signed, attempt)
        # The library lists the refusals before, then any redirects of this attempt.
        hops = [*response.history, response][len(earlier) :]
        earlier.append(response)
        try:
            body = hops[0].content if with_body else b""
            attempt = flow.send(read_reply(hops[0], body=body))
        except StopIteration as end:
            if finish is not None and end.value is not None:
                finish(end.value)
            return hops
        drain(response)
        send_cookies(hops[0], request)


def is_future(step: Any) -> TypeGuard[Future[None]]:
    """Tell what to wait for from a request to send."""
    return isinstance(step, Future)


def send_cookies(response: Any, request: Any) -> None:
    """Let the next attempt have the cookies that this one got, beside its own."""
    if not response.cookies:
        return
    # Of a request that has some, the library leaves the field as it is.
    bare = _plain_type(request)(request.method, request.url)
    type(response.cookies)(response.cookies).set_cookie_header(bare)
    field = with_cookies(request.headers.get("Cookie"), bare.headers.get("Cookie"))
    if field is not None:
        request.headers["Cookie"] = field


def is_replayable(request: Any) -> bool:
    """Tell whether the body can be sent a second time."""
    try:
        # There, if it is in memory: empty, bytes, text, JSON or a form.
        _ = request.content
    except RuntimeError:
        fields = getattr(request.stream, "fields", None)
        return fields is not None and all(map(_is_replayable_field, fields))
    return True


def read_content(request: Any) -> bytes:
    """Return the content of a request, and keep it in memory.

    :raises ValueError: it can be read asynchronously only, which nobody does here.
    """
    content: bytes
    if isinstance(request.stream, Iterable):
        content = request.read()
        return content
    raise ValueError("Content that is read asynchronously has no digest: give bytes.")


def redirected(origin: str, hops: list[Any]) -> Any | None:
    """Return the request to sign after redirects that went out without credentials.

    :param origin: of the request that was signed. A redirect that left it is not
        signed, not even when it comes back: whoever it led to chose where.
    :returns: None if there was no redirect, or it needs no credentials, or gets none.
        Its body is the one of the first request, or none.
    """
    last = hops[-1]
    if len(hops) == 1 or last.status_code != 401:
        return None
    if not all(is_at(origin, str(hop.request.url)) for hop in hops[1:]):
        return None
    return last.request


def is_at(origin: str, url: str) -> bool:
    """Tell whether *url* is one for DPoP, and on *origin*."""
    try:
        return Destination.of(url).origin == origin
    except ValueError:
        return False


def sign(request: Any, attempt: Attempt) -> Any:
    """Let *request* have a new proof each time that a transport writes it."""
    # A plain one, also of fields that were signed.
    fields = request.headers.copy()
    authorization = fields.get("Authorization")
    base: Any = type(fields)
    request.__class__ = _signed_request_type(_plain_type(request))
    request.make_fields = partial(_signed, base, attempt, authorization)
    request.headers = fields
    return request


def _signed(base: Any, attempt: Attempt, authorization: Any, given: Any) -> Any:
    """Return header fields that are signed when a transport reads them.

    :param base: ``Headers`` of the library.
    :param given: any that it makes header fields of.
    """
    fields = base(given)
    for name in _CREDENTIALS:
        fields.pop(name, None)
    return signed_headers_type(base)(fields, attempt, authorization)


@cache
def _signed_request_type(base: Any) -> Any:
    """Return a class of requests that are signed, whatever their fields are set to.

    What measures a transport sets them to a copy, with fields of its own. That has no
    credentials in it, as the one for a redirect; but a redirect is another request.

    :param base: ``Request`` of the library.
    """

    class SignedRequest(base):
        # By it the library is known.
        __module__ = base.__module__
        plain_type = base

        @property
        def headers(self) -> Any:
            return self.__dict__["headers"]

        @headers.setter
        def headers(self, fields: Any) -> None:
            self.__dict__["headers"] = self.make_fields(fields)

    return SignedRequest


def _plain_type(request: Any) -> Any:
    return getattr(request, "plain_type", type(request))


def _is_replayable_field(field: Any) -> bool:
    """Tell whether a part of a multipart form is read from its start each time."""
    file = getattr(field, "file", b"")
    return isinstance(file, str | bytes) or (
        hasattr(file, "seekable") and bool(file.seekable())
    )


def read_reply(response: Any, **more: Any) -> Reply:
    """Return what a flow has to know.

    :param more: members of the reply that not every flow asks for.
    """
    return Reply(
        status=response.status_code,
        nonces=tuple(response.headers.get_list("DPoP-Nonce")),
        challenges=tuple(response.headers.get_list("WWW-Authenticate")),
        tickets=tuple(response.headers.get_list("DPoP-Ticket")),
        retry_after=response.headers.get("Retry-After"),
        dates=tuple(response.headers.get_list("Date")),
        **more,
    )
