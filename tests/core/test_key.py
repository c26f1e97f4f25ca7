"""The key of a proof is public, fits its algorithm and has one thumbprint."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.key import (
    ALGORITHMS,
    import_proof_key,
    is_b64url_of,
    is_thumbprint,
    thumbprint,
)
from dpop_ext.errors import DPoPError, MalformedProofError, UnsupportedKeyError

JWK = dict[str, Any]

MEMBERS = ["kty", "crv", "x", "y", "n", "e", "use", "alg", "key_ops", "kid"]
PRIVATE_MEMBERS = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"]

#: RFC 7638 section 3.1.
RSA_EXAMPLE = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7"
    "aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXA"
    "rwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7"
    "d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lF"
    "d2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}
#: RFC 8037 appendix A.2.
ED25519_EXAMPLE = {
    "kty": "OKP",
    "crv": "Ed25519",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}
#: The key of the examples in RFC 9449.
DPOP_EXAMPLE = {
    "kty": "EC",
    "crv": "P-256",
    "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
    "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
}
LEADING_ZERO = {
    "kty": "EC",
    "crv": "P-256",
    "x": "APgYG5BNQBWVT-w7yW51bi9M5hVluuqPOGXXl5if_NM",
    "y": "QmnCr5fkc5hvPAHJlus28hFl9fvENm3BAHbt7YcDakQ",
}


def jkt(jwk: object, algorithm: str) -> str:
    return thumbprint(import_proof_key(jwk, algorithm=algorithm))


@pytest.fixture(scope="module")
def public(keys: dict[str, Key]) -> dict[str, dict[str, Any]]:
    """A public JWK for each algorithm."""
    return {name: dict(key.as_dict(private=False)) for name, key in keys.items()}


class TestThumbprint:
    @pytest.mark.requirement("B-3", "B-4", "J-9")
    @pytest.mark.parametrize(
        ("jwk", "algorithm", "expected"),
        [
            (RSA_EXAMPLE, "RS256", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
            (ED25519_EXAMPLE, "Ed25519", "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
            (DPOP_EXAMPLE, "ES256", "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"),
            (LEADING_ZERO, "ES256", "blYhrm9qF1QjcvW-PCH4EI6gqOq6p1fcH8eCuxaT0WU"),
        ],
    )
    def test_known_answers(self, jwk: JWK, algorithm: str, expected: str) -> None:
        assert thumbprint(import_proof_key(jwk, algorithm=algorithm)) == expected

    @pytest.mark.requirement("B-4", "C-6", "S-12")
    def test_members_that_are_not_needed_do_not_change_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The library's function of this name hashes all members of a dict."""
        monkeypatch.setattr(socket, "socket", _no_network)
        extra = {"kid": "a", "use": "sig", "alg": "ES256", "key_ops": ["verify"]}
        odd = {"kid": 5, "x5c": "?", "x5u": [], "jku": {}, "x5t": None, "ext": True}
        expected = thumbprint(import_proof_key(DPOP_EXAMPLE, algorithm="ES256"))

        for more in (extra, odd, {"n": "AQAB", "e": "AQAB"}, {"": ""}):
            key = import_proof_key(DPOP_EXAMPLE | more, algorithm="ES256")
            assert thumbprint(key) == expected

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_it_is_that_of_the_private_key(
        self, algorithm: str, public: dict[str, JWK]
    ) -> None:
        key = import_proof_key(public[algorithm], algorithm=algorithm)

        assert not key.is_private
        assert is_thumbprint(thumbprint(key))
        assert set(key.dict_value) <= {"kty", "crv", "x", "y", "n", "e"}

    @pytest.mark.requirement("X-4", "X-25")
    @pytest.mark.parametrize(
        "value",
        [
            None,
            0,
            b"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
            "",
            "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4",
            "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4IA",
            "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4J",  # same bytes
            "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I=",
            "0ZcOCORZNYy+DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
            "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4\n",
            "é" * 43,
            "\ud800" * 43,
        ],
    )
    def test_other_values_are_no_thumbprint(self, value: object) -> None:
        assert not is_thumbprint(value)

    @given(st.binary(min_size=32, max_size=32))
    def test_any_32_bytes_can_be_one(self, digest: bytes) -> None:
        assert is_thumbprint(b64url_encode(digest))
        assert not is_b64url_of(b64url_encode(digest), length=31)


