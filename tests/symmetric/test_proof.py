from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from dpop_ext.core.jose import CompactJWS
from dpop_ext.core.proof import parse_proof
from dpop_ext.core.request_binding import access_token_hash
from dpop_ext.errors import (
    BadSignatureError,
    MalformedProofError,
    ProofError,
    UnsupportedKeyError,
)
from dpop_ext.symmetric.mac_key import MacKey
from dpop_ext.symmetric.proof import (
    MAX_PROOF_LENGTH,
    SymmetricProof,
    check_mac,
    make_symmetric_proof,
    parse_symmetric_proof,
    parse_usual_proof,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes
from tests.symmetric.odd_values import ODD_VALUES, odd_values
from tests.symmetric.vectors import PUBLISHED

KEY = bytes(range(64, 96))
LONG_KEY = KEY + KEY[::-1]
NOW = 1_790_000_000

HEADER: dict[str, Any] = {"typ": "dpop-sym+jwt", "alg": "HS256"}
CLAIMS: dict[str, Any] = {
    "jti": "e1j3V_bKic8-LAEB",
    "htm": "GET",
    "htu": "https://api.example.com/accounts/42",
    "iat": NOW,
    "ath": access_token_hash("token"),
}


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def segment(value: object) -> str:
    return b64url(value if isinstance(value, bytes) else json.dumps(value).encode())


def sign(
    header: object = HEADER,
    claims: object = CLAIMS,
    *,
    key: bytes = KEY,
    digest: Callable[..., Any] = hashlib.sha256,
) -> str:
    """Make a proof in the way that another implementation would, of anything."""
    text = f"{segment(header)}.{segment(claims)}"
    return f"{text}.{b64url(hmac.new(key, text.encode(), digest).digest())}"


def parse(text: str) -> SymmetricProof:
    return parse_symmetric_proof(parse_proof(text, max_length=8192))


def without(members: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in members.items() if key != name}


def make(**changes: Any) -> str:
    values: dict[str, Any] = {
        "algorithm": "HS256",
        "method": "GET",
        "url": "https://api.example.com/accounts/42",
        "now": NOW,
        "access_token": "token",
        **changes,
    }
    key = values.pop("key", KEY)
    return make_symmetric_proof(SecretBytes(key), **values)


def test_the_maker_repeats_the_published_proof_byte_for_byte() -> None:
    text = make(
        key=bytes.fromhex(PUBLISHED["SK_HS256"]),
        access_token=PUBLISHED["access_token"],
        jti="e1j3V_bKic8-LAEB",
    )
    assert text == PUBLISHED["proof"]
    assert len(text) == PUBLISHED["proof_len"]


def test_the_published_proof_is_verified() -> None:
    proof = parse(PUBLISHED["proof"])
    check_mac(proof, MacKey("HS256", bytes.fromhex(PUBLISHED["SK_HS256"])))
    assert proof.algorithm == "HS256"
    assert proof.kid is None
    assert proof.jti == "e1j3V_bKic8-LAEB"
    assert (proof.claims["htm"], proof.claims["htu"]) == (
        "GET",
        "https://api.example.com/accounts/42",
    )
    assert proof.iat == NOW
    assert proof.claims["ath"] == access_token_hash(PUBLISHED["access_token"])
    assert (proof.nonce, proof.nbf, proof.exp) == (None, None, None)


@pytest.mark.parametrize(("algorithm", "key"), [("HS256", KEY), ("HS512", LONG_KEY)])
def test_what_is_made_is_verified(algorithm: str, key: bytes) -> None:
    proof = parse(
        make(algorithm=algorithm, key=key, nonce="n-1", version=7, method="POST")
    )
    check_mac(proof, MacKey(algorithm, key))
    assert proof.algorithm == algorithm
    assert proof.kid == "7"
    assert proof.claims["htm"] == "POST"
    assert proof.nonce == "n-1"


@given(
    method=st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1),
    nonce=st.none() | st.text(st.characters(codec="ascii", min_codepoint=33)),
    now=st.integers(0, 2**40),
    version=st.none() | st.integers(1, 2**53 - 1),
)
def test_verifying_gives_back_what_was_made(
    method: str, nonce: str | None, now: int, version: int | None
) -> None:
    proof = parse(make(method=method[:20], nonce=nonce, now=now, version=version))
    check_mac(proof, MacKey("HS256", KEY))
    assert proof.claims["htm"] == method[:20]
    assert proof.nonce == nonce
    assert proof.iat == now
    assert proof.kid == (None if version is None else str(version))


