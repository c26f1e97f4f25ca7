"""Response proofs and proofs under tickets, in two implementations."""

from __future__ import annotations

import os
from typing import Any

import pytest
from joserfc.jwk import ECKey

from dpop_ext.core.jose import parse_compact_jws
from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.core.key import thumbprint
from dpop_ext.core.request_digest import content_digest
from dpop_ext.errors import ResponseProofError
from dpop_ext.symmetric.mac_key import MacKey
from dpop_ext.symmetric.proof import (
    check_mac,
    make_symmetric_proof,
    parse_symmetric_proof,
)
from dpop_ext.symmetric.response import (
    AnsweredRequest,
    make_response_proof,
    verify_response_proof,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.ticket import make_ticket, ticket_mac_key
from dpop_ext.symmetric.ticket_keys import random_ticket_key
from tests.interop.symmetric_peer import Peer

NOW = 1_790_000_000
ISSUER = "https://as.example.com"
AUDIENCE = "https://api.example.com"
URL = f"{AUDIENCE}/accounts"
FIELDS = [("Content-Type", "application/json"), ("ETag", '"1"')]
ANSWER: dict[str, Any] = {
    "proof": "a.b.c",
    "target": "/accounts?page=2",
    "request_content": "amount=10",
    "method": "POST",
    "status": 201,
    "fields": [list(field) for field in FIELDS],
    "content": '{"id":1}',
}
REQUEST = AnsweredRequest.of(
    "a.b.c", target="/accounts?page=2", content=content_digest(b"amount=10")
)


@pytest.mark.requirement("R1901", "R2161", "R2162", "R2163")
def test_it_verifies_our_response_proof(peer: Peer) -> None:
    key = os.urandom(32)
    text = make_response_proof(
        SecretBytes(key),
        REQUEST,
        status=201,
        fields=FIELDS,
        content=b'{"id":1}',
        now=NOW,
    )
    given = {"response": text, "key": key.hex(), "now": NOW}
    assert peer.ask("verifyResponse", **ANSWER, **given) is True
    for change in ({"status": 200}, {"content": "{}"}, {"target": "/accounts"}):
        assert peer.ask("verifyResponse", **ANSWER | change, **given) is None


@pytest.mark.requirement("R1901", "R2161", "R2162", "R2163")
def test_we_verify_its_response_proof(peer: Peer) -> None:
    key = os.urandom(32)
    text = peer.ask("makeResponse", **ANSWER, key=key.hex(), now=NOW)

    def verify(status: int) -> None:
        verify_response_proof(
            [text],
            SecretBytes(key),
            REQUEST,
            status=status,
            fields=FIELDS,
            content=b'{"id":1}',
            now=NOW,
        )

    verify(201)
    with pytest.raises(ResponseProofError):
        verify(200)


@pytest.mark.requirement("R1803", "R2134")
def test_it_accepts_our_proof_under_our_ticket(
    peer: Peer, ec_key: ECKey, other_ec_key: ECKey
) -> None:
    ticket_key = random_ticket_key(NOW // 3600, lifetime=300)
    ticket = make_ticket(ticket_key, now=NOW)
    secret = ticket_key.secret.reveal()
    jkt = thumbprint(ec_key)
    key = ticket_mac_key(
        secret,
        ticket.raw,
        algorithm="HS256",
        audience=AUDIENCE,
        issuer=ISSUER,
        client_id="client-1",
        jkt=jkt,
    )
    names = {"iss": ISSUER, "aud": AUDIENCE, "client_id": "client-1"}
    claims = names | {"exp": NOW + 300, "cnf": {"jkt": jkt}}
    header = {"typ": "at+jwt", "alg": "ES256"}
    token = sign_compact(header, claims, other_ec_key)
    proof = make_symmetric_proof(
        SecretBytes(key),
        algorithm="HS256",
        method="GET",
        url=URL,
        now=NOW,
        access_token=token,
        ticket=ticket.text,
    )
    entry = {"tkid": ticket_key.key_id.hex(), "key": secret.hex(), "lifetime": 300}
    server = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "now": NOW,
        "method": "GET",
        "url": URL,
        "issuer_jwk": other_ec_key.as_dict(private=False),
        "algorithms": ["HS256"],
        "ticket_keys": [entry | {"expires_at": NOW + 3600}],
        "logouts": [],
    }
    request = {"access_token": token, "proof": proof}
    assert peer.ask("judgeRequest", request=request, server=server) == {}
    later = server | {"now": NOW + 300}
    assert peer.ask("judgeRequest", request=request, server=later)["error"]


@pytest.mark.requirement("R2134")
def test_we_accept_its_proof_under_a_ticket(peer: Peer) -> None:
    ticket = make_ticket(random_ticket_key(NOW // 3600, lifetime=300), now=NOW)
    key = os.urandom(32)
    text = peer.ask(
        "makeProof",
        key=key.hex(),
        algorithm="HS256",
        method="GET",
        url=URL,
        now=NOW,
        accessToken="token",
        tkt=ticket.text,
    )
    proof = parse_symmetric_proof(parse_compact_jws(text, max_length=8192))
    check_mac(proof, MacKey("HS256", key))
    assert proof.ticket == ticket.text
