"""Answers to introspection requests as signed JWTs (RFC 9701)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from joserfc.jwk import Key, KeySet

from dpop_ext.authorization_server.signing_key import sign

TYPE: Final = "token-introspection+jwt"


class SignedIntrospection:
    """Mixin for introspection endpoints: a signed answer for whom wants one.

    ::

        class Introspection(
            SignedIntrospection, IntrospectionConfirmation, IntrospectionEndpoint
        ):
            issuer = "https://as.example"
            def get_signing_keys(self):
                return private_keys

    A resource server asks for it by ``Accept: application/token-introspection+jwt``.
    The answer then proves what was said about a token, ``cnf`` included, to that server
    alone. Errors are JSON as ever.
    """

    #: Identifier of the authorization server.
    issuer: str | None = None
    #: Signature algorithm, an asymmetric one. What
    #: ``introspection_signing_alg_values_supported`` of the server metadata lists.
    signing_alg: str = "ES256"
    #: Seconds since the epoch.
    clock: Callable[[], float] = staticmethod(time.time)

    def get_signing_keys(self) -> Key | KeySet:
        """Return the private keys, oldest to newest. Developers MUST implement it."""
        raise NotImplementedError

    def get_resource_server_id(self, client: Any) -> str:
        """Return the ``aud`` of an answer to *client*.

        Developers MAY re-implement this method. It is the client identifier of the
        resource server.
        """
        name: str = client.get_client_id()
        return name

    def create_endpoint_response(self, request: Any) -> Any:
        """Answer as the endpoint does, and sign the answer when asked to."""
        endpoint: Any = super()
        status, body, headers = endpoint.create_endpoint_response(request)
        if status != 200 or not _wants_jwt(request.headers.get("Accept", "")):
            return status, body, headers
        if self.issuer is None:
            raise RuntimeError("SignedIntrospection needs its issuer.")
        claims = {
            "iss": self.issuer,
            "aud": self.get_resource_server_id(request.client),
            "iat": int(self.clock()),
            "token_introspection": body,
        }
        text = sign(
            claims, self.get_signing_keys(), algorithm=self.signing_alg, typ=TYPE
        )
        others = [field for field in headers if field[0].lower() != "content-type"]
        return status, text, [("Content-Type", f"application/{TYPE}"), *others]


def _wants_jwt(accept: str) -> bool:
    """Tell whether the type is in *accept* (:rfc:`9110#section-12.5.1`)."""
    for entry in accept.split(","):
        name, *parameters = (part.strip().lower() for part in entry.split(";"))
        if name == f"application/{TYPE}":
            return not any(_is_zero(parameter) for parameter in parameters)
    return False


def _is_zero(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name == "q" and not value.strip("0.")
