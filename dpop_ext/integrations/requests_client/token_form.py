"""Client authentication for each time that a form is written: :rfc:`7523#section-2.2`.

The assertion of ``private_key_jwt`` stands in the form and is good once, and so is a
proof that is too long for a header field. urllib3 that is told to repeat a ``POST``
writes the same form again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, TypeAlias

from requests.models import PreparedRequest

from dpop_ext.client.exchange import Attempt, extend_form

#: Adds client authentication to a request.
Authenticate: TypeAlias = Callable[[PreparedRequest], PreparedRequest]


class Authenticated(NamedTuple):
    """What client authentication made of a request."""

    #: Header fields that it set.
    fields: Mapping[str, str]
    body: bytes


class TokenForms:
    """The forms of one request, one for each attempt.

    An attempt takes the form and its header fields, in either order.

    :param first: that of the first attempt.
    :param make: authenticates the request anew.
    """

    def __init__(self, first: Authenticated, make: Callable[[], Authenticated]) -> None:
        #: What the present attempt consists of, or the next one.
        self.present = first
        self._make = make
        self._taken: set[str] = set()

    def take(self, part: Literal["body", "fields"]) -> Authenticated:
        """Return what the next attempt consists of.

        :param part: that is written now.
        """
        if part in self._taken:
            self.present = self._make()
            self._taken = set()
        self._taken.add(part)
        return self.present


class TokenForm(str):
    """A form that is another one each time it is written.

    urllib3 encodes a text once for each attempt, and names no encoding. The text itself
    is the first form.
    """

    __slots__ = ("_forms",)

    _forms: TokenForms

    @classmethod
    def of(cls, first: Authenticated, forms: TokenForms) -> TokenForm:
        """Make one that is the text of *first*."""
        form = cls(first.body.decode("latin-1"))
        form._forms = forms
        return form

    def encode(self, encoding: str = "", errors: str = "strict") -> bytes:
        """Return the form of the next attempt."""
        if encoding == "utf-8":
            # requests measures it.
            return self._forms.present.body
        return self._forms.take("body").body


def authenticate_form(
    request: PreparedRequest,
    authenticate: Authenticate,
    *,
    attempt: Callable[[], Attempt],
) -> TokenForms:
    """Authenticate a request to the token endpoint, anew for each attempt.

    :param request: complete but for its credentials; it gets those of the first.
    :param attempt: returns the one that is made.
    """
    draft = request.copy()

    def make(request: PreparedRequest) -> Authenticated:
        current = attempt()
        authenticate(request)
        body = extend_form(request.body or "", current.parameters())
        return Authenticated(
            dict(request.headers.items() - draft.headers.items()),
            body if isinstance(body, bytes) else body.encode(),
        )

    first = make(request)
    forms = TokenForms(first, lambda: make(draft.copy()))
    if first.body:
        request.body = TokenForm.of(first, forms)
    request.prepare_content_length(first.body)
    return forms
