"""Odd header fields, methods and request targets at both servers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.demo.parties import CONFIDENTIAL
from tests.fuzz.odd_values import OCTETS, octets
from tests.fuzz.profile import fuzz
from tests.fuzz.servers import (
    RESOURCE_ERRORS,
    TOKEN_ERRORS,
    Servers,
    check_challenge,
    check_form,
)
from tests.fuzz.wire import FORM, Answer, send

PREFIXES = [b"", b"DPoP ", b"dpop  ", b"Bearer ", b"Basic ", b"DPoP\t", b"DPoP,"]
#: What must decide nothing, whatever it says.
# fmt: off
IRRELEVANT = [
    "Host", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-For",
    "X-Forwarded-Prefix", "X-Forwarded-Port", "X-Real-IP", "Forwarded", "Via",
    "X-HTTP-Method-Override", "X-Original-URL", "X-Rewrite-URL", "Script-Name",
    "Path-Info", "Cookie", "Origin", "Referer", "Accept", "Accept-Language",
    "User-Agent", "Proxy-Authorization", "DPoP-Nonce", "DPoP-Ticket", "Expect",
    "Range", "If-None-Match", "If-Modified-Since", "Upgrade", "TE", "Date",
]
METHODS = [
    "get", "Get", "post", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT",
    "OPTIONS", "PROPFIND", "zQ9markZ7q", "GET POST", "GET\r\nX: zQ9markZ7q",
    "G\xc9T", "GET\0", "", "M" * 300,
]
# fmt: on


def ask_resource(servers: Servers, fields: list[tuple[str, bytes]]) -> Answer:
    before = servers.state()
    answer = send(servers.rs_app, "GET", b"/api/accounts", fields)
    if answer.status == 200:
        check_form(answer)
    else:
        check_challenge(answer)
        servers.check_unchanged(before, answer, RESOURCE_ERRORS)
    return answer


@pytest.mark.requirement("C-1", "H-3", "H-4", "P-3", "P-6", "P-9", "P-17", "J-15")
@pytest.mark.requirement("U-23")
def test_odd_credentials_at_the_resource_server(servers: Servers) -> None:
    token, _ = servers.symmetric
    url = f"{servers.settings.resource_url}/api/accounts"
    right = f"DPoP {token}".encode()

    def check(value: bytes, twice: bool) -> None:
        proof = servers.good_proof("GET", url, token)
        for prefix in PREFIXES:
            fields = [("Authorization", prefix + value), ("DPoP", proof)]
            if twice:
                fields.append(("Authorization", right))
            assert ask_resource(servers, fields).status in (400, 401)
        for wrong in value, proof + value, value + proof:
            fields = [("Authorization", right), ("DPoP", wrong)]
            if twice:
                fields.append(("DPoP", proof))
            answer = ask_resource(servers, fields)
            assert answer.error == "invalid_dpop_proof" or wrong == proof

    @fuzz
    @given(value=octets(), twice=st.booleans())
    def check_made_up(value: bytes, twice: bool) -> None:
        check(value, twice)

    for value in OCTETS.values():
        check(value, False)
        check(value, True)
    check_made_up()
    proof = servers.good_proof("GET", url, token)
    fields = [("Authorization", right), ("DPoP", proof)]
    assert ask_resource(servers, fields).status == 200


@pytest.mark.requirement("C-1", "G-2", "H-3", "H-4", "T-2", "U-23")
def test_odd_credentials_at_the_token_endpoint(servers: Servers) -> None:
    code = servers.code()
    pairs = [("grant_type", b"authorization_code"), ("code", code.encode())]
    url = f"{servers.settings.issuer_url}/token"

    def check(value: bytes) -> None:
        for prefix in b"", b"Basic ", b"Bearer ", b"DPoP ":
            before = servers.state()
            fields = [("Authorization", prefix + value)]
            answer = servers.ask_token(pairs, fields=fields)
            assert answer.error == "invalid_client"
            servers.check_unchanged(before, answer, TOKEN_ERRORS)
        proof = servers.good_proof("POST", url)
        for wrong in value, proof + value, value + proof, value + b"," + proof:
            if wrong != proof:
                before = servers.state()
                public = [*pairs, ("client_id", b"demo-public")]
                answer = servers.ask_token(public, proof=wrong)
                assert answer.error == "invalid_dpop_proof"
                servers.check_unchanged(before, answer, TOKEN_ERRORS)

    @fuzz
    @given(value=octets())
    def check_made_up(value: bytes) -> None:
        check(value)

    for value in OCTETS.values():
        check(value)
    check_made_up()
    assert servers.redeem(code).status_code == 200


@pytest.mark.requirement("N-18")
def test_other_fields_decide_nothing(servers: Servers) -> None:
    token, _ = servers.symmetric
    authorization = CONFIDENTIAL["Authorization"].encode()
    pairs = [("grant_type", b"client_credentials")]
    url = f"{servers.settings.resource_url}/api/accounts"

    def check(name: str, value: bytes) -> None:
        fields = [
            ("Authorization", f"DPoP {token}".encode()),
            ("DPoP", servers.good_proof("GET", url, token)),
            (name, value),
        ]
        assert ask_resource(servers, fields).status == 200
        # A proof for the name that the sender made up is good nowhere.
        for scheme in "http", "https":
            foreign = f"{scheme}://evil.example/api/accounts"
            lie = b"evil.example" if "Proto" not in name else scheme.encode()
            fields = [
                ("Authorization", f"DPoP {token}".encode()),
                ("DPoP", servers.good_proof("GET", foreign, token)),
                (name, lie),
            ]
            assert ask_resource(servers, fields).error in (
                "invalid_dpop_proof",
                "use_dpop_nonce",
            )

    @fuzz
    @given(name=st.sampled_from(IRRELEVANT), value=octets())
    def check_made_up(name: str, value: bytes) -> None:
        check(name, value)

    for number, name in enumerate(IRRELEVANT):
        for value in list(OCTETS.values())[number % 6 :: 6]:
            check(name, value)
        answer = servers.ask_token(
            pairs, fields=[("Authorization", authorization), (name, b"evil.example")]
        )
        assert answer.status == 200
        check_form(answer)
    check_made_up()


@pytest.mark.parametrize("servers", ["off"], indirect=True)
@pytest.mark.parametrize("name", ["Content-Type", "Content-Length"])
def test_odd_descriptions_of_the_body(servers: Servers, name: str) -> None:
    authorization = CONFIDENTIAL["Authorization"].encode()
    pairs = [("grant_type", b"client_credentials")]
    types = [b"multipart/form-data; boundary=", FORM + b"; charset=", b"text/", b""]
    prefixes = types if name == "Content-Type" else [b"", b"-", b"+"]

    def check(value: bytes) -> None:
        for prefix in prefixes:
            before = servers.state()
            fields = [("Authorization", authorization), (name, prefix + value)]
            answer = servers.ask_token(pairs, fields=fields)
            if answer.status == 200:
                check_form(answer)
            else:
                servers.check_unchanged(before, answer, TOKEN_ERRORS)

    @fuzz
    @given(value=octets())
    def check_made_up(value: bytes) -> None:
        check(value)

    for value in OCTETS.values():
        check(value)
    check_made_up()


@pytest.mark.requirement("C-8")
@pytest.mark.parametrize("method", METHODS)
def test_odd_methods(servers: Servers, method: str) -> None:
    token, _ = servers.symmetric
    for path in "/api/accounts", "/api/transfers", "/api/none":
        url = servers.settings.resource_url + path
        for claimed in method, "GET", "POST":
            fields = [
                ("Authorization", f"DPoP {token}".encode()),
                ("DPoP", servers.good_proof(claimed, url, token)),
            ]
            answer = send(servers.rs_app, method, path.encode(), fields)
            check_form(answer)
            # Flask says by itself what a resource has to offer.
            if method != "OPTIONS" or path == "/api/none":
                assert answer.status in (401, 404, 405) or claimed == method
            assert answer.status < 500
    pages = b"/token", b"/introspect", b"/revoke", b"/authorize", b"/login", b"/logout"
    for target in pages:
        answer = send(servers.as_app, method, target)
        check_form(answer)
        assert answer.status < 500


@pytest.mark.requirement("C-9")
def test_odd_targets(servers: Servers) -> None:
    token, _ = servers.symmetric
    base = servers.settings.resource_url.encode()

    def check(target: bytes) -> None:
        url = (base + target).decode("latin-1")
        fields = [
            ("Authorization", f"DPoP {token}".encode()),
            ("DPoP", servers.good_proof("GET", url, token)),
        ]
        before = servers.state()
        answer = send(servers.rs_app, "GET", target, fields)
        documented = {*RESOURCE_ERRORS, (404, "invalid_request")}
        if answer.status == 200:
            assert target.startswith((b"/api/echo/", b"/api/accounts"))
        else:
            servers.check_unchanged(before, answer, documented)
        for path in b"/authorize", b"/login", b"/nothing":
            answer = send(servers.as_app, "GET", path + target)
            assert answer.status in (200, 303, 400, 404)

    @fuzz
    @given(text=octets())
    def check_made_up(text: bytes) -> None:
        check(b"/api/echo/" + text)
        check(b"/" + text)

    for value in OCTETS.values():
        check(b"/api/echo/" + value)
        check(b"/api/accounts?" + value)
        check(b"/api/accounts#" + value)
        check(b"/" + value)
        check(value)
    check_made_up()
