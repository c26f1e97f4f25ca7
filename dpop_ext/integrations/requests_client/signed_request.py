"""One signed request in requests: a proof for each time it is written to a connection.

A request goes out again for three reasons (:rfc:`9449#section-4` wants a new proof each
time): urllib3 repeats it by its ``Retry``, requests follows a redirect, and the server
wants a nonce or another kind of proof. An ``auth`` of requests is called once, above
all of them. So the proof is made when urllib3 writes the header fields, below all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import wait
from typing import Any, TypeAlias

from requests.cookies import extract_cookies_to_jar, get_cookie_header
from requests.models import PreparedRequest, Response
from requests.structures import CaseInsensitiveDict

from dpop_ext.client.answer_limit import PLAIN_FIELDS
from dpop_ext.client.cookie_field import with_cookies
from dpop_ext.client.exchange import Attempt, Flow, Outcome
from dpop_ext.client.nonces import FIRST_ANSWER_WAIT
from dpop_ext.client.protection import NO_PROTECTION, Protection
from dpop_ext.client.rehearsal import RehearsalFlow
from dpop_ext.errors import ResponseProofError
from dpop_ext.integrations.requests_client.body import body_digest, rewinder
from dpop_ext.integrations.requests_client.redirect import (
    UnsendableHeaders,
    is_same_origin,
    redirect_target,
)
from dpop_ext.integrations.requests_client.reply import (
    drain,
    note_authentication,
    read_reply,
)
from dpop_ext.integrations.requests_client.signed_headers import SignedHeaders
from dpop_ext.integrations.requests_client.token_form import (
    Authenticate,
    TokenForms,
    authenticate_form,
)

#: Starts a flow for a method, a URL, a body that can or cannot be sent again, and its
#: digest if the exchange was told to make one.
Begin: TypeAlias = Callable[[str, str, bool, str | None], Flow]

#: Begins to ask for a nonce for a method and a URL, if none is known.
Rehearse: TypeAlias = Callable[[str, str], RehearsalFlow | None]

_CREDENTIALS = ("Authorization", "DPoP")


class Exchange:
    """One request, from the first attempt to the response that the caller gets.

    :param request: complete but for its credentials.
    :param begin: starts the flow, here and for a redirect on the same origin.
    :param authenticate: adds client authentication, anew for each attempt: the
        assertion of ``private_key_jwt`` is good for one. It marks a request to the
        token endpoint, of which a redirect is never signed.
    :param finish: told how the exchange ended.
    :param protection: what is authenticated beside what every proof covers.
    :param rehearse: begins to ask for a nonce.
    :raises ValueError: *protection* needs the digest of a body that can be read once
        only.
    """

    def __init__(
        self,
        request: PreparedRequest,
        begin: Begin,
        *,
        authenticate: Authenticate | None = None,
        finish: Callable[[Outcome], None] | None = None,
        protection: Protection = NO_PROTECTION,
        rehearse: Rehearse | None = None,
    ) -> None:
        self._begin = begin
        self._rehearse = rehearse
        self._protection = protection
        self._authenticate = authenticate
        self._finish = finish
        self._method = str(request.method)
        self._url = str(request.url)
        self._body = request.body
        self._rewind = rewinder(request.body)
        self._forms: TokenForms | None = None
        self._attempt: Attempt | None = self._start()

    @property
    def is_token_request(self) -> bool:
        """Whether it is one to the authorization server."""
        return self._authenticate is not None

    @property
    def is_replayable(self) -> bool:
        """Whether the body can be sent a second time."""
        return self._rewind is not None or isinstance(self._body, str | bytes | None)

    def rehearse(self) -> RehearsalFlow | None:
        """Begin to ask for a nonce, if this one is sent once only and needs one."""
        if self._rehearse is None or self.is_replayable:
            return None
        return self._rehearse(self._method, self._url)

    def _start(self) -> Attempt:
        replayable = self.is_replayable
        digest = None
        if self._protection.needs_content:
            digest = body_digest(self._body, self._rewind)
        self._flow = self._begin(self._method, self._url, replayable, digest)
        self._sent: CaseInsensitiveDict[str] | None = None
        self._original: PreparedRequest | None = None
        return next(self._flow)

    def prepare(self, request: PreparedRequest) -> None:
        """Make *request* one that is signed when it is written."""
        if self._authenticate is not None:
            request.url, request.body = self._url, self._body
            request.headers.update(PLAIN_FIELDS)
            self._forms = authenticate_form(
                request, self._authenticate, attempt=self._current
            )
        self._protection.check_fields(request.headers)
        request.headers = SignedHeaders(request.headers, self)
        if follow not in request.hooks["response"]:
            request.hooks["response"].append(follow)

    def _current(self) -> Attempt:
        """Return the attempt that is made; begin again after the last one."""
        # None: the caller kept the prepared request, and sends it once more.
        self._attempt = self._attempt or self._start()
        return self._attempt

    def write(self, fields: Mapping[str, str]) -> CaseInsensitiveDict[str]:
        """Add token and proof for one attempt."""
        attempt = self._current()
        first = attempt.turn()
        if first is not None:
            wait([first], timeout=FIRST_ANSWER_WAIT)
        # Again, because whoever came since may have added some: a cache does.
        self._protection.check_fields(fields)
        self._sent = CaseInsensitiveDict[str](fields)
        if self._forms is not None:
            authenticated = self._forms.take("fields")
            self._sent.update(authenticated.fields)
            if authenticated.body:
                self._sent["Content-Length"] = str(len(authenticated.body))
        self._sent.update(attempt.headers())
        return self._sent

    def proceed(self, response: Response, **kwargs: Any) -> Response | None:
        """Look at a response, and send the request again if that can help.

        :returns: the next response; None if *response* is the one for the caller.
        """
        fields = CaseInsensitiveDict[str](response.request.headers)
        # The request that the session has in hand, and copies for a redirect.
        self._original = self._original or response.request
        if self._sent is not None:
            response.request.headers = SignedHeaders(self._sent, self)
        whole = self._attempt is not None and self._attempt.authenticate
        try:
            reply = read_reply(
                response,
                with_body=self.is_token_request,
                whole_within=self._protection.answer_deadline if whole else None,
            )
            self._attempt = self._flow.send(reply)
        except StopIteration as end:
            self._attempt = None
            if response.is_redirect:
                self._hand_over(response, fields)
            self._original = None
            if self._finish is not None and end.value is not None:
                self._finish(end.value)
            if end.value is not None:
                note_authentication(response, end.value)
            return None
        except ResponseProofError as error:
            self._attempt = None
            response.close()
            if self._finish is not None:
                self._finish(Outcome(refresh_due=error.refresh_due))
            raise
        return self._resend(response, fields, **kwargs)

    def _resend(
        self, response: Response, fields: CaseInsensitiveDict[str], **kwargs: Any
    ) -> Response:
        drain(response)
        request = response.request.copy()
        request.headers = fields
        if self._rewind is not None:
            self._rewind()
        if response.cookies:
            _take_cookies(request, response)
        self.prepare(request)
        again: Response = response.connection.send(request, **kwargs)
        # The session takes the cookies of the history, too.
        again.history = [*response.history, response]
        again.request = request
        return again

    def _hand_over(self, response: Response, fields: CaseInsensitiveDict[str]) -> None:
        """Leave a redirect to requests, with credentials for the same origin only.

        requests copies the fields of the request that was redirected. For another
        host it drops ``Authorization``, and would keep ``DPoP``. And it reads the
        content, however long that is.
        """
        original = self._original or response.request
        drain(response, is_redirect=True)
        for name in _CREDENTIALS:
            fields.pop(name, None)
        response.request.headers = fields
        target = redirect_target(response)
        if self.is_token_request:
            # Nor does the grant go anywhere else, or a client secret beside it.
            fields.pop("Content-Length", None)
            original.body = None
        elif target is not None and is_same_origin(str(target.url), str(original.url)):
            fields = self._succeed(target, fields)
        elif self._protection.authenticated_responses:
            fields = UnsendableHeaders(fields)
        original.headers = fields

    def _succeed(
        self, target: PreparedRequest, fields: CaseInsensitiveDict[str]
    ) -> CaseInsensitiveDict[str]:
        """Return the fields of the request that a redirect leads to."""
        try:
            successor = Exchange(
                target,
                self._begin,
                finish=self._finish,
                protection=self._protection,
                rehearse=self._rehearse,
            )
        except ResponseProofError:
            # The key is not for that path. It may be that nobody follows.
            return UnsendableHeaders(fields)
        return SignedHeaders(fields, successor)


def _take_cookies(request: PreparedRequest, response: Response) -> None:
    """Let *request* have the cookies that the attempt before got, beside its own."""
    # Private, but the only way to the jar: HTTPDigestAuth does the same.
    jar: Any = getattr(request, "_cookies", None)
    own = request.headers.pop("Cookie", None)
    was_from_jar = own == get_cookie_header(jar, request)  # type: ignore[no-untyped-call]
    extract_cookies_to_jar(jar, response.request, response.raw)  # type: ignore[no-untyped-call]
    if was_from_jar:
        request.prepare_cookies(jar)
        return
    # The caller's field, beside which requests sends none of the jar.
    got = get_cookie_header(response.cookies, request)  # type: ignore[no-untyped-call]
    field = with_cookies(own, got)
    if field is not None:
        request.headers["Cookie"] = field


def is_token_request(request: PreparedRequest) -> bool:
    """Tell whether a request is a signed one to the authorization server."""
    fields = request.headers
    return isinstance(fields, SignedHeaders) and fields.exchange.is_token_request


def follow(response: Response, **kwargs: Any) -> Response:
    """Take the response of a signed request to its end; a response hook of requests.

    It has no state, and knows a signed request by its headers: requests also calls it
    for the redirects of a request that it was registered for.
    """
    while isinstance(response.request.headers, SignedHeaders):
        exchange = response.request.headers.exchange
        again = exchange.proceed(response, **kwargs)
        if again is None:
            break
        response = again
    return response
