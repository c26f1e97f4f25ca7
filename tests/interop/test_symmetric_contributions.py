"""Keys in tokens, key material and composed values, in two implementations."""

from __future__ import annotations

import os
from typing import Any

import pytest
from joserfc.jwk import ECKey

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.confirmation import AccessToken, Confirmation
from dpop_ext.core.key import thumbprint
from dpop_ext.symmetric.delivery import CompositeR, wrap_key
from dpop_ext.symmetric.encapsulation import KeyDecryptor, KeyRecipient, encapsulate_key
from dpop_ext.symmetric.key_material import decrypt_key_material, encrypt_key_material
from dpop_ext.symmetric.mac_key import MacKey
from dpop_ext.symmetric.secret_bytes import SecretBytes
from tests.interop.symmetric_peer import Peer

NOW = 1_790_000_000
ISSUER = "https://as.example.com"
AUDIENCE = "https://api.example.com"
NAMES = {"issuer": ISSUER, "audience": AUDIENCE}


def public(key: ECKey) -> ECKey:
    return ECKey.import_key(key.as_dict(private=False))


@pytest.mark.requirement("R2061", "R2062", "R2064")
@pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
def test_it_opens_the_key_in_our_token(
    peer: Peer, algorithm: str, ec_key: ECKey, other_ec_key: ECKey
) -> None:
    secret = os.urandom(32 if algorithm == "HS256" else 64)
    jkt = thumbprint(other_ec_key)
    text = encapsulate_key(
        SecretBytes(secret),
        recipient=KeyRecipient(key=public(ec_key), algorithm="ECDH-ES"),
        mac_algorithm=algorithm,
        client_id="client-1",
        jkt=jkt,
        expires_at=NOW + 300,
        **NAMES,
    )
    token = {"iss": ISSUER, "aud": AUDIENCE, "client_id": "client-1", "jkt": jkt}
    own = {
        "jwe": text,
        "private_key": ec_key.as_dict(private=True),
        "algorithm": "ECDH-ES",
        "encoding": "A256GCM",
        **NAMES,
    }
    opened = peer.ask("openEncapsulated", token=token | {"exp": NOW + 300}, **own)
    assert opened == {"algorithm": algorithm, "key": secret.hex()}
    other = token | {"exp": NOW + 301}
    assert peer.ask("openEncapsulated", token=other, **own) is None


@pytest.mark.requirement("R2061", "R2062")
def test_we_open_the_key_in_its_token(
    peer: Peer, ec_key: ECKey, other_ec_key: ECKey
) -> None:
    secret, jkt = os.urandom(32), thumbprint(other_ec_key)
    text = peer.ask(
        "sealEncapsulated",
        jwk=ec_key.as_dict(private=False),
        key=secret.hex(),
        algorithm="HS256",
        token={
            "iss": ISSUER,
            "aud": AUDIENCE,
            "client_id": "client-1",
            "jkt": jkt,
            "exp": NOW + 300,
        },
    )
    token = AccessToken(
        issuer=ISSUER,
        audience=(AUDIENCE,),
        client_id="client-1",
        expires_at=NOW + 300,
        token_id=None,
        confirmation=Confirmation(jkt=jkt, dsk=None),
        scope="",
        claims={},
    )
    found = KeyDecryptor(lambda: [ec_key]).decrypt(text, token, **NAMES)
    assert found.mac_key.tag(b"x") == MacKey("HS256", secret).tag(b"x")


@pytest.mark.requirement("R2193")
def test_key_material_goes_both_ways(peer: Peer, ec_key: ECKey) -> None:
    material = os.urandom(32)
    names = {"client_id": "client-1", "jkt": thumbprint(ec_key), "jti": "j-1"}
    ours = encrypt_key_material(
        SecretBytes(material), recipient=public(ec_key), **names
    )
    own = {"private_key": ec_key.as_dict(private=True), **names}
    assert peer.ask("openMaterial", k_jwe=ours, **own) == material.hex()
    assert peer.ask("openMaterial", k_jwe=ours, **own | {"jti": "j-2"}) is None
    jwk = ec_key.as_dict(private=False)
    its = peer.ask("sealMaterial", jwk=jwk, material=material.hex(), **names)
    opened = decrypt_key_material(its, private_keys=[ec_key], **names)
    assert opened == SecretBytes(material)


@pytest.mark.requirement("R2196")
def test_it_checks_how_our_r_was_composed(peer: Peer, ec_key: ECKey) -> None:
    n, r_as = os.urandom(32), os.urandom(32)
    text = wrap_key(
        SecretBytes(os.urandom(32)),
        recipient=public(ec_key),
        algorithm="ECDH-ES",
        encoding="A256GCM",
        mac_algorithm="HS256",
        version=7,
        expires_at=NOW + 300,
        access_token="token",
        composite=CompositeR(n=n, r_as=r_as),
        issuer=ISSUER,
        audience=AUDIENCE,
    )
    asked: dict[str, Any] = {
        "jwe": text,
        "private_key": ec_key.as_dict(private=True),
        "algorithms": ["HS256"],
        "key_algorithms": ["ECDH-ES"],
        "encodings": ["A256GCM"],
        "access_token": "token",
        "now": NOW,
        **NAMES,
    }
    assert peer.ask("openKey", n=b64url_encode(n), **asked)["version"] == 7
    assert peer.ask("openKey", n=b64url_encode(r_as), **asked) is None
    assert peer.ask("openKey", **asked) is None
