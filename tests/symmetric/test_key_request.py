from __future__ import annotations

import base64
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import OKPKey, RSAKey

from dpop_ext.errors import MalformedProofError, MalformedRequestError
from dpop_ext.symmetric.key_request import (
    MAX_KEY_MATERIAL,
    MAX_NAMES,
    KeyRequest,
    key_request_claim,
    parse_key_request,
)
from tests.symmetric.odd_values import ODD_VALUES, odd_values

JWK = {
    "kty": "OKP",
    "crv": "X25519",
    "x": "hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo",
}
N = base64.urlsafe_b64encode(bytes(range(32)))[:-1].decode()
K_JWE = "e30.AA.AA.AA.AA"


def parse(**dsk: Any) -> KeyRequest:
    request = parse_key_request({"algs": ["HS256"], **dsk}, None)
    assert request is not None
    return request


def test_nothing_is_asked_for_without_claim_and_parameter() -> None:
    assert parse_key_request(None, None) is None
    # RFC 6749 section 3.2: a parameter without a value is omitted.
    assert parse_key_request(None, "") is None


def test_the_claim_is_read() -> None:
    request = parse_key_request(
        {
            "algs": ["HS512", "HS256"],
            "jwk": JWK,
            "kalgs": ["ECDH-ES+A256KW"],
            "encs": ["A128GCM", "A256GCM"],
            "must": True,
        },
        None,
    )
    assert request == KeyRequest(
        algorithms=("HS512", "HS256"),
        encryption_jwk=JWK,
        key_algorithms=("ECDH-ES+A256KW",),
        encodings=("A128GCM", "A256GCM"),
        must=True,
    )


def test_a_request_does_not_show_a_key_that_nobody_has_checked() -> None:
    request = parse(jwk={"kty": "OKP", "crv": "X25519", "d": "hidden"}, n=N)
    assert repr(request) == "<KeyRequest ('HS256',)>"


def test_what_is_left_out_means_the_mandatory_algorithms() -> None:
    request = parse()
    assert request.encryption_jwk is None
    assert request.key_algorithms == ("ECDH-ES", "RSA-OAEP-256")
    assert request.encodings == ("A256GCM",)
    assert request.must is False
    assert request.n is None
    assert request.key_material is None


def test_the_parameter_is_read() -> None:
    assert parse_key_request(None, "HS256 HS512") == KeyRequest(
        algorithms=("HS256", "HS512")
    )


@pytest.mark.requirement("R1001", "R2214")
def test_claim_and_parameter_with_the_same_list_agree() -> None:
    dsk = {"algs": ["HS256", "HS512"], "jwk": JWK}
    request = parse_key_request(dsk, "HS256 HS512")
    assert request == parse_key_request(dsk, None)


@pytest.mark.requirement("R1001", "R2214")
@pytest.mark.parametrize("dpop_sym", ["HS256", "HS512 HS256", "HS256 HS512 HS256"])
def test_claim_and_parameter_with_another_list_disagree(dpop_sym: str) -> None:
    with pytest.raises(MalformedRequestError):
        parse_key_request({"algs": ["HS256", "HS512"]}, dpop_sym)


@pytest.mark.parametrize(
    "dpop_sym",
    [
        " ",
        " HS256",
        "HS256 ",
        "HS256  HS512",
        "HS256\tHS512",
        "HS256\n",
        "HS256,HS512",
        '"HS256"',
        "é",
        "\0",
        "\ud800",
        "A" * 33,
        " ".join(["HS256"] * (MAX_NAMES + 1)),
    ],
    ids=repr,
)
def test_a_malformed_parameter_is_refused(dpop_sym: str) -> None:
    with pytest.raises(MalformedRequestError):
        parse_key_request(None, dpop_sym)


def test_the_longest_parameter_is_read() -> None:
    names = [f"{number:032}" for number in range(MAX_NAMES)]
    request = parse_key_request(None, " ".join(names))
    assert request is not None
    assert request.algorithms == tuple(names)


def test_nothing_is_kept_of_a_malformed_list() -> None:
    """Whoever makes a key for himself can send one, and a form has room for much."""
    tracemalloc.start()
    try:
        for number in range(16):
            with pytest.raises(MalformedRequestError):
                parse_key_request(None, " " * (100_000 + number))
            with pytest.raises(MalformedProofError):
                parse_key_request({"algs": [str(number) * 100_000]}, None)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 100_000


@pytest.mark.parametrize("dsk", [True, 1, "HS256", [], ["HS256"], {}], ids=repr)
def test_a_claim_that_is_no_object_or_names_no_algorithm_is_refused(dsk: Any) -> None:
    with pytest.raises(MalformedProofError):
        parse_key_request(dsk, None)


