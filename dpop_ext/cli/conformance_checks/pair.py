"""The two servers under test, as a client with a key of its own talks to them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import requests
from joserfc.jwk import ECKey, Key

from dpop_ext.cli.limited_answer import MAX_STRUCTURAL, ask
from dpop_ext.client.nonces import read_nonce
from dpop_ext.core.challenge import Challenge, parse_challenges
from dpop_ext.core.proof_making import make_proof
from dpop_ext.core.strict_json import parse_json_object
from dpop_ext.errors import MalformedJOSEError
from dpop_ext.integrations.requests_client.direct import DirectSession
from dpop_ext.symmetric.response import MAX_ANSWER

_NONCE_ERROR = "use_dpop_nonce"
#: What a resource server says of a proof that is no good.
PROOF_ERROR: Final = "invalid_dpop_proof"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answered."""

    status: int
    #: The error, of the body at an authorization server, else of the challenge.
    error: str | None
    sym_error: str | None
    fields: Mapping[str, str]
    #: The header fields, one for each line.
    lines: Sequence[tuple[str, str]]
    content: bytes
    #: The content, if it is a JSON object, else empty.
    body: Mapping[str, Any]
    challenge: Challenge | None
    nonce: str | None

    @property
    def is_good(self) -> bool:
        """Whether the request was served."""
        return 200 <= self.status < 300

    def values(self, name: str) -> list[str]:
        """Return the values of a header field, one for each line."""
        return [value for other, value in self.lines if other.lower() == name.lower()]

    def __str__(self) -> str:
        words = (str(self.status), self.error, self.sym_error)
        return " ".join(word for word in words if word)


@dataclass(kw_only=True)
class Pair:
    """Where the servers are, and who the client is."""

    issuer: str
    #: Identifier of the resource server.
    resource: str
    #: What needs an access token there.
    url: str
    client_id: str
    client_secret: str | None = field(repr=False)
    scope: str | None = None
    clock: Callable[[], float] = time.time
    http: requests.Session = field(default_factory=DirectSession)

    def __post_init__(self) -> None:
        self.key: ECKey = ECKey.generate_key("P-256")
        self.token_endpoint = ""
        #: What the resource server says about itself.
        self.resource_metadata: Mapping[str, Any] = {}
        self._nonces: dict[str, str | None] = {}

    @property
    def now(self) -> int:
        """Seconds since the epoch."""
        return int(self.clock())

    def document(self, base: str, name: str) -> Answer:
        """Ask for the metadata *name* of a server, by its identifier."""
        parts = urlsplit(base)
        path = f"/.well-known/{name}{parts.path.rstrip('/')}"
        return self._send("GET", urlunsplit(parts._replace(path=path)), {})

    def request_token(
        self,
        claims: Mapping[str, Any],
        *,
        key: Key | None = None,
        algorithm: str = "ES256",
        proof: str | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask for a token, twice if the server demands a nonce.

        :param claims: of the proof, beside the usual ones.
        :param proof: to be sent as it is.
        :param form: parameters beside the usual ones.
        """
        values = {"grant_type": "client_credentials", "resource": self.resource}
        if self.scope is not None:
            values["scope"] = self.scope
        if self.client_secret is None:
            values["client_id"] = self.client_id
        values |= form or {}

        def send() -> Answer:
            made = proof or make_proof(
                key or self.key,
                algorithm=algorithm,
                method="POST",
                url=self.token_endpoint,
                now=self.now,
                nonce=self._nonces.get("as"),
                claims=claims,
            )
            return self._send("POST", self.token_endpoint, {"DPoP": made}, form=values)

        return self._with_nonce("as", send, once=proof is not None)

    def ask(
        self,
        token: str,
        make: Callable[[str | None], str],
        *,
        method: str = "GET",
        url: str | None = None,
    ) -> Answer:
        """Ask the resource server, twice if it demands a nonce.

        :param make: makes the proof, with the nonce to put into it.
        :param url: another one than what is served.
        """

        def send() -> Answer:
            proof = make(self._nonces.get("rs"))
            fields = {"Authorization": f"DPoP {token}", "DPoP": proof}
            return self._send(method, url or self.url, fields)

        return self._with_nonce("rs", send)

    def asymmetric_proof(
        self, token: str, nonce: str | None, claims: Mapping[str, Any] | None = None
    ) -> str:
        """Return a good proof with the client's own key."""
        return make_proof(
            self.key,
            algorithm="ES256",
            method="GET",
            url=self.url,
            now=self.now,
            access_token=token,
            nonce=nonce,
            claims=claims,
        )

    def _with_nonce(
        self, role: str, send: Callable[[], Answer], *, once: bool = False
    ) -> Answer:
        answer = send()
        if answer.nonce is not None:
            self._nonces[role] = answer.nonce
        if answer.error != _NONCE_ERROR or answer.nonce is None or once:
            return answer
        answer = send()
        self._nonces[role] = answer.nonce or self._nonces[role]
        return answer

    def _send(
        self,
        method: str,
        url: str,
        fields: Mapping[str, str],
        *,
        form: Mapping[str, str] | None = None,
    ) -> Answer:
        auth = None
        if form is not None and self.client_secret is not None:
            auth = (self.client_id, self.client_secret)
        response, content = ask(
            self.http,
            method,
            url,
            limit=MAX_ANSWER,
            headers=fields,
            data=form,
            auth=auth,
        )
        return _read(response, content)


def random_name() -> str:
    """Return what is good for a ``jti``."""
    return secrets.token_urlsafe(12)


def _word(value: object) -> str | None:
    # It is printed, and a terminal obeys what is not printable.
    return value if isinstance(value, str) and value.isprintable() else None


def _read(response: requests.Response, content: bytes) -> Answer:
    lines = response.raw.headers.getlist("WWW-Authenticate")
    challenges = parse_challenges(lines)
    dpop = [one for one in challenges if one.scheme.lower() == "dpop"]
    challenge = dpop[0] if dpop else None
    body: dict[str, Any] = {}
    with suppress(MalformedJOSEError):
        body = parse_json_object(content, max_structural=MAX_STRUCTURAL)
    error = challenge.get("error") if challenge else body.get("error")
    return Answer(
        status=response.status_code,
        error=_word(error),
        sym_error=_word(challenge.get("sym_error")) if challenge else None,
        fields=response.headers,
        lines=list(response.raw.headers.items()),
        content=content,
        body=body,
        challenge=challenge,
        nonce=read_nonce(response.raw.headers.getlist("DPoP-Nonce")),
    )
