"""Strict JSON and compact JWS refuse what other parsers let through."""

from __future__ import annotations

import base64
import json
import sys
import threading
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws as joserfc_jws
from joserfc.errors import ExceededSizeError
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.jose import CompactJWS, parse_compact_jws
from dpop_ext.core.jws_signature import sign_compact, verify_signature
from dpop_ext.core.strict_json import MAX_JSON_DEPTH, parse_json_object
from dpop_ext.errors import BadSignatureError, MalformedJOSEError

HEADER = {"alg": "ES256"}
LIMIT = 8192

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**300), 10**300)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda members: st.lists(members) | st.dictionaries(st.text("abc"), members),
    max_leaves=8,
)


def nested(depth: int) -> bytes:
    """An object of *depth* levels."""
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def segment(text: str | bytes) -> str:
    raw = text.encode() if isinstance(text, str) else text
    return b64url_encode(raw)


def compact(header: str | bytes, payload: str | bytes = "{}") -> str:
    return f"{segment(header)}.{segment(payload)}.{segment(b'signature')}"


class TestBase64url:
    @given(st.binary())
    def test_bytes_survive_the_round_trip(self, data: bytes) -> None:
        text = b64url_encode(data)

        assert b64url_decode(text) == data
        assert text == base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    @given(st.text("ABQRYZabgwz0189-_+/= \n\t.é", max_size=12))
    def test_only_one_text_stands_for_the_same_bytes(self, text: str) -> None:
        try:
            data = b64url_decode(text)
        except MalformedJOSEError:
            return
        assert b64url_encode(data) == text

    @pytest.mark.requirement("H-3", "J-11")
    @pytest.mark.parametrize(
        "text",
        [
            "YQ==",
            "YQ=",
            "YWI=",
            "YR",  # bits left over
            "YWJ",  # likewise
            "Y",
            "YWJjZ",
            "+_8A",
            "/_8A",
            "Y Q",
            " YQ",
            "YQ ",
            "YQ\n",
            "YQ\0",
            "YQ\x0b",
            "Y.Q",
            "Yé",
            "\ud800",
            "\uff39\uff31",
        ],
    )
    def test_other_texts_are_refused(self, text: str) -> None:
        with pytest.raises(MalformedJOSEError):
            b64url_decode(text)


