"""An authorization request, and the code that it leads to: :rfc:`6749#section-4.1`.

With PKCE (:rfc:`7636`), ``dpop_jkt`` (:rfc:`9449#section-10`), and pushed to the server
where it has a place for that (:rfc:`9126`).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from dpop_ext.client.authorization_response import (
    check_issuer,
    read_error,
    read_response,
)
from dpop_ext.client.exchange import Reply
from dpop_ext.client.refusal import read_json
from dpop_ext.client.server_metadata import ServerMetadata
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.errors import (
    AuthorizationRefusedError,
    AuthorizationResponseError,
    UnsupportedServerError,
)

#: Characters of a ``request_uri``.
MAX_REQUEST_URI: Final = 1024
#: Characters of an authorization code.
_MAX_CODE = 8192

_REQUEST_URI = re.compile(rf"[!-~]{{1,{MAX_REQUEST_URI}}}")
#: What a caller cannot set: another one of them would undo a check.
_OWN = frozenset(("client_id", "redirect_uri", "response_type", "state")) | frozenset(
    ("code_challenge", "code_challenge_method", "dpop_jkt", "request", "request_uri")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """A request that a browser can be sent to; keep it until the browser is back.

    In a server, keep :meth:`dump` in the session of that browser and nowhere else: a
    response counts for the browser that began.
    """

    #: Where to send the browser.
    url: str = field(repr=False)
    #: Identifier of the authorization server.
    issuer: str
    state: str = field(repr=False)
    code_verifier: str = field(repr=False)
    redirect_uri: str
    #: Thumbprint of the key that the code is bound to.
    jkt: str
    #: The server has promised to say who it is.
    promises_issuer: bool

    def read_code(self, response: str | Mapping[str, str]) -> str:
        """Return the code of a response, once it is known to be the one to this.

        :param response: the URL that the browser was sent to, or its query parameters.
        :raises AuthorizationResponseError: it is malformed, a parameter is repeated,
            ``state`` is that of another request, or there is no code.
        :raises WrongIssuerError: ``iss`` names another server, or is missing though
            the server promised it.
        :raises AuthorizationRefusedError: the server says no.
        """
        parameters = read_response(response)
        state = parameters.get("state", "")
        if not hmac.compare_digest(state.encode(errors="replace"), self.state.encode()):
            raise AuthorizationResponseError
        check_issuer(
            parameters, issuer=self.issuer, promises_issuer=self.promises_issuer
        )
        if "error" in parameters:
            raise AuthorizationRefusedError(error=read_error(parameters["error"]))
        code = parameters.get("code", "")
        if not 0 < len(code) <= _MAX_CODE:
            raise AuthorizationResponseError
        return code

    def dump(self) -> str:
        """Return it as text, which has the PKCE verifier in it."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> AuthorizationRequest:
        """Read what :meth:`dump` returned.

        :raises AuthorizationResponseError: it is something else.
        """
        members = read_json(text.encode())
        promises_issuer = members.pop("promises_issuer", None)
        if not isinstance(promises_issuer, bool) or members.keys() != {
            "url",
            "issuer",
            "state",
            "code_verifier",
            "redirect_uri",
            "jkt",
        }:
            raise AuthorizationResponseError
        if not all(isinstance(v, str) and v for v in members.values()):
            raise AuthorizationResponseError
        return cls(**members, promises_issuer=promises_issuer)


class AuthorizationDraft:
    """The parameters of a request, before they are on their way.

    :param server: where to.
    :param client_id: who the client is there.
    :param redirect_uri: where the browser comes back to.
    :param jkt: thumbprint of the key that the code is to be bound to.
    :param extra: further parameters, such as ``scope`` and ``resource``.
    :raises ValueError: one of them is for this class to set, or not a string.
    :raises UnsupportedServerError: the server has no authorization endpoint.
    """

    def __init__(
        self,
        server: ServerMetadata,
        *,
        client_id: str,
        redirect_uri: str,
        jkt: str,
        extra: Mapping[str, Any],
    ) -> None:
        if not _OWN.isdisjoint(extra):
            raise ValueError("This parameter is set by the client itself.")
        if server.authorization_endpoint is None:
            raise UnsupportedServerError(
                "The authorization server has no authorization endpoint."
            )
        self._endpoint: str = server.authorization_endpoint
        self._server = server
        self._client_id = client_id
        self._state = secrets.token_urlsafe(24)
        self._code_verifier = secrets.token_urlsafe(48)
        self._redirect_uri = redirect_uri
        self._jkt = jkt
        challenge = hashlib.sha256(self._code_verifier.encode("ascii")).digest()
        #: What is said to the server.
        self.parameters: dict[str, str] = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": redirect_uri,
            "state": self._state,
            "code_challenge": b64url_encode(challenge),
            "code_challenge_method": "S256",
            "dpop_jkt": jkt,
            **{name: str(value) for name, value in extra.items() if value is not None},
        }

    @property
    def push_to(self) -> str | None:
        """Where the parameters are pushed to; None if they go into the URL."""
        return self._server.pushed_authorization_request_endpoint

    def plain(self) -> AuthorizationRequest:
        """Return the request with its parameters in the URL, for anybody to see."""
        return self._request(self.parameters)

    def pushed(self, reply: Reply) -> AuthorizationRequest:
        """Return the request that stands at the server.

        :param reply: to the form that was sent to :attr:`push_to`.
        :raises AuthorizationRefusedError: the server says no.
        """
        content = read_json(reply.body)
        request_uri = content.get("request_uri")
        if (
            reply.status not in {200, 201}
            or not isinstance(request_uri, str)
            or not _REQUEST_URI.fullmatch(request_uri)
        ):
            raise AuthorizationRefusedError(error=read_error(content.get("error")))
        return self._request({"client_id": self._client_id, "request_uri": request_uri})

    def _request(self, parameters: Mapping[str, str]) -> AuthorizationRequest:
        separator = "&" if urlsplit(self._endpoint).query else "?"
        return AuthorizationRequest(
            url=f"{self._endpoint}{separator}{urlencode(parameters)}",
            issuer=self._server.issuer,
            state=self._state,
            code_verifier=self._code_verifier,
            redirect_uri=self._redirect_uri,
            jkt=self._jkt,
            promises_issuer=self._server.promises_issuer,
        )
