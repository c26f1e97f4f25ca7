"""The page of the demo, in a real browser against both servers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from joserfc import jwe
from joserfc.jwk import RSAKey
from playwright.sync_api import Browser, Response

from demo_server import demo_data
from demo_server.database import Database
from demo_server.derivation_secrets import open_secrets
from demo_server.settings import Settings
from demo_server.supervisor import DemoServer
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.challenge import parse_challenges
from dpop_ext.core.jose import parse_compact_jws
from dpop_ext.core.request_binding import access_token_hash
from dpop_ext.stores.nonce_file import create_nonce_file
from dpop_ext.symmetric.key_jwe import KeyRegistry
from tests.demo.chromium import Visitor, chromium, proof_of, settle
from tests.patience import PATIENCE


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def open_servers(directory: Path) -> DemoServer:
    return DemoServer(
        Settings(
            as_port=0,
            rs_port=0,
            client_port=0,
            workers=1,
            access_token_lifetime=600,
            database=f"sqlite:///{directory}/demo.sqlite3",
            log_level="error",
        )
    )


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    with open_servers(tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest.fixture
def visitor(browser: Browser, servers: DemoServer) -> Iterator[Visitor]:
    """Somebody who is not logged in."""
    with Visitor(browser, servers.client_url or "") as visitor:
        yield visitor
        assert visitor.complaints == []


@pytest.fixture(scope="module")
def user(browser: Browser, servers: DemoServer) -> Iterator[Visitor]:
    """Somebody who is logged in, and stays it through the tests."""
    with Visitor(browser, servers.client_url or "") as visitor:
        visitor.log_in()
        yield visitor


@pytest.fixture
def alice(user: Visitor) -> Iterator[Visitor]:
    yield user
    assert user.complaints == []


def sent(answer: Response) -> dict[str, str]:
    """Return the form that a request carried."""
    form = parse_qs(answer.request.post_data or "", strict_parsing=True)
    return {name: values[0] for name, values in form.items()}


def kind(answer: Response) -> str:
    header = parse_compact_jws(proof_of(answer.request), max_length=8192).header
    return {"dpop+jwt": "asymmetric", "dpop-sym+jwt": "symmetric"}[header["typ"]]


def outcomes(answers: list[Response]) -> list[tuple[str, int]]:
    """Return kind of proof and status, but for requests that lacked a nonce."""
    return [
        (kind(answer), answer.status)
        for answer in answers
        if "use_dpop_nonce" not in answer.headers.get("www-authenticate", "")
    ]


@pytest.mark.requirement("X-1", "X-13")
def test_the_page_logs_in_with_a_code_that_is_bound_to_its_key(
    visitor: Visitor, servers: DemoServer
) -> None:
    visitor.start_login()
    query = parse_qs(urlsplit(visitor.page.url).query)
    if "next" in query:
        query = parse_qs(urlsplit(query["next"][0]).query)
    assert query.keys() == {"client_id", "request_uri"}
    pushed = visitor.answers[-1]
    assert (urlsplit(pushed.url).path, pushed.status) == ("/par", 201)
    form = sent(pushed)
    assert form["code_challenge_method"] == "S256"
    visitor.decide("allow")
    assert visitor.status.startswith("You are logged in.")
    assert visitor.page.evaluate("document.activeElement.id") == "signed-in-title"
    # The code is not in the history.
    assert visitor.page.url == f"{servers.client_url}/"
    assert form["dpop_jkt"] == visitor.page.inner_text("#jkt")
    redeemed = visitor.answers[-1]
    assert (urlsplit(redeemed.url).path, redeemed.status) == ("/token", 200)
    assert redeemed.json()["cnf"]["jkt"] == form["dpop_jkt"]


@pytest.mark.requirement("P-15", "Q-17")
def test_both_kinds_of_proof_are_accepted_and_compared(alice: Visitor) -> None:
    answers = [answer for answer in alice.do("compare") if answer.status == 200]
    assert {kind(answer) for answer in answers} == {"asymmetric", "symmetric"}
    for answer in answers:
        assert answer.json()["proof"] == kind(answer)
    rows = alice.page.locator("#figures tr")
    assert rows.count() == 3
    for row in rows.all():
        figures = [float(text) for text in row.locator("td").all_inner_texts()]
        assert all(figure > 0 for figure in figures)
        assert len(figures) == 2
    decoded = alice.page.locator("#proofs pre").all_inner_texts()
    assert ['"alg": "ES256"' in decoded[0], '"alg": "HS256"' in decoded[1]] == [
        True
    ] * 2
    assert all('"htm": "GET"' in text for text in decoded)


@pytest.mark.requirement("T8")
def test_the_page_keeps_no_key_that_could_be_exported(alice: Visitor) -> None:
    session = alice.records().pop("session")
    signing, mac = session["key"]["privateKey"], session["mac"]["key"]
    assert (signing["type"], signing["name"], signing["usages"]) == (
        *("private", "ECDSA"),
        ["sign"],
    )
    assert (mac["type"], mac["name"], mac["usages"]) == ("secret", "HMAC", ["sign"])
    for key in signing, mac:
        assert not key["extractable"]
        assert key["exported"] == []


@pytest.mark.requirement("T8")
def test_the_key_that_a_key_was_delivered_to_is_dropped(alice: Visitor) -> None:
    assert alice.records().keys() == {"session"}
    text = json.dumps(alice.records())
    assert text.count('"extractable"') == 2
    assert "RSA" not in text


def test_nothing_is_left_where_every_script_looks(alice: Visitor) -> None:
    left = "return [localStorage.length, sessionStorage.length, document.cookie]"
    assert alice.run(left) == [0, 0, ""]


def test_the_session_survives_a_reload(alice: Visitor) -> None:
    jkt = alice.page.inner_text("#jkt")
    alice.page.reload()
    settle(alice.page)
    assert alice.page.inner_text("#jkt") == jkt
    assert outcomes(alice.do("accounts")) == [("symmetric", 200)]
    assert "Savings 9800.00 EUR, with a symmetric proof." in alice.status


@pytest.mark.requirement("S-10", "Q-10", "Q-15")
def test_a_nonce_that_is_good_no_more_costs_one_more_request(
    alice: Visitor, servers: DemoServer
) -> None:
    alice.do("accounts")
    path = servers.settings.rs_keys_directory / "nonces.json"
    other = path.with_name("other.json")
    create_nonce_file(other)
    other.replace(path)
    # The server looks at the file once a second.
    for _ in range(200):
        answers = alice.do("accounts")
        assert answers[-1].status == 200
        if len(answers) == 2:
            break
    refused, accepted = answers
    assert "use_dpop_nonce" in refused.headers["www-authenticate"]
    proof = parse_compact_jws(proof_of(accepted.request), max_length=8192)
    assert proof.payload["nonce"] == refused.headers["dpop-nonce"]
    assert len(alice.do("accounts")) == 1


@pytest.mark.requirement("Q-15")
@pytest.mark.parametrize("nonce", [None, "", "one, two", 'a"b', "the one just used"])
def test_without_a_new_nonce_nothing_is_sent_again(
    alice: Visitor, nonce: str | None
) -> None:
    fields = {
        "Access-Control-Allow-Origin": alice.url,
        "Access-Control-Expose-Headers": "DPoP-Nonce, WWW-Authenticate",
        "WWW-Authenticate": 'DPoP error="use_dpop_nonce"',
    }

    def demand(route: Any) -> None:
        proof = parse_compact_jws(proof_of(route.request), max_length=8192)
        known = nonce == "the one just used"
        given = proof.payload["nonce"] if known else nonce
        more = {} if given is None else {"DPoP-Nonce": given}
        route.fulfill(status=401, headers=fields | more)

    alice.do("accounts")
    alice.page.route("**/api/accounts", demand)
    (answer,) = alice.do("accounts")
    alice.page.unroute("**/api/accounts")
    assert answer.status == 401
    assert alice.alert == "The API refused: 401 use_dpop_nonce"
    # What was good stays good.
    assert outcomes(alice.do("accounts")) == [("symmetric", 200)]


@pytest.mark.requirement("W-4")
def test_a_proof_that_was_captured_in_the_page_is_refused(alice: Visitor) -> None:
    for button in "accounts", "transfer":
        (answer,) = alice.do(button)
        assert answer.ok
        alice.do("replay")
        assert alice.status.startswith(
            "Refused, as it should be: 401 invalid_dpop_proof"
        )
        # Nor is it good for somebody who is no browser.
        fields = {
            name: answer.request.headers[name] for name in ("authorization", "dpop")
        }
        elsewhere = requests.request(
            answer.request.method, answer.url, headers=fields, timeout=PATIENCE
        )
        assert elsewhere.status_code == 401
        assert "invalid_dpop_proof" in elsewhere.headers["WWW-Authenticate"]


def test_the_page_signs_where_the_server_takes_no_mac(alice: Visitor) -> None:
    alice.page.reload()
    settle(alice.page)
    assert outcomes(alice.do("payee")) == [("symmetric", 401), ("asymmetric", 201)]
    assert "with an asymmetric proof" in alice.status
    # It remembers, and for that path only.
    assert outcomes(alice.do("payee")) == [("asymmetric", 201)]
    assert outcomes(alice.do("transfer")) == [("symmetric", 201)]


def test_a_mac_that_the_server_refuses_costs_no_session(alice: Visitor) -> None:
    """The key that the server derives is another one."""
    alice.run(
        """const { get, put } = await import("/database.js");
        const session = await get("session");
        const algorithm = { name: "HMAC", hash: "SHA-256" };
        const key = await crypto.subtle.generateKey(algorithm, false, ["sign"]);
        await put("session", { ...session, mac: { ...session.mac, key } });"""
    )
    expected = [("symmetric", 401), ("asymmetric", 200)]
    assert outcomes(alice.do("accounts")) == expected
    # Nobody knows whether a payment was made: it is not made again.
    assert outcomes(alice.do("transfer")) == [("symmetric", 401)]
    assert alice.alert == "The API refused: 401 invalid_dpop_proof"
    alice.do("renew")
    assert outcomes(alice.do("transfer")) == [("symmetric", 201)]


@pytest.mark.requirement("T-13")
def test_the_page_refreshes_with_the_key_of_the_session(alice: Visitor) -> None:
    before = alice.records()["session"]
    (answer,) = alice.do("renew")
    assert sent(answer)["grant_type"] == "refresh_token"
    proof = parse_compact_jws(proof_of(answer.request), max_length=8192)
    assert proof.header["jwk"] == before["key"]["jwk"]
    after = alice.records()["session"]
    assert after["key"]["jkt"] == before["key"]["jkt"]
    assert after["accessToken"] != before["accessToken"]
    assert outcomes(alice.do("accounts")) == [("symmetric", 200)]


def test_two_tabs_refresh_once(alice: Visitor) -> None:
    other = alice.open("/")
    before = len(alice.answers)
    token = alice.records()["session"]["accessToken"]
    renew = """async (token) => {
      const { renew } = await import("/session.js");
      globalThis.renewed = renew(token);
    }"""
    for page in alice.page, other:
        page.evaluate(renew, token)
    tokens = {
        page.evaluate("async () => (await globalThis.renewed).accessToken")
        for page in (alice.page, other)
    }
    assert len(tokens) == 1
    assert token not in tokens
    redeemed = [a for a in alice.answers[before:] if a.status == 200]
    assert len(redeemed) == 1
    other.close()


def test_an_access_token_is_renewed_before_it_ends(alice: Visitor) -> None:
    alice.run(
        """const { get, put } = await import("/database.js");
        const expiresAt = Math.floor(Date.now() / 1000) + 2;
        await put("session", { ...(await get("session")), expiresAt });"""
    )
    renewed, answer = alice.do("accounts")
    assert urlsplit(renewed.url).path == "/token"
    assert answer.status == 200


@pytest.mark.requirement("R2202")
def test_the_symmetric_key_ends_before_a_long_token_does(alice: Visitor) -> None:
    alice.do("renew")
    session, now = alice.records()["session"], time.time()
    assert session["mac"]["expiresAt"] <= now + 300
    assert session["expiresAt"] > now + 500
    alice.run(
        """const { get, put } = await import("/database.js");
        const session = await get("session");
        const expiresAt = Math.floor(Date.now() / 1000);
        await put("session", { ...session, mac: { ...session.mac, expiresAt } });"""
    )
    assert outcomes(alice.do("accounts")) == [("asymmetric", 200)]
    alice.do("renew")


@pytest.mark.requirement("T8")
def test_a_key_that_cannot_be_opened_is_done_without(alice: Visitor) -> None:
    def damage(route: Any) -> None:
        answer = route.fetch()
        body = answer.json()
        if "cnf" in body:
            head, _, tag = body["cnf"]["jwe"].rpartition(".")
            body["cnf"]["jwe"] = f"{head}.{'A' * len(tag)}"
        route.fulfill(response=answer, json=body)

    alice.page.route("**/token", damage)
    alice.do("renew")
    alice.page.unroute("**/token")
    assert alice.page.inner_text("#mac") == "none: all proofs are signatures"
    assert outcomes(alice.do("accounts")) == [("asymmetric", 200)]
    alice.do("compare")
    assert alice.page.locator("#figures td").all_inner_texts()[1] == "none"
    alice.do("renew")
    assert alice.page.inner_text("#mac").startswith("HS256")


@pytest.mark.parametrize(
    "answer",
    [
        {"token_type": "Bearer"},
        {"cnf": {"jkt": "A" * 43}},
        {"expires_in": "soon"},
        {"access_token": ""},
    ],
)
def test_a_token_that_is_not_bound_to_the_key_is_thrown_away(
    alice: Visitor, answer: dict[str, Any]
) -> None:
    body = {"access_token": "t", "token_type": "DPoP", "expires_in": 300, **answer}
    fields = {"Access-Control-Allow-Origin": alice.url}

    def forge(route: Any) -> None:
        if route.request.method == "OPTIONS":
            route.fallback()
        else:
            route.fulfill(json=body, headers=fields)

    before = alice.records()["session"]["accessToken"]
    alice.page.route("**/token", forge)
    alice.do("renew")
    alice.page.unroute("**/token")
    assert "not bound to the key" in alice.alert
    assert alice.records()["session"]["accessToken"] == before


ISSUER, AUDIENCE = "https://as.example", "https://rs.example"


def deliver(jwk: dict[str, str], **changes: Any) -> str:
    """Encrypt a symmetric key for the page: as it must be, but for *changes*."""
    recipient = RSAKey.import_key({**jwk, "alg": changes.get("alg", "RSA-OAEP-256")})
    key = {"kty": "oct", "use": "sig", "key_ops": ["sign"], "alg": "HS256", "kid": "7"}
    key |= {"k": b64url_encode(bytes(range(32))), **changes.pop("key", {})}
    dsk = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "v": 7,
        "exp": int(time.time()) + 60,
        "ath": access_token_hash("token"),
        **changes.pop("dsk", {}),
    }
    header = {
        "typ": "dpop-sym+jwe",
        "cty": "jwk+json",
        "alg": "RSA-OAEP-256",
        "enc": "A256GCM",
        "kid": recipient.thumbprint(),
        "dsk": dsk,
        **changes,
    }
    registry = KeyRegistry(header["alg"], header["enc"])
    registry.allowed = [header["alg"], header["enc"], "DEF"]
    return jwe.encrypt_compact(
        header, json.dumps(key).encode(), recipient, registry=registry
    )


@pytest.mark.requirement("T8", "R1601", "R2211", "R2212")
def test_the_page_opens_the_key_that_it_asked_for_and_no_other(alice: Visitor) -> None:
    alice.run(
        """const { requestKey } = await import("/delivered_key.js");
        globalThis.request = await requestKey();"""
    )
    jwk = alice.run("return globalThis.request.claim.jwk")
    opened = """const { openKey } = await import("/delivered_key.js");
        const [jwe, issuer, audience] = given;
        const asked = { request: globalThis.request, accessToken: "token" };
        const found = await openKey(jwe, { ...asked, issuer, audience });
        return found && [found.version, found.key.extractable, found.key.usages];"""

    def found(text: str) -> Any:
        return alice.run(opened, text, ISSUER, AUDIENCE)

    assert found(deliver(jwk)) == [7, False, ["sign"]]
    now = int(time.time())
    for dsk in (
        *({"iss": AUDIENCE}, {"aud": ISSUER}, {"ath": access_token_hash("other")}),
        *({"exp": now - 1}, {"exp": str(now + 60)}, {"exp": None}),
        *({"v": 0}, {"v": "7"}, {"v": 7.5}, {"n": "A" * 43}, {"r": "A" * 43}),
    ):
        assert found(deliver(jwk, dsk=dsk)) is None, dsk
    for key in (
        *({"kty": "RSA"}, {"use": "enc"}, {"key_ops": ["verify"]}, {"alg": "HS512"}),
        *({"k": b64url_encode(bytes(31))}, {"k": b64url_encode(bytes(64))}),
    ):
        assert found(deliver(jwk, key=key)) is None, key
    for header in (
        *({"typ": "dpop-sym-rs+jwe"}, {"cty": "JWT"}, {"kid": "A" * 43}),
        *({"enc": "A128GCM"}, {"alg": "RSA-OAEP"}, {"zip": "DEF"}, {"jku": "http://x"}),
    ):
        assert found(deliver(jwk, **header)) is None, header
    whole = deliver(jwk)
    for broken in ("", "a.b.c", whole + "A", whole[:-2], f"{whole}.x", whole * 9):
        assert found(broken) is None


def test_who_denies_is_told_that_nothing_was_shared(
    visitor: Visitor, servers: DemoServer
) -> None:
    visitor.page.goto(servers.as_url)
    visitor.page.get_by_role("link", name="the demo page").click()
    settle(visitor.page)
    visitor.start_login()
    with visitor.page.expect_navigation():
        visitor.page.get_by_role("button", name="Not you?").click()
    visitor.page.get_by_label("Name").fill("alice")
    visitor.page.get_by_label("Password").fill("wonderland")
    visitor.page.get_by_role("button", name="Sign in").click()
    asked = visitor.page.get_by_role("list", name="It could then").inner_text()
    assert asked.split("\n") == list(demo_data.SCOPES.values())
    visitor.decide("deny")
    assert visitor.alert.startswith("You did not allow the access.")
    assert visitor.page.is_visible("#log-in")
    assert visitor.records() == {}


def test_an_answer_of_somebody_else_is_not_taken(
    visitor: Visitor, servers: DemoServer
) -> None:
    for changes in (
        {"state": "other"},
        {"state": None},
        {"iss": "http://127.0.0.1:1"},
        {"iss": None},
        {"code": None},
    ):
        visitor.page.click("#log-in")
        visitor.page.wait_for_selector("#username")
        visitor.page.goto(visitor.url)
        settle(visitor.page)
        values = {
            "code": "a-code",
            "state": visitor.records()["login"]["state"],
            "iss": servers.settings.issuer_url,
            **changes,
        }
        query = {name: value for name, value in values.items() if value is not None}
        before = len(visitor.answers)
        visitor.page.goto(f"{visitor.url}/callback?{urlencode(query)}")
        settle(visitor.page)
        assert visitor.alert.startswith("This answer is not one to a question")
        # It works once, whatever is wrong with it.
        assert visitor.records() == {}
        assert visitor.answers[before:] == []


def test_logging_out_forgets_everything_here_and_there(visitor: Visitor) -> None:
    visitor.log_in()
    visitor.run(
        """const { load } = await import("/session.js");
        globalThis.copy = await load();"""
    )
    visitor.do("log-out")
    assert visitor.status == "You are logged out here. Keys and tokens are deleted."
    assert visitor.alert == ""
    assert visitor.records() == {}
    assert visitor.page.evaluate("document.activeElement.id") == "log-in"
    assert not visitor.page.is_visible("#requests")
    # And what a copy is worth.
    error = visitor.run(
        """const { put } = await import("/database.js");
        const { renew } = await import("/session.js");
        await put("session", globalThis.copy);
        return renew(globalThis.copy.accessToken).catch(({ code }) => code);"""
    )
    assert error == "invalid_grant"
    assert visitor.records() == {}


def test_a_server_that_does_not_answer_is_an_error_that_one_can_read(
    browser: Browser, servers: DemoServer
) -> None:
    with Visitor(browser, servers.client_url or "") as visitor:
        for place in "**/oauth-authorization-server", "**/par":
            visitor.page.route(place, lambda route: route.abort())
            visitor.do("log-in")
            assert visitor.alert == "The server does not answer. Please try again."
            visitor.page.unroute(place)
        visitor.start_login()


def test_the_policy_of_the_page_holds_what_it_says(
    browser: Browser, servers: DemoServer
) -> None:
    with Visitor(browser, servers.client_url or "") as visitor:
        outside = "return fetch('http://127.0.0.1:9/').catch((error) => error.name)"
        assert visitor.run(outside) == "TypeError"
        assert any("connect-src" in text for text in visitor.complaints)
        visitor.run(
            """const script = document.createElement("script");
            try { script.textContent = "globalThis.ran = 1"; } catch {}
            document.head.append(script);"""
        )
        assert visitor.run("return globalThis.ran") is None
        markup = "try { document.body.innerHTML = '<b>'; } catch (e) { return e.name; }"
        assert visitor.run(markup) == "TypeError"


def test_the_page_fits_a_phone_and_both_colour_schemes(
    browser: Browser, servers: DemoServer
) -> None:
    url, width = servers.client_url or "", 360
    options: dict[str, Any] = {"viewport": {"width": width, "height": 740}}
    # Of the document, and by how much the content is too wide for its frame.
    sizes = """const main = document.querySelector("main");
        const width = document.documentElement.scrollWidth;
        return [width, main.scrollWidth - main.clientWidth];"""
    grounds = set()
    for scheme in "light", "dark":
        with Visitor(browser, url, color_scheme=scheme, **options) as visitor:
            if scheme == "light":
                visitor.start_login()
                assert visitor.run(sizes) == [width, 0]
                visitor.decide("allow")
                visitor.do("compare")
                visitor.page.locator("summary").first.click()
            assert visitor.run(sizes) == [width, 0]
            colour = "return getComputedStyle(document.body).backgroundColor"
            grounds.add(visitor.run(colour))
    assert len(grounds) == 2


@pytest.mark.parametrize(
    "field",
    [
        'DPoP error="use_dpop_nonce", error_description="a \\"b\\", c", algs="ES256"',
        'Bearer realm="DPoP error=\\"x\\"", DPoP error="invalid_token"',
        'dpop ERROR=invalid_token ,sym_error = "stale_key"',
        'Bearer, DPoP error="a", error="b"',
        'DPoP error="cut',
        "DPoP",
        "",
        '"',
    ],
)
def test_the_page_reads_challenges_as_the_library_does(
    alice: Visitor, field: str
) -> None:
    found = [c for c in parse_challenges([field]) if c.scheme.lower() == "dpop"]
    code = 'return (await import("/challenge.js")).dpopChallenge(given[0])'
    assert alice.run(code, field) == (found[0].params if found else {})


@pytest.mark.requirement("T2")
def test_a_secret_that_is_revoked_is_no_outage(
    browser: Browser, tmp_path: Path
) -> None:
    """Of servers of its own: they have no other secret for a while."""
    with (
        open_servers(tmp_path) as servers,
        Visitor(browser, servers.client_url or "") as bob,
    ):
        bob.log_in()
        token = bob.records()["session"]["accessToken"]
        assert outcomes(bob.do("accounts")) == [("symmetric", 200)]
        database = Database(servers.settings.database)
        open_secrets(servers.settings, database.engine).revoke(servers.rs_url, 1)
        database.close()
        # The server asks for the secrets every two seconds.
        for _ in range(500):
            found = outcomes(bob.do("accounts"))
            assert found[-1][1] == 200
            if found != [("symmetric", 200)]:
                break
        assert found == [("symmetric", 401), ("asymmetric", 200)]
        assert outcomes(bob.do("transfer")) == [("asymmetric", 201)]
        # It cost no token.
        assert bob.records()["session"]["accessToken"] == token
        assert bob.complaints == []