class TestJSON:
    @given(st.dictionaries(st.text("abcé"), JSON_VALUES, max_size=4))
    def test_what_the_standard_library_writes_is_read(
        self, members: dict[str, Any]
    ) -> None:
        for text in (json.dumps(members), json.dumps(members, ensure_ascii=False)):
            assert parse_json_object(text.encode(), max_structural=1000) == members

    @pytest.mark.requirement("C-2b", "J-11")
    @pytest.mark.parametrize(
        "raw",
        [
            b'{"a":1,"a":1}',
            b'{"a":1,"b":2,"a":3}',
            b'{"a":1,"\\u0061":2}',
            b'{"jwk":{"kty":"EC","kty":"EC"}}',
            b'{"a":[{"b":{"c":1,"c":2}}]}',
            b'{"":1,"":2}',
        ],
    )
    def test_duplicate_members_are_refused(self, raw: bytes) -> None:
        with pytest.raises(MalformedJOSEError):
            parse_json_object(raw)

    @pytest.mark.requirement("S-8")
    @pytest.mark.parametrize(
        "number",
        [
            "NaN",
            "Infinity",
            "-Infinity",
            "1e400",
            "-1e400",
            "1" * 400 + ".0",
            "9" * 309,
            "-" + "9" * 308,
            "9" * 5000,
            "-" + "9" * 5000,
            "01",
            "+1",
            "0x10",
            "1.",
            ".5",
            "1_000",
            "\u0661",
        ],
    )
    def test_numbers_outside_json_or_beyond_a_double_are_refused(
        self, number: str
    ) -> None:
        with pytest.raises(MalformedJOSEError):
            parse_json_object(f'{{"iat":{number}}}'.encode())

    def test_integers_are_bounded_without_the_limit_of_the_interpreter(self) -> None:
        limit = sys.get_int_max_str_digits()
        sys.set_int_max_str_digits(0)
        try:
            with pytest.raises(MalformedJOSEError):
                parse_json_object(b'{"iat":' + b"9" * 5000 + b"}")
        finally:
            sys.set_int_max_str_digits(limit)

    def test_the_largest_integer_still_is_a_double(self) -> None:
        value = parse_json_object(b'{"iat":' + b"9" * 308 + b"}")["iat"]

        assert float(value) < sys.float_info.max

    @pytest.mark.requirement("J-13")
    @pytest.mark.parametrize(
        "raw",
        [
            b"\xef\xbb\xbf{}",
            '{"a":1}'.encode("utf-16"),
            '{"a":1}'.encode("utf-16-le"),
            '{"a":1}'.encode("utf-32"),
            '{"a":"é"}'.encode("latin-1"),
            b'{"a":"\xc0\x80"}',
            b'{"a":"\xed\xa0\x80"}',
            b"\xff\xfe",
        ],
    )
    def test_other_encodings_than_utf_8_are_refused(self, raw: bytes) -> None:
        with pytest.raises(MalformedJOSEError):
            parse_json_object(raw)

    @pytest.mark.parametrize(
        "raw",
        [
            rb'{"jti":"\ud800"}',
            rb'{"jti":"x\udc00y"}',
            rb'{"\ud800":1}',
            rb'{"a":{"b":["\udfff"]}}',
            rb'{"a":{"\udfff":[]}}',
            rb'{"jti":"a\u0000"}',
            rb'{"a\u0000":1}',
            rb'{"a":[{"b":"\u0000"}]}',
            b'{"jti":"a\0"}',
        ],
    )
    def test_lone_surrogates_and_nul_are_refused(self, raw: bytes) -> None:
        with pytest.raises(MalformedJOSEError):
            parse_json_object(raw)

    def test_surrogate_pairs_and_escaped_backslashes_are_read(self) -> None:
        raw = rb'{"a":"\ud83d\ude00","b":"\\u0000","\u0063":1}'

        assert parse_json_object(raw) == {"a": "😀", "b": r"\u0000", "c": 1}

    @pytest.mark.parametrize(
        "raw",
        [
            *(b"", b" ", b"[]", b"[{}]", b'"{}"', b"null", b"true", b"1", b"{"),
            *(b"{}{}", b"{} x", b'{"a":1,}', b"{'a':1}", b'{"a"}', b'{"a":}'),
            *(b'{"a":"\t"}', b'{"a":"\\x"}', b"// c\n{}", b"\0", b'{"a":1}\0'),
        ],
    )
    def test_anything_but_one_object_is_refused(self, raw: bytes) -> None:
        with pytest.raises(MalformedJOSEError):
            parse_json_object(raw)

    def test_white_space_around_the_object_is_json(self) -> None:
        assert parse_json_object(b' \t\r\n{ "a" : 1 } ') == {"a": 1}

    def test_sixteen_levels_are_the_limit(self) -> None:
        assert parse_json_object(nested(MAX_JSON_DEPTH))
        with pytest.raises(MalformedJOSEError):
            parse_json_object(nested(MAX_JSON_DEPTH + 1))
        objects = b'{"a":' * 17 + b"1" + b"}" * 17
        with pytest.raises(MalformedJOSEError):
            parse_json_object(objects)

    def test_many_shallow_members_are_not_deep(self) -> None:
        raw = b'{"a":[' + b",".join([b"[]"] * 40) + b"]}"

        assert parse_json_object(raw) == {"a": [[]] * 40}

    @pytest.mark.parametrize("depth", [2000, 100_000])
    def test_deep_nesting_ends_in_no_recursion_error(self, depth: int) -> None:
        for raw in (nested(depth), b"[" * depth, b'{"a":' * depth):
            with pytest.raises(MalformedJOSEError):
                parse_json_object(raw, max_structural=10**6)

    def test_structural_characters_are_counted_before_anything_is_built(self) -> None:
        assert parse_json_object(b'{"a":"' + b"," * 253 + b'"}')
        with pytest.raises(MalformedJOSEError, match="too many members"):
            parse_json_object(b'{"a":"' + b"," * 254 + b'"}')
        with pytest.raises(MalformedJOSEError, match="too many members"):
            parse_json_object(b"{" * 257)
        assert parse_json_object(b'{"a":1}', max_structural=3)
        with pytest.raises(MalformedJOSEError):
            parse_json_object(b'{"a":1}', max_structural=2)

    @given(st.binary(max_size=60))
    def test_any_bytes_are_an_object_or_malformed(self, raw: bytes) -> None:
        for text in (raw, b'{"a":"' + raw + b'"}', b'{"a":' + raw + b"}"):
            with suppress(MalformedJOSEError):
                assert isinstance(parse_json_object(text), dict)


