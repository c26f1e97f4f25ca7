"""What people type by mistake ends in a line that says what to change."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import requests
from authlib.integrations.base_client import OAuthError
from joserfc.jwk import ECKey

from dpop_ext.cli.answered import answered
from dpop_ext.cli.group import NoAnswer, Refusal
from dpop_ext.cli.request_options import MAX_INPUT
from dpop_ext.core.proof_making import make_proof
from dpop_ext.integrations.sqla_secrets import SQLAudienceSecrets
from tests.cli.conftest import AUDIENCE, run
from tests.patience import PATIENCE

HUGE = "9" * 30


def answer_of(status: int) -> requests.Response:
    answer = requests.Response()
    answer.status_code = status
    return answer


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["keygen", ""], 2, "a file is needed"),
        (["keygen", "/"], 2, "is a directory"),
        (["keygen", "/no/such/place"], 1, "/no/such/place: No such file"),
        (["thumbprint", ""], 2, "a file is needed"),
        (["thumbprint", "/dev/zero"], 1, "regular file"),
        (["proof", ""], 1, "URL: not an absolute http(s) URI"),
        (["explain", "x", "--against", "a.example"], 1, "--against: not an absolute"),
        (["curl", "https://a.example"], 1, "a token from elsewhere is --access-token"),
        (["proof", "https://a.example", "--access-token", ""], 1, "--access-token"),
        (["proof", "https://a.example", "--access-token", "é"], 1, "--access-token"),
        (["curl", "http://[::1]:1", "--access-token", "@no"], 1, "token: no: No such"),
        (["proof", "https://a.example", "--nonce", "a\nb"], 1, "DPoP-Nonce"),
        (["proof", "https://a.example", "-X", "GET /"], 2, "--method"),
        (["proof", "https://a.example", "--algorithm", "RS256"], 1, "--algorithm: not"),
        (["explain", "x", "--against", "https://a.example", "--at", HUGE], 2, "--at"),
        (["explain", "x", "--against", "https://a.example", "--at", "-1"], 2, "--at"),
        (["nonces", "create", ""], 2, "a file is needed"),
        (["nonces", "rotate", "/no/file"], 1, "dpop-ext nonces create"),
        (["secrets", "list", "--database", ""], 1, "--database"),
        (["secrets", "list", "--database", "sqlite:///no"], 1, "no such file"),
        (["secrets", "list", "--database", "mysql://x"], 1, "SQLite and Pos"),
        (["secrets", "list", "--database", "postgresql+pg8000://x"], 1, "time-outs"),
        (["secrets", "list", "--database", "a://b:c/d"], 1, "not a URL of a database"),
        (["logout", "--session", ""], 1, "--session: a file is needed"),
        (
            ["curl", "https://user:pw@127.0.0.1:1/", "--access-token", "t"],
            3,
            "the server: no connection",
        ),
        (["doctor", "--keyring-cache", "/"], 2, "is a directory"),
    ],
)
def test_a_mistake_is_named_in_one_line(
    key_path: Path, arguments: list[str], code: int, text: str
) -> None:
    result = run(*arguments, DPOP_EXT_KEY=str(key_path))
    assert result.exit_code == code, result.output
    assert text in result.stderr
    assert isinstance(result.exception, SystemExit)
    if code == 1:
        assert result.stderr.count("\n") == 1


def test_an_answer_that_cannot_be_written_is_not_asked_for(
    key_path: Path, tmp_path: Path
) -> None:
    """A POST is done once it was sent: what it answered would be lost."""
    arguments = ["curl", "http://127.0.0.1:1/", "--key", str(key_path)]
    arguments += ["--access-token", "t", "-d", "x"]
    for place in (tmp_path / "none" / "answer", Path("/proc/version/answer")):
        result = run(*arguments, "-o", str(place))
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert result.stderr.startswith(f"dpop-ext: {place}: ")
    assert run(*arguments, "-o", str(tmp_path / "answer")).exit_code == 3
    result = run(*arguments[:-1], "@/no/such/file")
    assert "--data: /no/such/file: No such file" in result.stderr


@pytest.mark.parametrize(
    "url", ["garbage://secret", "redis://[::1", "redis://x:secret"]
)
def test_what_is_no_redis_is_refused_and_not_repeated(
    secrets: SQLAudienceSecrets, database: str, key_file: Path, url: str
) -> None:
    options = ("--database", database, "--key-file", str(key_file))
    result = run("secrets", "publish", *options, "--redis", url)
    assert result.exit_code == 1
    assert result.stderr.startswith("dpop-ext: --redis: redis://, rediss:// or unix://")
    assert "secret" not in result.stderr


def test_no_more_is_read_than_a_token_can_have(key_path: Path, tmp_path: Path) -> None:
    text = "a" * (MAX_INPUT + 1)
    file = tmp_path / "token"
    file.write_text(text)
    url = "https://a.example"
    for command in (
        ["proof", url, "--access-token", f"@{file}"],
        ["proof", url, "--access-token", "-"],
        ["explain", "-", "--against", url],
    ):
        result = run(*command, answer=text, DPOP_EXT_KEY=str(key_path))
        assert result.exit_code == 1
        assert result.stderr == "dpop-ext: more than 64 KiB: not a token, nor a proof\n"


def test_a_host_that_cannot_be_is_a_server_that_does_not_answer() -> None:
    issuer, client = "https://a..b", ("--client-id", "c")
    result = run("doctor", "--issuer", issuer)
    assert (result.exit_code, "no answer" in result.output) == (1, True)
    result = run("conformance", "--as", issuer, "--rs", "https://c.example", *client)
    assert result.stderr.startswith("dpop-ext: a server does not answer")


def test_a_key_is_not_exported_to_a_directory(
    secrets: SQLAudienceSecrets, database: str, key_file: Path
) -> None:
    options = ("--database", database, "--key-file", str(key_file))
    for path in ("", "/"):
        result = run("secrets", "export-key", *options, "--audience", AUDIENCE, path)
        assert (result.exit_code, "FILE" in result.stderr) == (2, True)


def test_a_store_that_is_mistyped_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "typo.sqlite3"
    result = run("doctor", "--replay-store", f"sqlite:///{path}")
    assert result.exit_code == 1
    assert "there is no such file" in result.output
    assert not path.exists()


def test_times_that_nobody_has_a_date_for_are_shown(ec_key: ECKey) -> None:
    proof = make_proof(
        ec_key, algorithm="ES256", method="GET", url="https://a.example", now=10**30
    )
    result = run("explain", proof, "--against", "https://a.example")
    assert result.exit_code == 1
    assert "FAIL  iat" in result.output


def raising(error: BaseException) -> Callable[[], None]:
    def callback() -> None:
        raise error

    return callback


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyboardInterrupt(), "Aborted!"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError(), "it did not work: OSError"),
        (ModuleNotFoundError(name="MySQLdb"), "MySQLdb is missing: install it\n"),
        (ModuleNotFoundError(name="psycopg"), "pip install 'psycopg[binary]'"),
        (ModuleNotFoundError(name="filelock.x"), "pip install 'dpop-ext[session]'"),
    ],
)
def test_what_stops_a_command_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, text: str
) -> None:
    command = click.Command("nonces", callback=raising(error))
    monkeypatch.setattr("dpop_ext.cli.nonces.nonces", command)
    result = run("nonces")
    assert (result.exit_code, text in result.stderr) == (1, True)


def test_a_command_whose_reader_has_had_enough_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = click.Command("nonces", callback=raising(BrokenPipeError(32, "Broken")))
    monkeypatch.setattr("dpop_ext.cli.nonces.nonces", command)
    result = run("nonces")
    assert (result.exit_code, result.output) == (1, "")


CONNECTION = requests.ConnectionError


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (requests.ReadTimeout(), 3, "no answer in time"),
        (requests.ConnectTimeout(), 3, "no answer in time"),
        (requests.exceptions.SSLError(), 3, "not a certificate to be trusted"),
        (requests.exceptions.ProxyError(), 3, "the proxy does not let us through"),
        (requests.TooManyRedirects(), 3, "too many redirects"),
        (requests.exceptions.ChunkedEncodingError(), 3, "the answer broke off"),
        (CONNECTION(), 3, "no connection"),
        (requests.HTTPError(response=answer_of(502)), 3, "status 502"),
        (requests.HTTPError(), 3, "no answer (HTTPError)"),
        (requests.exceptions.InvalidHeader(), 3, "no answer (InvalidHeader)"),
        (OAuthError("\x1b]0;x"), 1, "it failed (\\x1b]0;x)"),
        (ValueError("\x1b]0;x"), 1, "\\x1b]0;x"),
    ],
)
def test_why_there_is_no_answer_is_one_line(
    error: Exception, code: int, text: str
) -> None:
    with pytest.raises(Refusal) as refused, answered("it failed"):
        raise error
    assert (refused.value.exit_code, text in refused.value.message) == (code, True)
    assert refused.value.message.isprintable()


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("https://as.example/token?code=c", "https://as.example: "),
        ("https://user:pw@as.example/", "the server: "),
        ("", "the server: "),
        (None, "the server: "),
    ],
)
def test_a_server_that_does_not_answer_is_named_and_nothing_else(
    url: str | None, where: str
) -> None:
    request = requests.PreparedRequest()
    request.url = url
    with pytest.raises(NoAnswer) as refused, answered("it failed"):
        raise CONNECTION(request=request)
    assert refused.value.message.startswith(where + "no connection")


def test_a_reader_that_has_had_enough_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "dpop_ext", "--help"],
            check=False,
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
        )
    finally:
        os.close(writer)
    assert ended.stderr == b""
