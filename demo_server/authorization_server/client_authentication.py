"""Client authentication that survives hostile input (RFC 6749 2.3, RFC 7523)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

from authlib.oauth2.rfc6749 import InvalidClientError
from authlib.oauth2.rfc6749.authenticate_client import (
    authenticate_client_secret_basic as authlib_client_secret_basic,
)

from demo_server.models import Client
from dpop_ext.core.jose import CompactJWS, parse_compact_jws, verify_signature
from dpop_ext.core.key import ALGORITHMS
from dpop_ext.errors import DPoPError
from dpop_ext.resource_server.jwks import StaticKeys
from dpop_ext.stores.base import ReplayStore

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

#: Longest assertion, in characters, and longest time until it expires, in seconds.
MAX_ASSERTION_LENGTH = 8192
MAX_ASSERTION_LIFETIME = 600

#: An assertion made by a clock that is ahead of ours by so many seconds is good.
FUTURE = 60

#: The types of a client assertion: no other JWT passes for one.
TYPES = (None, "JWT", "client-authentication+jwt")

QueryClient = Callable[[str], Client | None]


def authenticate_client_secret_basic(
    query_client: QueryClient, request: Any
) -> Client | None:
    """Authlib's method; credentials that are no text authenticate nobody."""
    try:
        client: Client | None = authlib_client_secret_basic(query_client, request)
    except ValueError as error:
        raise InvalidClientError(
            "The client credentials are malformed.", status_code=401
        ) from error
    return client


class PrivateKeyJWT:
    """The method ``private_key_jwt``: a JWT signed with a registered key.

    :param audiences: what an assertion may be addressed to: us.
    :param replay_store: remembers the assertions that were used.
    :param clock: seconds since the epoch.
    """

    def __init__(
        self,
        *,
        audiences: tuple[str, ...],
        replay_store: ReplayStore,
        clock: Callable[[], float],
    ) -> None:
        self._audiences = audiences
        self._replay_store = replay_store
        self._clock = clock

    def __call__(self, query_client: QueryClient, request: Any) -> Client | None:
        """Return the client that signed the assertion; None if there is none.

        :raises InvalidClientError: the assertion is not good, or was used before.
        :raises StoreError: it cannot be told whether it was used before.
        """
        form = request.form
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            return None
        try:
            text = form.get("client_assertion", "")
            jws = parse_compact_jws(text, max_length=MAX_ASSERTION_LENGTH)
            client = self._verify(query_client, jws)
            if form.get("client_id", client.client_id) != client.client_id:
                raise ValueError("client_id is of another client")
            self._check_claims(client, jws.payload)
        except (
            ArithmeticError,
            DPoPError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:
            raise InvalidClientError(
                "The client assertion is not valid.", status_code=401
            ) from error
        self._spend(client, jws.payload)
        return client

    def _verify(self, query_client: QueryClient, jws: CompactJWS) -> Client:
        header, claims = jws.header, jws.payload
        algorithm, name = header.get("alg"), claims.get("sub")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise ValueError("not an algorithm for assertions")
        if header.get("typ") not in TYPES:
            raise ValueError("not a client assertion")
        client = query_client(name) if isinstance(name, str) else None
        if client is None or client.jwks is None or claims.get("iss") != name:
            raise ValueError("not by a client with keys")
        key = StaticKeys(client.jwks).find(header.get("kid"), algorithm=algorithm)
        verify_signature(jws, key, algorithm=algorithm)
        return client

    def _check_claims(self, client: Client, claims: dict[str, Any]) -> None:
        now = self._clock()
        audience = claims.get("aud")
        if isinstance(audience, list) and len(audience) == 1:
            audience = audience[0]
        if audience not in self._audiences:
            raise ValueError("for another server")
        if not now < claims["exp"] <= now + MAX_ASSERTION_LIFETIME + FUTURE:
            raise ValueError("expired, or good for too long")
        if max(claims.get("nbf", 0), claims.get("iat", 0)) > now + FUTURE:
            raise ValueError("not yet good")
        if not isinstance(claims["jti"], str) or not 0 < len(claims["jti"]) <= 256:
            raise ValueError("no identifier")

    def _spend(self, client: Client, claims: dict[str, Any]) -> None:
        name = f"client_assertion\0{client.client_id}\0{claims['jti']}"
        fresh = self._replay_store.add(
            hashlib.sha256(name.encode()).digest()[:16],
            expires_at=math.ceil(claims["exp"]),
            now=int(self._clock()),
        )
        if not fresh:
            raise InvalidClientError(
                "The client assertion was used before.", status_code=401
            )