def test_a_proof_is_short() -> None:
    assert len(make()) == 295
    assert len(make(version=7)) <= 310


def test_query_and_fragment_are_left_out() -> None:
    url = "https://api.example.com/accounts/42"
    for tail in ("?a=b", "#f", "?a#f", "#f?a"):
        assert parse(make(url=url + tail)).claims["htu"] == url


def test_each_proof_has_its_own_jti_of_at_least_96_bits() -> None:
    ids = {parse(make()).jti for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(base64.urlsafe_b64decode(i)) == 12 for i in ids)


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("HS256", LONG_KEY),
        ("HS512", KEY),
        ("HS384", KEY),
        ("HS256", b""),
        ("none", b""),
    ],
)
def test_a_key_that_does_not_fit_makes_no_proof(algorithm: str, key: bytes) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        make(algorithm=algorithm, key=key)


@pytest.mark.parametrize("version", [0, -1, 2**53])
def test_a_version_that_cannot_be_makes_no_proof(version: int) -> None:
    with pytest.raises(ValueError, match="version"):
        make(version=version)


@pytest.mark.requirement("R1401")
@pytest.mark.parametrize(
    "typ",
    ["dpop+jwt", "JWT", "DPOP-SYM+JWT", "application/dpop-sym+jwt", "", None, 1, []],
)
def test_another_typ_is_refused(typ: object) -> None:
    with pytest.raises(MalformedProofError):
        parse(sign({**HEADER, "typ": typ}))


@pytest.mark.requirement("R1401")
def test_a_proof_without_typ_is_refused() -> None:
    with pytest.raises(MalformedProofError):
        parse(sign(without(HEADER, "typ")))


@pytest.mark.requirement("R1402")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jwk", {"kty": "oct", "k": b64url(KEY)}),
        ("jwk", {}),
        ("jku", "https://keys.example.com"),
        ("x5u", "https://keys.example.com"),
        ("x5c", []),
        ("x5t", "AA"),
        ("x5t#S256", "AA"),
        ("crit", []),
        ("crit", ["kid"]),
        ("b64", True),
        ("zip", "DEF"),
        ("enc", "A256GCM"),
        ("TKT", PUBLISHED["ticket"]),
        ("dlg", []),
        ("cty", "JWT"),
        ("Kid", "7"),
        ("", None),
    ],
)
def test_any_other_header_member_is_refused(name: str, value: object) -> None:
    parse(sign(HEADER))
    with pytest.raises(MalformedProofError):
        parse(sign({**HEADER, name: value}))


@pytest.mark.requirement("R1403")
@pytest.mark.parametrize(
    "alg", ["none", "None", "ES256", "HS384", "hs256", "", None, 256, ["HS256"], {}]
)
def test_any_other_alg_is_refused(alg: object) -> None:
    with pytest.raises(UnsupportedKeyError):
        parse(sign({**HEADER, "alg": alg}))
    with pytest.raises(UnsupportedKeyError):
        parse(sign(without(HEADER, "alg")))


@pytest.mark.requirement("R2102")
@pytest.mark.parametrize("kid", ["1", "7", "9007199254740991", "9" * 16])
def test_a_version_is_accepted_as_kid(kid: str) -> None:
    assert parse(sign({**HEADER, "kid": kid})).kid == kid


@pytest.mark.requirement("R2102")
@pytest.mark.parametrize(
    "kid",
    ["", "0", "07", "-7", "+7", "7.0", "1e3", " 7", "7\n", "\u0667", "9" * 17, 7, None],
)
def test_a_kid_that_is_no_version_is_refused(kid: object) -> None:
    with pytest.raises(MalformedProofError):
        parse(sign({**HEADER, "kid": kid}))


