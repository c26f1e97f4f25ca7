"""The parameters of a pushed request, as sent and as Authlib reads them (RFC 9126)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Payload

#: Characters that all names and values of a pushed request may have together.
MAX_LENGTH = 8192
#: Parameters that it may have.
MAX_PARAMETERS = 64

_FORM = "application/x-www-form-urlencoded"
#: Parts of the client authentication: they are no parameters of the request, and
#: nobody needs to keep them.
_CREDENTIALS = frozenset(("client_assertion", "client_assertion_type", "client_secret"))


class PushedPayload(OAuth2Payload):
    """Stands for the query of an authorization request.

    Unlike ``BasicOAuth2Payload`` it keeps all values of a repeated parameter, so that
    what is refused when repeated, or allowed, is so after a push too.

    :param parameters: each with its values, at least one.
    """

    def __init__(self, parameters: Mapping[str, Sequence[Any]]) -> None:
        self._data = {name: values[0] for name, values in parameters.items()}
        self._datalist = {name: list(values) for name, values in parameters.items()}

    @property
    def data(self) -> dict[str, Any]:
        """The first value of each parameter."""
        return self._data

    @property
    def datalist(self) -> dict[str, list[Any]]:
        """All values of each parameter."""
        return self._datalist


class MethodNotAllowedError(InvalidRequestError):
    """The endpoint takes POST only (:rfc:`9126#section-2.3`)."""

    status_code = 405
    description = "The request method must be POST."

    def get_headers(self) -> list[tuple[str, str]]:
        """Say which method is allowed."""
        return [*super().get_headers(), ("Allow", "POST")]


def read_pushed_parameters(request: Any) -> dict[str, list[str]]:
    """Return the parameters that a client pushes, without its credentials.

    :param request: the OAuth2Request.
    :raises InvalidRequestError: another method than POST; a query, or a body that is
        not a form; too many parameters or characters; a repeated parameter other than
        ``resource``, about which the audience rules decide; a ``request_uri``.
    """
    if request.method != "POST":
        raise MethodNotAllowedError
    if request.args:
        raise InvalidRequestError("The parameters must be in the body.")
    media_type = request.headers.get("Content-Type", "").partition(";")[0]
    if media_type.strip().lower() != _FORM:
        raise InvalidRequestError("The body must be a form.")
    form = request.form
    parameters = {
        name: list(form.getlist(name)) if hasattr(form, "getlist") else [form[name]]
        for name in form
    }
    texts = [*parameters, *(v for values in parameters.values() for v in values)]
    if len(parameters) > MAX_PARAMETERS or sum(map(len, texts)) > MAX_LENGTH:
        raise InvalidRequestError("The request is too large.", status_code=413)
    for name, values in parameters.items():
        if len(values) > 1 and name != "resource":
            raise InvalidRequestError("A parameter is repeated.")
    if "request_uri" in parameters:
        raise InvalidRequestError("The request_uri parameter must not be pushed.")
    return {
        name: values for name, values in parameters.items() if name not in _CREDENTIALS
    }
