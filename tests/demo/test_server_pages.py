"""The log-in and consent pages, and what can go wrong at the authorization endpoint."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from demo_server import demo_data
from demo_server.authorization_server import attempt_limit, browser_session
from tests.conftest import Clock
from tests.demo.parties import CALLBACK, Parties, hidden_fields, query_of


def test_pages_are_not_kept_not_framed_and_run_no_script(parties: Parties) -> None:
    browser = parties.as_app.test_client()
    url = parties.authorize_url()
    parties.sign_in(browser, target=url)
    for page in (browser.get("/login"), browser.get(url), browser.get("/authorize")):
        assert "<form" in page.text or page.status_code == 400
        assert "<script" not in page.text
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["X-Frame-Options"] == "DENY"
        assert page.headers["Referrer-Policy"] == "no-referrer"
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


def test_the_session_cookie_is_out_of_reach_of_scripts(parties: Parties) -> None:
    cookie = parties.as_client.get("/login").headers["Set-Cookie"]
    assert cookie.startswith("dpop-demo=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie


def test_the_session_cookie_is_tied_to_the_host_behind_tls(
    tmp_path: Path, clock: Clock, ec_key: ECKey
) -> None:
    parties = Parties.start(
        tmp_path,
        clock,
        ec_key,
        issuer="https://as.example",
        resource="https://rs.example",
    )
    cookie = parties.as_client.get("/login").headers["Set-Cookie"]
    assert cookie.startswith("__Host-dpop-demo=")
    assert "Secure" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie


def test_a_request_without_a_session_goes_to_the_login_and_back(
    parties: Parties,
) -> None:
    browser = parties.as_app.test_client()
    url = parties.authorize_url(state="a&b=c")
    answer = browser.get(url)
    assert answer.status_code == 303
    assert answer.location.startswith("/login?")
    assert query_of(answer.location) == {"next": url}
    form = hidden_fields(browser.get(answer.location).text)
    assert form["next"] == url
    fields = {"username": "alice", "password": "wonderland"}
    assert browser.post("/login", data={**form, **fields}).location == url


def test_the_consent_page_says_who_asks_for_what(parties: Parties) -> None:
    browser = parties.as_app.test_client()
    url = parties.authorize_url(scope="accounts")
    parties.sign_in(browser, target=url)
    page = browser.get(url).text
    assert "Demo application" in page
    assert "demo-public" in page
    assert demo_data.SCOPES["accounts"] in page
    assert demo_data.SCOPES["transfers"] not in page
    assert parties.settings.resource_url in page
    assert "http://127.0.0.1:7777" in page
    assert demo_data.DISPLAY_NAME in page
    jkt = parties.key.thumbprint()
    assert f"{jkt[:8]}…{jkt[-4:]}" in page
    assert "authorization server at 127.0.0.1:9000" in page
    unbound = browser.get(parties.authorize_url(dpop_jkt=None)).text
    assert "no key that the application has named" in unbound


def test_to_deny_is_as_easy_as_to_allow(parties: Parties) -> None:
    browser = parties.as_app.test_client()
    url = parties.authorize_url()
    parties.sign_in(browser, target=url)
    buttons = re.findall(r"<button ([^>]*decision[^>]*)>", browser.get(url).text)
    assert len(buttons) == 2
    assert buttons[0].replace("allow", "deny") == buttons[1]


def test_the_log_in_says_who_is_waiting_if_it_knows(parties: Parties) -> None:
    def page(target: str) -> str:
        return parties.as_client.get("/login", query_string={"next": target}).text

    assert "Demo application" in page(parties.authorize_url())
    for target in (
        parties.authorize_url(client_id="nobody"),
        parties.authorize_url(client_id="a\0b"),
        parties.authorize_url(client_id=None),
        f"{parties.authorize_url()}&client_id=demo-public",
        "https://evil.example/authorize?client_id=demo-public",
        "",
    ):
        assert "to go on to" not in page(target)
        assert "nobody" not in page(target).partition("<form")[0]


def test_an_error_is_read_aloud_with_the_form_it_is_about(parties: Parties) -> None:
    target = parties.authorize_url()
    wrong = parties.sign_in(parties.as_client, target=target, password="x").text
    assert '<p id="message" class="message" role="alert">Name or password' in wrong
    assert wrong.count('aria-describedby="message"') == 2
    assert "<title>Error: Name or password" in wrong
    assert "aria-describedby" not in parties.as_client.get("/login").text


def test_the_form_may_lead_to_the_client_and_nowhere_else(parties: Parties) -> None:
    browser = parties.as_app.test_client()
    url = parties.authorize_url()
    parties.sign_in(browser, target=url)
    policy = browser.get(url).headers["Content-Security-Policy"]
    assert "form-action 'self' http://127.0.0.1:7777" in policy
    url = parties.authorize_url(redirect_uri="http://[::1]:7777/callback")
    policy = browser.get(url).headers["Content-Security-Policy"]
    assert "form-action 'self' http:" in policy
    login = browser.get("/login").headers["Content-Security-Policy"]
    assert "form-action 'self'" in login
    assert "http" not in login


def test_allowing_returns_code_state_and_issuer(parties: Parties) -> None:
    browser = parties.as_app.test_client()
    url = parties.authorize_url()
    parties.sign_in(browser, target=url)
    answer = parties.decide(browser, url, "allow")
    assert answer.status_code == 303
    assert answer.location.startswith(f"{CALLBACK}?")
    query = query_of(answer.location)
    assert query.keys() == {"code", "state", "iss"}
    assert query["state"] == "s-1"
    assert query["iss"] == parties.settings.issuer_url
    assert answer.headers["Cache-Control"] == "no-store"


def test_denying_returns_an_error_with_state_and_issuer(parties: Parties) -> None:
    browser = parties.as_app.test_client()
    url = parties.authorize_url()
    parties.sign_in(browser, target=url)
    query = query_of(parties.decide(browser, url, "deny").location)
    assert query["error"] == "access_denied"
    assert query["state"] == "s-1"
    assert query["iss"] == parties.settings.issuer_url
    assert "code" not in query


@pytest.mark.requirement("X-5")
def test_dpop_jkt_survives_login_and_consent(
    parties: Parties, other_ec_key: ECKey
) -> None:
    code = parties.code(dpop_jkt=other_ec_key.thumbprint())
    assert parties.redeem(code).get_json()["error"] == "invalid_grant"
    code = parties.code(dpop_jkt=other_ec_key.thumbprint())
    assert parties.redeem(code, key=other_ec_key).status_code == 200


def test_the_form_cannot_change_what_the_person_saw(parties: Parties) -> None:
    browser = parties.as_app.test_client()
    url = parties.authorize_url(scope="accounts", dpop_jkt=None)
    parties.sign_in(browser, target=url)
    form = hidden_fields(browser.get(url).text)
    form |= {"decision": "allow", "scope": "transfers", "redirect_uri": "https://evil"}
    answer = browser.post(url, data=form)
    assert answer.status_code == 303
    assert answer.location.startswith(f"{CALLBACK}?")
    redeemed = parties.redeem(query_of(answer.location)["code"]).get_json()
    assert redeemed["scope"] == "accounts"


def test_the_form_cannot_add_a_key(parties: Parties) -> None:
    browser = parties.as_app.test_client()
    url = parties.authorize_url(dpop_jkt=None)
    parties.sign_in(browser, target=url)
    form = hidden_fields(browser.get(url).text)
    form |= {"decision": "allow", "dpop_jkt": "A" * 43}
    answer = browser.post(url, data=form)
    assert query_of(answer.location)["error"] == "invalid_request"


@pytest.mark.requirement("W-3")
@pytest.mark.parametrize("response_type", ["token", "code token", "id_token token"])
def test_no_token_comes_from_the_authorization_endpoint(
    parties: Parties, response_type: str
) -> None:
    url = parties.authorize_url(response_type=response_type)
    for answer in parties.as_client.get(url), parties.as_client.post(url):
        assert "access_token" not in answer.text
        assert "access_token" not in (answer.location or "")
    answer = parties.as_client.get(url)
    assert query_of(answer.location)["error"] == "unsupported_response_type"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "id_token\u00e9"}, None),
        ({"scope": "admin"}, "invalid_scope"),
        ({"scope": " "}, "invalid_scope"),
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "x" * 44}, "invalid_request"),
        ({"code_challenge": "x"}, "invalid_request"),
        ({"dpop_jkt": "short"}, "invalid_request"),
        ({"dpop_jkt": ""}, "invalid_request"),
        ({"resource": "https://other.example"}, "invalid_target"),
        ({"client_id": "nobody"}, None),
        ({"client_id": None}, None),
        ({"redirect_uri": "https://evil.example/"}, None),
        ({"redirect_uri": 'http://127.0.0.1/callback"'}, None),
        ({"redirect_uri": None}, None),
        ({"response_type": None}, "unsupported_response_type"),
    ],
)
def test_a_faulty_request_goes_to_the_client_or_to_the_person(
    parties: Parties, changes: dict[str, Any], error: str | None
) -> None:
    answer = parties.as_client.get(parties.authorize_url(**changes))
    if error is None:
        assert answer.status_code == 400
        assert "did not work" in answer.text
        assert "evil" not in answer.text
        return
    assert answer.status_code == 303
    assert answer.location.startswith(f"{CALLBACK}?")
    query = query_of(answer.location)
    assert query["error"] == error
    assert query["state"] == "s-1"
    assert query["iss"] == parties.settings.issuer_url
    assert "other.example" not in answer.location
    assert "admin" not in answer.location


@pytest.mark.parametrize(
    "name", ["client_id", "redirect_uri", "scope", "state", "dpop_jkt", "response_type"]
)
def test_a_repeated_parameter_is_refused(parties: Parties, name: str) -> None:
    answer = parties.as_client.get(f"{parties.authorize_url()}&{name}=again")
    if answer.status_code == 303:
        assert query_of(answer.location)["error"] == "invalid_request"
    else:
        assert answer.status_code == 400


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/authorize?x",
        "/\\evil.example",
        "/login?next=x",
        "/authorize",
        "/authorize?a b",
        "/authorize?a\r\nX-Injected: 1",
        "/authorize?" + "a" * 8001,
        "javascript:alert(1)",
        "",
    ],
)
def test_a_login_leads_nowhere_but_to_an_authorization_request(
    parties: Parties, target: str
) -> None:
    answer = parties.sign_in(parties.as_app.test_client(), target=target)
    assert answer.status_code == 303
    assert answer.location == "/"


@pytest.mark.parametrize("token", ["", "x", "\u00e9"])
def test_no_form_works_without_its_token(parties: Parties, token: str) -> None:
    browser = parties.as_app.test_client()
    url = parties.authorize_url()
    form = {"username": "alice", "password": "wonderland", "csrf_token": token}
    assert browser.post("/login", data=form).status_code == 400
    parties.sign_in(browser, target=url)
    browser.get(url)
    for path in url, "/logout":
        answer = browser.post(path, data={"csrf_token": token, "decision": "allow"})
        assert answer.status_code == 400


def test_a_login_starts_a_new_session(parties: Parties) -> None:
    browser = parties.as_app.test_client()
    before = hidden_fields(browser.get("/login").text)["csrf_token"]
    url = parties.authorize_url()
    parties.sign_in(browser, target=url)
    after = hidden_fields(browser.get(url).text)["csrf_token"]
    assert before != after


def test_a_consent_needs_a_decision(parties: Parties) -> None:
    browser = parties.as_app.test_client()
    url = parties.authorize_url()
    parties.sign_in(browser, target=url)
    form = hidden_fields(browser.get(url).text)
    assert browser.post(url, data=form).status_code == 400
    assert browser.post(url, data={**form, "decision": "maybe"}).status_code == 400


def test_somebody_else_can_sign_in(parties: Parties) -> None:
    browser = parties.as_app.test_client()
    url = parties.authorize_url()
    parties.sign_in(browser, target=url)
    form = hidden_fields(browser.get(url).text)
    answer = browser.post("/logout", data={**form, "next": url})
    assert answer.location.startswith("/login?")
    assert query_of(answer.location) == {"next": url}
    assert browser.get(url).status_code == 303


def test_wrong_names_and_wrong_passwords_look_the_same(parties: Parties) -> None:
    answers = []
    for name, password in ("alice", "wrong"), ("nobody", "wonderland"):
        browser = parties.as_app.test_client()
        form = hidden_fields(browser.get("/login").text)
        fields = {"username": name, "password": password}
        answer = browser.post("/login", data={**form, **fields})
        assert answer.status_code == 401
        answers.append(answer.text.replace(form["csrf_token"], ""))
    assert answers[0] == answers[1]


def test_log_in_attempts_are_limited(parties: Parties, clock: Clock) -> None:
    browser = parties.as_app.test_client()
    target = parties.authorize_url()
    for _ in range(attempt_limit.MAX_ATTEMPTS):
        answer = parties.sign_in(browser, target=target, password="wrong")
        assert answer.status_code == 401
    blocked = parties.sign_in(browser, target=target)
    assert blocked.status_code == 429
    assert "Too many attempts" in blocked.text
    assert blocked.headers["Retry-After"] == str(attempt_limit.WINDOW)
    clock.advance(attempt_limit.WINDOW)
    assert parties.sign_in(browser, target=target).status_code == 303


def test_a_log_in_forgets_the_attempts_before_it(parties: Parties) -> None:
    browser = parties.as_app.test_client()
    target = parties.authorize_url()
    for _ in range(2):
        for _ in range(attempt_limit.MAX_ATTEMPTS - 1):
            parties.sign_in(browser, target=target, password="wrong")
        assert parties.sign_in(browser, target=target).status_code == 303


def test_who_does_not_know_the_password_locks_out_nobody_else(
    parties: Parties,
) -> None:
    target = parties.authorize_url()
    stranger = parties.as_app.test_client()
    stranger.environ_base["REMOTE_ADDR"] = "192.0.2.1"
    for _ in range(attempt_limit.MAX_ATTEMPTS + 1):
        answer = parties.sign_in(stranger, target=target, password="wrong")
    assert answer.status_code == 429
    browser = parties.as_app.test_client()
    assert parties.sign_in(browser, target=target).status_code == 303


def test_guesses_from_many_addresses_are_limited_for_each_name(
    parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt_limit, "MAX_FROM_EVERYWHERE", 3)
    target = parties.authorize_url()
    statuses = []
    for number in range(4):
        stranger = parties.as_app.test_client()
        stranger.environ_base["REMOTE_ADDR"] = f"192.0.2.{number}"
        answer = parties.sign_in(stranger, target=target, password="wrong")
        statuses.append(answer.status_code)
    assert statuses == [401, 401, 401, 429]


def test_a_copy_of_the_cookie_is_worth_nothing_after_the_log_out(
    parties: Parties,
) -> None:
    browser, thief = parties.as_app.test_client(), parties.as_app.test_client()
    url = parties.authorize_url()
    parties.sign_in(browser, target=url)
    cookie = browser.get_cookie("dpop-demo")
    assert cookie is not None
    thief.set_cookie("dpop-demo", cookie.value)
    assert thief.get(url).status_code == 200
    form = hidden_fields(browser.get(url).text)
    browser.post("/logout", data={**form, "next": url})
    assert thief.get(url).status_code == 303


def test_nobody_stays_signed_in_for_longer_than_the_session(
    parties: Parties, clock: Clock
) -> None:
    browser = parties.as_app.test_client()
    url = parties.authorize_url()
    parties.sign_in(browser, target=url)
    clock.advance(browser_session.LIFETIME - 1)
    assert browser.get(url).status_code == 200
    clock.advance(1)
    assert browser.get(url).status_code == 303


def test_the_host_field_of_a_request_decides_nothing(parties: Parties) -> None:
    fields = {"Host": "evil.example", "X-Forwarded-Proto": "https"}
    answer = parties.as_client.get(parties.authorize_url(), headers=fields)
    assert answer.status_code == 303
    assert answer.location.startswith("/login?")


def test_unknown_paths_and_methods_get_json(parties: Parties) -> None:
    for client in parties.as_client, parties.rs_client:
        missing = client.get("/nothing/here")
        assert missing.status_code == 404
        assert missing.get_json()["error"] == "invalid_request"
    answer = parties.as_client.get("/token")
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


def test_too_large_a_form_is_refused(parties: Parties) -> None:
    answer = parties.as_client.post("/token", data={"x": "a" * 70_000})
    assert answer.status_code == 413


def test_a_lost_database_is_503_and_not_a_stack_trace(
    parties: Parties, caplog: pytest.LogCaptureFixture
) -> None:
    database = Path(parties.settings.database.removeprefix("sqlite:///"))
    code = parties.code()
    database.write_bytes(b"no database")
    for leftover in database.parent.glob(f"{database.name}-*"):
        leftover.unlink()
    answer = parties.redeem(code)
    assert answer.status_code == 503
    assert answer.get_json()["error"] == "temporarily_unavailable"
    assert "Retry-After" in answer.headers
    assert code not in caplog.text