def test_a_ticket_is_read_from_whatever_form_of_the_header() -> None:
    ticket = PUBLISHED["ticket"]
    made = make(ticket=ticket)
    other = sign({"tkt": ticket, **HEADER})

    for text in (made, other):
        assert parse(text).ticket == ticket
        assert parse(text).kid is None
    assert parse(make()).ticket is None
    assert parse_usual_proof(made) == parse(made)
    # Written otherwise: the strict parser says what it is.
    assert parse_usual_proof(other) is None
    assert parse_usual_proof(make(ticket=ticket[:-1] + ".")) is None
    assert parse_usual_proof("A" * 108 + made[made.index(".") :]) is None


@pytest.mark.parametrize("ticket", [None, 2, True, ["A"], {}])
def test_a_ticket_that_is_no_text_is_refused(ticket: object) -> None:
    with pytest.raises(MalformedProofError):
        parse(sign({**HEADER, "tkt": ticket}))


def test_a_ticket_and_a_version_exclude_each_other() -> None:
    ticket = PUBLISHED["ticket"]

    parse(sign({**HEADER, "tkt": ticket}))
    with pytest.raises(MalformedProofError):
        parse(sign({**HEADER, "tkt": ticket, "kid": "7"}))
    with pytest.raises(ValueError, match="no version"):
        make(ticket=ticket, version=7)


@pytest.mark.parametrize("name", ["jti", "htm", "htu", "iat"])
def test_a_missing_claim_is_refused(name: str) -> None:
    with pytest.raises(MalformedProofError):
        parse(sign(claims=without(CLAIMS, name)))


@pytest.mark.requirement("R1404")
@pytest.mark.parametrize("ath", [None, "", 1, [], {}])
def test_a_proof_without_ath_is_refused(ath: object) -> None:
    with pytest.raises(MalformedProofError):
        parse(sign(claims={**CLAIMS, "ath": ath}))
    with pytest.raises(MalformedProofError):
        parse(sign(claims=without(CLAIMS, "ath")))


@pytest.mark.parametrize("name", ["jti", "htm", "htu"])
@pytest.mark.parametrize("value", [None, "", 1, True, [], ["GET"], {}])
def test_a_mistyped_claim_is_refused(name: str, value: object) -> None:
    with pytest.raises(MalformedProofError):
        parse(sign(claims={**CLAIMS, name: value}))


def test_a_jti_has_256_characters_at_most() -> None:
    assert parse(sign(claims={**CLAIMS, "jti": "j" * 256})).jti == "j" * 256
    with pytest.raises(MalformedProofError):
        parse(sign(claims={**CLAIMS, "jti": "j" * 257}))


@pytest.mark.requirement("T22")
@pytest.mark.parametrize("name", ["iat", "nbf", "exp"])
@pytest.mark.parametrize("value", [True, False, None, "1790000000", [], {}])
def test_a_time_that_is_no_number_is_refused(name: str, value: object) -> None:
    with pytest.raises(MalformedProofError):
        parse(sign(claims={**CLAIMS, name: value}))


def test_times_may_have_fractions_and_nbf_and_exp_are_read() -> None:
    proof = parse(sign(claims={**CLAIMS, "iat": NOW + 0.5, "nbf": NOW, "exp": NOW + 9}))
    assert (proof.iat, proof.nbf, proof.exp) == (NOW + 0.5, NOW, NOW + 9)


def test_unknown_claims_are_ignored_and_kept() -> None:
    assert parse(sign(claims={**CLAIMS, "seq": 4})).claims["seq"] == 4


@pytest.mark.parametrize("nonce", [None, 1, "", [], {}])
def test_the_nonce_is_left_to_who_knows_nonces(nonce: object) -> None:
    assert parse(sign(claims={**CLAIMS, "nonce": nonce})).nonce == nonce


SOUND = json.dumps(CLAIMS)


