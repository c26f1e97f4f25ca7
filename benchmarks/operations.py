"""The operations that are measured: primitives, and what a request costs on top."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import ECKey, Key

from benchmarks.by_hand import checking
from benchmarks.routes import Route, by_hand, settings_for
from benchmarks.world import (
    AUDIENCE,
    EC_KEY,
    ED_KEY,
    NOW,
    URL,
    Request,
    ResourceServer,
    Serve,
    access_token,
    asymmetric_proof,
    clock,
    delivered_key,
    serving,
    symmetric_proof,
    ticket_proofs,
    warm_server,
)
from dpop_ext.client.proof_maker import ProofMaker
from dpop_ext.resource_server.credentials import ResourceRequest
from dpop_ext.resource_server.gate import Gate
from dpop_ext.symmetric.delivery import DeliveredKey

#: Requests that are made before the clock runs, each with a proof of its own.
SYMMETRIC_REQUESTS = 20_000
ASYMMETRIC_REQUESTS = 4_000
FIRST_REQUESTS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One operation, and the primitives that it is compared with, added up."""

    name: str
    call: Callable[[], object]
    base: tuple[str, ...]
    #: How many times the base it may cost at most; None: only for comparison.
    budget: float | None = None


def primitives() -> list[Row]:
    """Return what everything else is compared with."""
    message, mac_key = secrets.token_bytes(300), secrets.token_bytes(32)
    ecdsa, pkcs1 = ec.ECDSA(SHA256()), padding.PKCS1v15()
    ec_key = ec.generate_private_key(ec.SECP256R1())
    ed_key = ed25519.Ed25519PrivateKey.generate()
    rsa_key = rsa.generate_private_key(65537, 2048)
    by_ec, by_ed = ec_key.sign(message, ecdsa), ed_key.sign(message)
    by_rsa = rsa_key.sign(message, pkcs1, SHA256())
    ec_public, ed_public = ec_key.public_key(), ed_key.public_key()
    rsa_public = rsa_key.public_key()
    operations: dict[str, Callable[[], object]] = {
        "ES256 sign": lambda: ec_key.sign(message, ecdsa),
        "ES256 verify": lambda: ec_public.verify(by_ec, message, ecdsa),
        "Ed25519 verify": lambda: ed_public.verify(by_ed, message),
        "RS256 verify": lambda: rsa_public.verify(by_rsa, message, pkcs1, SHA256()),
        "HMAC-SHA256": lambda: hmac.digest(mac_key, message, "sha256"),
    }
    return [
        Row(name=name, call=call, base=(name,)) for name, call in operations.items()
    ]


def verifying() -> list[Row]:
    """Return what a resource server does, from the proof to the memory store."""
    text, key = access_token(EC_KEY), delivered_key(EC_KEY)
    symmetric = [(text, symmetric_proof(key, text)) for _ in range(SYMMETRIC_REQUESTS)]
    tickets = [
        (text, proof) for proof in ticket_proofs(EC_KEY, text, SYMMETRIC_REQUESTS)
    ]
    first = [
        (other, symmetric_proof(key, other))
        for other in (access_token(EC_KEY, number=n) for n in range(FIRST_REQUESTS))
    ]
    strangers = [ECKey.generate_key("P-256") for _ in range(FIRST_REQUESTS)]
    unseen = [
        (other, asymmetric_proof(stranger, "ES256", other))
        for stranger, other in ((s, access_token(s)) for s in strangers)
    ]
    es256 = _asymmetric(EC_KEY, "ES256")
    eddsa = _asymmetric(ED_KEY, "Ed25519")

    return [
        Row(
            name="symmetric",
            call=serving(symmetric, warm_server(symmetric)),
            base=("ES256 verify",),
            budget=0.25,
        ),
        Row(
            name="symmetric, with a ticket",
            call=serving(tickets, warm_server(tickets)),
            base=("ES256 verify",),
            budget=0.25,
        ),
        Row(
            name=by_hand("symmetric"),
            call=_by_hand(symmetric),
            base=("ES256 verify",),
        ),
        Row(
            name=by_hand("ES256"),
            call=_by_hand(es256),
            base=("ES256 verify",),
        ),
        Row(
            name="symmetric, token not seen before",
            call=serving(first, lambda: ResourceServer().serve),
            base=("ES256 verify",),
            budget=1.4,
        ),
        Row(
            name="ES256, key and token seen before",
            call=serving(es256, warm_server(es256)),
            base=("ES256 verify",),
            budget=1.5,
        ),
        Row(
            name="Ed25519, key and token seen before",
            call=serving(eddsa, warm_server(eddsa)),
            base=("Ed25519 verify",),
            budget=1.3,
        ),
        Row(
            name="ES256, nothing seen before",
            call=serving(unseen, lambda: ResourceServer().serve),
            base=("ES256 verify", "RS256 verify"),
            budget=2.1,
        ),
        Row(
            name="symmetric, in three steps",
            call=serving(symmetric, lambda: ResourceServer().serve_in_steps),
            base=("ES256 verify",),
        ),
        Row(
            name="whole decision, symmetric",
            call=serving(symmetric, _deciding),
            base=("ES256 verify",),
        ),
    ]


def making() -> list[Row]:
    """Return what a client does for each request."""
    maker = ProofMaker(EC_KEY, algorithm="ES256", clock=lambda: NOW)
    text = access_token(EC_KEY)
    delivered = DeliveredKey(
        key=delivered_key(EC_KEY),
        algorithm="HS256",
        version=1,
        issuer="",
        audience=AUDIENCE,
        expires_at=NOW + 300,
    )
    return [
        Row(
            name="make a symmetric proof",
            call=lambda: maker.symmetric(
                delivered, method="GET", url=URL, access_token=text
            ),
            base=("HMAC-SHA256",),
            budget=5,
        ),
        Row(
            name="make an ES256 proof",
            call=lambda: maker.asymmetric(method="GET", url=URL, access_token=text),
            base=("ES256 sign",),
            budget=1.5,
        ),
    ]


def proof_lengths() -> list[tuple[str, int, int]]:
    """Return how long proofs are on the wire, and how long they may be."""
    text, key = access_token(EC_KEY), delivered_key(EC_KEY)
    return [
        ("symmetric proof on the wire", len(symmetric_proof(key, text)), 310),
        ("ES256 proof on the wire", len(asymmetric_proof(EC_KEY, "ES256", text)), 530),
    ]


def _asymmetric(key: Key, algorithm: str) -> list[Request]:
    text = access_token(key)
    return [
        (text, asymmetric_proof(key, algorithm, text))
        for _ in range(ASYMMETRIC_REQUESTS)
    ]


def _by_hand(requests: list[Request]) -> Callable[[], object]:
    settings = settings_for(Route(name="", kind="by hand"))
    fields = [(f"DPoP {text}", proof) for text, proof in requests]
    return serving(
        fields, lambda: partial(checking(settings, clock=clock), "GET", "/accounts/42")
    )


def _deciding() -> Serve:
    server = ResourceServer()
    gate = Gate(server.verifier, server.find_token, public_url=AUDIENCE)

    def serve(text: str, proof: str) -> None:
        gate.check(
            ResourceRequest(
                method="GET",
                scheme="http",
                host="10.0.0.1:8000",
                raw_target="/accounts/42",
                authorization=(f"DPoP {text}",),
                proofs=(proof,),
            ),
            scopes=["accounts"],
        )

    return serve
