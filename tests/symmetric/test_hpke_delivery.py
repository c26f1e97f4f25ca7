"""A symmetric key that is delivered to a post-quantum key, HPKE-9-KE."""

from __future__ import annotations

from typing import Any

import pytest
from joserfc.jwk import ECKey

from dpop_ext.core import ml_dsa
from dpop_ext.core.akp import AKPKey
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.errors import KeyDeliveryError, MalformedProofError, UnsupportedKeyError
from dpop_ext.symmetric import hpke
from dpop_ext.symmetric.delivery import (
    KEY_ALGORITHMS,
    OPTIONAL_KEY_ALGORITHMS,
    DeliveredKey,
    choose,
    unwrap_key,
    wrap_key,
)
from dpop_ext.symmetric.encryption_key import import_encryption_key
from dpop_ext.symmetric.key_jwe import ENCODINGS, MAX_JWE_LENGTH
from dpop_ext.symmetric.secret_bytes import SecretBytes
from tests import post_quantum
from tests.symmetric.test_delivery import (
    AUDIENCE,
    ISSUER,
    NOW,
    SECRET,
    TOKEN,
    header_of,
)

post_quantum.require()

KEY = hpke.generate()
PUBLIC = KEY.as_dict()
ALGORITHM = "HPKE-9-KE"


def wrap(recipient: Any = KEY, **changes: Any) -> str:
    values: dict[str, Any] = {
        "algorithm": ALGORITHM,
        "encoding": "A256GCM",
        "mac_algorithm": "HS256",
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "version": 7,
        "expires_at": NOW + 300,
        "access_token": TOKEN,
        **changes,
    }
    return wrap_key(SecretBytes(SECRET), recipient=recipient, **values)


def unwrap(text: str, key: Any = KEY, **changes: Any) -> DeliveredKey:
    values: dict[str, Any] = {
        "algorithms": ("HS256",),
        "key_algorithms": (ALGORITHM,),
        "encodings": ENCODINGS,
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "access_token": TOKEN,
        "now": NOW,
        **changes,
    }
    return unwrap_key(text, private_key=key, **values)


def forged(**members: Any) -> str:
    """A JWE for our key whose header has other members; None takes one away."""
    header = {k: v for k, v in header_of(wrap()).items() if k != "ek"} | members
    header = {k: v for k, v in header.items() if v is not None}
    jwk = {
        "kty": "oct",
        "use": "sig",
        "key_ops": ["sign"],
        "alg": "HS256",
        "kid": "7",
        "k": b64url_encode(SECRET),
    }
    return hpke.encrypt(header, str(jwk).replace("'", '"').encode(), KEY)


@pytest.mark.requirement("R1201", "R1204", "R1205", "R2309", "E3003")
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_wrapped_is_unwrapped(encoding: str) -> None:
    text = wrap(encoding=encoding)
    assert len(text) < MAX_JWE_LENGTH
    delivered = unwrap(text)
    assert delivered.key.reveal() == SECRET
    assert (delivered.algorithm, delivered.version) == ("HS256", 7)
    header = header_of(text)
    assert header["kid"] == KEY.thumbprint()
    assert "epk" not in header


@pytest.mark.requirement("R2309")
def test_the_longest_identifiers_fit() -> None:
    text = wrap(issuer="i" * 256, audience="a" * 256)
    delivered = unwrap(text, issuer="i" * 256, audience="a" * 256)
    assert delivered.audience == "a" * 256
    assert len(text) < MAX_JWE_LENGTH


@pytest.mark.requirement("R2309", "R1601", "R2212")
@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://other.example"},
        {"audience": "https://other.example"},
        {"access_token": "another"},
        {"now": NOW + 300},
        {"algorithms": ("HS512",)},
        {"encodings": ("A128GCM",)},
        {"key_algorithms": ("ECDH-ES",)},
        {"key_algorithms": ("RSA1_5", "HPKE-9", "ECDH-ES")},
        {"key": hpke.generate()},
        {"key": AKPKey(alg=ALGORITHM, public=KEY.public)},
        {"key": ECKey.generate_key("P-256")},
        {"key": ml_dsa.generate("ML-DSA-65")},
        {"n": bytes(32)},
    ],
    ids=", ".join,
)
def test_the_checks_are_those_of_every_delivered_key(changes: dict[str, Any]) -> None:
    with pytest.raises(KeyDeliveryError):
        unwrap(wrap(), **changes)


