"""An issuer that can be asked for keyrings, without a network."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from joserfc.jwk import ECKey

from dpop_ext.core.jose import CompactJWS, parse_compact_jws
from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.resource_server.keyring_request import KeyringRequest
from dpop_ext.resource_server.keyring_source import HTTPKeyringSource
from dpop_ext.resource_server.transport import Answer
from dpop_ext.symmetric.keyring import encrypt_keyring
from dpop_ext.symmetric.keyring_claims import content_digest, keyring_claims
from dpop_ext.symmetric.secret_ring import SecretRing
from tests.resource_server.world import AUDIENCE, ISSUER, VERSION, ring, secret

ENDPOINT = f"{ISSUER}/keyring"


class KeyringIssuer:
    """Answers requests for keyrings; what happens to them can be set."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.key = ECKey.generate_key("P-256", {"kid": "k1"})
        self.client_key = ECKey.generate_key("P-256", {"kid": "s"})
        self.private_key = ECKey.generate_key("P-256", {"kid": "e"})
        self.ring: SecretRing = ring(secret(VERSION))
        self.sequence = 1
        self.poll = 300
        #: An answer, or an exception, in place of a keyring.
        self.instead: Any = None
        self.changes: dict[str, Any] = {}
        self.requests: list[dict[str, str]] = []
        self.assertions: list[CompactJWS] = []

    def rotate(self, *entries: Any) -> None:
        self.ring = ring(*entries)
        self.sequence += 1

    def post(self, url: str, *, data: bytes, headers: dict[str, str]) -> Answer:
        assert url == ENDPOINT
        form = {name: value for name, (value,) in parse_qs(data.decode()).items()}
        self.requests.append(headers)
        self.assertions.append(
            parse_compact_jws(form["client_assertion"], max_length=4096)
        )
        if isinstance(self.instead, BaseException):
            raise self.instead
        if self.instead is not None:
            return self.instead  # type: ignore[no-any-return]
        claims = keyring_claims(
            self.ring, epoch=1, sequence=self.sequence, poll=self.poll
        )
        etag = f'"{content_digest(claims)}"'
        if headers.get("If-None-Match") == etag:
            return Answer(304, etag, b"")
        now = self.clock.now
        claims |= {"iat": now, "exp": now + 1800, "nonce": form["nonce"]}
        header = {"typ": "dpop-keyring+jwt", "alg": "ES256", "kid": "k1"}
        signed = sign_compact(header, claims | self.changes, self.key)
        body = encrypt_keyring(signed, recipient=self.private_key)
        return Answer(200, etag, body.encode())

    def source(self, **options: Any) -> HTTPKeyringSource:
        request = KeyringRequest(
            ENDPOINT,
            issuer=ISSUER,
            client_id="api",
            signing_key=self.client_key,
            post=self.post,
            clock=self.clock,
        )
        values: dict[str, Any] = {
            "audience": AUDIENCE,
            "private_keys": [self.private_key],
            "jwks": {"keys": [self.key.as_dict(private=False)]},
            "run": lambda task: task(),
            "clock": self.clock,
        }
        return HTTPKeyringSource(request, **(values | options))
