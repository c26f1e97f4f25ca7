"""What a client contributes to its symmetric keys, and what it forgets afterwards."""

from __future__ import annotations

import gc
import json
import weakref
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey

from dpop_ext.client import token_flow
from dpop_ext.client.audience import Audience
from dpop_ext.client.exchange import Reply
from dpop_ext.client.key_material import KeyMaterial
from dpop_ext.client.signer import ProofSigner
from dpop_ext.core.base64url import b64url_decode
from dpop_ext.errors import UnsupportedKeyError
from dpop_ext.symmetric.delivery import CompositeR, wrap_key
from dpop_ext.symmetric.encryption_key import generate_encryption_key
from dpop_ext.symmetric.key_material import decrypt_key_material
from tests.client.driving import ISSUER, OK, RESOURCE, TOKEN_ENDPOINT, as_nonce
from tests.client.reading import read
from tests.client.token_server import SYMMETRIC_KEY
from tests.conftest import Clock

CLIENT = "client-1"
AS_KEY = ECKey.generate_key("P-256")
AS_JWKS: dict[str, Any] = {
    "keys": [
        {**ECKey.generate_key("P-256").as_dict(private=False), "use": "sig"},
        {**AS_KEY.as_dict(private=False), "use": "enc"},
    ]
}


def answer(claim: dict[str, Any], clock: Clock, **changes: Any) -> Reply:
    """Answer a request for a key as an authorization server does."""
    composite = None
    if "n" in claim:
        composite = CompositeR(n=b64url_decode(claim["n"]), r_as=bytes(range(32)))
    values: dict[str, Any] = {
        "recipient": OKPKey.import_key(claim["jwk"]),
        "algorithm": "ECDH-ES",
        "encoding": "A256GCM",
        "mac_algorithm": "HS256",
        "issuer": ISSUER,
        "audience": RESOURCE,
        "version": 7,
        "expires_at": clock.now + 300,
        "access_token": "access",
        "composite": composite,
        **changes,
    }
    body = {
        "access_token": "access",
        "token_type": "DPoP",
        "expires_in": 300,
        "cnf": {"jwe": wrap_key(SYMMETRIC_KEY, **values)},
    }
    return Reply(status=200, body=json.dumps(body).encode())


class Exchange:
    """One token request, with the replies of a server."""

    def __init__(self, signer: ProofSigner, **audience: Any) -> None:
        self.signer = signer
        self.flow = signer.token_request(
            method="POST",
            url=TOKEN_ENDPOINT,
            audience=Audience.of(ISSUER, RESOURCE, **audience),
        )
        # An HTTP library keeps it with the request for as long as it likes.
        self.attempt = next(self.flow)
        self.proof = read(self.attempt.headers()["DPoP"])

    @property
    def claim(self) -> dict[str, Any]:
        claim: dict[str, Any] = self.proof.claims["dsk"]
        return claim

    def again(self, reply: Reply) -> None:
        self.attempt = self.flow.send(reply)
        self.proof = read(self.attempt.headers()["DPoP"])

    def end(self, reply: Reply) -> bool:
        """Return whether there is a key then."""
        with pytest.raises(StopIteration):
            self.flow.send(reply)
        return self.signer.has_symmetric_key("access")


@pytest.fixture
def composing(ec_key: ECKey, clock: Clock) -> ProofSigner:
    return ProofSigner(ec_key, compose=True, clock=clock)


# --- a part of r


def test_a_client_contributes_nothing_unless_it_is_told_to(
    ec_key: ECKey, clock: Clock
) -> None:
    claim = Exchange(ProofSigner(ec_key, clock=clock)).claim
    assert "n" not in claim
    assert "k_jwe" not in claim
    made = ProofSigner.generate(compose=True, clock=clock)
    assert "n" in Exchange(made).claim


@pytest.mark.requirement("R2196", "R2195", "R2103")
def test_the_part_of_the_client_is_new_for_each_proof(
    composing: ProofSigner, clock: Clock
) -> None:
    exchange = Exchange(composing)
    first = exchange.claim["n"]
    exchange.again(as_nonce("n1"))
    assert exchange.claim["n"] != first
    assert len(b64url_decode(exchange.claim["n"])) == 32
    assert exchange.end(answer(exchange.claim, clock))


