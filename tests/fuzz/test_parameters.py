"""Odd parameters at the endpoints that clients and resource servers talk to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.demo.parties import CALLBACK, CONFIDENTIAL, RESOURCE_SERVER, VERIFIER
from tests.fuzz.odd_values import OCTETS, octets
from tests.fuzz.profile import fuzz
from tests.fuzz.servers import TOKEN_ERRORS, Servers, check_form
from tests.fuzz.wire import FORM, Answer, form, send

Pairs = list[tuple[str, bytes]]

# fmt: off
#: What each grant reads, and what it must not.
OF_CODE = [
    "grant_type", "code", "redirect_uri", "client_id", "client_secret",
    "client_assertion", "client_assertion_type", "code_verifier", "resource",
    "dpop_sym",
]
OF_REFRESH = ["grant_type", "refresh_token", "client_id", "scope", "resource"]
OF_CLIENT = [
    "scope", "resource", "dpop_jkt", "dpop_sym", "dsk", "audience", "token", "state",
    "assertion", "username", "password", "code", "refresh_token", "device_code",
    "access_token", "DPoP", "dpop_proof", "request", "request_uri", "",
]
# fmt: on
HOW = st.sampled_from(["alone", "before", "after", "raw"])
ASSERTION = b"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def with_odd(pairs: Pairs, name: str, value: bytes, how: str) -> Pairs:
    """Put an odd value in the place of the right one, or beside it."""
    if how == "before":
        return [(name, value), *pairs]
    kept = pairs if how == "after" else [p for p in pairs if p[0] != name]
    return [*kept, (name, value)]


def ask(servers: Servers, pairs: Pairs, name: str, value: bytes, how: str) -> Answer:
    before = servers.state()
    fields = []
    if not any(key == "client_id" for key, _ in pairs):
        fields = [("Authorization", CONFIDENTIAL["Authorization"].encode())]
    answer = servers.ask_token(
        with_odd(pairs, name, value, how),
        fields=fields,
        raw=name if how == "raw" else "",
    )
    if answer.status == 200:
        check_form(answer)
        assert servers.state() != before
    else:
        servers.check_unchanged(before, answer, TOKEN_ERRORS)
    return answer


def test_code_grant(servers: Servers) -> None:
    code = servers.code()
    pairs = [
        ("grant_type", b"authorization_code"),
        ("code", code.encode()),
        ("redirect_uri", CALLBACK.encode()),
        ("client_id", b"demo-public"),
        ("code_verifier", VERIFIER.encode()),
    ]

    def check(name: str, value: bytes, how: str) -> None:
        if name in ("resource", "dpop_sym", "client_secret"):
            # Odd beside a right one; and with a wrong one, so that nothing succeeds.
            odd = [*pairs[:-1], ("code_verifier", b"w" * 43)]
        elif name == "client_assertion":
            odd = [*pairs[:-1], ("client_assertion_type", ASSERTION)]
        else:
            odd = [*pairs[:-1], ("code_verifier", b"")]
            odd = odd if name == "client_assertion_type" else pairs
        assert ask(servers, odd, name, value, how).status != 200

    @fuzz
    @given(name=st.sampled_from(OF_CODE), value=octets(), how=HOW)
    def check_made_up(name: str, value: bytes, how: str) -> None:
        check(name, value, how)

    for number, name in enumerate(OF_CODE):
        for kind, value in enumerate(OCTETS.values(), number):
            check(name, value, ("alone", "before", "after", "raw")[kind % 4])
    check_made_up()
    assert servers.redeem(code).status_code == 200


def test_refresh_grant(servers: Servers) -> None:
    token = servers.redeem(servers.code()).get_json()["refresh_token"]
    pairs = [
        ("grant_type", b"refresh_token"),
        ("refresh_token", token.encode()),
        ("client_id", b"demo-public"),
    ]

    def check(name: str, value: bytes, how: str) -> None:
        # Of the scope, blanks ask for nothing, and so for all that there is.
        if name != "scope" or value.strip():
            assert ask(servers, pairs, name, value, how).status != 200

    @fuzz
    @given(name=st.sampled_from(OF_REFRESH), value=octets(), how=HOW)
    def check_made_up(name: str, value: bytes, how: str) -> None:
        if b"\0" not in value:
            check(name, value, how)

    for number, name in enumerate(OF_REFRESH):
        for kind, value in enumerate(OCTETS.values(), number):
            check(name, value, ("alone", "before", "after", "raw")[kind % 4])
    check_made_up()
    assert servers.refresh(token).status_code == 200


def test_client_credentials_grant(servers: Servers) -> None:
    pairs: Pairs = [("grant_type", b"client_credentials")]

    def check(name: str, value: bytes, how: str) -> None:
        ask(servers, pairs, name, value, how)

    @fuzz
    @given(name=st.sampled_from(OF_CLIENT), value=octets(), how=HOW)
    def check_made_up(name: str, value: bytes, how: str) -> None:
        check(name, value, how)

    for number, name in enumerate(OF_CLIENT):
        for kind, value in enumerate(OCTETS.values(), number):
            if kind % 3 == (servers.settings.nonce == "off"):
                check(name, value, ("alone", "before", "after", "raw")[kind % 4])
    check_made_up()


@pytest.mark.requirement("J-5", "B-5")
@pytest.mark.parametrize("servers", ["off"], indirect=True)
@pytest.mark.parametrize("path", [b"/introspect", b"/revoke"])
def test_questions_about_tokens(servers: Servers, path: bytes) -> None:
    token, _ = servers.symmetric
    caller = RESOURCE_SERVER if path == b"/introspect" else CONFIDENTIAL
    # fmt: off
    names = [
        "token", "token_type_hint", "client_id", "client_secret", "client_assertion",
        "client_assertion_type", "resource", "",
    ]
    # fmt: on

    def check(name: str, value: bytes, how: str) -> None:
        fields = [("Content-Type", FORM), ("DPoP", value)]
        pairs: Pairs = [("token", b"no-such-token")]
        if not name.startswith("client"):
            fields.append(("Authorization", caller["Authorization"].encode()))
        elif name == "client_assertion":
            pairs.append(("client_assertion_type", ASSERTION))
        elif name == "client_secret":
            pairs.append(("client_id", b"demo-confidential"))
        raw = name if how == "raw" else ""
        body = form(with_odd(pairs, name, value, how), raw=raw)
        before = servers.state()
        answer = send(servers.as_app, "POST", path, fields, body=body)
        documented = {*TOKEN_ERRORS, (200, None)}
        servers.check_unchanged(before, answer, documented)
        assert b'"active": true' not in answer.body

    @fuzz
    @given(name=st.sampled_from(names), value=octets(), how=HOW)
    def check_made_up(name: str, value: bytes, how: str) -> None:
        check(name, value, how)

    for number, name in enumerate(names):
        for kind, value in enumerate(OCTETS.values(), number):
            check(name, value, ("alone", "before", "after", "raw")[kind % 4])
    check_made_up()
    assert servers.api("GET", "/api/accounts", token).status_code == 200
