"""An implementation of the profile in another language, against ours both ways."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from joserfc.jwk import ECKey, JWKRegistry, Key, OKPKey, RSAKey

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.jose import CompactJWS, parse_compact_jws
from dpop_ext.core.jws_signature import sign_compact, verify_signature
from dpop_ext.core.key import thumbprint
from dpop_ext.symmetric.delivery import choose, unwrap_key, wrap_key
from dpop_ext.symmetric.derivation import symmetric_key
from dpop_ext.symmetric.keyring import encrypt_keyring, open_keyring
from dpop_ext.symmetric.keyring_claims import keyring_claims
from dpop_ext.symmetric.keyring_floor import KeyringFloor
from dpop_ext.symmetric.mac_key import MacKey
from dpop_ext.symmetric.proof import (
    check_mac,
    make_symmetric_proof,
    parse_symmetric_proof,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing
from tests.interop import symmetric_peer
from tests.interop.symmetric_peer import Peer
from tests.vectors.profile import __main__ as vectors

NOW = 1_790_000_000
ISSUER = "https://as.example.com"
AUDIENCE = "https://api.example.com"
URL = f"{AUDIENCE}/accounts"
TOKEN = "eyJ.an.access-token"
NONCE = "AAAAAAAAAAAAAAAAAAAAAA"


@pytest.fixture(scope="module")
def findings() -> Any:
    return symmetric_peer.judge_vectors(vectors.FOLDER)


# --- the vectors


@pytest.mark.parametrize("file", vectors.FILES)
def test_it_judges_every_vector_as_the_vector_says(file: str, findings: Any) -> None:
    content = vectors.read(file)
    for name, found in findings[file].items():
        assert len(found) == len(content[name])
        for vector, outcome in zip(content[name], found, strict=True):
            expected = {member: vector.get(member) for member in outcome}
            assert outcome == expected, vector["name"]
            assert ("error" in outcome) == ("error" in vector), vector["name"]


def test_it_judges_every_answer_as_the_vector_says(findings: Any) -> None:
    content = json.loads((vectors.FOLDER.parent / "responses.json").read_text("utf-8"))
    expected = [vector["result"] for vector in content["vectors"]]
    assert findings["responses"] == expected
    assert set(expected) == {"accepted", "refused"}


# --- delivered keys


@pytest.mark.requirement("R1201", "R1204", "R1205")
@pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
@pytest.mark.parametrize(
    ("key", "key_algorithm"),
    [
        (ECKey.generate_key("P-256"), "ECDH-ES"),
        (ECKey.generate_key("P-521"), "ECDH-ES+A256KW"),
        (OKPKey.generate_key("X25519"), "ECDH-ES"),
        (RSAKey.generate_key(2048), "RSA-OAEP-256"),
    ],
    ids=["P-256", "P-521", "X25519", "RSA"],
)
def test_it_opens_a_key_that_we_deliver(
    peer: Peer, algorithm: str, key: Key, key_algorithm: str
) -> None:
    secret = os.urandom(32 if algorithm == "HS256" else 64)
    recipient = JWKRegistry.import_key(key.as_dict(private=False))
    assert choose(recipient, key_algorithms=[key_algorithm], encodings=["A256GCM"])
    text = wrap_key(
        SecretBytes(secret),
        recipient=recipient,
        algorithm=key_algorithm,
        encoding="A256GCM",
        mac_algorithm=algorithm,
        issuer=ISSUER,
        audience=AUDIENCE,
        version=7,
        expires_at=NOW + 300,
        access_token=TOKEN,
    )
    asked = asked_for(key, algorithm, key_algorithm)
    opened = peer.ask("openKey", jwe=text, **asked)
    assert opened == {"algorithm": algorithm, "version": 7, "key": secret.hex()}
    assert peer.ask("openKey", jwe=text, **asked | {"access_token": "other"}) is None


@pytest.mark.requirement("R1601")
@pytest.mark.parametrize(
    "key",
    [ECKey.generate_key("P-256"), OKPKey.generate_key("X25519")],
    ids=["P-256", "X25519"],
)
def test_we_open_a_key_that_it_delivers(peer: Peer, key: Key) -> None:
    secret = os.urandom(32)
    text = peer.ask(
        "sealKey",
        jwk=key.as_dict(private=False),
        key=secret.hex(),
        algorithm="HS256",
        issuer=ISSUER,
        audience=AUDIENCE,
        version=7,
        exp=NOW + 300,
        accessToken=TOKEN,
    )
    asked = asked_for(key, "HS256", "ECDH-ES") | {"private_key": key}
    delivered = unwrap_key(text, **asked)
    assert delivered.key == SecretBytes(secret)
    assert (delivered.algorithm, delivered.version) == ("HS256", 7)


def asked_for(key: Key, algorithm: str, key_algorithm: str) -> dict[str, Any]:
    return {
        "private_key": key.as_dict(private=True),
        "algorithms": [algorithm],
        "key_algorithms": [key_algorithm],
        "encodings": ["A256GCM"],
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "access_token": TOKEN,
        "now": NOW,
    }


# --- keyrings


def entry(version: int, state: Any) -> AudienceSecret:
    return AudienceSecret(
        version=version,
        state=state,
        not_before=NOW - 60,
        expires_at=NOW + 6000,
        secret=SecretBytes(os.urandom(32)),
    )


def claims() -> dict[str, Any]:
    ring = SecretRing(
        [entry(7, "verify_only"), entry(8, "active"), entry(9, "pending")],
        issuer=ISSUER,
        audience=AUDIENCE,
        revoked=[9],
    )
    said = keyring_claims(ring, epoch=1, sequence=42, poll=300)
    return said | {"iat": NOW, "exp": NOW + 1800, "jti": "k", "nonce": NONCE}


@pytest.mark.requirement("R1701", "R1702", "R2041")
def test_it_opens_our_keyring(peer: Peer, ec_key: ECKey, other_ec_key: ECKey) -> None:
    header = {"typ": "dpop-keyring+jwt", "alg": "ES256"}
    signed = sign_compact(header, claims(), other_ec_key)
    public = ECKey.import_key(ec_key.as_dict(private=False))
    asked = {
        "keyring": encrypt_keyring(signed, recipient=public),
        "private_key": ec_key.as_dict(private=True),
        "issuer_jwk": other_ec_key.as_dict(private=False),
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "nonce": NONCE,
        "now": NOW,
        "floor": {"epoch": 0, "seq": 0, "min_live": 1, "revoked": []},
    }
    assert peer.ask("openKeyring", **asked) == [7, 8]
    assert peer.ask("openKeyring", **asked | {"nonce": "B" * 22}) is None


@pytest.mark.requirement("R1701", "R1702", "R2041")
def test_we_open_its_keyring(peer: Peer, ec_key: ECKey, other_ec_key: ECKey) -> None:
    text = peer.ask(
        "sealKeyring",
        claims=claims(),
        signingKey=other_ec_key.as_dict(private=True),
        jwk=ec_key.as_dict(private=False),
    )

    def verify(jws: CompactJWS) -> None:
        verify_signature(jws, other_ec_key, algorithm="ES256")

    keyring = open_keyring(
        text,
        private_keys=[ec_key],
        verify=verify,
        issuer=ISSUER,
        audience=AUDIENCE,
        nonce=NONCE,
        floor=KeyringFloor(),
        now=NOW,
    )
    assert keyring.ring.find(8, now=NOW).state == "active"


# --- proofs


@pytest.mark.requirement("R1401", "R1403", "R1501")
@pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
def test_it_accepts_our_token_and_our_proof(
    peer: Peer, algorithm: str, ec_key: ECKey, other_ec_key: ECKey
) -> None:
    secret, r = os.urandom(32), os.urandom(32)
    cnf = {"alg": algorithm, "v": 7, "r": b64url_encode(r), "exp": NOW + 300}
    names = {"iss": ISSUER, "aud": AUDIENCE, "client_id": "client-1", "sub": "alice"}
    said = {"exp": NOW + 300, "cnf": {"jkt": thumbprint(ec_key), "dsk": cnf}}
    header = {"typ": "at+jwt", "alg": "ES256"}
    token = sign_compact(header, names | said, other_ec_key)
    key = symmetric_key(
        secret,
        algorithm=algorithm,
        issuer=ISSUER,
        audience=AUDIENCE,
        client_id="client-1",
        jkt=thumbprint(ec_key),
        version=7,
        r=r,
    )
    proof = make_symmetric_proof(
        SecretBytes(key),
        algorithm=algorithm,
        method="GET",
        url=URL,
        now=NOW,
        access_token=token,
    )
    server: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "now": NOW,
        "method": "GET",
        "url": URL,
        "deny": [],
        "revoked": [],
        "min_live": 1,
        "issuer_jwk": other_ec_key.as_dict(private=False),
        "secrets": [{"v": 7, "exp": NOW + 6000, "k": b64url_encode(secret)}],
    }
    request = {"access_token": token, "proof": proof}
    assert peer.ask("judgeRequest", request=request, server=server) == {}
    server["secrets"][0]["k"] = b64url_encode(os.urandom(32))
    refused = peer.ask("judgeRequest", request=request, server=server)
    assert refused == {"error": "invalid_dpop_proof"}


@pytest.mark.requirement("R1401", "R1402", "R1404")
@pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
def test_we_accept_its_proof(peer: Peer, algorithm: str) -> None:
    key = os.urandom(32 if algorithm == "HS256" else 64)
    text = peer.ask(
        "makeProof",
        key=key.hex(),
        algorithm=algorithm,
        method="POST",
        url=URL,
        now=NOW,
        accessToken=TOKEN,
        kid="7",
    )
    proof = parse_symmetric_proof(parse_compact_jws(text, max_length=8192))
    check_mac(proof, MacKey(algorithm, key))
    assert (proof.claims["htm"], proof.claims["htu"], proof.iat) == ("POST", URL, NOW)
    assert proof.kid == "7"