@pytest.mark.requirement("R2196", "R1601")
def test_a_key_that_does_not_show_the_part_is_not_used(
    ec_key: ECKey, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def ends_with_key(**changes: Any) -> bool:
        exchange = Exchange(ProofSigner(ec_key, compose=True, clock=clock))
        return exchange.end(answer(exchange.claim, clock, **changes))

    assert ends_with_key()
    assert not ends_with_key(composite=None)
    other = CompositeR(n=bytes(32), r_as=bytes(32))
    assert not ends_with_key(composite=other)
    # Nor is one that shows a part to a client that sent none.
    exchange = Exchange(ProofSigner(ec_key, clock=clock))
    assert not exchange.end(answer(exchange.claim, clock, composite=other))
    assert {r.getMessage() for r in caplog.records} == {
        "symmetric key not used: The delivered symmetric key was not accepted."
    }


# --- key material


@pytest.mark.requirement("R2193", "R2192")
def test_key_material_is_bound_to_the_proof_it_stands_in(
    ec_key: ECKey, clock: Clock
) -> None:
    signer = ProofSigner(ec_key, compose=True, clock=clock)
    material = KeyMaterial.of(AS_JWKS, client_id=CLIENT)
    exchange = Exchange(signer, key_material=material)

    def value() -> bytes:
        assert "n" not in exchange.claim
        return decrypt_key_material(
            exchange.claim["k_jwe"],
            private_keys=[AS_KEY],
            client_id=CLIENT,
            jkt=signer.jkt,
            jti=exchange.proof.claims["jti"],
        ).reveal()

    first = value()
    exchange.again(as_nonce("n1"))
    assert value() != first
    assert len(first) == 32
    # A key without a version is one that is not derived.
    assert exchange.end(answer(exchange.claim, clock, version=None))


@pytest.mark.parametrize(
    "jwks",
    [
        {},
        {"keys": None},
        {"keys": [5, None]},
        {"keys": [AS_KEY.as_dict(private=False)]},
        {"keys": [{**AS_KEY.as_dict(private=True), "use": "enc"}]},
        {"keys": [{"kty": "oct", "k": "AA", "use": "enc"}]},
        {"keys": [{"kty": "EC", "use": "enc"}]},
    ],
)
def test_a_server_without_a_key_for_it_gets_no_key_material(jwks: Any) -> None:
    with pytest.raises(UnsupportedKeyError):
        KeyMaterial.of(jwks, client_id=CLIENT)
    bad_first = {"keys": [*(jwks.get("keys") or ()), *AS_JWKS["keys"]]}
    found = KeyMaterial.of(bad_first, client_id=CLIENT)
    assert found.recipient.thumbprint() == AS_KEY.thumbprint()


# --- encryption keys for one request


@pytest.fixture
def made_keys(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """References to the encryption keys of requests, which keep none of them."""
    made: list[Any] = []

    def generate(algorithm: str) -> Any:
        key = generate_encryption_key(algorithm)
        made.append(weakref.ref(key))
        return key

    monkeypatch.setattr(token_flow, "generate_encryption_key", generate)
    return made


@pytest.mark.requirement("R1604")
@pytest.mark.parametrize("end", ["key", "bad key", "no key", "error", "nothing"])
def test_an_encryption_key_is_forgotten_with_its_request(
    ec_key: ECKey, clock: Clock, made_keys: list[Any], end: str
) -> None:
    signer = ProofSigner(ec_key, clock=clock)
    exchange = Exchange(signer)
    exchange.again(as_nonce("n1"))
    gc.collect()
    # The one of the first proof is gone, this one is needed.
    assert [made() is not None for made in made_keys] == [False, True]
    if end == "nothing":
        exchange.flow.close()
    elif end == "error":
        with pytest.raises(ConnectionError):
            exchange.flow.throw(ConnectionError())
    else:
        replies = {
            "key": answer(exchange.claim, clock),
            "bad key": answer(exchange.claim, clock, audience="https://b.example"),
            "no key": OK,
        }
        assert exchange.end(replies[end]) is (end == "key")
    gc.collect()
    assert [made() is not None for made in made_keys] == [False, False]
    # The signer stays, and its keys of other requests are others.
    assert Exchange(signer).claim["jwk"] != exchange.claim["jwk"]


@pytest.mark.requirement("R1604", "R1003")
@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519", "PS256"])
def test_every_kind_of_proof_key_gets_an_encryption_key_of_its_own(
    clock: Clock, algorithm: str, made_keys: list[Any]
) -> None:
    signer = ProofSigner.generate(algorithm, clock=clock)
    jwks = [Exchange(signer).claim["jwk"] for _ in range(2)]
    assert jwks[0] != jwks[1]
    assert all(jwk["crv"] == "X25519" and "d" not in jwk for jwk in jwks)
    assert len(made_keys) == 2