class TestCompactJWS:
    def test_the_parts_are_read_once_and_kept_as_they_are(self) -> None:
        text = compact('{ "alg" : "ES256" }', '{"a":1}')

        parsed = parse_compact_jws(text, max_length=LIMIT)

        assert parsed.header == HEADER
        assert parsed.payload == {"a": 1}
        assert parsed.signing_input == text.rpartition(".")[0].encode()
        assert parsed.signature == b"signature"

    @pytest.mark.requirement("C-2")
    @pytest.mark.parametrize(
        "text",
        [
            *("", ".", "..", "...", "e30", "e30.e30", "e30.e30.", "e30..e30"),
            *(".e30.e30", "e30.e30.e30.e30", "e30.e30.e30.e30.e30", "e30.e30.e30 "),
            *(" e30.e30.e30", "e30.e30.e30\n", "e30.e30.e30=", "e30=.e30.e30"),
            *("e30.e30.e30,e30.e30.e30", "e30.e30.é", "W10.e30.e30", "e30.W10.e30"),
            *("e30.ImEi.e30", "e30.bnVsbA.e30", "\ud800.e30.e30"),
            '{"payload":"e30","signature":"e30"}',
        ],
    )
    def test_other_shapes_are_refused(self, text: str) -> None:
        with pytest.raises(MalformedJOSEError):
            parse_compact_jws(text, max_length=LIMIT)

    @pytest.mark.requirement("C-2c", "J-12")
    @pytest.mark.parametrize(
        "member",
        [
            '"crit":[]',
            '"crit":null',
            '"crit":0',
            '"crit":"exp"',
            '"crit":{}',
            '"crit":[{}]',
            '"crit":["alg"]',
            '"crit":["jwk","typ"]',
            '"crit":["b64"],"b64":true',
            '"b64":false',
            '"b64":true',
            '"b64":null',
            '"zip":"DEF"',
            '"enc":"A256GCM"',
            '"\\u0063rit":[]',
        ],
    )
    def test_members_that_change_the_meaning_are_refused(self, member: str) -> None:
        with pytest.raises(MalformedJOSEError):
            parse_compact_jws(compact(f'{{"alg":"ES256",{member}}}'), max_length=LIMIT)

    @pytest.mark.requirement("S-12")
    def test_unknown_header_members_are_ignored(self) -> None:
        text = compact('{"alg":"ES256","kid":5,"x5c":["?"],"jku":[],"new":{"a":1}}')

        assert parse_compact_jws(text, max_length=LIMIT).header["new"] == {"a": 1}

    def test_its_length_is_limited(self) -> None:
        text = compact('{"alg":"ES256"}', '{"a":"' + "x" * 500 + '"}')

        assert parse_compact_jws(text, max_length=len(text)).header == HEADER
        with pytest.raises(MalformedJOSEError):
            parse_compact_jws(text, max_length=len(text) - 1)

    def test_its_header_is_limited_to_2048_characters(self) -> None:
        for characters, fits in ((1528, True), (1529, False)):
            text = compact('{"a":"' + "x" * characters + '"}')
            assert (len(text.partition(".")[0]) <= 2048) is fits
            if fits:
                assert "a" in parse_compact_jws(text, max_length=LIMIT).header
            else:
                with pytest.raises(MalformedJOSEError):
                    parse_compact_jws(text, max_length=LIMIT)

    def test_the_limit_of_structural_characters_can_be_set(self) -> None:
        text = compact('{"alg":"ES256"}', '{"a":[1,2,3]}')

        payload = parse_compact_jws(text, max_length=LIMIT, max_structural=7).payload
        assert payload == {"a": [1, 2, 3]}
        with pytest.raises(MalformedJOSEError):
            parse_compact_jws(text, max_length=LIMIT, max_structural=6)

    def test_nothing_of_it_shows_in_a_log(self) -> None:
        text = compact('{"alg":"ES256","jwk":{"d":"hidden"}}', '{"a":"hidden"}')

        assert "hidden" not in repr(parse_compact_jws(text, max_length=LIMIT))


@pytest.fixture
def keys(ec_key: ECKey, ed_key: OKPKey, rsa_key: RSAKey) -> dict[str, Key]:
    return {
        "ES256": ec_key,
        "Ed25519": ed_key,
        "EdDSA": ed_key,
        "PS256": rsa_key,
        "RS256": rsa_key,
    }


ALGORITHMS = ["ES256", "Ed25519", "EdDSA", "PS256", "RS256"]


