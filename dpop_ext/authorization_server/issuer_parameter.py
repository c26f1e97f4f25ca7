"""The parameter ``iss`` of authorization responses (RFC 9207)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from authlib.common.urls import add_params_to_uri

from dpop_ext.authorization_server.errors import Header


class IssuerIdentification:
    """Name the issuer in every redirection to a client, errors included.

    Authlib's ``IssuerParameter`` leaves it out of errors that are found before the
    user has decided, as ``get_consent_grant`` raises them. Register one of the two::

        server.register_extension(IssuerIdentification("https://as.example"))

    and publish ``authorization_response_iss_parameter_supported``.

    :param issuer: our issuer identifier.
    """

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer

    def __call__(self, server: Any) -> None:
        """Extend a server; called by Authlib."""
        handle_response = server.handle_response

        def name_issuer(status: int, payload: Any, headers: list[Header]) -> Any:
            # A new list: that of the arguments may belong to every response.
            return handle_response(status, payload, [self._named(h) for h in headers])

        server.handle_response = name_issuer

    def _named(self, header: Header) -> Header:
        name, value = header
        if name.lower() != "location":
            return header
        # A redirect URI has no fragment, so one is where the response is.
        in_fragment = bool(urlsplit(value).fragment)
        named = add_params_to_uri(value, {"iss": self._issuer}, fragment=in_fragment)
        return name, named
