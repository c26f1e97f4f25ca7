"""The vectors of the profile, judged by the library and by a resource server of it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from joserfc.jwk import ECKey, JWKRegistry

from dpop_ext.authorization_server.errors import to_response
from dpop_ext.core.base64url import b64url_decode
from dpop_ext.core.confirmation import AccessToken, Confirmation
from dpop_ext.core.jose import CompactJWS
from dpop_ext.core.jws_signature import verify_signature
from dpop_ext.core.request_digest import content_digest
from dpop_ext.core.structured_field import parse_dictionary
from dpop_ext.errors import DPoPError, KeyDeliveryError
from dpop_ext.resource_server.error_refusal import refuse
from dpop_ext.symmetric import derivation
from dpop_ext.symmetric.delivery import unwrap_key
from dpop_ext.symmetric.encapsulation import KeyDecryptor
from dpop_ext.symmetric.encryption_key import import_encryption_key
from dpop_ext.symmetric.key_material import decrypt_key_material
from dpop_ext.symmetric.key_request import parse_key_request
from dpop_ext.symmetric.keyring import open_keyring
from dpop_ext.symmetric.keyring_floor import KeyringError, KeyringFloor
from dpop_ext.symmetric.mac_key import MacKey
from dpop_ext.symmetric.published_secrets import is_published
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import SecretRing
from dpop_ext.symmetric.ticket import ticket_mac_key
from dpop_ext.symmetric.ticket_delivery import (
    DeliveredTicket,
    TicketBinding,
    unwrap_ticket,
)
from dpop_ext.symmetric.ticket_keys import derive_ticket_key
from tests.profile.cases import CONTENT, cases
from tests.vectors.profile import __main__ as vectors


@pytest.mark.parametrize("name", vectors.FILES)
def test_the_generator_writes_the_files_as_they_are(name: str) -> None:
    path = vectors.FOLDER / f"{name}.json"
    assert path.read_text("ascii") == vectors.text(name)


@pytest.mark.parametrize("name", vectors.FILES)
def test_names_are_unique_in_a_file_and_requirements_are_named(name: str) -> None:
    lists = [part for part in CONTENT[name].values() if isinstance(part, list)]
    named = [part for part in lists if isinstance(part[0], dict) and "name" in part[0]]
    assert named
    for part in named:
        names = [vector["name"] for vector in part]
        assert len(set(names)) == len(names)
        assert all(vector["requirements"] for vector in part)


def test_no_secret_of_the_vectors_is_good_for_anything_else() -> None:
    proofs, tickets = CONTENT["symmetric-proofs"], CONTENT["tickets"]
    listed = [b64url_decode(entry["k"]) for entry in proofs["secrets"]]
    listed += [bytes.fromhex(entry["key"]) for entry in tickets["ticket_keys"]]
    names = ("root", "secret", "key", "random", "k_c", "ticket_key")
    listed += [
        bytes.fromhex(vector[name])
        for part in CONTENT["derivations"].values()
        for vector in part
        for name in names
        if len(vector.get(name, "")) == 64
    ]
    assert len(listed) > 50
    assert all(is_published(value) for value in listed)


# --- derivations


@cases("derivations", "audience_secret")
def test_the_secret_of_an_audience(vector: dict[str, Any]) -> None:
    def derive() -> bytes:
        return derivation.audience_secret(
            bytes.fromhex(vector["root"]),
            issuer=vector["issuer"],
            audience=vector["audience"],
            version=vector["version"],
            root_id=bytes.fromhex(vector["root_id"]),
        )

    check_derivation(vector, derive)


@cases("derivations", "symmetric_key")
def test_the_key_of_a_token(vector: dict[str, Any]) -> None:
    def derive() -> bytes:
        # What the parser of cnf refuses before anything is derived.
        r = base64.urlsafe_b64decode(vector["r"] + "==")
        return derivation.symmetric_key(
            bytes.fromhex(vector["secret"]),
            algorithm=vector["algorithm"],
            issuer=vector["issuer"],
            audience=vector["audience"],
            client_id=vector["client_id"],
            jkt=vector["jkt"],
            version=vector["version"],
            r=r,
        )

    check_derivation(vector, derive)


@cases("derivations", "nonce_secret")
def test_the_secret_of_nonces(vector: dict[str, Any]) -> None:
    secret = bytes.fromhex(vector["secret"])
    check_derivation(vector, lambda: derivation.nonce_secret(secret))


@cases("derivations", "response_key")
def test_the_key_of_response_proofs(vector: dict[str, Any]) -> None:
    key = bytes.fromhex(vector["secret"])
    check_derivation(vector, lambda: derivation.response_key(key))
    assert len(bytes.fromhex(vector["key"])) == 32


@cases("derivations", "composite_r")
def test_a_composed_r(vector: dict[str, Any]) -> None:
    r_as, n = (base64.urlsafe_b64decode(vector[name] + "==") for name in ("r_as", "n"))
    check_derivation(vector, lambda: derivation.composite_r(r_as, n))


@cases("derivations", "mixed_key")
def test_a_key_with_material_of_the_client(vector: dict[str, Any]) -> None:
    def derive() -> bytes:
        return derivation.mixed_key(
            bytes.fromhex(vector["random"]),
            algorithm=vector["algorithm"],
            key_material=bytes.fromhex(vector["k_c"]),
        )

    check_derivation(vector, derive)


@cases("derivations", "ticket_key")
def test_a_derived_ticket_key(vector: dict[str, Any]) -> None:
    secret = bytes.fromhex(vector["secret"])
    name, key = derive_ticket_key(secret, vector["hour"])
    assert (name.hex(), key.hex()) == (vector["tkid"], vector["key"])


@cases("derivations", "ticket_mac_key")
def test_the_key_of_a_ticket(vector: dict[str, Any]) -> None:
    names = ("algorithm", "audience", "issuer", "client_id", "jkt")
    key = ticket_mac_key(
        bytes.fromhex(vector["ticket_key"]),
        b64url_decode(vector["ticket"]),
        **{name: vector[name] for name in names},
    )
    assert key.hex() == vector["key"]


def check_derivation(vector: dict[str, Any], derive: Callable[[], bytes]) -> None:
    if "error" in vector:
        with pytest.raises(ValueError, match=r"."):
            derive()
    else:
        assert derive().hex() == vector["key"]


# --- what the client sends and gets


@cases("key-requests")
def test_a_request_for_a_key(vector: dict[str, Any]) -> None:
    def judge() -> tuple[str, ...]:
        request = parse_key_request(vector["dsk"], vector["dpop_sym"])
        assert request is not None
        proof_jwk = CONTENT["key-requests"]["proof_jwk"]
        import_encryption_key(request.encryption_jwk, proof_jwk=proof_jwk)
        return request.algorithms

    if "error" in vector:
        with pytest.raises(DPoPError) as caught:
            judge()
        assert to_response(caught.value, None).error == vector["error"]
    else:
        assert judge()


@cases("key-jwes")
def test_a_delivered_key(vector: dict[str, Any]) -> None:
    content = CONTENT["key-jwes"]
    arguments: dict[str, Any] = {
        "private_key": JWKRegistry.import_key(content["private_key"]),
        **{name: content[name] for name in ("algorithms", "key_algorithms")},
        **{name: content[name] for name in ("encodings", "issuer", "audience")},
        "access_token": content["access_token"],
        "now": content["now"],
        "n": b64url_decode(vector["n"]) if "n" in vector else None,
    }
    if "error" in vector:
        with pytest.raises(KeyDeliveryError):
            unwrap_key(vector["jwe"], **arguments)
    else:
        delivered = unwrap_key(vector["jwe"], **arguments)
        assert delivered.key == SecretBytes(bytes.fromhex(vector["key"]))
        assert delivered.algorithm == vector["algorithm"]
        assert delivered.version == vector["version"]


@cases("ticket-fields")
def test_a_delivered_ticket(vector: dict[str, Any]) -> None:
    content = CONTENT["ticket-fields"]

    def judge() -> DeliveredTicket:
        return unwrap_ticket(
            parse_dictionary([vector["field"]]),
            private_key=ECKey.import_key(content["private_key"]),
            **{name: content[name] for name in ("algorithms", "key_algorithms")},
            encodings=content["encodings"],
            binding=TicketBinding(
                audience=content["resource"],
                jkt=content["jkt"],
                n=content["n"],
                proof_hash=content_digest(content["proof"].encode()),
            ),
            now=content["now"],
        )

    if "error" in vector:
        with pytest.raises((KeyDeliveryError, ValueError)):
            judge()
    else:
        delivered = judge()
        assert delivered.key == SecretBytes(bytes.fromhex(vector["key"]))
        assert delivered.algorithm == vector["algorithm"]
        assert delivered.ticket == vector["ticket"]


@cases("key-material")
def test_key_material(vector: dict[str, Any]) -> None:
    content = CONTENT["key-material"]

    def judge() -> SecretBytes:
        return decrypt_key_material(
            vector["k_jwe"],
            private_keys=[ECKey.import_key(content["private_key"])],
            **{name: content[name] for name in ("client_id", "jkt", "jti")},
        )

    if "error" in vector:
        with pytest.raises(DPoPError) as caught:
            judge()
        assert to_response(caught.value, None).error == vector["error"]
    else:
        assert judge() == SecretBytes(bytes.fromhex(vector["key"]))


# --- what a resource server gets


@cases("encapsulated-keys")
def test_an_encapsulated_key(vector: dict[str, Any]) -> None:
    content = CONTENT["encapsulated-keys"]
    said = content["token"]
    token = AccessToken(
        issuer=said["iss"],
        audience=(said["aud"],),
        client_id=said["client_id"],
        expires_at=said["exp"],
        token_id=None,
        confirmation=Confirmation(jkt=said["jkt"], dsk=None),
        scope="",
        claims={},
    )
    key = ECKey.import_key(content["private_key"])
    decryptor = KeyDecryptor(
        lambda: [key], algorithm=content["algorithm"], encoding=content["encoding"]
    )
    names = {name: content[name] for name in ("issuer", "audience")}
    if "error" in vector:
        with pytest.raises(DPoPError) as caught:
            decryptor.decrypt(vector["jwe"], token, **names)
        assert refuse(caught.value).error == vector["error"]
    else:
        found = decryptor.decrypt(vector["jwe"], token, **names).mac_key
        expected = MacKey(vector["algorithm"], bytes.fromhex(vector["key"]))
        assert found.algorithm == vector["algorithm"]
        assert found.tag(b"x") == expected.tag(b"x")


@cases("keyrings")
@pytest.mark.usefixtures("published_secrets_are_good")
def test_a_keyring(vector: dict[str, Any]) -> None:
    content = CONTENT["keyrings"]
    issuer_key = JWKRegistry.import_key(content["issuer_jwk"])
    floor = content["floor"]

    def verify(jws: CompactJWS) -> None:
        verify_signature(jws, issuer_key, algorithm="ES256")

    arguments: dict[str, Any] = {
        "private_keys": [JWKRegistry.import_key(content["private_key"])],
        "verify": verify,
        **{name: content[name] for name in ("issuer", "audience", "nonce", "now")},
        "floor": KeyringFloor(
            epoch=floor["epoch"],
            sequence=floor["seq"],
            content=hashlib.sha256(b"another").hexdigest(),
            min_live=floor["min_live"],
            revoked=frozenset(floor["revoked"]),
        ),
    }
    if "error" in vector:
        with pytest.raises(KeyringError):
            open_keyring(vector["keyring"], **arguments)
    else:
        ring = open_keyring(vector["keyring"], **arguments).ring
        assert usable(ring, now=content["now"]) == vector["usable"]


def usable(ring: SecretRing, *, now: int) -> list[int]:
    found = []
    for version in range(1, 20):
        try:
            ring.find(version, now=now)
        except DPoPError:
            continue
        found.append(version)
    return found
