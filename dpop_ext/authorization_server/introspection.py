"""What introspection says about a bound token (RFC 9449 section 6.2, RFC 7662)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from authlib.common.errors import AuthlibBaseError, ContinueIteration
from authlib.consts import default_json_headers
from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oauth2.rfc6750 import InvalidTokenError
from joserfc.errors import JoseError

from dpop_ext.authorization_server.client_metadata import metadata_of
from dpop_ext.authorization_server.introspected_jwt import read_jwt
from dpop_ext.authorization_server.refusal import PARSER_ERRORS, log_fault
from dpop_ext.mixin_order import require_first
from dpop_ext.symmetric.key_jwe import parse_header

_caller: ContextVar[Any] = ContextVar("dpop_ext_introspection", default=None)

#: What a resource server needs beside ``cnf.dsk`` or ``cnf.jwe`` to get at the key.
_NEEDED = ("iss", "aud", "client_id", "exp")
#: Claims of a JWT that the endpoint of Authlib leaves out.
_DELEGATION = ("act", "may_act")


class IntrospectionConfirmation:
    """Mixin for the introspection endpoints of Authlib, for opaque tokens and JWTs.

    ::

        class Introspection(IntrospectionConfirmation, IntrospectionEndpoint):
            issuer = "https://as.example"
            def query_token(self, token_string, token_type_hint): ...

    A bound token gets ``token_type`` DPoP and ``cnf``. Without the mixin a JWT would be
    reported as Bearer, and an RS would take it as such.
    """

    #: Identifier of the authorization server, for tokens with a symmetric key.
    issuer: str | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse an endpoint that would not ask this mixin.

        :raises TypeError: the endpoint of Authlib stands before it.
        """
        super().__init_subclass__(**options)
        require_first(cls, IntrospectionConfirmation, "create_introspection_payload")

    def create_endpoint_response(self, request: Any) -> Any:
        """Answer; a hostile token is an inactive one and never a server error.

        :raises InvalidRequestError: a parser fell over the credentials of the caller,
            who is not authenticated and so is told nothing.
        """
        endpoint: Any = super()
        reset = _caller.set(request)
        try:
            return endpoint.create_endpoint_response(request)
        except ContinueIteration:
            # Not a JWT. Authlib asks the next endpoint; after the last one there would
            # be no answer at all.
            if self._has_successor():
                raise
            return 200, {"active": False}, [*default_json_headers]
        except (InvalidTokenError, JoseError):
            # Another JWT that we have signed, such as an ID token: Authlib refuses its
            # claims, as if the caller had come with it, or lets the error through.
            return 200, {"active": False}, [*default_json_headers]
        except AuthlibBaseError:
            raise
        except PARSER_ERRORS as error:
            log_fault(error)
            if request.client is None:
                raise InvalidRequestError("The request is malformed.") from error
            return 200, {"active": False}, [*default_json_headers]
        finally:
            _caller.reset(reset)

    def authenticate_token(self, request: Any, client: Any) -> Any:
        """Find the token; a JWT by any asymmetric algorithm that this package has."""
        endpoint: Any = super()
        this: Any = self
        try:
            return endpoint.authenticate_token(request, client)
        except ContinueIteration:
            token = self._read_jwt(request)
            if token is None:
                raise
        return token if this.check_permission(token, client, request) else None

    def create_introspection_payload(self, token: Any) -> dict[str, Any]:
        """Add ``cnf`` and ``token_type`` to the answer for a bound token.

        And to that about a JWT, who acts for its subject (:rfc:`8693#section-4`).
        """
        endpoint: Any = super()
        unscoped = isinstance(token, dict) and "scope" not in token
        if unscoped:
            # The endpoint of Authlib takes the claim, which a JWT need not have,
            # without a look; and an empty one is none.
            token["scope"] = "-"
        payload: dict[str, Any] = endpoint.create_introspection_payload(token)
        if unscoped:
            del token["scope"]
            payload = {name: payload[name] for name in payload if name != "scope"}
        if payload.get("active") is not True:
            return payload
        if isinstance(token, dict):
            payload = {name: token[name] for name in _DELEGATION if name in token} | (
                payload
            )
        cnf = self.get_confirmation(token)
        if cnf is None:
            return payload
        if "jkt" not in cnf:  # bound by other means, which are not ours to judge
            return {**payload, "cnf": cnf}
        payload = {**payload, "token_type": "DPoP"}
        if "dsk" in cnf:
            dsk = dict(cnf["dsk"])
            audience = dsk.pop("aud", payload.get("aud"))
            if self._serves(audience):
                return self._with_key(payload, token, {**cnf, "dsk": dsk}, audience)
        elif "jwe" in cnf:
            key = parse_header(cnf["jwe"])["dsk"]
            if self._serves(key["aud"]):
                # The key ends with the token, by the clock reading that made both.
                exp = min(key["exp"], payload.get("exp") or key["exp"])
                payload = {**payload, "exp": exp}
                return self._with_key(payload, token, cnf, key["aud"])
        shown = {name: cnf[name] for name in cnf if name not in ("dsk", "jwe")}
        return {**payload, "cnf": shown}

    def get_confirmation(self, token: Any) -> dict[str, Any] | None:
        """Return the ``cnf`` of a token, or None if it is not bound.

        Developers MAY re-implement this method. It reads ``cnf`` of a JWT, else the
        columns ``dpop_jkt`` and ``dpop_dsk`` of the stored token.
        """
        if isinstance(token, dict):
            return token.get("cnf")
        if token.dpop_jkt is None:
            return None
        cnf: dict[str, Any] = {"jkt": token.dpop_jkt}
        if token.dpop_dsk is not None:
            key = json.loads(token.dpop_dsk)
            cnf |= {"jwe": key["jwe"]} if "jwe" in key else {"dsk": key}
        return cnf

    def get_served_audiences(self, client: Any) -> Sequence[str]:
        """Return the audiences that the calling client is the resource server of.

        Developers MAY re-implement this method; it reads the member
        ``resource_server_audiences`` of the client metadata, which the server assigns.
        """
        audiences: Sequence[str] = metadata_of(client).get(
            "resource_server_audiences", ()
        )
        return audiences

    def _read_jwt(self, request: Any) -> Any:
        this: Any = self
        if request.form.get("token_type_hint") not in ("access_token", None):
            return None
        return read_jwt(request.form["token"], this.get_jwks(), issuer=this.issuer)

    def _has_successor(self) -> bool:
        this: Any = self
        endpoints = this.server._endpoints[this.ENDPOINT_NAME]  # noqa: SLF001
        return this is not endpoints[-1]

    def _serves(self, audience: object) -> bool:
        """Tell whether the caller is a resource server of the token's audience."""
        request = _caller.get()
        client = getattr(request, "client", None)
        if client is None:
            return False
        served = self.get_served_audiences(client)
        # Every part of a text would be in it.
        return not isinstance(served, str) and audience in served

    def _with_key(
        self,
        payload: dict[str, Any],
        token: Any,
        cnf: dict[str, Any],
        audience: object,
    ) -> dict[str, Any]:
        payload = {"iss": self.issuer, "client_id": None, "exp": None, **payload}
        payload |= {"aud": audience, "cnf": cnf}
        if not isinstance(token, dict):
            payload["client_id"] = payload["client_id"] or token.client_id
        missing = [name for name in _NEEDED if payload[name] is None]
        if missing:
            raise RuntimeError(
                "Introspection of a token with a symmetric key must answer "
                f"{' and '.join(missing)}: see introspect_token."
            )
        return payload
