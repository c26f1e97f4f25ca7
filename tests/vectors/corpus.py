"""The request that every vector starts from, and the collection of the vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.vectors.hand_made import (
    JSON,
    Signer,
    compact,
    dump,
    jkt,
    public,
    sha256,
    signer,
)

NOW: Final = 1_790_000_000
METHOD: Final = "GET"
URL: Final = "https://api.example.com/accounts/42"
TOKEN: Final = "vF9dft4qmTc2Nvb3RlckBpZC5"

#: What the caller gets on the wire for each reason of the library.
WIRE: Final = {
    "malformed_proof": "invalid_dpop_proof",
    "unsupported_key": "invalid_dpop_proof",
    "bad_signature": "invalid_dpop_proof",
    "target_mismatch": "invalid_dpop_proof",
    "token_mismatch": "invalid_dpop_proof",
    "stale_proof": "invalid_dpop_proof",
    "replayed_proof": "invalid_dpop_proof",
    "use_dpop_nonce": "use_dpop_nonce",
    "key_mismatch": "invalid_token",
    "unbound_token": "invalid_token",
}

#: In place of a value: the member is left out.
ABSENT: Final = object()


def merged(base: JSON, changes: JSON) -> dict[str, Any]:
    """*base* with some members changed or left out."""
    both = {**base, **changes}
    return {name: value for name, value in both.items() if value is not ABSENT}


def header(key: str = "ec", alg: str = "ES256", /, **changes: Any) -> dict[str, Any]:
    """The header of a good proof, but for *changes*."""
    return merged({"typ": "dpop+jwt", "alg": alg, "jwk": public(key)}, changes)


class Corpus:
    """Collects the vectors of one generation."""

    def __init__(self) -> None:
        self.vectors: list[dict[str, Any]] = []
        self._jti = 0

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of a good proof with a new ``jti``, but for *changes*."""
        self._jti += 1
        base = {
            "jti": f"jti-{self._jti:05}",
            "htm": METHOD,
            "htu": URL,
            "iat": NOW,
            "ath": sha256(TOKEN),
        }
        return merged(base, changes)

    def claims_with(self, texts: Mapping[str, str]) -> str:
        """The claims as JSON, with the JSON text of some given."""
        members = {name: dump(value) for name, value in self.claims().items()}
        members |= texts
        return (
            "{" + ",".join(f'"{name}":{text}' for name, text in members.items()) + "}"
        )

    def good(self, **claims: Any) -> str:
        """A good proof that is no vector by itself."""
        return compact(
            dump(header()), dump(self.claims(**claims)), signer("ec", "ES256")
        )

    def add(
        self,
        name: str,
        ids: str,
        code: str | None = None,
        *,
        proof: str | None = None,
        key: str = "ec",
        alg: str = "ES256",
        head: JSON | None = None,
        claims: JSON | None = None,
        raw_header: str | None = None,
        raw_payload: str | bytes | None = None,
        sign: Signer | None = None,
        **context: Any,
    ) -> None:
        """Add one vector; without *code*, the proof is accepted.

        :param ids: requirements, separated by spaces.
        :param head: members of the header that differ from those of a good proof.
        :param claims: likewise.
        :param raw_header: the JSON text instead.
        :param raw_payload: likewise.
        :param context: the request, the token and the policy, where they differ.
        """
        if proof is None:
            proof = compact(
                raw_header or dump(header(key, alg, **(head or {}))),
                raw_payload or dump(self.claims(**(claims or {}))),
                sign or signer(key, alg),
            )
        vector: dict[str, Any] = {"name": name, "requirements": ids.split(), **context}
        if code is None:
            vector |= {"result": "accepted", "jkt": context.get("jkt", jkt(key))}
        else:
            vector |= {"result": WIRE[code], "code": code}
        self.vectors.append(vector | {"proof": proof})
