"""Values that a caller may send where another is expected, for fuzz tests."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

ODD_VALUES: Final[list[Any]] = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    -0.0,
    2**53,
    10**300,
    1e308,
    "",
    " ",
    "a",
    "HS256",
    "none",
    "é",
    "\x7f",
    '"\\',
    "A" * 300,
    [],
    [None],
    ["HS256", 1],
    [[[]]],
    {},
    {"": ""},
    {"kty": "oct", "k": "AA"},
    {"kty": ["EC"], "crv": {}},
]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)

odd_values = st.sampled_from(ODD_VALUES) | json_values