@pytest.mark.parametrize("name", ["algs", "kalgs", "encs"])
@pytest.mark.parametrize(
    "value",
    [
        None,
        "HS256",
        {"HS256": 1},
        [],
        [None],
        ["HS256", 1],
        ["HS256", ""],
        ["HS 256"],
        ["A" * 33],
        ["HS256"] * (MAX_NAMES + 1),
    ],
    ids=repr,
)
def test_a_malformed_list_is_refused(name: str, value: object) -> None:
    with pytest.raises(MalformedProofError):
        parse(**{name: value})


def test_unknown_names_are_not_malformed() -> None:
    request = parse(algs=["KMAC128"], kalgs=["HPKE-9-KE"], encs=["A256CBC-HS512"])
    assert request.algorithms == ("KMAC128",)
    assert request.key_algorithms == ("HPKE-9-KE",)
    assert request.encodings == ("A256CBC-HS512",)


@pytest.mark.parametrize("jwk", [None, "jwk", [], 1, True])
def test_an_encryption_key_that_is_no_object_is_refused(jwk: object) -> None:
    with pytest.raises(MalformedProofError):
        parse(jwk=jwk)


@pytest.mark.parametrize("must", [None, 0, 1, "true", [], {}])
def test_must_is_a_boolean(must: object) -> None:
    with pytest.raises(MalformedProofError):
        parse(must=must)


def test_unknown_members_are_ignored() -> None:
    assert parse(mode="wrap", later={"a": [1]}) == parse()


def test_key_material_is_read() -> None:
    assert parse(n=N) == KeyRequest(algorithms=("HS256",), n=bytes(range(32)))
    assert parse(k_jwe=K_JWE) == KeyRequest(algorithms=("HS256",), key_material=K_JWE)


@pytest.mark.requirement("R2195", "R2103")
@pytest.mark.parametrize(
    "n", [None, 1, [], "", N[:-1], N + "=", N + "A", N[:-1] + "9", "é" * 43, bytes(32)]
)
def test_n_is_32_bytes_in_canonical_base64url(n: object) -> None:
    with pytest.raises(MalformedProofError):
        parse(n=n)


@pytest.mark.parametrize(
    "k_jwe",
    [None, 1, {}, "", "a.b", "a.b.c.d.e.f", "a" * (MAX_KEY_MATERIAL - 3) + "...."],
)
def test_k_jwe_looks_like_a_compact_jwe(k_jwe: object) -> None:
    with pytest.raises(MalformedProofError):
        parse(k_jwe=k_jwe)


def test_the_longest_k_jwe_is_read() -> None:
    longest = "a" * (MAX_KEY_MATERIAL - 4) + "...."
    assert parse(k_jwe=longest).key_material == longest


@pytest.mark.parametrize("n", [N, "malformed"])
def test_both_kinds_of_key_material_are_refused(n: str) -> None:
    with pytest.raises(MalformedRequestError):
        parse(n=n, k_jwe=K_JWE)


def test_the_claim_is_made_and_read_back() -> None:
    key = OKPKey.generate_key("X25519")
    claim = key_request_claim(
        algorithms=["HS256"],
        encryption_key=key,
        key_algorithms=["ECDH-ES"],
        encodings=["A256GCM"],
        must=True,
    )
    assert parse_key_request(claim, None) == KeyRequest(
        algorithms=("HS256",),
        encryption_jwk=key.as_dict(private=False),
        key_algorithms=("ECDH-ES",),
        encodings=("A256GCM",),
        must=True,
    )
    assert key_request_claim(algorithms=["HS256"]) == {"algs": ["HS256"]}
    composite = key_request_claim(algorithms=["HS256"], n=bytes(range(32)))
    assert composite == {"algs": ["HS256"], "n": N}
    mixed = key_request_claim(algorithms=["HS256"], key_material=K_JWE)
    assert mixed == {"algs": ["HS256"], "k_jwe": K_JWE}


@pytest.mark.requirement("R1002")
def test_the_claim_never_has_private_members(rsa_key: RSAKey) -> None:
    for key in (OKPKey.generate_key("X448"), rsa_key):
        assert key.is_private
        claim = key_request_claim(algorithms=["HS256"], encryption_key=key)
        assert not {"d", "p", "q", "dp", "dq", "qi"} & claim["jwk"].keys()


MEMBERS = ["algs", "jwk", "kalgs", "encs", "must", "n", "k_jwe"]


@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize("value", ODD_VALUES, ids=repr)
def test_an_odd_member_gives_a_documented_error_or_is_read(
    member: str, value: object
) -> None:
    try:
        request = parse(**{member: value})
    except MalformedProofError:
        return
    assert all(isinstance(name, str) for name in request.algorithms)


@given(
    dsk=odd_values | st.dictionaries(st.sampled_from(MEMBERS), odd_values),
    dpop_sym=st.none() | st.text(max_size=40) | st.sampled_from(["HS256", "HS256 a"]),
)
def test_odd_values_give_documented_errors(dsk: Any, dpop_sym: str | None) -> None:
    try:
        request = parse_key_request(dsk, dpop_sym)
    except (MalformedProofError, MalformedRequestError):
        return
    assert (request is None) == (dsk is None and not dpop_sym)