class TestSignature:
    @pytest.mark.requirement("C-6", "J-10", "J-16")
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_a_signature_verifies_with_its_key_and_no_other_bytes(
        self, algorithm: str, keys: dict[str, Key]
    ) -> None:
        key = keys[algorithm]
        text = sign_compact({"alg": algorithm}, {"a": "b"}, key)
        good = parse_compact_jws(text, max_length=LIMIT)
        verify_signature(good, key, algorithm=algorithm)

        signature = good.signature
        for forged in (
            bytes(len(signature)),
            signature[:-1],
            signature + b"\0",
            b"\0" + signature,
            signature[:-1] + bytes([signature[-1] ^ 1]),
            bytes([signature[0] ^ 0x80]) + signature[1:],
            b"",
            b"\xff" * len(signature),
        ):
            with pytest.raises(BadSignatureError):
                verify_signature(
                    _with(good, signature=forged), key, algorithm=algorithm
                )
        changed = _with(good, signing_input=good.signing_input + b"A")
        with pytest.raises(BadSignatureError):
            verify_signature(changed, key, algorithm=algorithm)

    @pytest.mark.parametrize("size", [2048, 4096])
    def test_the_header_of_an_rsa_proof_fits(self, size: int) -> None:
        """The default of the library is 512 bytes, and a 2048 bit key needs 550."""
        key = RSAKey.generate_key(size)
        header = {"typ": "dpop+jwt", "alg": "PS256", "jwk": key.as_dict(private=False)}
        text = sign_compact(header, {"a": 1}, key)

        jws = parse_compact_jws(text, max_length=LIMIT)
        verify_signature(jws, key, algorithm="PS256")
        with pytest.raises(ExceededSizeError):
            joserfc_jws.deserialize_compact(text, key, algorithms=["PS256"])

    @pytest.mark.requirement("S-2", "X-22")
    @pytest.mark.parametrize("algorithm", ["none", "HS256", "HS384", "HS512", "ES999"])
    def test_what_is_no_asymmetric_algorithm_verifies_nothing(
        self, algorithm: str, ec_key: ECKey
    ) -> None:
        jws = parse_compact_jws(compact(f'{{"alg":"{algorithm}"}}'), max_length=LIMIT)
        for key in (ec_key, OctKey.import_key(b"k" * 32)):
            with pytest.raises(BadSignatureError):
                verify_signature(_with(jws, signature=b""), key, algorithm=algorithm)
            with pytest.raises(ValueError, match="does not fit"):
                sign_compact({"alg": algorithm}, {}, key)

    @pytest.mark.requirement("C-5b")
    def test_a_key_of_another_kind_verifies_nothing(
        self, keys: dict[str, Key], ec_key: ECKey
    ) -> None:
        jws = parse_compact_jws(sign_compact(HEADER, {}, ec_key), max_length=LIMIT)
        for key in (keys["PS256"], keys["Ed25519"], ECKey.generate_key("P-384")):
            with pytest.raises(BadSignatureError):
                verify_signature(jws, key, algorithm="ES256")
            with pytest.raises(ValueError, match="does not fit"):
                sign_compact(HEADER, {}, key)

    def test_the_header_does_not_choose_the_algorithm(
        self, keys: dict[str, Key]
    ) -> None:
        key = keys["PS256"]
        jws = parse_compact_jws(
            sign_compact({"alg": "RS256"}, {}, key), max_length=LIMIT
        )

        with pytest.raises(BadSignatureError):
            verify_signature(jws, key, algorithm="PS256")
        with pytest.raises(BadSignatureError):
            verify_signature(_with(jws, header={}), key, algorithm="RS256")

    def test_a_key_for_encryption_or_another_algorithm_verifies_nothing(
        self, ec_key: ECKey
    ) -> None:
        jws = parse_compact_jws(sign_compact(HEADER, {}, ec_key), max_length=LIMIT)
        public = ec_key.as_dict(private=False)
        for extra in ({"use": "enc"}, {"alg": "ES384"}, {"key_ops": ["deriveKey"]}):
            with pytest.raises(BadSignatureError):
                verify_signature(
                    jws, ECKey.import_key({**public, **extra}), algorithm="ES256"
                )

    def test_not_a_number_is_never_signed(self, ec_key: ECKey) -> None:
        with pytest.raises(ValueError, match="JSON"):
            sign_compact(HEADER, {"a": float("nan")}, ec_key)

    def test_eddsa_gives_no_warning_in_any_thread(self, ed_key: OKPKey) -> None:
        """The library warns of the old name of an algorithm that policies allow."""
        text = sign_compact({"alg": "EdDSA"}, {}, ed_key)
        jws = parse_compact_jws(text, max_length=LIMIT)
        failures: list[Exception] = []

        def verify() -> None:
            try:
                for _ in range(50):
                    verify_signature(jws, ed_key, algorithm="EdDSA")
            except Exception as error:  # noqa: BLE001
                failures.append(error)

        threads = [threading.Thread(target=verify) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert failures == []


def _with(jws: CompactJWS, **changes: Any) -> CompactJWS:
    parts = {
        "header": jws.header,
        "payload": jws.payload,
        "signing_input": jws.signing_input,
        "signature": jws.signature,
    }
    return CompactJWS(**(parts | changes))