class TestImport:
    @pytest.mark.requirement("C-5b", "J-13", "J-16")
    def test_each_algorithm_takes_its_own_kind_of_key_only(
        self, public: dict[str, JWK]
    ) -> None:
        for algorithm, needed in ALGORITHMS.items():
            for name, jwk in public.items():
                if ALGORITHMS[name] == needed:
                    assert is_thumbprint(jkt(jwk, algorithm))
                else:
                    with pytest.raises(UnsupportedKeyError):
                        import_proof_key(jwk, algorithm=algorithm)

    @pytest.mark.requirement("C-5", "S-2")
    @pytest.mark.parametrize("algorithm", ["none", "HS256", "ES256K", "Ed448", ""])
    def test_other_algorithms_take_no_key(self, algorithm: str) -> None:
        with pytest.raises(UnsupportedKeyError):
            import_proof_key(DPOP_EXAMPLE, algorithm=algorithm)

    @pytest.mark.requirement("C-7", "S-3")
    @pytest.mark.parametrize("algorithm", ["ES256", "PS256", "Ed25519"])
    @pytest.mark.parametrize("member", PRIVATE_MEMBERS)
    @pytest.mark.parametrize("value", [None, "", "AQAB", 0, [], {}])
    def test_a_private_member_is_refused_whatever_its_value(
        self, algorithm: str, member: str, value: object, public: dict[str, JWK]
    ) -> None:
        with pytest.raises(UnsupportedKeyError):
            import_proof_key(public[algorithm] | {member: value}, algorithm=algorithm)

    @pytest.mark.requirement("C-7")
    def test_a_private_key_is_refused(
        self, ec_key: ECKey, ed_key: OKPKey, rsa_key: RSAKey
    ) -> None:
        for key, name in ((ec_key, "ES256"), (ed_key, "EdDSA"), (rsa_key, "PS256")):
            with pytest.raises(UnsupportedKeyError):
                import_proof_key(key.as_dict(private=True), algorithm=name)

    @pytest.mark.requirement("S-3")
    @pytest.mark.parametrize("jwk", [None, "", "{}", [], 1, True, ["kty"], b"{}"])
    def test_what_is_no_object_is_malformed(self, jwk: object) -> None:
        with pytest.raises(MalformedProofError):
            import_proof_key(jwk, algorithm="ES256")

    @pytest.mark.requirement("C-5c")
    @pytest.mark.parametrize(
        "member",
        [
            {"use": "enc"},
            {"use": ""},
            {"use": None},
            {"use": ["sig"]},
            {"alg": "ES384"},
            {"alg": "es256"},
            {"alg": None},
            {"alg": ["ES256"]},
            {"key_ops": []},
            {"key_ops": ["sign"]},
            {"key_ops": "verify"},
            {"key_ops": {"verify": 1}},
            {"key_ops": None},
            {"key_ops": ["verify", "verify"]},
            {"key_ops": [["verify"]]},
        ],
    )
    def test_a_key_that_is_not_for_this_use_is_refused(self, member: JWK) -> None:
        with pytest.raises(UnsupportedKeyError):
            import_proof_key(DPOP_EXAMPLE | member, algorithm="ES256")

    @pytest.mark.requirement("C-5c")
    @pytest.mark.parametrize(
        "member",
        [
            {"use": "sig"},
            {"alg": "ES256"},
            {"key_ops": ["verify"]},
            {"key_ops": ["sign", "verify", {}]},
        ],
    )
    def test_a_key_that_says_what_it_is_for_is_accepted(self, member: JWK) -> None:
        assert is_thumbprint(jkt(DPOP_EXAMPLE | member, "ES256"))

    @pytest.mark.parametrize("kty", [None, "ec", "RSA", "oct", "AKP", ["EC"], {}, 1])
    def test_kty_is_compared_as_text(self, kty: object) -> None:
        with pytest.raises(UnsupportedKeyError):
            import_proof_key(DPOP_EXAMPLE | {"kty": kty}, algorithm="ES256")

    @given(
        st.sampled_from(["ES256", "ES384", "ES512", "PS256", "RS256", "Ed25519"]),
        st.dictionaries(
            st.sampled_from(MEMBERS),
            st.none()
            | st.booleans()
            | st.integers()
            | st.text(max_size=8)
            | st.binary(max_size=600).map(b64url_encode)
            | st.sampled_from(["EC", "RSA", "OKP", "P-256", "P-521", "Ed25519", "sig"])
            | st.lists(st.text(max_size=3), max_size=3),
        ),
    )
    def test_any_object_is_a_key_or_a_documented_error(
        self, algorithm: str, jwk: JWK
    ) -> None:
        kty, crv = ALGORITHMS[algorithm]
        for candidate in (jwk, {"kty": kty, "crv": crv} | jwk, jwk | DPOP_EXAMPLE):
            with contextlib.suppress(DPoPError):
                assert not import_proof_key(candidate, algorithm=algorithm).is_private


