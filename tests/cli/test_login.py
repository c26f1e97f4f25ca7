"""``dpop-ext login``: what the browser brings, and what is done about it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import Result
from joserfc.jwk import ECKey

from dpop_ext.cli import loopback
from dpop_ext.cli.group import Refusal
from dpop_ext.cli.loopback import LoopbackRedirect
from dpop_ext.client.authorization_request import AuthorizationRequest
from dpop_ext.client.keyfile import save_key
from dpop_ext.errors import AuthorizationRefusedError, WrongIssuerError
from dpop_ext.integrations.bundle_stores import FileBundle, FileStore
from tests.cli.conftest import run
from tests.cli.login_world import RESOURCE, LoginServer, Person
from tests.integrations.scripted_server import Answer
from tests.integrations.token_endpoint import AuthorizationServer
from tests.patience import PATIENCE


def login(server: AuthorizationServer, place: Path, *arguments: str) -> Result:
    options = (
        "--client-id",
        "app",
        "--session",
        str(place),
        "--timeout",
        f"{PATIENCE}",
    )
    return run("login", server.issuer, *options, *arguments)


def test_a_session_is_saved_for_the_next_command(
    server: AuthorizationServer, person: Person, place: Path
) -> None:
    result = login(server, place, "--resource", RESOURCE, "--scope", "a b")
    assert result.exit_code == 0, result.output
    assert "You are logged in" in result.stdout
    bundle = FileBundle(place)
    assert person.asked["dpop_jkt"] == bundle.signer.jkt
    assert person.asked["code_challenge_method"] == "S256"
    assert (person.asked["resource"], person.asked["scope"]) == (RESOURCE, "a b")
    (form,) = server.forms
    assert form["code"] == "c-1"
    assert form["redirect_uri"] == person.asked["redirect_uri"]
    assert "dsk" not in server.received[0].proof.claims
    assert place.stat().st_mode & 0o777 == 0o600
    assert dict(bundle.about) == {
        "client_id": "app",
        "issuer": server.issuer,
        "profile": "oauth2",
        "resource": RESOURCE,
    }
    assert (bundle.token or {})["refresh_token"] == "refresh-1"
    for secret in ("access-1", "c-1", "refresh-1"):
        assert secret not in result.output


def test_no_symmetric_key_is_asked_for_that_ends_with_the_command(
    server: LoginServer, person: Person, place: Path
) -> None:
    assert server.metadata is not None
    server.metadata |= {
        "dpop_symmetric_alg_values_supported": ["HS256"],
        "dpop_symmetric_key_encryption_alg_values_supported": ["ECDH-ES"],
        "dpop_symmetric_key_encryption_enc_values_supported": ["A256GCM"],
    }
    result = login(server, place, "--resource", RESOURCE, "--scope", "a", "--json")
    assert result.exit_code == 0, result.output
    assert "dsk" not in server.received[0].proof.claims
    shown = json.loads(result.stdout)
    assert (shown["resource"], shown["scope"]) == (RESOURCE, None)
    server.members = {"scope": "a b"}
    shown = json.loads(login(server, place, "--json").stdout)
    assert (shown["resource"], shown["scope"]) == (None, "a b")


def test_what_is_not_the_answer_is_refused_and_the_wait_goes_on(
    server: AuthorizationServer, person: Person, place: Path
) -> None:
    person.changes = [{"state": "other"}, {"state": None}, {"code": None}, {}]
    result = login(server, place)
    assert result.exit_code == 0, result.output
    assert ["not the answer" in page for page in person.pages] == [True] * 3 + [False]
    assert len(server.forms) == 1


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"error": "access_denied", "code": None}, "access_denied"),
        ({"error": "\x1b[2J", "code": None}, "no reason is given"),
        ({"iss": "https://evil.example"}, "another authorization server"),
        ({"iss": None}, "another authorization server"),
    ],
)
def test_an_answer_that_is_no_log_in_leaves_the_session_before_it(
    server: AuthorizationServer,
    person: Person,
    place: Path,
    change: dict[str, str | None],
    text: str,
) -> None:
    before = FileBundle(place).signer.jkt
    person.changes = [change]
    result = login(server, place)
    assert result.exit_code == 1
    assert text in result.stderr
    assert "Traceback" not in result.output
    assert "\x1b" not in result.output
    assert server.forms == []
    assert FileBundle(place).signer.jkt == before


def test_a_server_that_gives_no_token_leaves_the_session_before_it(
    server: AuthorizationServer, person: Person, place: Path
) -> None:
    before = place_content(place)
    server.members = {"token_type": "Bearer"}
    result = login(server, place)
    assert result.exit_code == 1
    assert "not bound" in result.stderr
    assert place.read_text() == before


def place_content(place: Path) -> str:
    FileBundle(place)
    return place.read_text()


def test_a_key_of_ones_own_is_used_and_not_copied(
    server: AuthorizationServer,
    person: Person,
    place: Path,
    tmp_path: Path,
    ec_key: ECKey,
) -> None:
    key = tmp_path / "key"
    save_key(key, ec_key)
    result = login(server, place, "--key", str(key), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["jkt"] == ec_key.thumbprint()
    saved = json.loads(place.read_text())
    assert (saved["key"], saved["jkt"]) == (None, ec_key.thumbprint())
    url = "http://127.0.0.1:1/"
    assert run("curl", url, "--session", str(place)).exit_code == 1
    named = run("curl", url, "--session", str(place), "--key", str(key))
    assert named.exit_code == 3, named.output


def test_a_secret_is_for_an_issuer_that_the_person_names(
    server: AuthorizationServer,
    person: Person,
    monkeypatch: pytest.MonkeyPatch,
    key_path: Path,
) -> None:
    """A resource server could name one of its own."""
    monkeypatch.setenv("DPOP_EXT_CLIENT_SECRET", "s3cret")
    result = run("login", "--client-id", "app", "--resource", server.issuer)
    assert (result.exit_code, person.asked) == (2, {})
    assert "name ISSUER" in result.stderr
    # Who has a key sends no secret.
    with_key = ("--client-id", "app", "--client-key", str(key_path))
    result = run("login", *with_key, "--resource", "http://127.0.0.1:1")
    assert "no connection" in result.stderr


def test_a_server_without_dpop_is_refused_before_anybody_is_asked(
    server: AuthorizationServer, person: Person, place: Path
) -> None:
    assert server.metadata is not None
    del server.metadata["dpop_signing_alg_values_supported"]
    result = login(server, place)
    assert (result.exit_code, person.asked) == (1, {})
    assert "does not offer DPoP" in result.stderr
    assert not place.exists()


def test_a_resource_names_the_server_to_log_in_at(
    server: LoginServer, person: Person, place: Path
) -> None:
    members = {"resource": server.issuer, "authorization_servers": [server.issuer]}
    metadata = Answer(body=json.dumps(members).encode())
    server.answers["/.well-known/oauth-protected-resource"] = metadata
    options = ("--client-id", "app", "--resource", server.issuer)
    result = run("login", *options, "--session", str(place))
    assert result.exit_code == 0, result.output
    assert dict(FileBundle(place).about)["issuer"] == server.issuer
    assert person.asked["resource"] == server.issuer


@pytest.mark.parametrize("options", [(), ("--no-browser",)])
def test_without_a_browser_the_address_is_printed(
    server: LoginServer,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
) -> None:
    opened: list[str] = []
    # There is none on this machine: it returns False.
    monkeypatch.setattr("webbrowser.open", opened.append)
    arguments = ("--client-id", "app", "--session", str(place), "--timeout", "1")
    result = run("login", server.issuer, *arguments, *options)
    assert (result.exit_code, len(opened)) == (1, 0 if options else 1)
    first, url, last = result.stderr.splitlines()
    assert first == "Open this address in a browser:"
    assert url.startswith(f"{server.issuer}/authorize?")
    assert last.startswith("dpop-ext: nobody came back within 1 seconds")


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"refresh_token": "r", "expires_in": 600}, "it is refreshed then"),
        ({"expires_in": 600}, "log in again then"),
    ],
)
def test_what_happens_when_the_token_ends_is_told(
    server: LoginServer,
    person: Person,
    place: Path,
    members: dict[str, Any],
    text: str,
) -> None:
    server.members = members
    result = login(server, place)
    assert "A browser is opened; if not, go to\n" in result.stderr
    assert f"jkt      {FileBundle(place).signer.jkt}\n" in result.stdout
    assert result.stdout.endswith(f"; {text}\n")


def test_a_session_that_another_process_is_using_is_not_replaced(
    server: LoginServer, person: Person, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = place_content(place)
    release = FileStore(place).try_lock()
    assert release is not None
    monkeypatch.setattr("dpop_ext.cli.login.lock_deadline", lambda: 0.0)
    result = login(server, place)
    release()
    assert (result.exit_code, place.read_text()) == (1, before)
    assert "Another process is using the session." in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--client-id", "a"], 2, "ISSUER"),
        (["https://as.example"], 2, "--client-id"),
        (["http://as.example", "--client-id", "a"], 1, "https"),
        (["nothing", "--client-id", "a"], 1, "https"),
        (["http://127.0.0.1:1", "--client-id", "a"], 3, "no connection"),
        (["https://a", "--client-id", "a", "--timeout", "0"], 2, "--timeout"),
        (["https://a", "--client-id", "a", "--session", "/"], 1, "is a directory"),
        (["https://a", "--client-id", "a", "--session", "keyring:../x"], 1, "keyring:"),
        (
            ["https://a", "--client-id", "a", "--redirect-uri", "http://localhost/"],
            1,
            "http://127.0.0.1",
        ),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    arguments: list[str], code: int, text: str, tmp_path: Path
) -> None:
    result = run("login", *arguments, XDG_CONFIG_HOME=str(tmp_path))
    assert result.exit_code == code, result.output
    assert text in result.stderr
    assert isinstance(result.exception, SystemExit)
    if code != 2:
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("expires_in", "shown"),
    [
        (1e300, "token    until 9999-12-31 23:59:59Z;"),
        (-(10**30), "token    until 1970-01-01 00:00:00Z;"),
        (None, "jkt  "),
    ],
)
def test_a_token_that_ends_when_there_is_no_date_is_shown_all_the_same(
    server: AuthorizationServer,
    person: Person,
    place: Path,
    expires_in: float | None,
    shown: str,
) -> None:
    server.members = {"expires_in": expires_in, "expires_at": None}
    result = login(server, place)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1].startswith(shown)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'{"access_token": "t", "token_type": "DPoP", "expires_at": []}', "no times"),
    ],
)
def test_an_answer_that_nobody_can_read_is_one_line(
    server: LoginServer, person: Person, place: Path, body: bytes, text: str
) -> None:
    server.answers["/token"] = Answer(body=body)
    result = login(server, place)
    assert (result.exit_code, place.exists()) == (1, False)
    assert text in result.stderr
    assert "Traceback" not in result.output


def test_the_secret_of_a_client_goes_to_the_token_endpoint(
    server: AuthorizationServer,
    person: Person,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DPOP_EXT_CLIENT_SECRET", "s3cret")
    result = login(server, place)
    assert result.exit_code == 0, result.output
    assert server.received[0].authorization == requests.auth._basic_auth_str(
        "app", "s3cret"
    )
    assert "s3cret" not in result.output + place.read_text()


@pytest.fixture
def request_of() -> Callable[[str], AuthorizationRequest]:
    def make(redirect_uri: str) -> AuthorizationRequest:
        return AuthorizationRequest(
            url="https://as.example/authorize",
            issuer="https://as.example",
            state="s",
            code_verifier="v",
            redirect_uri=redirect_uri,
            jkt="j",
            promises_issuer=True,
        )

    return make


def get(url: str, **options: Any) -> requests.Response:
    return requests.get(url, timeout=PATIENCE, **options)


def test_the_port_is_for_one_answer_to_one_address(
    request_of: Callable[[str], AuthorizationRequest],
) -> None:
    good = "?code=c&state=s&iss=https://as.example"
    with LoopbackRedirect("http://127.0.0.1/callback") as redirect:
        # A browser that opens a connection for later does not hold the others up.
        host, _, port = redirect.authority.partition(":")
        with socket.create_connection((host, int(port))):
            assert get(redirect.uri + good).status_code == 404
            redirect.expect(request_of(redirect.uri))
            with pytest.raises(Refusal, match=r"0\.01 seconds"):
                redirect.wait(seconds=0.01)
            assert get(f"http://{redirect.authority}/other{good}").status_code == 404
            named = get(redirect.uri + good, headers={"Host": "evil.example"})
            assert named.status_code == 404
            page = get(redirect.uri + good)
            assert page.status_code == 200
            assert page.headers["Cache-Control"] == "no-store"
            assert page.headers["Content-Security-Policy"].startswith("default-src")
            assert get(redirect.uri + good).status_code == 404
            assert redirect.wait(seconds=PATIENCE) == redirect.uri + good
    with pytest.raises(requests.ConnectionError):
        get(redirect.uri)


def test_a_redirect_uri_without_a_path_is_answered_at_the_root(
    request_of: Callable[[str], AuthorizationRequest],
) -> None:
    with LoopbackRedirect("http://127.0.0.1") as redirect:
        assert redirect.uri == f"http://{redirect.authority}"
        redirect.expect(request_of(redirect.uri))
        good = "?code=c&state=s&iss=https://as.example"
        assert get(redirect.uri + good).status_code == 200
        assert redirect.wait(seconds=PATIENCE) == redirect.uri + good


def test_after_a_refusal_nothing_more_is_expected(
    request_of: Callable[[str], AuthorizationRequest],
) -> None:
    with LoopbackRedirect("http://127.0.0.1/callback") as redirect:
        redirect.expect(request_of(redirect.uri))
        foreign, _ = redirect.receive("code=c&state=other")
        assert foreign[:2] == (400, "This is not the answer")
        refused, told = redirect.receive("error=x&state=s&iss=https://as.example")
        assert refused[:2] == (200, "You are not logged in")
        assert isinstance(told, AuthorizationRefusedError)
        late = redirect.receive("code=c&state=s&iss=https://as.example")
        assert (late[0][0], late[1]) == (404, None)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (
            "?error=access_denied&state=s&iss=https://as.example",
            AuthorizationRefusedError,
        ),
        ("?code=c&state=s&iss=https://evil.example", WrongIssuerError),
    ],
)
def test_an_answer_that_is_a_refusal_ends_the_wait(
    request_of: Callable[[str], AuthorizationRequest],
    query: str,
    error: type[Exception],
) -> None:
    with LoopbackRedirect("http://[::1]/callback") as redirect:
        redirect.expect(request_of(redirect.uri))
        assert get(redirect.uri + query).status_code == 200
        with pytest.raises(error):
            redirect.wait(seconds=PATIENCE)


def test_the_browser_has_its_page_before_the_command_goes_on(
    request_of: Callable[[str], AuthorizationRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    making, go_on = threading.Event(), threading.Event()
    make = loopback._page

    def slow(heading: str, text: str) -> bytes:
        making.set()
        go_on.wait(PATIENCE)
        return make(heading, text)

    monkeypatch.setattr(loopback, "_page", slow)
    with LoopbackRedirect("http://127.0.0.1/callback") as redirect:
        redirect.expect(request_of(redirect.uri))
        back = f"{redirect.uri}?error=access_denied&state=s&iss=https://as.example"
        with ThreadPoolExecutor(1) as threads:
            page = threads.submit(get, back)
            assert making.wait(PATIENCE)
            # The process would end now, and the page with it.
            with pytest.raises(Refusal, match="nobody came back"):
                redirect.wait(seconds=0.05)
            go_on.set()
            assert "You are not logged in" in page.result(PATIENCE).text
        with pytest.raises(AuthorizationRefusedError):
            redirect.wait(seconds=PATIENCE)


def test_an_answer_counts_though_the_browser_does_not_wait_for_its_page(
    request_of: Callable[[str], AuthorizationRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: str) -> bytes:
        raise BrokenPipeError

    monkeypatch.setattr(loopback, "_page", broken)
    with LoopbackRedirect("http://127.0.0.1/callback") as redirect:
        redirect.expect(request_of(redirect.uri))
        back = f"{redirect.uri}?code=c&state=s&iss=https://as.example"
        with suppress(requests.RequestException):
            get(back)
        assert redirect.wait(seconds=PATIENCE) == back


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Refusal, match=f"port {port}: "):
            LoopbackRedirect(f"http://127.0.0.1:{port}/callback")


@pytest.mark.parametrize(
    "uri",
    [
        "https://127.0.0.1/",
        "http://127.0.0.1.evil.example/",
        "http://127.0.0.1:65536/",
        "http://127.0.0.1:99999/",
        "http://0.0.0.0/",
        "http://127.0.0.1/?a=b",
        "http://127.0.0.1/#a",
        "http://x@127.0.0.1/",
        "",
    ],
)
def test_other_redirect_uris_are_refused(uri: str) -> None:
    with pytest.raises(Refusal):
        LoopbackRedirect(uri)
