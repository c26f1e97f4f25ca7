"""Drives the flow of a request with replies that the test makes up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from dpop_ext.client.exchange import Flow, Outcome, Reply
from tests.client.reading import ReadProof, read

ISSUER = "https://as.example"
RESOURCE = "https://api.example"
TOKEN_ENDPOINT = "https://as.example/token"

OK = Reply(status=200)
INVALID_TOKEN = Reply(status=401, challenges=('DPoP error="invalid_token"',))
INVALID_PROOF = Reply(status=401, challenges=('DPoP error="invalid_dpop_proof"',))
UNKNOWN_KEY = Reply(
    status=401,
    challenges=('DPoP error="use_dpop_asymmetric", sym_error="unknown_key"',),
)
POLICY = Reply(
    status=401, challenges=('DPoP error="use_dpop_asymmetric", sym_error="policy"',)
)
STALE_KEY = Reply(
    status=401, challenges=('DPoP error="invalid_token", sym_error="stale_key"',)
)
EXPIRED_KEY = Reply(
    status=401, challenges=('DPoP error="invalid_token", sym_error="expired_key"',)
)


def rs_nonce(*nonces: str) -> Reply:
    """A resource server's demand for a nonce."""
    challenge = 'DPoP error="use_dpop_nonce", algs="ES256"'
    return Reply(status=401, challenges=(challenge,), nonces=nonces)


def as_nonce(*nonces: str) -> Reply:
    """An authorization server's demand for a nonce."""
    body = json.dumps({"error": "use_dpop_nonce"}).encode()
    return Reply(status=400, body=body, nonces=nonces)


@dataclass
class Driven:
    """What went out, and how it ended: None while another reply is awaited."""

    headers: list[Mapping[str, str]] = field(default_factory=list)
    outcome: Outcome | None = None

    @property
    def proofs(self) -> list[ReadProof]:
        return [read(fields["DPoP"]) for fields in self.headers]

    @property
    def kinds(self) -> str:
        """``s`` for each symmetric proof and ``a`` for each asymmetric one."""
        return "".join("s" if proof.is_symmetric else "a" for proof in self.proofs)

    @property
    def nonces(self) -> list[str | None]:
        return [proof.claims.get("nonce") for proof in self.proofs]


def drive(flow: Flow, *replies: Reply) -> Driven:
    """Answer each attempt with the next reply."""
    driven = Driven()
    attempt = next(flow)
    driven.headers.append(attempt.headers())
    for reply in replies:
        assert driven.outcome is None, "it ended before this reply"
        try:
            attempt = flow.send(reply)
        except StopIteration as end:
            driven.outcome = end.value
        else:
            driven.headers.append(attempt.headers())
    return driven