@pytest.mark.requirement("R1201", "R1203", "R2309")
@pytest.mark.parametrize(
    "members",
    [
        {"typ": "dpop-sym-rs+jwe"},
        {"typ": None},
        {"cty": "json"},
        {"alg": "HPKE-9"},
        {"alg": "ECDH-ES"},
        {"kid": "A" * 43},
        {"zip": "DEF"},
        {"crit": ["ek"]},
        {"epk": PUBLIC},
        {"psk_id": "a"},
        {"dsk": None},
    ],
    ids=" ".join,
)
def test_a_header_that_says_something_else_is_refused(members: dict[str, Any]) -> None:
    assert unwrap(forged()).key.reveal() == SECRET
    with pytest.raises(KeyDeliveryError):
        unwrap(forged(**members))


def test_one_kind_of_ephemeral_key_is_none_for_the_other() -> None:
    ec_key = ECKey.generate_key("P-256")
    text = wrap(ec_key, algorithm="ECDH-ES")
    assert "epk" in header_of(text)
    delivered = unwrap(text, ec_key, key_algorithms=("ECDH-ES",))
    assert delivered.key.reveal() == SECRET
    with pytest.raises(KeyDeliveryError):
        unwrap(text, ec_key, key_algorithms=(ALGORITHM,))


@pytest.mark.requirement("R2308")
def test_no_server_chooses_it_unless_told_to() -> None:
    offers = {"key_algorithms": (ALGORITHM, "ECDH-ES"), "encodings": ("A256GCM",)}
    assert choose(KEY, **offers) is None
    accepted = (*KEY_ALGORITHMS, *OPTIONAL_KEY_ALGORITHMS)
    assert choose(KEY, **offers, accepted=accepted) == (ALGORITHM, "A256GCM")
    assert choose(KEY, key_algorithms=("ECDH-ES",), encodings=ENCODINGS) is None
    key = ml_dsa.generate("ML-DSA-44")
    assert choose(key, **offers, accepted=accepted) is None
    with pytest.raises(ValueError, match="recipient"):
        wrap(key)


@pytest.mark.requirement("R2308")
def test_a_key_is_imported_only_where_that_is_allowed() -> None:
    found = import_encryption_key(PUBLIC, proof_jwk={}, allow_hpke=True)
    assert found is not None
    assert isinstance(found.key, AKPKey)
    assert found.key.as_dict() == PUBLIC
    assert not found.is_proof_key
    with pytest.raises(UnsupportedKeyError):
        import_encryption_key(PUBLIC, proof_jwk={})


@pytest.mark.requirement("R2308", "R1002")
@pytest.mark.parametrize(
    "members",
    [
        {"priv": KEY.as_dict(private=True)["priv"]},
        {"priv": ""},
        {"d": 1},
        {"use": "sig"},
        {"key_ops": ["verify"]},
        {"alg": "ML-DSA-65"},
        {"alg": "HPKE-9"},
        {"alg": ["HPKE-9-KE"]},
        {"pub": b64url_encode(bytes(1216))},
        {"pub": b64url_encode(b"\xff" * 1216)},
        {"pub": "A" * 10},
        {"pub": None},
    ],
    ids=" ".join,
)
def test_a_key_that_cannot_be_used_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedKeyError):
        import_encryption_key(PUBLIC | members, proof_jwk={}, allow_hpke=True)


def test_a_jwk_that_is_too_long_is_refused_before_it_is_tried() -> None:
    jwk = PUBLIC | {"kid": "a" * 3000}
    with pytest.raises(MalformedProofError):
        import_encryption_key(jwk, proof_jwk={}, allow_hpke=True)


@pytest.mark.requirement("R1003")
def test_the_key_of_a_post_quantum_proof_does_not_encrypt() -> None:
    proof_jwk = ml_dsa.generate("ML-DSA-65").as_dict()
    for allow_hpke in (True, False):
        found = import_encryption_key(None, proof_jwk=proof_jwk, allow_hpke=allow_hpke)
        assert found is None
