"""What may stand after an authentication scheme, :rfc:`9110#section-11.2`."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from dpop_ext.core.token68 import is_token68

#: As the RFC has it.
GRAMMAR = re.compile(r"[A-Za-z0-9._~+/-]+=*")


@given(st.text(st.sampled_from("aZ09-._~+/= ,\n\0é\ud800"), max_size=8))
def test_it_is_as_the_grammar_has_it(text: str) -> None:
    assert is_token68(text) == bool(GRAMMAR.fullmatch(text))


def test_each_character_counts() -> None:
    for code in range(0x250):
        text = f"a{chr(code)}a"
        assert is_token68(text) == bool(GRAMMAR.fullmatch(text))
