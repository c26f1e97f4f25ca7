"""Access tokens that the authorization server explains: :rfc:`7662#section-2`."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Protocol
from urllib.parse import quote_plus, urlencode

from joserfc.jwk import Key

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.recent import Recent
from dpop_ext.core.strict_json import parse_json_object
from dpop_ext.core.token68 import is_token68
from dpop_ext.core.token_text import MAX_TOKEN_LENGTH, token_digest
from dpop_ext.errors import AccessTokenError, StoreError
from dpop_ext.log_events import log_event
from dpop_ext.resource_server.claims import require_identifier
from dpop_ext.resource_server.client_assertion import ClientAssertions
from dpop_ext.resource_server.introspected_token import read_introspected_token
from dpop_ext.resource_server.issuer_signature import (
    DEFAULT_ALGORITHMS,
    IssuerSignature,
)
from dpop_ext.resource_server.jwks import KeySource
from dpop_ext.resource_server.question import put
from dpop_ext.resource_server.rate_limit import RateLimit
from dpop_ext.resource_server.signed_introspection import MEDIA_TYPE, read_signed_answer
from dpop_ext.resource_server.single_flight import SingleFlight
from dpop_ext.resource_server.token_cache import MAX_TOKENS, TokenCache
from dpop_ext.resource_server.token_finder import TokenFinder
from dpop_ext.resource_server.transport import fetch, require_secure_url, why
from dpop_ext.stores.circuit import CircuitBreaker

_logger = logging.getLogger("dpop_ext.resource_server")

#: Characters ``{}[]:,`` that an answer may have.
_MAX_STRUCTURAL = 1024


class Post(Protocol):
    """Send a form and return the body of an answer with status 200."""

    def __call__(self, url: str, *, data: bytes, headers: Mapping[str, str]) -> bytes:
        """Bound time and size, follow no redirect, raise any exception on failure."""
        ...


class IntrospectionTokenValidator(TokenFinder):
    """Ask the authorization server about each access token.

    This server authenticates as itself; neither the client's proof nor anything else of
    the request goes along. Unless *remember* says otherwise, every request asks anew,
    so a revoked token is refused at once. Give the verifier ``token_form="opaque"`` if
    symmetric keys are on.

    :param endpoint: the introspection endpoint: https, or http to a loopback address.
    :param client_id: of this resource server at the authorization server.
    :param client_secret: sent by HTTP Basic authentication; or
    :param signing_key: private key that signs an assertion for each request
        (``private_key_jwt``), so that the two servers share no secret.
    :param signing_algorithm: signature algorithm of *signing_key*.
    :param issuer: identifier of the authorization server. An answer that names another
        is refused.
    :param audience: this resource server's own identifier, which must be in ``aud``.
    :param jwks: public keys of the authorization server, as a JWK Set or from a source
        of your own. With them, or *jwks_uri*, a signed answer is asked for
        (:rfc:`9701`), and no other is believed: what stands between the two servers can
        then change nothing.
    :param jwks_uri: where the authorization server publishes its keys.
    :param algorithms: accepted signature algorithms of such an answer.
    :param remember: seconds for which an answer that a token is active is kept, within
        its expiry: so long can a revoked token, or a scope that was taken away, be good
        (:rfc:`7662#section-2.2`). 0 keeps none. Otherwise requests that come at once
        with one token share one question.
    :param rate: questions in a second about tokens that were not found active lately:
        invented tokens must not bury the authorization server. What comes beyond it is
        answered with 503, whether it is good or not.
    :param post: sends the request.
    :param circuit: when to stop asking an authorization server that lets us wait, and
        how many questions may wait at a time; None is the default. What it does not let
        through is answered with 503.
    :param clock: seconds since the epoch.
    :raises TypeError: *jwks* is neither.
    :raises ValueError: *endpoint* is plain http; *issuer* or *audience* is no text; not
        exactly one of *client_secret* and *signing_key*, or that is no private key;
        both *jwks* and *jwks_uri*; an algorithm that is unknown, ``none`` or a MAC;
        *remember* is negative; or *rate* is less than 1.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        client_id: str,
        client_secret: str | None = None,
        signing_key: Key | None = None,
        signing_algorithm: str = "ES256",
        issuer: str,
        audience: str,
        jwks: KeySource | Mapping[str, Any] | None = None,
        jwks_uri: str | None = None,
        algorithms: Iterable[str] = DEFAULT_ALGORITHMS,
        remember: float = 0,
        rate: float = 500,
        post: Post = fetch,
        circuit: CircuitBreaker | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.endpoint = require_secure_url(endpoint, "endpoint")
        self.issuer = require_identifier(issuer, "issuer")
        self.audience = require_identifier(audience, "audience")
        self._headers = {"Content-Type": "application/x-www-form-urlencoded"}
        self._assertions: ClientAssertions | None = None
        if (client_secret is None) == (signing_key is None) or client_secret == "":
            raise ValueError("either client_secret or signing_key is needed")
        if client_secret is not None:
            self._headers["Authorization"] = _basic(client_id, client_secret)
        if signing_key is not None:
            self._assertions = ClientAssertions(
                client_id,
                issuer=issuer,
                signing_key=signing_key,
                algorithm=signing_algorithm,
                clock=clock,
            )
        self._client_id = client_id
        self._signature: IssuerSignature | None = None
        if jwks is not None or jwks_uri is not None:
            self._headers["Accept"] = MEDIA_TYPE
            self._signature = IssuerSignature(
                jwks, jwks_uri, algorithms=algorithms, clock=clock
            )
        self._post = post
        self._circuit = circuit or CircuitBreaker()
        self._clock = clock
        self._cache = TokenCache(max_age=remember, clock=clock)
        # An answer that is not to be remembered is not to be shared either: it may be
        # older than the request that it would be shared with.
        self._flights: SingleFlight[AccessToken] | None = None
        if remember:
            self._flights = SingleFlight()
        self._limit = RateLimit(rate, clock)
        self._active: Recent[bytes, bool] = Recent(MAX_TOKENS)

    def __call__(self, text: str) -> AccessToken:
        """Return the token as the authorization server explains it.

        :param text: as received, at most 16 KiB.
        :raises AccessTokenError: not active, of another issuer, not for this server,
            outside its time, or bound in a way that cannot be verified.
        :raises StoreError: the authorization server did not answer, or was not asked
            because of *rate* or *circuit*.
        """
        if len(text) > MAX_TOKEN_LENGTH or not text.isascii():
            raise AccessTokenError
        if self._flights is None:
            return self._cache.find(text, self._ask)
        name = token_digest(text)
        known = self._cache.get(name)
        if known is not None:
            return known
        return self._flights.run(name, lambda: self._cache.find(text, self._ask))

    def recalling(self) -> Callable[[bytes], AccessToken | None] | None:
        """Return what finds remembered tokens, by the SHA-256 of their text.

        None if no token is remembered.
        """
        return self._cache.get if self._cache.max_age else None

    def _ask(self, text: str) -> AccessToken:
        # What no request can bring would be remembered for nobody.
        if not is_token68(text):
            raise AccessTokenError
        name = token_digest(text)
        was_active = bool(self._active.get(name))
        if not was_active and not self._limit.take():
            raise StoreError
        try:
            token = self._ask_server(text)
        except AccessTokenError:
            if was_active:
                self._active.put(name, value=False)
            raise
        self._active.put(name, value=True)
        return token

    def _ask_server(self, text: str) -> AccessToken:
        try:
            answer = self._introspect(text)
        except StoreError:
            # One record for each question that is not put would bury all others.
            raise
        except Exception as error:
            log_event(
                _logger,
                logging.WARNING,
                "introspection_failed",
                "no answer about a token from %s: %s",
                ascii(self.endpoint),
                why(error),
                cause=type(error).__name__,
            )
            raise StoreError("The authorization server did not answer.") from error
        return read_introspected_token(
            answer, issuer=self.issuer, audience=self.audience, now=int(self._clock())
        )

    def _introspect(self, text: str) -> dict[str, Any]:
        form = {"token": text, "token_type_hint": "access_token"}
        if self._assertions is not None:
            form |= self._assertions.parameters()
        data = urlencode(form).encode("ascii")
        answer = put(
            partial(self._post, self.endpoint, data=data, headers=self._headers),
            circuit=self._circuit,
        )
        if self._signature is None:
            return parse_json_object(answer, max_structural=_MAX_STRUCTURAL)
        return read_signed_answer(
            answer,
            signature=self._signature,
            issuer=self.issuer,
            audience=self._client_id,
            now=int(self._clock()),
            max_structural=_MAX_STRUCTURAL,
        )


def _basic(client_id: str, client_secret: str) -> str:
    """Encode the credentials twice, as :rfc:`6749#section-2.3.1` has it."""
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
    return "Basic " + base64.b64encode(pair.encode("ascii")).decode("ascii")