@pytest.mark.requirement("T22")
@pytest.mark.parametrize(
    "claims",
    [
        SOUND.replace('"htm"', '"htm": "GET", "htm"').encode(),
        SOUND.replace('"htm"', '"\\u0068tm": "PUT", "htm"').encode(),
        SOUND.replace('"htm"', '"x": {"a": 1, "a": 1}, "htm"').encode(),
        SOUND.replace(str(NOW), "NaN").encode(),
        SOUND.replace(str(NOW), "Infinity").encode(),
        SOUND.replace(str(NOW), "-Infinity").encode(),
        SOUND.replace(str(NOW), "1e400").encode(),
        SOUND.replace("LAEB", "\\ud800").encode(),
        SOUND.replace("LAEB", "\\u0000").encode(),
        SOUND.replace("}", ', "x": ' + "[" * 16 + "]" * 16 + "}").encode(),
        SOUND.replace("}", ', "x": [' + "0," * 300 + "0]}").encode(),
        SOUND.encode("utf-8-sig"),
        SOUND.encode("utf-16"),
        SOUND.encode() + b"{}",
        b"\xff" + SOUND.encode(),
        b"[" * 1400,
        b"[]",
        b'"text"',
        b"null",
    ],
    ids=lambda claims: repr(claims[-40:]),
)
def test_strict_json(claims: bytes) -> None:
    assert parse(sign(claims=SOUND.encode())).claims == CLAIMS
    with pytest.raises(MalformedProofError):
        parse(sign(claims=claims))


@pytest.mark.requirement("T22")
@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("change", ["{}=", "{} ", "\n{}", "{}\x00", "é{}", "{}.{}", ""])
def test_a_spelling_that_is_not_canonical_is_refused(part: int, change: str) -> None:
    parts = sign().split(".")
    parts[part] = change.format(parts[part], parts[part])
    with pytest.raises(MalformedProofError):
        parse(".".join(parts))


@pytest.mark.requirement("T22")
def test_left_over_bits_of_the_mac_are_refused() -> None:
    text = sign()
    # 32 bytes leave two bits over in the 43rd character.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = alphabet[alphabet.index(text[-1]) + 1]
    with pytest.raises(MalformedProofError):
        parse(text[:-1] + other)


