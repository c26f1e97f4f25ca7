"""A client makes proofs that say what they must, and no more."""

from __future__ import annotations

import re

import pytest
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from dpop_ext.core.key import thumbprint
from dpop_ext.core.proof import parse_proof
from dpop_ext.core.request_binding import access_token_hash
from tests.core.proofs import NOW, TOKEN, make, verify


@pytest.mark.requirement("S-1", "S-2", "S-3", "S-6", "S-7", "S-9", "P-1")
def test_header_and_claims(ec_key: ECKey) -> None:
    jws = parse_proof(make(ec_key, nonce="n", jti="j"), max_length=8192)

    assert jws.header == {
        "typ": "dpop+jwt",
        "alg": "ES256",
        "jwk": {name: ec_key.as_dict()[name] for name in ("kty", "crv", "x", "y")},
    }
    assert jws.payload == {
        "jti": "j",
        "htm": "GET",
        "htu": "https://api.example.com/accounts",
        "iat": NOW,
        "ath": access_token_hash(TOKEN),
        "nonce": "n",
    }


@pytest.mark.requirement("S-11")
def test_without_a_token_there_is_no_ath(ec_key: ECKey) -> None:
    jws = parse_proof(make(ec_key, access_token=None), max_length=8192)

    assert jws.payload.keys() == {"jti", "htm", "htu", "iat"}


@pytest.mark.requirement("C-7", "X-20")
@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519", "PS256"])
def test_only_what_the_thumbprint_covers_is_published(
    algorithm: str, ec_key: ECKey, ed_key: OKPKey, rsa_key: RSAKey
) -> None:
    keys: dict[str, ECKey | OKPKey | RSAKey] = {
        "ES256": ec_key,
        "Ed25519": ed_key,
        "PS256": rsa_key,
    }
    private = keys[algorithm].as_dict(private=True)
    key = type(keys[algorithm]).import_key(
        private | {"kid": "a", "use": "sig", "x5t": "b"}
    )

    proof = make(key, algorithm=algorithm)

    jwk = parse_proof(proof, max_length=8192).header["jwk"]
    assert jwk.keys() <= {"kty", "crv", "x", "y", "n", "e"}
    assert verify(proof).jkt == thumbprint(keys[algorithm])


@pytest.mark.requirement("S-5", "G-4")
def test_a_jti_is_96_random_bits(ed_key: OKPKey) -> None:
    proofs = [make(ed_key, algorithm="Ed25519") for _ in range(500)]
    found = {parse_proof(each, max_length=8192).payload["jti"] for each in proofs}

    assert len(found) == 500
    assert all(re.fullmatch("[A-Za-z0-9_-]{16}", jti) for jti in found)


def test_further_claims_go_in_but_those_of_the_rfc_do_not(ec_key: ECKey) -> None:
    proof = make(ec_key, claims={"dsk": {"algs": ["HS256"]}})
    assert verify(proof).claims["dsk"] == {"algs": ["HS256"]}

    for name in ("jti", "htm", "htu", "iat", "ath", "nonce"):
        with pytest.raises(ValueError, match="RFC 9449"):
            make(ec_key, claims={name: "x"})


@pytest.mark.parametrize("url", ["/p", "h/p", "ftp://h/p", "https://h/p q", ""])
def test_a_url_that_no_server_can_compare_is_refused(url: str, ec_key: ECKey) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        make(ec_key, url=url)


def test_a_key_that_does_not_fit_is_refused(ec_key: ECKey, rsa_key: RSAKey) -> None:
    public = ECKey.import_key(ec_key.as_dict(private=False))
    oct_key = OctKey.import_key(b"k" * 32)
    misfits: list[tuple[Key, str]] = [
        *((rsa_key, "ES256"), (ec_key, "PS256"), (ec_key, "none")),
        *((oct_key, "HS256"), (public, "ES256")),
    ]
    for key, algorithm in misfits:
        with pytest.raises(ValueError, match="does not fit"):
            make(key, algorithm=algorithm)


def test_an_es256_proof_takes_530_bytes_at_most(ec_key: ECKey) -> None:
    assert len(make(ec_key)) <= 530
