"""Client authentication by ``private_key_jwt`` (RFC 7523 sections 2.2 and 3)."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from authlib.oauth2.rfc6749 import InvalidClientError

from dpop_ext.authorization_server.client_metadata import jwks_of, metadata_of
from dpop_ext.authorization_server.errors import TemporarilyUnavailableError
from dpop_ext.authorization_server.http_request import form_value
from dpop_ext.authorization_server.refusal import log, log_refusal
from dpop_ext.core.claims import text_claim, time_claim
from dpop_ext.core.client_assertion import ASSERTION_TYPE
from dpop_ext.core.jose import CompactJWS, parse_compact_jws
from dpop_ext.core.jws_signature import verify_signature
from dpop_ext.core.key import ALGORITHMS
from dpop_ext.core.key_set import StaticKeys
from dpop_ext.core.policy import FAPI2
from dpop_ext.errors import (
    DPoPError,
    MalformedJOSEError,
    MalformedRequestError,
    StoreError,
)
from dpop_ext.stores.base import REPLAY_KEY_LENGTH, ReplayStore, require_replay_store

METHOD = "private_key_jwt"

#: Characters of an assertion, and of its ``jti``.
MAX_LENGTH = 8192
MAX_JTI_LENGTH = 256
#: Seconds that ``iat`` and ``nbf`` may be ahead: FAPI demands 10 and forbids over 60.
FUTURE = 30

#: No other kind of JWT passes for an assertion (:rfc:`8725#section-3.11`).
_TYPES = (None, "JWT", "jwt", "client-authentication+jwt")
#: One text, whether it is the client that is unknown, its key or its signature.
_NOT_THE_CLIENT = "The client assertion is not by a registered key of the client."


class ClientAssertion:
    """The method ``private_key_jwt``: the client signs who it is, for us, once.

    ::

        server.register_client_auth_method(
            "private_key_jwt", ClientAssertion(issuer, replay_store)
        )

    Name the method in ``TOKEN_ENDPOINT_AUTH_METHODS`` of the grants. Authlib's own
    class for it knows neither PS256 nor Ed25519.

    :param issuer: our issuer identifier, the audience of an assertion.
    :param replay_store: remembers the assertions that were used; it may be that of the
        proofs.
    :param algorithms: accepted JWS algorithms, asymmetric.
    :param token_endpoint: also accept this URL as the audience, and a list in which
        every member is accepted, for clients of :rfc:`7523` as it was. Whoever gets a
        client to use another server could then use its assertion here: leave it out
        if all clients know better.
    :param max_lifetime: how far ahead ``exp`` may be, in seconds.
    :param clock: seconds since the epoch.
    :raises ValueError: an algorithm is not an asymmetric one that this package has, or
        *max_lifetime* is not positive.
    """

    def __init__(
        self,
        issuer: str,
        replay_store: ReplayStore,
        *,
        algorithms: Sequence[str] = FAPI2.algorithms,
        token_endpoint: str | None = None,
        max_lifetime: int = 3600,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not algorithms or not set(algorithms) <= ALGORITHMS.keys():
            known = ", ".join(ALGORITHMS)
            raise ValueError(f"algorithms must be some of: {known}")
        if max_lifetime <= 0:
            raise ValueError("max_lifetime must be positive")
        self.algorithms = tuple(algorithms)
        self._issuer = issuer
        self._token_endpoint = token_endpoint
        self._replay_store = require_replay_store(replay_store)
        self._max_lifetime = max_lifetime
        self._clock = clock

    def __call__(self, query_client: Callable[[str], Any], request: Any) -> Any:
        """Return the client that signed the assertion; called by Authlib.

        The assertion is used up at the end, when all else about it holds.

        :returns: None when the request has no assertion.
        :raises InvalidClientError: the assertion is not good, or was used before.
        :raises TemporarilyUnavailableError: it cannot be told whether it was used.
        """
        if request.form.get("client_assertion_type") != ASSERTION_TYPE:
            return None
        jws = _parse(request)
        client = self._find_client(query_client, jws.payload.get("sub"))
        self._verify(client, jws)
        self._check_claims(request, client, jws.payload)
        self._spend(request, client, jws.payload)
        return client

    def get_jwks(self, client: Any) -> dict[str, Any]:
        """Return the public keys of a client; nothing is ever fetched.

        Developers MAY re-implement this method; it reads ``jwks`` of the client
        metadata.
        """
        return jwks_of(client)

    def _find_client(self, query_client: Callable[[str], Any], name: object) -> Any:
        client = query_client(name) if isinstance(name, str) else None
        if client is None or not client.check_endpoint_auth_method(METHOD, "token"):
            raise _refusal(_NOT_THE_CLIENT)
        return client

    def _verify(self, client: Any, jws: CompactJWS) -> None:
        """Check that a registered key of *client* made the signature."""
        algorithm, kid = jws.header.get("alg"), jws.header.get("kid")
        registered = metadata_of(client).get("token_endpoint_auth_signing_alg")
        if algorithm not in self.algorithms or registered not in (None, algorithm):
            raise _refusal("The algorithm of the client assertion is not accepted.")
        if jws.header.get("typ") not in _TYPES:
            raise _refusal("The typ of the client assertion is that of another JWT.")
        try:
            key = StaticKeys(self.get_jwks(client)).find(kid, algorithm=algorithm)
            verify_signature(jws, key, algorithm=algorithm)
        except (DPoPError, ValueError) as error:
            raise _refusal(_NOT_THE_CLIENT) from error

    def _check_claims(self, request: Any, client: Any, claims: dict[str, Any]) -> None:
        client_id, now = client.get_client_id(), self._clock()
        if claims.get("iss") != client_id or claims["sub"] != client_id:
            raise _refusal("The client assertion is not by its subject.")
        if not self._is_audience(claims.get("aud")):
            raise _refusal("The client assertion is for another audience.")
        try:
            expires_at = time_claim(claims, "exp")
            begins = [time_claim(claims, n) for n in ("iat", "nbf") if n in claims]
            text_claim(claims, "jti", limit=MAX_JTI_LENGTH)
            named = form_value(request, "client_id")
        except DPoPError as error:
            raise _refusal("A claim of the client assertion is malformed.") from error
        # Positive conditions, so that a value that compares as nothing fails.
        if not now < expires_at <= now + self._max_lifetime + FUTURE:
            raise _refusal("The client assertion is expired, or is good for too long.")
        if not all(begin <= now + FUTURE for begin in begins):
            raise _refusal("The client assertion is not yet good; check the clock.")
        if named not in (None, client_id):
            raise _refusal("The client_id is not the one in the client assertion.")

    def _is_audience(self, audience: object) -> bool:
        if self._token_endpoint is None:
            return audience == self._issuer
        audiences = audience if isinstance(audience, list) else [audience]
        ours = (self._issuer, self._token_endpoint)
        return bool(audiences) and all(each in ours for each in audiences)

    def _spend(self, request: Any, client: Any, claims: dict[str, Any]) -> None:
        # Apart from the proofs, whose keys begin with a thumbprint: an assertion and
        # a proof may have one jti.
        name = f"{METHOD}\0{client.get_client_id()}\0{claims['jti']}"
        try:
            added = self._replay_store.add(
                hashlib.sha256(name.encode()).digest()[:REPLAY_KEY_LENGTH],
                expires_at=math.ceil(claims["exp"]),
                now=int(self._clock()),
            )
        except Exception as error:
            # Here, for all endpoints: those of Authlib have no line for a refusal.
            log_refusal(
                request,
                "authentication",
                StoreError.code,
                cause=error.__cause__ if isinstance(error, StoreError) else error,
            )
            raise _LoggedOutageError from error
        if added is not True:
            raise _refusal("The client assertion has been used before.")


class _LoggedOutageError(TemporarilyUnavailableError):
    """One whose line is in the log."""

    is_logged = True


def _parse(request: Any) -> CompactJWS:
    try:
        text = form_value(request, "client_assertion") or ""
        return parse_compact_jws(text, max_length=MAX_LENGTH)
    except (MalformedRequestError, MalformedJOSEError) as error:
        raise _refusal("The client assertion is not a JWT.") from error


def _refusal(description: str) -> InvalidClientError:
    log.info("refused: %s", description)
    return InvalidClientError(description, status_code=401)
