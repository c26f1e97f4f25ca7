"""A confirmation is understood as a whole, or the token is refused."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.confirmation import (
    MAX_JWE,
    AccessToken,
    Confirmation,
    DerivedKeyReference,
    bound_jkt,
    check_binding,
    check_certificate,
    parse_confirmation,
)
from dpop_ext.core.key import is_thumbprint
from dpop_ext.errors import AccessTokenError, KeyMismatchError, UnboundTokenError

JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
R = bytes(range(32))
DSK: dict[str, Any] = {"alg": "HS256", "v": 7, "r": b64url_encode(R)}

ODD_THUMBPRINTS: list[Any] = [
    *(None, "", 1, True, [], {}, [JKT], JKT[:-1], JKT + "A", JKT[:-1] + "J"),
    *(JKT + "=", " " + JKT, JKT + "\n", "é" * 43, "+" * 43, "\ud800" * 43),
]
ODD_ALGORITHMS: list[Any] = [
    *("HS384", "hs256", "ES256", "none", "", None, ["HS256"], {}, 256),
]
ODD_VERSIONS: list[Any] = [0, -1, 2**53, 10**300, True, 7.0, "7", None, [], {}]
ODD_BYTES: list[Any] = [
    *(b64url_encode(R[:length]) for length in (0, 16, 31)),
    *(b64url_encode(R + b"\0"), DSK["r"] + "=", "+" * 43, "Z" * 43, None, 5, [], ""),
]
ODD_TIMES: list[Any] = [None, "1", 1.5, True, [], {}]


def test_a_thumbprint_alone() -> None:
    assert parse_confirmation({"jkt": JKT}) == Confirmation(jkt=JKT, dsk=None)


@pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
@pytest.mark.parametrize("expires_at", [None, 1_790_000_300])
@pytest.mark.parametrize("version", [1, 7, 2**53 - 1])
def test_a_reference_to_a_derived_key(
    algorithm: str, expires_at: int | None, version: int
) -> None:
    dsk: dict[str, Any] = DSK | {"alg": algorithm, "v": version}
    if expires_at is not None:
        dsk["exp"] = expires_at

    assert parse_confirmation({"jkt": JKT, "dsk": dsk}) == Confirmation(
        jkt=JKT,
        dsk=DerivedKeyReference(
            algorithm=algorithm, version=version, r=R, expires_at=expires_at
        ),
    )


JWE = "e30.AA.AA.AA.AA"
ODD_JWES: list[Any] = [
    *(None, "", 5, [], {}, [JWE], "e30", "a.b.c.d", "a.b.c.d.e.f"),
]


@pytest.mark.requirement("R2261")
def test_an_encrypted_key_in_place_of_a_reference() -> None:
    found = parse_confirmation({"jkt": JKT, "jwe": JWE, "x5t#S256": JKT, "sym": False})
    assert found == Confirmation(
        jkt=JKT, dsk=None, jwe=JWE, certificate=JKT, allows_tickets=False
    )
    longest = "e30.AA.AA." + "A" * (MAX_JWE - 12) + ".A"
    assert parse_confirmation({"jkt": JKT, "jwe": longest}).jwe == longest
    # It is long, and of no use in a log.
    assert JWE not in repr(found)


@pytest.mark.requirement("R2261", "B-8")
@pytest.mark.parametrize(
    "cnf",
    [
        {"jkt": JKT, "jwe": JWE, "dsk": DSK},
        {"jwe": JWE},
        {"x5t#S256": JKT, "jwe": JWE},
        *({"jkt": JKT, "jwe": value} for value in ODD_JWES),
        {"jkt": JKT, "jwe": "e30.AA.AA." + "A" * (MAX_JWE - 11) + ".A"},
    ],
)
def test_an_encrypted_key_that_is_none_makes_the_token_unusable(cnf: object) -> None:
    with pytest.raises(AccessTokenError):
        parse_confirmation(cnf)


@pytest.mark.requirement("B-1", "B-8", "J-19", "R2103")
@pytest.mark.parametrize(
    "cnf",
    [
        *(None, [], "", JKT, 0, True, {}, [JKT], ["jkt"]),
        *({"jkt": value} for value in ODD_THUMBPRINTS),
        *({"x5t#S256": value} for value in ODD_THUMBPRINTS),
        *({"jkt": JKT, "x5t#S256": value} for value in ODD_THUMBPRINTS),
        *({"x5t#S256": JKT, "jkt": value} for value in ODD_THUMBPRINTS),
        *({"jwk": {}}, {"kid": "a"}, {"jwe": "a.b.c.d.e"}, {"x5t": JKT}),
        {"x5t#S256": JKT, "dsk": DSK},
        *({"dsk": DSK}, {"JKT": JKT}, {"osc": {}}),
    ],
)
def test_a_malformed_confirmation_is_not_an_absent_one(cnf: object) -> None:
    with pytest.raises(AccessTokenError):
        parse_confirmation(cnf)


@pytest.mark.requirement("B-8", "B-9", "R2262")
@pytest.mark.parametrize(
    "other",
    [
        {"x5t#s256": JKT},
        {"jwk": {}},
        {"jwe": ""},
        {"kid": None},
        {"": 1},
    ],
)
def test_a_member_that_cannot_be_verified_makes_the_token_unusable(
    other: dict[str, object],
) -> None:
    with pytest.raises(AccessTokenError):
        parse_confirmation({"jkt": JKT} | other)
    with pytest.raises(AccessTokenError):
        parse_confirmation({"jkt": JKT, "dsk": DSK} | other)
    with pytest.raises(AccessTokenError):
        parse_confirmation({"x5t#S256": JKT} | other)


@pytest.mark.requirement("B-9", "J-19", "R2262")
def test_a_certificate_is_read_beside_a_key_or_alone() -> None:
    other = b64url_encode(bytes(32))
    alone = parse_confirmation({"x5t#S256": other})
    assert alone == Confirmation(jkt=None, dsk=None, certificate=other)
    both = parse_confirmation({"jkt": JKT, "x5t#S256": other})
    assert both == Confirmation(jkt=JKT, dsk=None, certificate=other)
    with_key = parse_confirmation({"jkt": JKT, "x5t#S256": other, "dsk": DSK})
    assert with_key.certificate == other
    for confirmation in (alone, both, with_key):
        check_certificate(confirmation, other)
        for certificate in (None, "", JKT, other + "=", "\xe9"):
            with pytest.raises(KeyMismatchError):
                check_certificate(confirmation, certificate)


def test_a_certificate_is_not_asked_of_a_token_without_one() -> None:
    confirmation = parse_confirmation({"jkt": JKT})
    check_certificate(confirmation, None)
    check_certificate(confirmation, JKT)


@pytest.mark.requirement("R2101", "R2103", "R1304")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("alg", value) for value in ODD_ALGORITHMS),
        *(("v", value) for value in ODD_VERSIONS),
        *(("r", value) for value in ODD_BYTES),
        *(("exp", value) for value in ODD_TIMES),
    ],
)
def test_a_malformed_reference_is_refused(name: str, value: object) -> None:
    with pytest.raises(AccessTokenError):
        parse_confirmation({"jkt": JKT, "dsk": DSK | {name: value}})


@pytest.mark.parametrize("missing", ["alg", "v", "r"])
def test_a_reference_without_a_required_member_is_refused(missing: str) -> None:
    dsk = {name: DSK[name] for name in DSK if name != missing}
    with pytest.raises(AccessTokenError):
        parse_confirmation({"jkt": JKT, "dsk": dsk})


@pytest.mark.parametrize("dsk", [None, [], "", 7, True, {}, [DSK]])
def test_a_reference_is_an_object(dsk: object) -> None:
    with pytest.raises(AccessTokenError):
        parse_confirmation({"jkt": JKT, "dsk": dsk})


def test_unknown_members_of_the_reference_are_ignored() -> None:
    confirmation = parse_confirmation({"jkt": JKT, "dsk": DSK | {"new": [1]}})

    assert confirmation.dsk is not None
    assert confirmation.dsk.r == R


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([JKT, "HS256", DSK["r"]]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["jkt", "dsk", "alg", "v", "r", "exp", "x"]), inner
        )
    ),
    max_leaves=8,
)


@given(VALUES)
def test_any_value_is_a_confirmation_or_the_documented_error(value: object) -> None:
    for cnf in (value, {"jkt": value}, {"jkt": JKT, "dsk": value}):
        try:
            confirmation = parse_confirmation(cnf)
        except AccessTokenError:
            continue
        assert is_thumbprint(confirmation.jkt or confirmation.certificate)


def token_with(confirmation: Confirmation | None, **claims: str) -> AccessToken:
    return AccessToken(
        issuer=None,
        audience=(),
        client_id=None,
        expires_at=None,
        token_id=None,
        confirmation=confirmation,
        scope="",
        claims=claims,
    )


def test_claims_of_a_token_do_not_show() -> None:
    assert "alice" not in repr(token_with(None, email="alice@example.com"))


@pytest.mark.parametrize(
    "confirmation", [None, Confirmation(jkt=None, dsk=None, certificate=JKT)]
)
def test_a_token_without_a_key_is_none_for_a_proof(
    confirmation: Confirmation | None,
) -> None:
    """That is another fault than another key, and a certificate does not mend it."""
    token = token_with(confirmation)
    with pytest.raises(UnboundTokenError):
        bound_jkt(token)
    with pytest.raises(UnboundTokenError):
        check_binding(token, JKT)


def test_the_key_of_a_proof_is_that_of_the_token() -> None:
    token = token_with(Confirmation(jkt=JKT, dsk=None))
    assert bound_jkt(token) == JKT
    check_binding(token, JKT)
    for other in (JKT[:-1] + "E", JKT[:-1], JKT.lower(), ""):
        with pytest.raises(KeyMismatchError):
            check_binding(token, other)


def test_a_confirmation_need_not_be_a_dict() -> None:
    cnf = MappingProxyType({"jkt": JKT, "dsk": MappingProxyType(DSK)})
    assert parse_confirmation(cnf) == parse_confirmation({"jkt": JKT, "dsk": DSK})


@pytest.mark.requirement("R2135")
def test_a_token_may_say_that_there_are_no_tickets_for_it() -> None:
    for cnf in ({"jkt": JKT}, {"jkt": JKT, "sym": True}):
        assert parse_confirmation(cnf).allows_tickets
    assert not parse_confirmation({"jkt": JKT, "sym": False}).allows_tickets
    assert not parse_confirmation({"x5t#S256": JKT, "sym": False}).allows_tickets


@pytest.mark.parametrize("value", [None, 0, 1, "false", [], {}])
def test_what_says_it_in_another_way_is_not_understood(value: object) -> None:
    with pytest.raises(AccessTokenError):
        parse_confirmation({"jkt": JKT, "sym": value})
