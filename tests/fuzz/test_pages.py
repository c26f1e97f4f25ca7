"""Odd values at the pages for people: authorization, log-in, consent."""

from __future__ import annotations

from urllib.parse import quote_from_bytes, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_server import demo_data
from tests.demo.parties import CALLBACK, CHALLENGE, hidden_fields, query_of
from tests.fuzz.odd_values import MARK, OCTETS, octets
from tests.fuzz.profile import fuzz
from tests.fuzz.servers import Servers, query
from tests.fuzz.wire import FORM, Answer, form, send

#: Nonces make no difference to a browser.
pytestmark = pytest.mark.parametrize("servers", ["required"], indirect=True)

# fmt: off
PARAMETERS = [
    "response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge",
    "code_challenge_method", "dpop_jkt", "resource", "nonce", "prompt", "request",
    "request_uri", "response_mode", "dpop_sym", "",
]
# fmt: on
ERRORS = {
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "unauthorized_client",
    "unsupported_response_type",
}


def pairs_of(servers: Servers) -> list[tuple[str, bytes]]:
    return [
        ("response_type", b"code"),
        ("client_id", b"demo-public"),
        ("redirect_uri", CALLBACK.encode()),
        ("scope", b"accounts"),
        ("state", b"s-1"),
        ("code_challenge", CHALLENGE.encode()),
        ("code_challenge_method", b"S256"),
        ("dpop_jkt", servers.key.thumbprint().encode()),
    ]


def check_page(answer: Answer, *, repeats: bool) -> None:
    """Check a page: it may repeat the request as text in a form that leads back."""
    assert "no-store" in answer.first("Cache-Control")
    assert answer.first("X-Frame-Options") == "DENY"
    assert b"<script" not in answer.body.lower()
    assert repeats or MARK.encode() not in answer.body


def check_redirection(answer: Answer) -> None:
    """Check that it leads to the client or to the log-in, and what it says there."""
    assert len(answer.all("Location")) == 1
    location = answer.first("Location")
    assert all("!" <= character <= "~" for character in location)
    if location.startswith("/login?"):
        assert urlsplit(query_of(location)["next"]).path == "/authorize"
        return
    assert location.startswith(CALLBACK + "?")
    values = query_of(location)
    values.pop("state", None)
    assert values.pop("error") in ERRORS
    assert values.pop("iss").startswith("http://127.0.0.1:")
    assert MARK not in "".join(values.values())


@pytest.mark.requirement("X-4")
@pytest.mark.parametrize("signed_in", [False, True])
def test_authorization_requests(servers: Servers, signed_in: bool) -> None:
    browser = servers.as_app.test_client()
    fields = []
    if signed_in:
        servers.sign_in(browser, target=servers.authorize_url())
        cookie = browser.get_cookie("dpop-demo")
        assert cookie is not None
        fields = [("Cookie", f"dpop-demo={cookie.value}".encode())]
    good = pairs_of(servers)

    def check(name: str, value: bytes, how: str) -> None:
        pairs = [p for p in good if p[0] != name or how == "twice"]
        text = query(pairs) + b"&" + name.encode() + b"="
        text += value if how == "raw" else quote_from_bytes(value, safe="").encode()
        before = servers.state()
        answer = send(servers.as_app, "GET", b"/authorize?" + text, fields)
        if answer.status == 303:
            check_redirection(answer)
        else:
            assert answer.status in (200, 400)
            check_page(answer, repeats=answer.status == 200)
        if (how == "twice" and name in dict(good)) or name == "dpop_jkt":
            assert answer.status == 400 or "error=" in answer.first("Location")
        assert servers.state() == before

    @fuzz
    @given(
        name=st.sampled_from(PARAMETERS),
        value=octets(),
        how=st.sampled_from(["alone", "twice", "raw"]),
    )
    def check_made_up(name: str, value: bytes, how: str) -> None:
        if how != "raw" or not {b"&"[0], b"#"[0]} & set(value):
            check(name, value, how)

    for name in PARAMETERS:
        for kind, value in enumerate(OCTETS.values()):
            how = ("alone", "twice")[kind % 2]
            check(name, value, how)
    check_made_up()