def test_a_symmetric_proof_has_2048_characters_at_most() -> None:
    claims: dict[str, Any] = {**CLAIMS, "pad": ""}
    room = MAX_PROOF_LENGTH - len(sign(claims=claims))
    claims["pad"] = "p" * (room * 3 // 4)
    text = sign(claims=claims)
    assert MAX_PROOF_LENGTH - 4 < len(text) <= MAX_PROOF_LENGTH
    assert parse(text).claims["pad"]
    claims["pad"] += "pppp"
    with pytest.raises(MalformedProofError, match="too long"):
        parse(sign(claims=claims))


@pytest.mark.requirement("T22")
@pytest.mark.parametrize("length", [1, 8, 16, 31])
def test_a_mac_that_is_cut_off_is_refused(length: int) -> None:
    head, _, tag = sign().rpartition(".")
    cut = b64url(base64.urlsafe_b64decode(tag + "=")[:length])
    with pytest.raises(BadSignatureError):
        check_mac(parse(f"{head}.{cut}"), MacKey("HS256", KEY))


def test_a_mac_with_more_behind_it_is_refused() -> None:
    head, _, tag = sign().rpartition(".")
    longer = b64url(base64.urlsafe_b64decode(tag + "=") + b"\0")
    with pytest.raises(BadSignatureError):
        check_mac(parse(f"{head}.{longer}"), MacKey("HS256", KEY))


@given(position=st.integers(0), bit=st.integers(0, 7))
def test_any_single_bit_changed_is_refused(position: int, bit: int) -> None:
    parts = sign().split(".")
    index = position % 3
    data = bytearray(base64.urlsafe_b64decode(parts[index] + "=="))
    data[position % len(data)] ^= 1 << bit
    parts[index] = b64url(bytes(data))
    with pytest.raises(ProofError):
        check_mac(parse(".".join(parts)), MacKey("HS256", KEY))


def test_another_key_is_refused() -> None:
    with pytest.raises(BadSignatureError):
        check_mac(parse(sign()), MacKey("HS256", KEY[::-1]))
    with pytest.raises(BadSignatureError):
        check_mac(parse(sign(key=os.urandom(32))), MacKey("HS256", KEY))


@pytest.mark.requirement("R1403")
def test_a_mac_of_another_algorithm_is_refused() -> None:
    with pytest.raises(BadSignatureError):
        check_mac(parse(sign(digest=hashlib.sha512)), MacKey("HS256", KEY))
    hs512 = sign({**HEADER, "alg": "HS512"}, key=LONG_KEY)
    with pytest.raises(BadSignatureError):
        check_mac(parse(hs512), MacKey("HS512", LONG_KEY))


@pytest.mark.parametrize("key", [b"", KEY[:31], LONG_KEY])
def test_a_key_of_another_length_is_the_fault_of_the_caller(key: bytes) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        MacKey("HS256", key)
    with pytest.raises(ValueError, match="does not fit"):
        check_mac(parse(sign()), MacKey("HS512", LONG_KEY))


def public_texts(key: ECKey) -> dict[str, bytes]:
    """Spell out a public key in the forms that libraries take for keys."""
    public = key.public_key
    jwk = key.as_dict(private=False)
    return {
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "jwkjson": json.dumps(jwk).encode(),
        "x": base64.urlsafe_b64decode(str(jwk["x"]) + "="),
        "jkt": key.thumbprint().encode(),
        "raw_jkt": base64.urlsafe_b64decode(key.thumbprint() + "="),
        "empty": b"",
    }


@pytest.mark.requirement("T5")
@pytest.mark.parametrize(
    "form", ["pem", "der", "jwkjson", "x", "jkt", "raw_jkt", "empty"]
)
def test_alg_confusion(form: str, ec_key: ECKey) -> None:
    forged = parse(sign(key=public_texts(ec_key)[form]))
    with pytest.raises(BadSignatureError):
        check_mac(forged, MacKey("HS256", KEY))


@pytest.mark.requirement("T5", "R1505")
def test_alg_confusion_with_an_embedded_oct_key() -> None:
    header = {**HEADER, "jwk": {"kty": "oct", "k": b64url(KEY)}}
    with pytest.raises(MalformedProofError):
        parse(sign(header))


@pytest.mark.requirement("R1502", "T24")
def test_macs_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare_digest(first: bytes, second: bytes) -> bool:
        compared.append((first, second))
        return True

    monkeypatch.setattr(hmac, "compare_digest", compare_digest)
    proof = parse(sign(key=os.urandom(32)))
    check_mac(proof, MacKey("HS256", KEY))
    expected = hmac.new(KEY, proof.signing_input, hashlib.sha256).digest()
    assert compared == [(expected, proof.tag)]


@pytest.mark.requirement("T20")
def test_repr_shows_no_mac() -> None:
    proof = parse(sign())
    assert repr(proof.tag)[2:-1] not in repr(proof)
    assert "signing_input" not in repr(proof)


@pytest.mark.parametrize("member", [*CLAIMS, "nonce", "nbf", "exp"])
@pytest.mark.parametrize("value", ODD_VALUES, ids=repr)
def test_an_odd_claim_gives_a_documented_error_or_none(
    member: str, value: object
) -> None:
    with contextlib.suppress(ProofError):
        assert parse(sign(claims={**CLAIMS, member: value})).claims[member] == value


@given(
    header=st.dictionaries(st.sampled_from([*HEADER, "kid", "jwk"]), odd_values),
    claims=st.dictionaries(st.sampled_from([*CLAIMS, "nonce", "exp"]), odd_values),
    keep=st.booleans(),
)
def test_odd_values_give_documented_errors(
    header: dict[str, Any], claims: dict[str, Any], keep: bool
) -> None:
    jws = CompactJWS(
        header={**HEADER, **header} if keep else header,
        payload={**CLAIMS, **claims},
        signing_input=b"a.b",
        signature=b"tag",
    )
    try:
        proof = parse_symmetric_proof(jws)
    except ProofError:
        return
    key = KEY if proof.algorithm == "HS256" else LONG_KEY
    with pytest.raises(BadSignatureError):
        check_mac(proof, MacKey(proof.algorithm, key))


@given(
    st.text(max_size=200)
    | st.lists(st.text(max_size=60), min_size=3, max_size=3).map(".".join)
)
def test_any_text_gives_a_documented_error(text: str) -> None:
    with pytest.raises(ProofError):
        parse(text)
