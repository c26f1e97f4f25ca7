"""Odd values in every member of both kinds of proof, at both servers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.demo.parties import CONFIDENTIAL
from tests.fuzz.odd_values import JSON_VALUES, json_values
from tests.fuzz.profile import fuzz
from tests.fuzz.servers import (
    RESOURCE_ERRORS,
    TOKEN_ERRORS,
    Servers,
    check_challenge,
    check_form,
    joined,
    sign,
    written,
)
from tests.fuzz.wire import Answer, send

# fmt: off
HEADER = [
    "typ", "alg", "jwk", "kid", "crit", "b64", "zip", "enc", "jku", "x5u", "x5c",
    "x5t", "cty", "tkt", "dlg", "none",
]
CLAIMS = [
    "jti", "htm", "htu", "iat", "nbf", "exp", "nonce", "ath", "dsk", "cd", "hq",
    "seq", "rsp", "aud", "",
]
JWK = [
    "kty", "crv", "x", "y", "n", "e", "d", "k", "priv", "use", "alg", "key_ops", "kid",
    "x5c", "ext",
]
DSK = ["algs", "jwk", "kalgs", "encs", "n", "k_jwe", "must", "other"]
# fmt: on
PLACES = [
    *(("header", name) for name in HEADER),
    *(("claims", name) for name in CLAIMS),
    *(("jwk", name) for name in JWK),
]
#: There is no good value of these.
FATAL = {
    *(("header", name) for name in ("crit", "b64", "zip", "enc")),
    *(("jwk", name) for name in ("d", "k", "priv")),
}
#: (where, which member, what it is, whether the right one stays beside it)
Check = Callable[[str, str, bytes, bool], None]

everything = given(
    place=st.sampled_from(PLACES), value=json_values(), twice=st.booleans()
)


def write(
    parts: dict[str, dict[str, bytes]], where: str, name: str, value: bytes, twice: bool
) -> tuple[bytes, bytes]:
    """Write header and claims with one member changed, or there a second time."""
    texts: dict[str, bytes] = {}
    for part in "jwk", "header", "claims":
        members = list(parts.get(part, {}).items())
        if part == "header" and "jwk" in texts and where == "jwk":
            members = [(n, texts["jwk"] if n == "jwk" else v) for n, v in members]
        if part == where:
            members = [(n, v) for n, v in members if twice or n != name]
            members.append((name, value))
        texts[part] = joined(members)
    return texts["header"], texts["claims"]


def is_fatal(
    parts: dict[str, dict[str, bytes]], where: str, name: str, twice: bool
) -> bool:
    return (where, name) in FATAL or (twice and name in parts[where])


def run(check: Check, places: list[tuple[str, str]], *, share: int, of: int) -> None:
    """Try every value in every place, but the shares of other tests."""
    for number, (where, name) in enumerate(places):
        for kind, value in enumerate(JSON_VALUES.values(), number):
            if kind % of == share:
                check(where, name, value, False)
        check(where, name, b'"beside the right one"', True)


@pytest.mark.requirement("C-2", "C-2b", "C-3", "T-2", "P-17")
def test_asymmetric_proofs_at_the_token_endpoint(servers: Servers) -> None:
    url = f"{servers.settings.issuer_url}/token"
    pairs = [("grant_type", b"client_credentials")]
    fields = [("Authorization", CONFIDENTIAL["Authorization"].encode())]
    jwk = written(servers.key.as_dict(private=False))

    def check(where: str, name: str, value: bytes, twice: bool) -> None:
        header, claims = servers.members("POST", url)
        parts = {"header": header, "claims": claims, "jwk": jwk}
        proof = sign(*write(parts, where, name, value, twice), servers.key)
        before = servers.state()
        answer = servers.ask_token(pairs, proof=proof, fields=fields)
        if answer.status == 200:
            assert not is_fatal(parts, where, name, twice)
            check_form(answer)
        else:
            assert answer.error in ("invalid_dpop_proof", "use_dpop_nonce")
            assert not answer.all("WWW-Authenticate")
            servers.check_unchanged(before, answer, TOKEN_ERRORS)

    @fuzz
    @everything
    def check_made_up(place: tuple[str, str], value: bytes, twice: bool) -> None:
        check(*place, value, twice)

    run(check, PLACES, share=int(servers.settings.nonce == "off"), of=4)
    check_made_up()


@pytest.mark.requirement("R1002")
def test_requests_for_a_symmetric_key(servers: Servers) -> None:
    url = f"{servers.settings.issuer_url}/token"
    code = servers.code()
    pairs = [
        ("grant_type", b"authorization_code"),
        ("code", code.encode()),
        ("redirect_uri", b"http://127.0.0.1:7777/callback"),
        ("client_id", b"demo-public"),
        ("code_verifier", b"w" * 43),  # so that nothing succeeds
    ]
    good = written({"algs": ["HS256"], "jwk": servers.key.as_dict(private=False)})
    key = written(servers.key.as_dict(private=False))

    def check(dsk: bytes) -> None:
        header, claims = servers.members("POST", url)
        proof = servers.proof(header, claims | {"dsk": dsk})
        before = servers.state()
        answer = servers.ask_token(pairs, proof=proof)
        assert answer.error in (
            "invalid_dpop_proof",
            "invalid_request",
            "invalid_grant",
        )
        servers.check_unchanged(before, answer, TOKEN_ERRORS)

    @fuzz
    @given(name=st.sampled_from(DSK + JWK), value=json_values())
    def check_made_up(name: str, value: bytes) -> None:
        if name in DSK:
            check(joined((good | {name: value}).items()))
        else:
            jwk = joined((key | {name: value}).items())
            check(joined((good | {"jwk": jwk}).items()))

    for number, value in enumerate(JSON_VALUES.values()):
        check(value)
        for name in DSK[number % 2 :: 2]:
            check(joined((good | {name: value}).items()))
        for name in JWK[number % 3 :: 3]:
            jwk = joined((key | {name: value}).items())
            check(joined((good | {"jwk": jwk}).items()))
    check_made_up()
    assert servers.redeem(code).status_code == 200


@pytest.mark.requirement("C-2", "C-2b", "C-3", "P-2", "P-3", "P-9", "P-17")
def test_asymmetric_proofs_at_the_resource_server(servers: Servers) -> None:
    url = f"{servers.settings.resource_url}/api/accounts"
    token, _ = servers.symmetric
    jwk = written(servers.key.as_dict(private=False))

    def check(where: str, name: str, value: bytes, twice: bool) -> None:
        header, claims = servers.members("GET", url, token)
        parts = {"header": header, "claims": claims, "jwk": jwk}
        proof = sign(*write(parts, where, name, value, twice), servers.key)
        answer = ask_resource(servers, token, proof)
        assert answer.status != 200 or not is_fatal(parts, where, name, twice)

    @fuzz
    @everything
    def check_made_up(place: tuple[str, str], value: bytes, twice: bool) -> None:
        check(*place, value, twice)

    run(check, PLACES, share=2 + int(servers.settings.nonce == "off"), of=4)
    check_made_up()
    ask_resource(servers, token, servers.good_proof("GET", url, token), status=200)


@pytest.mark.requirement("T22", "R1402", "R1503", "R1509")
def test_symmetric_proofs_at_the_resource_server(servers: Servers) -> None:
    url = f"{servers.settings.resource_url}/api/accounts"
    token, delivered = servers.symmetric
    key = delivered.key.reveal()

    def parts() -> dict[str, dict[str, bytes]]:
        _, claims = servers.members("GET", url, token)
        header = written({"typ": "dpop-sym+jwt", "alg": "HS256"})
        return {"header": header, "claims": claims}

    def check(where: str, name: str, value: bytes, twice: bool) -> None:
        good = parts()
        proof = sign(*write(good, where, name, value, twice), key)
        answer = ask_resource(servers, token, proof)
        assert answer.status != 200 or not is_fatal(good, where, name, twice)
        # A header member that is not known may name or hold a key.
        assert answer.status != 200 or where == "claims" or name in good["header"]

    places = [place for place in PLACES if place[0] != "jwk"]

    @fuzz
    @given(place=st.sampled_from(places), value=json_values(), twice=st.booleans())
    def check_made_up(place: tuple[str, str], value: bytes, twice: bool) -> None:
        check(*place, value, twice)

    run(check, places, share=int(servers.settings.nonce == "off"), of=2)
    check_made_up()
    good = parts()
    proof = sign(joined(good["header"].items()), joined(good["claims"].items()), key)
    ask_resource(servers, token, proof, status=200)


def ask_resource(
    servers: Servers, token: str, proof: bytes, *, status: int | None = None
) -> Answer:
    before = servers.state()
    fields = [("Authorization", f"DPoP {token}".encode()), ("DPoP", proof)]
    answer = send(servers.rs_app, "GET", b"/api/accounts", fields)
    if status is not None:
        assert answer.status == status
    if answer.status == 200:
        check_form(answer)
        assert servers.state() != before
    else:
        assert answer.error in ("invalid_dpop_proof", "use_dpop_nonce")
        check_challenge(answer)
        servers.check_unchanged(before, answer, RESOURCE_ERRORS)
    return answer
