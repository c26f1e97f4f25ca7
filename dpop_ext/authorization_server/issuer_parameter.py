"""The parameter ``iss`` of authorization responses (RFC 9207)."""

from __future__ import annotations

from contextvars import ContextVar
from html import escape
from typing import Any, Final
from urllib.parse import urlsplit

from authlib.common.urls import add_params_to_uri

from dpop_ext.authorization_server.errors import Header

#: What the form of Authlib ends with, for the response mode ``form_post``.
_FORM_END: Final = "</form></body></html>"
#: Whether the response is that of an endpoint which answers no authorization request.
_other_endpoint: ContextVar[bool] = ContextVar("dpop_ext_other_endpoint", default=False)


class IssuerIdentification:
    """Name the issuer in every authorization response, errors included.

    Authlib's ``IssuerParameter`` leaves it out of errors that are found before the
    user has decided, as ``get_consent_grant`` raises them, and of the form that the
    response mode ``form_post`` has. Register one of the two::

        server.register_extension(IssuerIdentification("https://as.example"))

    and publish ``authorization_response_iss_parameter_supported``. Where a log-out
    leads to (OpenID Connect RP-Initiated Logout) stays as it was registered.

    An application that is made anew registers one more at the same server: the last
    one decides.

    :param issuer: our issuer identifier.
    """

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer

    def __call__(self, server: Any) -> None:
        """Extend a server; called by Authlib."""
        replaced = getattr(server, "issuer_identification", None)
        server.issuer_identification = self
        if replaced is not None:
            return
        handle_response = server.handle_response
        respond_at_endpoint = server.create_endpoint_response

        def name_issuer(status: int, payload: Any, headers: list[Header]) -> Any:
            if not _other_endpoint.get():
                named: IssuerIdentification = server.issuer_identification
                payload, headers = named._name(payload, headers)
            return handle_response(status, payload, headers)

        def create_endpoint_response(*args: Any, **kwargs: Any) -> Any:
            reset = _other_endpoint.set(True)
            try:
                return respond_at_endpoint(*args, **kwargs)
            finally:
                _other_endpoint.reset(reset)

        server.handle_response = name_issuer
        server.create_endpoint_response = create_endpoint_response

    def _name(self, payload: Any, headers: list[Header]) -> tuple[Any, list[Header]]:
        if isinstance(payload, str) and payload.endswith(_FORM_END):
            value = escape(self._issuer)
            field = f'<input type="hidden" name="iss" value="{value}"/>'
            payload = payload.removesuffix(_FORM_END) + field + _FORM_END
        # A new list: that of the arguments may belong to every response.
        return payload, [self._named(header) for header in headers]

    def _named(self, header: Header) -> Header:
        name, value = header
        if name.lower() != "location":
            return header
        # A redirect URI has no fragment, so one is where the response is.
        in_fragment = bool(urlsplit(value).fragment)
        named = add_params_to_uri(value, {"iss": self._issuer}, fragment=in_fragment)
        return name, named
