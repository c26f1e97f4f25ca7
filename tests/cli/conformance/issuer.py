"""An issuer that gives tokens with symmetric keys."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from joserfc.jwk import ECKey

from dpop_ext.cli.conformance_checks.pair import Pair
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.symmetric.delivery import wrap_key
from dpop_ext.symmetric.secret_bytes import SecretBytes
from tests.cli.conformance.reading import KEY
from tests.integrations.scripted_server import Answer, Received


@dataclass
class Issuer:
    """Gives a token with a key to everybody; a test says what is wrong with it."""

    pair: Pair
    status: int = 200
    cache: str = "no-store"
    #: Of the random values in the tokens.
    values: tuple[bytes, bytes] = (bytes(32), bytes([1] * 32))
    opaque: bool = False
    audience: str | None = None
    members: dict[str, Any] = field(default_factory=dict)
    given: int = 0

    def answer(self, request: Received) -> Answer:
        asked = request.proof.claims["dsk"]
        jkt = self.pair.key.thumbprint()
        dsk = {"r": b64url_encode(self.values[self.given]), "v": 7}
        self.given += 1
        claims = {"aud": self.pair.resource, "cnf": {"jkt": jkt, "dsk": dsk}}
        payload = b64url_encode(json.dumps(claims).encode())
        token = "opaque" if self.opaque else f"e30.{payload}.c2ln"
        encrypted = wrap_key(
            SecretBytes(KEY),
            recipient=ECKey.import_key(asked["jwk"]),
            algorithm=asked["kalgs"][0],
            encoding=asked["encs"][0],
            mac_algorithm=asked["algs"][0],
            issuer=self.pair.issuer,
            audience=self.audience or self.pair.resource,
            version=7,
            expires_at=self.pair.now + 600,
            access_token=token,
        )
        response = {"access_token": token, "token_type": "dpop"}
        body = {**response, "cnf": {"jwe": encrypted}, **self.members}
        fields = [("Cache-Control", self.cache)]
        return Answer(self.status, fields, json.dumps(body).encode())
