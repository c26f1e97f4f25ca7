"""Odd access tokens at the resource server: signed by the issuer, and not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.jose import parse_compact_jws
from tests.fuzz.odd_values import JSON_VALUES, OCTETS, json_values, octets
from tests.fuzz.profile import fuzz
from tests.fuzz.servers import (
    RESOURCE_ERRORS,
    Servers,
    check_challenge,
    joined,
    sign,
    written,
)
from tests.fuzz.wire import Answer, send

# fmt: off
HEADER = [
    "typ", "alg", "kid", "crit", "b64", "zip", "enc", "jku", "jwk", "x5u", "x5c", "",
]
CLAIMS = [
    "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope", "cnf",
    "token_type", "active", "auth_time", "act", "may_act", "",
]
CNF = ["jkt", "dsk", "jwe", "jwk", "x5t#S256", "kid", "sym", ""]
DSK = ["alg", "v", "r", "exp", "aud", ""]
# fmt: on
PLACES = [
    *(("header", name) for name in HEADER),
    *(("claims", name) for name in CLAIMS),
    *(("cnf", name) for name in CNF),
    *(("dsk", name) for name in DSK),
]
#: None of the odd values is good for these.
ESSENTIAL = {
    *(("header", name) for name in ("typ", "alg", "crit", "b64", "zip", "enc")),
    *(("claims", name) for name in ("iss", "aud", "cnf")),
    # A boolean is good for sym.
    *(("cnf", name) for name in CNF if name != "sym"),
    *(("dsk", name) for name in ("alg", "r")),
}


def parts_of(token: str) -> dict[str, dict[str, bytes]]:
    jws = parse_compact_jws(token, max_length=16_384)
    cnf = jws.payload["cnf"]
    return {
        "dsk": written(cnf["dsk"]),
        "cnf": written(cnf),
        "claims": written(jws.payload),
        "header": written(jws.header),
    }


def changed(servers: Servers, token: str, where: str, name: str, value: bytes) -> str:
    """Return the token with one member changed, signed by the issuer."""
    parts = parts_of(token)
    parts[where][name] = value
    if where == "dsk":
        parts["cnf"]["dsk"] = joined(parts["dsk"].items())
    if where in ("dsk", "cnf"):
        parts["claims"]["cnf"] = joined(parts["cnf"].items())
    header, claims = joined(parts["header"].items()), joined(parts["claims"].items())
    return sign(header, claims, servers.signing_key).decode()


def ask(servers: Servers, token: bytes, *, symmetric: bool) -> Answer:
    """Send a token with a proof that is good for it."""
    url = f"{servers.settings.resource_url}/api/accounts"
    header, claims = servers.members("GET", url, token.decode("latin-1"))
    key: Any = servers.key
    if symmetric:
        header = written({"typ": "dpop-sym+jwt", "alg": "HS256"})
        key = servers.symmetric[1].key.reveal()
    proof = sign(joined(header.items()), joined(claims.items()), key)
    fields = [("Authorization", b"DPoP " + token), ("DPoP", proof)]
    before = servers.state()
    answer = send(servers.rs_app, "GET", b"/api/accounts", fields)
    if answer.status != 200:
        check_challenge(answer)
        servers.check_unchanged(before, answer, RESOURCE_ERRORS)
    return answer


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.requirement("B-8", "B-9", "P-2", "P-17", "J-8", "J-13", "J-19")
def test_tokens_of_the_issuer_with_an_odd_member(
    servers: Servers, symmetric: bool
) -> None:
    token, _ = servers.symmetric

    def check(where: str, name: str, value: bytes) -> None:
        odd = changed(servers, token, where, name, value)
        answer = ask(servers, odd.encode(), symmetric=symmetric)
        if (where, name) in ESSENTIAL:
            assert answer.error in ("invalid_token", "invalid_dpop_proof")

    @fuzz
    @given(place=st.sampled_from(PLACES), value=json_values())
    def check_made_up(place: tuple[str, str], value: bytes) -> None:
        check(*place, value)

    share = 2 * symmetric + (servers.settings.nonce == "off")
    for number, (where, name) in enumerate(PLACES):
        for kind, value in enumerate(JSON_VALUES.values(), number):
            if kind % 4 == share:
                check(where, name, value)
    check_made_up()
    assert ask(servers, token.encode(), symmetric=symmetric).status == 200


@pytest.mark.requirement("P-2", "P-6", "P-17", "T22")
def test_tokens_that_the_issuer_did_not_sign(servers: Servers) -> None:
    token, _ = servers.symmetric
    header, claims, signature = token.encode().split(b".")

    def check(text: bytes) -> None:
        for symmetric in False, True:
            answer = ask(servers, text, symmetric=symmetric)
            assert answer.status in (400, 401)

    @fuzz
    @given(text=octets(), part=st.sampled_from([0, 1, 2, 3]))
    def check_made_up(text: bytes, part: int) -> None:
        parts = [header, claims, signature]
        if part == 3:
            check(text)
            return
        parts[part] = text
        check(b".".join(parts))
        parts[part] = b64url_encode(text).encode()
        check(b".".join(parts))

    for value in (*OCTETS.values(), *JSON_VALUES.values()):
        check(value)
        encoded = b64url_encode(value).encode()
        for parts in (
            [encoded, claims, signature],
            [header, encoded, signature],
            [header, claims, encoded],
        ):
            check(b".".join(parts))
    for text in (
        b".".join([header, claims, b""]),
        b".".join([header, claims]),
        token.encode() + b".",
        token.encode() + b"=",
        token.encode().swapcase(),
        b64url_encode(b'{"alg":"none","typ":"at+jwt"}').encode() + b"." + claims + b".",
    ):
        check(text)
    check_made_up()
    assert ask(servers, token.encode(), symmetric=False).status == 200
