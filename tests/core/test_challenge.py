"""Challenges are written strictly and read in every form that is allowed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpop_ext.core.challenge import (
    MAX_CHALLENGES,
    MAX_LENGTH,
    Challenge,
    format_challenge,
    parse_challenges,
)

TEXT = st.text(
    [chr(code) for code in range(0x20, 0x7F) if chr(code) not in '"\\'], max_size=20
)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz_-", min_size=1, max_size=8)


def read(*lines: str) -> list[tuple[str, dict[str, str]]]:
    return [(each.scheme, each.params) for each in parse_challenges(lines)]


class TestFormat:
    @pytest.mark.requirement("P-12")
    def test_values_are_quoted(self) -> None:
        params = {"error": "use_dpop_nonce", "algs": "ES256 PS256"}

        assert (
            format_challenge("DPoP", params)
            == 'DPoP error="use_dpop_nonce", algs="ES256 PS256"'
        )

    def test_a_challenge_may_be_a_scheme_alone(self) -> None:
        assert format_challenge("Bearer", {}) == "Bearer"

    @pytest.mark.requirement("J-14")
    @pytest.mark.parametrize(
        "character", ['"', "\\", "\r", "\n", "\t", "\0", "\x1f", "\x7f", "\u00e9"]
    )
    def test_a_character_that_would_break_out_is_refused(self, character: str) -> None:
        for text in (character, f"a{character}b", f"{character}a"):
            with pytest.raises(ValueError, match="character"):
                format_challenge("DPoP", {"error_description": text})
            with pytest.raises(ValueError, match="token"):
                format_challenge("DPoP", {text: "a"})
            with pytest.raises(ValueError, match="token"):
                format_challenge(text, {})

    @pytest.mark.parametrize("name", ["", "a b", "a=", "a,b", "(a)", "a/b"])
    def test_a_name_is_a_token(self, name: str) -> None:
        with pytest.raises(ValueError, match="token"):
            format_challenge("DPoP", {name: "a"})

    @given(st.dictionaries(NAMES, TEXT, max_size=5))
    def test_what_is_written_is_read(self, params: dict[str, str]) -> None:
        assert read(format_challenge("DPoP", params)) == [("DPoP", params)]


class TestParse:
    @pytest.mark.requirement("P-13")
    @pytest.mark.parametrize(
        "lines",
        [
            ['Bearer, DPoP algs="ES256 PS256", error="use_dpop_nonce"'],
            ['Bearer,DPoP error="use_dpop_nonce",algs="ES256 PS256"'],
            ["Bearer", 'DPoP algs="ES256 PS256", error="use_dpop_nonce"'],
            ["Bearer", 'DPoP algs="ES256 PS256", error=use_dpop_nonce'],
            ['Bearer\t,\tDPoP  algs = "ES256 PS256" ,, error\t=\tuse_dpop_nonce ,'],
            [", ,Bearer", 'DPoP ALGS="ES256 PS256", Error="use_dpop_nonce"'],
            ["Bearer", r'DPoP algs="ES256\ PS256", error="\u\s\e_dpop_nonce"'],
        ],
    )
    def test_every_spelling_of_two_challenges(self, lines: list[str]) -> None:
        assert read(*lines) == [
            ("Bearer", {}),
            ("DPoP", {"algs": "ES256 PS256", "error": "use_dpop_nonce"}),
        ]

    @pytest.mark.requirement("P-13")
    def test_the_scheme_is_kept_as_it_is_spelt(self) -> None:
        assert read("dPoP error=x", "DPOP", "dpop") == [
            ("dPoP", {"error": "x"}),
            ("DPOP", {}),
            ("dpop", {}),
        ]

    @pytest.mark.requirement("P-13")
    def test_unknown_parameters_do_no_harm(self) -> None:
        (challenge,) = parse_challenges(['DPoP x=1, error="e", y="a, b=\\"c\\""'])

        assert challenge.get("error") == "e"
        assert challenge.get("y") == 'a, b="c"'
        assert challenge.get("z") is None

    @pytest.mark.requirement("P-13")
    @pytest.mark.parametrize("credentials", ["abc==", "YWJj", "a.b~c+d/e-f_=", "a="])
    def test_a_challenge_of_token68_is_passed_over(self, credentials: str) -> None:
        line = f"Negotiate {credentials} , DPoP error=e, NTLM {credentials}"

        assert read(line) == [("Negotiate", {}), ("DPoP", {"error": "e"}), ("NTLM", {})]

    def test_a_comma_in_quotes_separates_nothing(self) -> None:
        line = 'Bearer realm="a, DPoP error=\\"forged\\", b", DPoP error="true"'

        assert [params.get("error") for _, params in read(line)] == [None, "true"]

    def test_a_repeated_parameter_counts_once(self) -> None:
        assert read('DPoP error="first", Error="second"') == [
            ("DPoP", {"error": "first"})
        ]

    def test_a_parameter_does_not_cross_lines(self) -> None:
        assert read("DPoP", 'error="x"') == [("DPoP", {})]

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("", []),
            (",,, ", []),
            ('"', []),
            ('error="x"', []),
            ("@@@", []),
            ("DPoP @@@, error=e", [("DPoP", {"error": "e"})]),
            ('DPoP "a, b", error=e', [("DPoP", {"error": "e"})]),
            ('DPoP error="e" algs="a"', [("DPoP", {"error": "e", "algs": "a"})]),
            ('DPoP error="unterminated', [("DPoP", {})]),
            ('DPoP error="unterminated\\', [("DPoP", {})]),
            ('DPoP error="a\\"', [("DPoP", {})]),
            ("DPoP error=, algs=a", [("DPoP", {"algs": "a"})]),
            ("DPoP error==x, algs=a", [("DPoP", {"algs": "a"})]),
            ("DPoP =x, algs=a", []),  # a parameter of that name, of no challenge
            ("DPoP\u00e9, Bearer", [("Bearer", {})]),
            ("\0DPoP, Bearer", [("Bearer", {})]),
        ],
    )
    def test_garbage_is_skipped_to_the_next_comma(
        self, line: str, expected: list[tuple[str, dict[str, str]]]
    ) -> None:
        assert read(line) == expected

    @given(st.lists(st.text(max_size=40) | st.text('DPoP err="\\,= \t', max_size=40)))
    def test_it_never_fails(self, lines: list[str]) -> None:
        for challenge in parse_challenges(lines):
            assert isinstance(challenge, Challenge)
            assert challenge.scheme
            assert all(name == name.lower() for name in challenge.params)

    def test_the_number_of_challenges_is_bounded(self) -> None:
        assert len(read(", ".join(["DPoP"] * 100))) == MAX_CHALLENGES
        assert len(read(*["DPoP"] * 100)) == MAX_CHALLENGES

    def test_the_length_is_bounded_over_all_lines(self) -> None:
        def lines() -> Iterator[str]:
            yield "Bearer"
            yield "Basic realm=" + "x" * MAX_LENGTH
            raise AssertionError("is never asked for")

        assert [each.scheme for each in parse_challenges(lines())] == ["Bearer"]
        longest = "Basic realm=".ljust(MAX_LENGTH, "x")
        assert (len(read(longest)), read(longest + "x")) == (1, [])

    @pytest.mark.parametrize(
        "unit", ['"', '"\\', '\\"', 'a="', 'a="\\', "a ", " =", "a= ", "a", ", ", "a,"]
    )
    def test_hostile_text_is_read_in_one_pass(self, unit: str) -> None:
        """Were it quadratic, each of these would take a minute and more."""
        line = (unit * MAX_LENGTH)[:MAX_LENGTH]

        assert len(parse_challenges([line])) <= MAX_CHALLENGES