def test_log_in(servers: Servers) -> None:
    def check(name: str, value: bytes) -> None:
        browser = servers.as_app.test_client()
        page = browser.get("/login")
        cookie = browser.get_cookie("dpop-demo")
        assert cookie is not None
        values = {
            "username": b"nobody",
            "password": b"x",
            "next": b"",
            "csrf_token": hidden_fields(page.text)["csrf_token"].encode(),
            name: value,
        }
        fields = [
            ("Content-Type", FORM),
            ("Cookie", f"dpop-demo={cookie.value}".encode()),
        ]
        body = form(values.items())
        answer = send(servers.as_app, "POST", b"/login", fields, body=body)
        assert answer.status in (400, 401, 429)
        check_page(answer, repeats=name == "next")
        fields = [("Cookie", value)] if name == "username" else fields
        answer = send(servers.as_app, "GET", servers.authorize_url().encode(), fields)
        assert answer.first("Location").startswith("/login?")

    @fuzz
    @given(
        name=st.sampled_from(["username", "password", "next", "csrf_token"]),
        value=octets(),
    )
    def check_made_up(name: str, value: bytes) -> None:
        check(name, value)

    for name in "username", "password", "next", "csrf_token", "":
        for value in OCTETS.values():
            check(name, value)
    check_made_up()


@pytest.mark.parametrize("target", OCTETS.values(), ids=OCTETS)
def test_a_log_in_leads_to_no_odd_place(servers: Servers, target: bytes) -> None:
    for prefix in b"", b"/", b"//", b"/authorize", b"https://", b"/\\", b"\t//":
        browser = servers.as_app.test_client()
        page = browser.get("/login")
        data = {
            "csrf_token": hidden_fields(page.text)["csrf_token"].encode(),
            "username": demo_data.USERNAME.encode(),
            "password": demo_data.PASSWORD.encode(),
            "next": prefix + target,
        }
        cookie = browser.get_cookie("dpop-demo")
        assert cookie is not None
        answer = send(
            servers.as_app,
            "POST",
            b"/login",
            [("Content-Type", FORM), ("Cookie", b"dpop-demo=" + cookie.value.encode())],
            body=form(data.items()),
        )
        assert answer.status == 303
        assert answer.first("Location") == "/"


def test_decisions(servers: Servers) -> None:
    browser = servers.as_app.test_client()
    url = servers.authorize_url()
    servers.sign_in(browser, target=url)
    token = hidden_fields(browser.get(url).text)["csrf_token"]
    cookie = browser.get_cookie("dpop-demo")
    assert cookie is not None
    fields = [
        ("Content-Type", FORM),
        ("Cookie", b"dpop-demo=" + cookie.value.encode()),
    ]

    def check(name: str, value: bytes) -> None:
        values = {"decision": b"allow", "csrf_token": token.encode(), name: value}
        before = servers.state()
        answer = send(
            servers.as_app, "POST", url.encode(), fields, body=form(values.items())
        )
        assert answer.status == 400
        check_page(answer, repeats=False)
        assert servers.state() == before

    @fuzz
    @given(name=st.sampled_from(["decision", "csrf_token"]), value=octets())
    def check_made_up(name: str, value: bytes) -> None:
        check(name, value)

    for name in "decision", "csrf_token":
        for value in OCTETS.values():
            check(name, value)
    check_made_up()
    # And what is not of the form changes nothing about the request that was seen.
    values = {"decision": "allow", "csrf_token": token, "scope": "accounts transfers"}
    answer = browser.post(url, data={**values, "redirect_uri": "https://evil.example"})
    assert answer.location.startswith(CALLBACK + "?code=")