class TestEllipticCurve:
    @pytest.mark.requirement("B-4", "J-10")
    @pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512"])
    @pytest.mark.parametrize("name", ["x", "y"])
    def test_coordinates_have_their_full_length_and_no_more(
        self, algorithm: str, name: str, public: dict[str, JWK]
    ) -> None:
        jwk = public[algorithm]
        octets = b64url_decode(jwk[name])
        for wrong in (b"\0" + octets, octets[1:], octets[:-1], b"", octets * 2):
            with pytest.raises(UnsupportedKeyError):
                import_proof_key(
                    jwk | {name: b64url_encode(wrong)}, algorithm=algorithm
                )

    @pytest.mark.requirement("B-4")
    @pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512"])
    def test_no_octet_of_one_coordinate_stands_in_the_other(
        self, algorithm: str, public: dict[str, JWK]
    ) -> None:
        """It is the same point, and would have another thumbprint."""
        jwk = public[algorithm]
        size = len(b64url_decode(jwk["x"]))
        point = b64url_decode(jwk["x"]) + b64url_decode(jwk["y"])
        for end in (0, size - 1, size + 1, 2 * size):
            x, y = b64url_encode(point[:end]), b64url_encode(point[end:])
            with pytest.raises(UnsupportedKeyError):
                import_proof_key(jwk | {"x": x, "y": y}, algorithm=algorithm)

    @pytest.mark.requirement("B-4")
    def test_a_leading_zero_belongs_to_the_coordinate(self) -> None:
        x = b64url_decode(LEADING_ZERO["x"])
        assert x[0] == 0

        with pytest.raises(UnsupportedKeyError):
            import_proof_key(
                LEADING_ZERO | {"x": b64url_encode(x[1:])}, algorithm="ES256"
            )

    @pytest.mark.requirement("J-13")
    @pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512"])
    def test_a_point_off_the_curve_is_refused(
        self, algorithm: str, public: dict[str, JWK]
    ) -> None:
        jwk = public[algorithm]
        size = len(b64url_decode(jwk["x"]))
        for x, y in (
            (jwk["y"], jwk["x"]),
            (jwk["x"], jwk["x"]),
            (b64url_encode(bytes(size)), b64url_encode(bytes(size))),
        ):
            with pytest.raises(UnsupportedKeyError):
                import_proof_key(jwk | {"x": x, "y": y}, algorithm=algorithm)

    @pytest.mark.requirement("B-4", "J-13")
    def test_a_coordinate_beyond_the_field_is_refused(self) -> None:
        """The library reduces it: the same key would have two thumbprints."""
        p = 2**256 - 2**224 + 2**192 + 2**96 - 1
        b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
        x = 5
        y = pow(x**3 - 3 * x + b, (p + 1) // 4, p)

        def jwk(x: int) -> JWK:
            members = {"x": b64url_encode(x.to_bytes(32))}
            return DPOP_EXAMPLE | members | {"y": b64url_encode(y.to_bytes(32))}

        assert is_thumbprint(jkt(jwk(x), "ES256"))
        assert ECKey.import_key(jwk(x + p)).raw_value == (
            ECKey.import_key(jwk(x)).raw_value
        )
        with pytest.raises(UnsupportedKeyError):
            import_proof_key(jwk(x + p), algorithm="ES256")

    @pytest.mark.parametrize("name", ["x", "y"])
    @pytest.mark.parametrize("value", [None, 5, [], {}, True])
    def test_a_coordinate_that_is_no_text_is_malformed(
        self, name: str, value: object
    ) -> None:
        missing = {key: DPOP_EXAMPLE[key] for key in DPOP_EXAMPLE if key != name}
        for jwk in (DPOP_EXAMPLE | {name: value}, missing):
            with pytest.raises(MalformedProofError):
                import_proof_key(jwk, algorithm="ES256")

    @pytest.mark.parametrize("suffix", ["=", " ", "\n", "é", "A" * 3])
    def test_a_coordinate_that_is_not_base64url_is_malformed(self, suffix: str) -> None:
        jwk = DPOP_EXAMPLE | {"x": DPOP_EXAMPLE["x"] + suffix}
        with pytest.raises(DPoPError):
            import_proof_key(jwk, algorithm="ES256")

    def test_bits_left_over_in_a_coordinate_are_refused(self) -> None:
        """The last of 43 characters has two bits that decoders drop."""
        assert DPOP_EXAMPLE["x"].endswith("s")
        with pytest.raises(MalformedProofError):
            import_proof_key(
                DPOP_EXAMPLE | {"x": DPOP_EXAMPLE["x"][:-1] + "t"}, algorithm="ES256"
            )


class TestRSA:
    @pytest.mark.requirement("C-5b", "J-10")
    @pytest.mark.parametrize(
        ("bits", "accepted"),
        [
            *((1, False), (1024, False), (2047, False), (2048, True)),
            *((3072, True), (4096, True), (4097, False), (8192, False)),
        ],
    )
    def test_the_modulus_has_2048_to_4096_bits(self, bits: int, accepted: bool) -> None:
        """The library takes 1024 bits with a warning, which the suite would raise."""
        modulus = (1 << (bits - 1)) | 1
        jwk = _rsa(modulus, 65537)
        with contextlib.nullcontext() if accepted else _refused():
            assert is_thumbprint(jkt(jwk, "PS256"))

    @pytest.mark.requirement("C-5b")
    @pytest.mark.parametrize(
        ("exponent", "accepted"),
        [
            (65537, True),
            (65539, True),
            (2**32 - 1, True),
            (2**32 + 1, False),
            (65535, False),
            (65536, False),
            (65538, False),
            (3, False),
            (1, False),
            (0, False),
        ],
    )
    def test_the_exponent_is_odd_and_has_17_to_32_bits(
        self, exponent: int, accepted: bool
    ) -> None:
        jwk = _rsa((1 << 2047) | 1, exponent)
        with contextlib.nullcontext() if accepted else _refused():
            assert is_thumbprint(jkt(jwk, "PS256"))

    @pytest.mark.requirement("B-4")
    @pytest.mark.parametrize("name", ["n", "e"])
    def test_leading_zero_octets_are_refused(self, name: str) -> None:
        octets = b64url_decode(RSA_EXAMPLE[name])
        jwk = RSA_EXAMPLE | {name: b64url_encode(b"\0" + octets)}

        with pytest.raises(UnsupportedKeyError):
            import_proof_key(jwk, algorithm="RS256")

    def test_an_even_modulus_is_refused(self) -> None:
        with pytest.raises(UnsupportedKeyError):
            import_proof_key(_rsa(1 << 2047, 65537), algorithm="PS256")

    @pytest.mark.parametrize("name", ["n", "e"])
    def test_a_member_that_is_missing_or_no_text_is_malformed(self, name: str) -> None:
        missing = {key: RSA_EXAMPLE[key] for key in RSA_EXAMPLE if key != name}
        for jwk in (missing, RSA_EXAMPLE | {name: 65537}, RSA_EXAMPLE | {name: "A="}):
            with pytest.raises(MalformedProofError):
                import_proof_key(jwk, algorithm="RS256")


class TestEd25519:
    P = 2**255 - 19

    @pytest.mark.requirement("J-13")
    def test_every_encoding_of_a_point_of_small_order_is_refused(self) -> None:
        """With the neutral element as key, one signature verifies for everything."""
        encodings = set(self._small_order_encodings())
        assert len(encodings) == 14

        for encoding in encodings:
            with pytest.raises(UnsupportedKeyError):
                import_proof_key(_ed25519(encoding), algorithm="Ed25519")

    @pytest.mark.requirement("B-4", "J-13")
    def test_a_coordinate_beyond_the_field_is_refused(self) -> None:
        for y in range(self.P, 2**255):
            for sign in (0, 1 << 255):
                with pytest.raises(UnsupportedKeyError):
                    import_proof_key(
                        _ed25519((y | sign).to_bytes(32, "little")), algorithm="EdDSA"
                    )

    def test_both_signs_of_an_ordinary_point_are_keys(self) -> None:
        x = b64url_decode(ED25519_EXAMPLE["x"])
        for octets in (x, x[:-1] + bytes([x[-1] ^ 0x80])):
            assert is_thumbprint(jkt(_ed25519(octets), "Ed25519"))

    @pytest.mark.parametrize("length", [0, 31, 33, 57])
    def test_the_key_has_32_octets(self, length: int) -> None:
        with pytest.raises(UnsupportedKeyError):
            import_proof_key(_ed25519(b"\x07" * length), algorithm="Ed25519")

    @pytest.mark.requirement("C-5b", "J-16")
    @pytest.mark.parametrize("crv", ["Ed448", "X25519", "X448", "ed25519", None, ["x"]])
    @pytest.mark.parametrize("algorithm", ["Ed25519", "EdDSA"])
    def test_another_curve_is_refused(self, algorithm: str, crv: object) -> None:
        with pytest.raises(UnsupportedKeyError):
            import_proof_key(ED25519_EXAMPLE | {"crv": crv}, algorithm=algorithm)

    def _small_order_encodings(self) -> Iterator[bytes]:
        """Find them by arithmetic: every y below 2**255 whose point times 8 is zero."""
        ys = {y for _, y in self._torsion()}
        for y in ys | {y + self.P for y in ys if y + self.P < 2**255}:
            yield y.to_bytes(32, "little")
            yield (y | 1 << 255).to_bytes(32, "little")

    def _torsion(self) -> set[tuple[int, int]]:
        order = 2**252 + 27742317777372353535851937790883648493
        points: set[tuple[int, int]] = set()
        y = 2
        while len(points) < 8:
            y += 1
            if (x := self._x(y)) is not None:
                point = self._times(order, (x, y))
                points |= {self._times(n, point) for n in range(8)}
        return points

    def _x(self, y: int) -> int | None:
        p = self.P
        d = -121665 * pow(121666, -1, p) % p
        square = (y * y - 1) * pow(d * y * y + 1, -1, p) % p
        x = pow(square, (p + 3) // 8, p)
        if x * x % p != square:
            x = x * pow(2, (p - 1) // 4, p) % p
        return x if x * x % p == square else None

    def _times(self, n: int, point: tuple[int, int]) -> tuple[int, int]:
        total = (0, 1)
        while n:
            if n & 1:
                total = self._add(total, point)
            point = self._add(point, point)
            n >>= 1
        return total

    def _add(self, a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
        p = self.P
        d = -121665 * pow(121666, -1, p) % p
        k = d * a[0] * b[0] * a[1] * b[1] % p
        x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + k, -1, p) % p
        return x, (a[1] * b[1] + a[0] * b[0]) * pow(1 - k, -1, p) % p


def _rsa(modulus: int, exponent: int) -> JWK:
    def octets(number: int) -> str:
        return b64url_encode(number.to_bytes((number.bit_length() + 7) // 8))

    return {"kty": "RSA", "n": octets(modulus), "e": octets(exponent)}


def _ed25519(octets: bytes) -> JWK:
    return ED25519_EXAMPLE | {"x": b64url_encode(octets)}


def _refused() -> contextlib.AbstractContextManager[object]:
    return pytest.raises(UnsupportedKeyError)


def _no_network(*args: object, **kwargs: object) -> NoReturn:
    raise AssertionError("a key must never be fetched")
