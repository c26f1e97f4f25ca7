"""``dpop-ext curl`` against servers that answer over a real connection."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from joserfc.jwk import ECKey, OKPKey

from dpop_ext.client.keyfile import save_key
from dpop_ext.integrations.bundle_stores import FileBundle
from tests.cli.conftest import run
from tests.conftest import Clock
from tests.integrations.scripted_server import Answer, ScriptedServer, running_server
from tests.integrations.token_endpoint import AuthorizationServer

TOKEN = "the.access.token"
NONCE_WANTED = Answer(
    401,
    [("WWW-Authenticate", 'DPoP error="use_dpop_nonce"'), ("DPoP-Nonce", "nonce-1")],
)


@pytest.fixture(scope="module")
def running() -> Iterator[ScriptedServer]:
    with running_server() as server:
        yield server


@pytest.fixture(scope="module")
def running_as() -> Iterator[ScriptedServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def resource(running: ScriptedServer) -> ScriptedServer:
    running.received.clear()
    running.play(Answer(body=b'{"balance": 7}'))
    return running


@pytest.fixture
def server(
    running_as: ScriptedServer, resource: ScriptedServer, clock: Clock
) -> AuthorizationServer:
    running_as.received.clear()
    server = AuthorizationServer(running_as, resource.url, clock)
    server.issuer = running_as.url
    server.metadata = {
        "issuer": running_as.url,
        "token_endpoint": server.url,
        "dpop_signing_alg_values_supported": ["ES256"],
        "dpop_symmetric_alg_values_supported": ["HS256"],
    }
    return server


@pytest.fixture
def bundle(tmp_path: Path, server: AuthorizationServer) -> FileBundle:
    bundle = FileBundle(tmp_path / "session.json")
    about = {
        "client_id": "app",
        "issuer": server.issuer,
        "resource": server.resource,
    }
    bundle.save({"access_token": "old", "token_type": "DPoP", "refresh_token": "first"})
    bundle.describe(about)
    return bundle


@pytest.fixture
def place(bundle: FileBundle, tmp_path: Path) -> str:
    return str(tmp_path / "session.json")


def curl(key_path: Path, *arguments: str, answer: str | None = None) -> Result:
    return run(
        *("curl", *arguments),
        answer=answer,
        DPOP_EXT_KEY=str(key_path),
        DPOP_EXT_ACCESS_TOKEN=TOKEN,
    )


def test_a_nonce_is_answered_and_the_body_is_all_that_is_printed(
    key_path: Path, resource: ScriptedServer
) -> None:
    resource.play(NONCE_WANTED, Answer(body=b"\x00\xffraw"))
    result = curl(key_path, resource.url + "/accounts?a=b")
    assert (result.exit_code, result.stdout_bytes) == (0, b"\x00\xffraw")
    assert result.stderr == ""
    assert resource.nonces == [None, "nonce-1"]
    assert [sent.authorization for sent in resource.received] == [f"DPoP {TOKEN}"] * 2
    assert resource.received[1].target == "/accounts?a=b"


def test_verbose_shows_each_proof_and_no_secret(
    key_path: Path, ec_key: ECKey, resource: ScriptedServer
) -> None:
    resource.play(NONCE_WANTED, Answer(fields=[("X-Text", "a\x1b[2Jb")]))
    result = curl(key_path, "-v", "-H", "Cookie: secret-1", resource.url)
    assert (result.exit_code, result.stdout) == (0, "{}")
    shown = result.stderr
    first, again, second = shown.partition("* the server wants its nonce in the proof")
    assert again
    for proof, part in zip(resource.proofs, (first, second), strict=True):
        assert f'claims jti "{proof.claims["jti"]}"' in part
    assert '"nonce-1"' in second
    assert ec_key.thumbprint() in first
    assert "\x1b" not in shown
    assert "a\\x1b[2Jb" in shown
    for secret in (TOKEN, "secret-1", resource.received[0].dpop.split(".")[2]):
        assert secret not in shown


def test_what_is_sent_is_what_was_given(
    key_path: Path, resource: ScriptedServer, tmp_path: Path
) -> None:
    content = tmp_path / "order"
    content.write_bytes(b"from\r\na file\n")
    url = resource.url
    resource.play(NONCE_WANTED, Answer())
    for arguments in (["-d", "a=b"], ["-X", "PUT", "-d", f"@{content}"], ["-d", "@-"]):
        json_type = ["-H", "content-type: application/json"]
        answer = "of standard input\n"
        result = curl(key_path, url, *arguments, *json_type, answer=answer)
        assert result.exit_code == 0, result.stderr
    assert [(sent.method, sent.body) for sent in resource.received] == [
        ("POST", b"a=b"),
        ("POST", b"a=b"),
        ("PUT", b"from\r\na file\n"),
        ("POST", b"of standard input\n"),
    ]
    for sent in resource.received:
        assert sent.all("Content-Type") == ["application/json"]


def test_content_is_a_form_unless_a_field_says_otherwise(
    key_path: Path, resource: ScriptedServer
) -> None:
    for arguments in (["-d", "a=b"], ["-d", ""], []):
        assert curl(key_path, resource.url, *arguments).exit_code == 0
    form = ["application/x-www-form-urlencoded"]
    assert [sent.all("Content-Type") for sent in resource.received] == [form, form, []]
    assert [sent.method for sent in resource.received] == ["POST", "POST", "GET"]


def test_an_empty_file_is_sent_as_no_content_and_a_pipe_as_what_is_in_it(
    key_path: Path, resource: ScriptedServer, tmp_path: Path
) -> None:
    empty, pipe = tmp_path / "empty", tmp_path / "pipe"
    empty.touch()
    os.mkfifo(pipe)
    # Whoever opens one end of a pipe waits for the other end.
    writer = threading.Thread(target=pipe.write_bytes, args=(b"piped",))
    writer.start()
    resource.play(NONCE_WANTED, Answer())
    for path in (pipe, empty):
        result = curl(key_path, resource.url, "-d", f"@{path}")
        assert result.exit_code == 0, result.stderr
    writer.join()
    assert [(sent.method, sent.body) for sent in resource.received] == [
        ("POST", b"piped"),
        ("POST", b"piped"),
        ("POST", b""),
    ]
    assert resource.received[2].all("Content-Length") == ["0"]
    assert resource.received[2].all("Transfer-Encoding") == []


@pytest.mark.parametrize("given", ["-", "@FILE"])
def test_a_token_need_not_be_on_the_command_line(
    key_path: Path, resource: ScriptedServer, tmp_path: Path, given: str
) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    value = given.replace("FILE", str(path))
    arguments = ("curl", resource.url, "--key", str(key_path), "--access-token", value)
    result = run(*arguments, answer=f"{TOKEN}\n")
    assert result.exit_code == 0, result.stderr
    assert resource.received[0].authorization == f"DPoP {TOKEN}"


def test_status_and_fields_go_where_the_body_goes(
    key_path: Path, resource: ScriptedServer, tmp_path: Path
) -> None:
    path = tmp_path / "answer"
    resource.play(Answer(201, [("X-One", "1")], b"made"))
    result = curl(key_path, "-i", "-o", str(path), resource.url)
    assert (result.exit_code, result.stdout) == (0, "")
    head, _, body = path.read_text().partition("\n\n")
    assert head.startswith("HTTP 201 ")
    assert "X-One: 1" in head
    assert body == "made"


@pytest.mark.parametrize(
    ("fail", "code", "printed"), [([], 0, "refused"), (["--fail"], 22, "")]
)
def test_a_refusal_is_an_error_if_it_is_to_be_one(
    key_path: Path, resource: ScriptedServer, fail: list[str], code: int, printed: str
) -> None:
    challenge = 'DPoP error="invalid_token", error_description="Evil"'
    resource.play(Answer(401, [("WWW-Authenticate", challenge)], b"refused"))
    result = curl(key_path, *fail, resource.url)
    assert (result.exit_code, result.stdout) == (code, printed)
    assert result.stderr == (
        "dpop-ext: the server answered 401 invalid_token; --refresh gets a new token "
        "for a session\n"
    )


@pytest.mark.parametrize(
    ("status", "code", "stderr"),
    [
        (302, 0, ""),
        (399, 0, ""),
        (400, 22, "dpop-ext: the server answered 400\n"),
        (503, 22, "dpop-ext: the server answered 503\n"),
    ],
)
def test_a_status_below_400_is_no_refusal(
    key_path: Path, resource: ScriptedServer, status: int, code: int, stderr: str
) -> None:
    resource.play(Answer(status))
    result = curl(key_path, "--fail", resource.url)
    assert (result.exit_code, result.stderr) == (code, stderr)


def test_a_refused_proof_is_for_a_look_at_the_exchange(
    key_path: Path, resource: ScriptedServer
) -> None:
    challenge = [("WWW-Authenticate", 'DPoP error="invalid_dpop_proof"')]
    resource.play(Answer(401, challenge))
    result = curl(key_path, resource.url)
    said = "the server answered 401 invalid_dpop_proof; -v shows the exchange"
    assert (result.exit_code, result.stderr) == (0, f"dpop-ext: {said}\n")


@pytest.mark.parametrize("to_file", [False, True])
def test_an_answer_that_breaks_off_is_written_as_far_as_it_came(
    key_path: Path, resource: ScriptedServer, tmp_path: Path, *, to_file: bool
) -> None:
    # A chunk, and then no other: what follows is none.
    broken = [("Transfer-Encoding", "chunked")]
    resource.play(Answer(fields=broken, body=b"5\r\nfirst\r\nnone\r\n"))
    path = tmp_path / "answer"
    target = ["-o", str(path)] if to_file else []
    result = curl(key_path, resource.url, *target)
    assert result.exit_code == 3
    assert result.stderr.count("\n") == 1
    assert (path.read_text() if to_file else result.stdout) == "first"


def test_a_file_that_takes_no_answer_is_an_error(
    key_path: Path, resource: ScriptedServer
) -> None:
    result = curl(key_path, resource.url, "-o", "/dev/full")
    expected = "dpop-ext: /dev/full: No space left on device\n"
    assert (result.exit_code, result.stderr) == (1, expected)


def test_a_standard_output_that_takes_no_answer_is_an_error(
    key_path: Path, resource: ScriptedServer
) -> None:
    given = {"DPOP_EXT_KEY": str(key_path), "DPOP_EXT_ACCESS_TOKEN": TOKEN}
    with Path("/dev/full").open("w") as full:
        shown = subprocess.run(
            [sys.executable, "-m", "dpop_ext", "curl", resource.url],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | given,
        )
    assert shown.returncode == 1
    assert shown.stderr == "dpop-ext: it did not work: No space left on device\n"


def test_nothing_is_sent_whose_answer_cannot_be_written(
    key_path: Path, resource: ScriptedServer, tmp_path: Path
) -> None:
    path = tmp_path / "none" / "answer"
    result = curl(key_path, resource.url, "-o", str(path))
    expected = f"dpop-ext: {path}: there is no such directory\n"
    assert (result.exit_code, result.stderr) == (1, expected)
    assert resource.received == []


def test_a_server_that_takes_too_long_is_given_up(key_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        result = curl(key_path, url, "--max-time", "0.05")
    assert result.exit_code == 3
    assert result.stderr.startswith(f"dpop-ext: {url}: ")
    assert result.stderr.count("\n") == 1


def test_a_redirect_to_another_origin_has_no_token(
    key_path: Path, resource: ScriptedServer, server: AuthorizationServer
) -> None:
    elsewhere = server.url.replace("127.0.0.1", "localhost")
    server.answer, server.metadata = Answer(body=b"there"), None
    resource.play(Answer(302, [("Location", elsewhere)]))
    assert curl(key_path, resource.url).stdout == "{}"
    assert server.received == []
    assert curl(key_path, "-L", resource.url).stdout == "there"
    (sent,) = server.received
    assert (sent.all("Authorization"), sent.all("DPoP")) == ([], [])


def test_a_session_is_taken_up_and_its_nonce_is_kept(
    resource: ScriptedServer, place: str, bundle: FileBundle
) -> None:
    resource.play(NONCE_WANTED, Answer())
    for _ in range(2):
        result = run("curl", resource.url, DPOP_EXT_SESSION=place)
        assert result.exit_code == 0, result.output
    assert resource.nonces == [None, "nonce-1", "nonce-1"]
    assert resource.received[2].authorization == "DPoP old"


@pytest.mark.parametrize("why", ["expired", "asked"])
def test_a_session_is_refreshed_and_a_symmetric_key_is_used_at_once(
    resource: ScriptedServer,
    server: AuthorizationServer,
    place: str,
    bundle: FileBundle,
    why: str,
) -> None:
    if why == "expired":
        bundle.save({**(bundle.token or {}), "expires_at": 1})
    server.clock = Clock(int(time.time()))
    asked = ["--refresh"] if why == "asked" else []
    result = run("curl", "-v", resource.url, "--session", place, *asked)
    assert result.exit_code == 0, result.output
    (form,) = server.forms
    assert (form["refresh_token"], form["client_id"]) == ("first", "app")
    assert resource.kinds == "s"
    assert "DPoP: symmetric proof" in result.stderr
    # What was sent to get the token is shown as well, and first.
    shown = result.stderr
    assert 0 <= shown.find(f"> POST {server.url}\n") < shown.find("> GET ")
    assert "first" not in shown
    assert FileBundle(place).token["access_token"] == "access-1"  # type: ignore[index]


def test_the_token_of_a_session_goes_to_its_own_server(
    resource: ScriptedServer, server: AuthorizationServer, place: str
) -> None:
    server.answer, server.metadata = Answer(), None
    result = run("curl", server.url, "--session", place)
    assert result.exit_code == 1
    assert "--elsewhere" in result.stderr
    assert server.received == []
    assert run("curl", server.url, "--session", place, "--elsewhere").exit_code == 0
    assert server.received[0].authorization == "DPoP old"


def test_the_token_of_a_session_without_a_resource_goes_where_it_is_sent(
    server: AuthorizationServer, bundle: FileBundle, place: str
) -> None:
    server.answer, server.metadata = Answer(), None
    bundle.describe({k: v for k, v in bundle.about.items() if k != "resource"})
    assert run("curl", server.url, "--session", place).exit_code == 0
    assert server.received[0].authorization == "DPoP old"


@pytest.mark.parametrize(
    ("token", "arguments"),
    [
        ({"access_token": "old", "token_type": "DPoP", "expires_at": 1}, []),
        ({"access_token": "old", "token_type": "DPoP"}, ["--refresh"]),
    ],
)
def test_a_session_that_cannot_be_refreshed_says_what_to_do(
    resource: ScriptedServer,
    server: AuthorizationServer,
    place: str,
    bundle: FileBundle,
    token: dict[str, Any],
    arguments: list[str],
) -> None:
    bundle.save(token)
    result = run("curl", resource.url, "--session", place, *arguments)
    expected = "dpop-ext: the session has no refresh token: dpop-ext login\n"
    assert (result.exit_code, result.stderr) == (1, expected)
    assert (resource.received, server.received) == ([], [])


def test_a_session_for_a_name_goes_where_it_is_sent(
    resource: ScriptedServer, place: str, bundle: FileBundle
) -> None:
    bundle.describe({**bundle.about, "resource": "urn:example:accounts"})
    result = run("curl", resource.url, "--session", place)
    assert result.exit_code == 0, result.output
    assert resource.received[0].authorization == "DPoP old"


def test_a_refresh_that_is_refused_says_what_to_do(
    resource: ScriptedServer, server: AuthorizationServer, place: str
) -> None:
    body = {"error": "invalid_grant", "error_description": "\x1b[2J"}
    server.answer = Answer(400, body=json.dumps(body).encode())
    result = run("curl", "--refresh", resource.url, "--session", place)
    assert (result.exit_code, resource.received) == (1, [])
    assert result.stderr == (
        "dpop-ext: the token cannot be refreshed, dpop-ext login gets another "
        "(invalid_grant)\n"
    )


def test_a_token_needs_the_key_that_it_is_bound_to(tmp_path: Path) -> None:
    url = "http://127.0.0.1:1/"
    result = run("curl", url, "--access-token", TOKEN)
    assert result.exit_code == 2
    assert "--access-token needs --key" in result.stderr
    # A key for something else.
    path = tmp_path / "other.jwk"
    save_key(path, OKPKey.generate_key("X25519"))
    result = run("curl", url, "--access-token", TOKEN, "--key", str(path))
    expected = "dpop-ext: --key: No server accepts this key with this use.\n"
    assert (result.exit_code, result.stderr) == (1, expected)


def test_a_server_that_is_not_there_is_another_exit_code(key_path: Path) -> None:
    result = curl(key_path, "http://127.0.0.1:1/x")
    assert result.exit_code == 3
    assert re.fullmatch(r"dpop-ext: http://127\.0\.0\.1:1: no .*\n", result.stderr)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["http://api.example/"], 1, "https"),
        (["no url"], 1, "URL:"),
        (["https://[::1/"], 1, "URL:"),
        (["https://a.example", "-H", "no field"], 2, "--header"),
        (["https://a.example", "-H", "X: a\nY: b"], 2, "--header"),
        (["https://a.example", "-H", "dpop: mine"], 2, "made by this command"),
        (["https://a.example", "-H", "Authorization: Bearer x"], 2, "made by"),
        (["https://a.example", "-d", "@/no/such/file"], 1, "--data"),
        (["https://a.example", "-d", "@/"], 1, "--data"),
        (["https://a.example", "-d", "@-", "--access-token", "-"], 2, "only one"),
        (["https://a.example", "--access-token", "@/no/file"], 1, "--access-token"),
        (["https://a.example", "--access-token", "a b"], 1, "--access-token"),
        (["https://a.example", "--access-token", ""], 1, "--access-token"),
        (["https://a.example", "--key", "/no/such/key"], 1, "dpop-ext keygen"),
        (["https://a.example", "--session", "/no/such/file"], 1, "dpop-ext login"),
        (["https://a.example", "--session", "keyring:"], 1, "keyring:work"),
        (["https://a.example", "--session", "x", "--access-token", "y"], 2, "not both"),
        (["https://a.example", "--refresh"], 2, "--refresh needs a session"),
        (["https://a.example", "--max-time", "0"], 2, "--max-time"),
        (["https://a.example", "-X", "GET\r\nX: y"], 2, "--method"),
    ],
)
def test_what_cannot_be_sent_is_said_in_one_line(
    key_path: Path, arguments: list[str], code: int, text: str
) -> None:
    result = curl(key_path, *arguments)
    assert result.exit_code == code, result.output
    assert text in result.stderr
    assert "Traceback" not in result.output
    assert result.stderr.splitlines()[-1] == result.stderr.splitlines()[-1].strip()
    if code == 1:
        assert result.stderr.count("\n") == 1
    assert TOKEN not in result.output
