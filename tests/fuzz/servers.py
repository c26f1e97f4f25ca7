"""Both demo servers, whose state can be compared, and requests made octet by octet."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import Any
from urllib.parse import quote_from_bytes, urlsplit

from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry

from demo_server.signing_keys import SIGNING_KEYS_FILE, SigningKeys
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.symmetric.delivery import DeliveredKey, unwrap_key
from tests.demo.parties import CONFIDENTIAL, Parties
from tests.fuzz.odd_values import MARK
from tests.fuzz.wire import FORM, Answer, Fields, form, send

_NONCE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
TOKEN_ERRORS = {
    (400, "invalid_request"),
    (400, "invalid_client"),
    (401, "invalid_client"),
    (400, "invalid_grant"),
    (400, "invalid_scope"),
    (400, "invalid_target"),
    (400, "unauthorized_client"),
    (400, "unsupported_grant_type"),
    (400, "invalid_dpop_proof"),
    (400, "use_dpop_nonce"),
    (400, "dpop_sym_unavailable"),
    (413, "invalid_request"),
}
RESOURCE_ERRORS = {
    (400, "invalid_request"),
    (401, None),
    (401, "invalid_token"),
    (401, "invalid_dpop_proof"),
    (401, "use_dpop_nonce"),
    (401, "use_dpop_asymmetric"),
    (403, "insufficient_scope"),
}


@dataclass(kw_only=True)
class Servers(Parties):
    """The servers and one client of each kind."""

    stores: list[MemoryReplayStore] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)
    #: What the resource server asked the authorization server for.
    fetched: list[str] = field(default_factory=list)

    def fetch(
        self, url: str, *, data: bytes | None = None, headers: Any = None
    ) -> bytes:
        self.fetched.append(url)
        return super().fetch(url, data=data, headers=headers)

    @property
    def now(self) -> int:
        return self.clock.now

    @cached_property
    def signing_key(self) -> ECKey:
        path = self.settings.keys_directory / SIGNING_KEYS_FILE
        return SigningKeys(path, clock=self.clock).signing_key()

    @cached_property
    def symmetric(self) -> tuple[str, DeliveredKey]:
        """A token that comes with a symmetric key, and the key."""
        private_key = ECKey.generate_key("P-256")
        jwk = private_key.as_dict(private=False)
        answer = self.token(
            {"grant_type": "client_credentials"},
            headers=CONFIDENTIAL,
            claims={"dsk": {"algs": ["HS256"], "jwk": jwk, "must": True}},
        ).get_json()
        key = unwrap_key(
            answer["cnf"]["jwe"],
            private_key=private_key,
            algorithms=["HS256"],
            key_algorithms=["ECDH-ES"],
            encodings=["A256GCM"],
            issuer=self.settings.issuer_url,
            audience=self.settings.resource_url,
            access_token=answer["access_token"],
            now=self.now,
        )
        # What is asked for once is there before anything is looked at.
        self.api("GET", "/api/accounts", answer["access_token"])
        return answer["access_token"], key

    @cached_property
    def _watcher(self) -> sqlite3.Connection:
        path = urlsplit(self.settings.database).path
        return sqlite3.connect(path.removeprefix("/"))

    def state(self) -> list[object]:
        """Return what differs after any request that wrote or remembered something."""
        # Counts what other connections commit.
        (version,) = self._watcher.execute("PRAGMA data_version").fetchone()
        return [version, *map(len, self.stores)]

    def close(self) -> None:
        self._watcher.close()

    def nonce(self, url: str) -> str | None:
        """Return a good nonce for *url*, if its server has given any."""
        bases = self.settings.issuer_url, self.settings.resource_url
        return next((self.nonces.get(b) for b in bases if url.startswith(b)), None)

    def members(
        self, method: str, url: str, token: str | None = None
    ) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """Return header and claims of a good proof, each member as JSON."""
        jwk = self.key.as_dict(private=False)
        public = {name: jwk[name] for name in ("kty", "crv", "x", "y")}
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": public}
        claims: dict[str, Any] = {"htm": method, "htu": url, "iat": self.now}
        if token is not None:
            digest = hashlib.sha256(token.encode()).digest()
            claims["ath"] = b64url_encode(digest)
        if nonce := self.nonce(url):
            claims["nonce"] = nonce
        return written(header), written(claims) | {"jti": self._jti()}

    def _jti(self) -> bytes:
        return b'"fuzz-%d"' % next(self.numbers)

    def proof(self, header: dict[str, bytes], claims: dict[str, bytes]) -> bytes:
        return sign(joined(header.items()), joined(claims.items()), self.key)

    def good_proof(self, method: str, url: str, token: str | None = None) -> bytes:
        return self.proof(*self.members(method, url, token))

    def ask_token(
        self,
        pairs: Iterable[tuple[str, bytes]],
        *,
        proof: bytes | None = None,
        fields: Fields = (),
        raw: str = "",
    ) -> Answer:
        if proof is None:
            proof = self.good_proof("POST", f"{self.settings.issuer_url}/token")
        return send(
            self.as_app,
            "POST",
            b"/token",
            [("Content-Type", FORM), ("DPoP", proof), *fields],
            body=form(pairs, raw=raw),
        )

    def check_unchanged(
        self, before: list[object], answer: Answer, documented: set[Any]
    ) -> None:
        """Check a refusal: what it says, what it repeats, and what it cost."""
        assert (answer.status, answer.error) in documented
        check_form(answer)
        assert self.state() == before


def check_form(answer: Answer) -> None:
    """Check what holds for every answer but a page and a redirection."""
    text = answer.body.decode() + "\n".join(f"{n}: {v}" for n, v in answer.headers)
    assert MARK not in text
    nonces = answer.all("DPoP-Nonce")
    assert len(nonces) <= 1
    assert all(_NONCE.fullmatch(nonce) for nonce in nonces)
    assert answer.error != "use_dpop_nonce" or nonces
    if answer.status >= 400 or nonces:
        assert "no-store" in answer.first("Cache-Control")


def check_challenge(answer: Answer) -> None:
    """Check that a 401 of a resource server says how to do better."""
    challenge = answer.first("WWW-Authenticate")
    if answer.status in (400, 401, 403):
        assert challenge.startswith("DPoP algs=" if answer.error is None else "DPoP ")


def written(members: dict[str, Any]) -> dict[str, bytes]:
    """Write each member as JSON."""
    return {name: json.dumps(value).encode() for name, value in members.items()}


def joined(members: Iterable[tuple[str, bytes]]) -> bytes:
    """Write an object, with whatever its members are."""
    pairs = (json.dumps(name).encode() + b":" + value for name, value in members)
    return b"{" + b",".join(pairs) + b"}"


def sign(header: bytes, claims: bytes, key: ECKey | bytes) -> bytes:
    """Sign two texts as a JWS, whatever they are; with octets, by HMAC."""
    signing_input = f"{b64url_encode(header)}.{b64url_encode(claims)}".encode()
    if isinstance(key, bytes):
        signature = hmac.digest(key, signing_input, "sha256")
    else:
        signature = JWSRegistry.algorithms["ES256"].sign(signing_input, key)
    return signing_input + b"." + b64url_encode(signature).encode()


def query(pairs: Iterable[tuple[str, bytes]]) -> bytes:
    """Encode a query."""
    return b"&".join(
        name.encode() + b"=" + quote_from_bytes(value, safe="").encode()
        for name, value in pairs
    )
