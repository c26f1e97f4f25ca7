"""The command line of the demo servers, their environment and their file of clients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey
from sqlalchemy.orm import Session

from demo_server import client_file, logs
from demo_server.authorization_server import create_app
from demo_server.cli.command_line import parse
from demo_server.cli.commands import main
from demo_server.client_file import ClientFileError
from demo_server.database import Database
from demo_server.first_start import prepare
from demo_server.models import Client
from demo_server.option_values import SettingsError
from demo_server.redirect_uri import is_registered
from demo_server.settings import Settings
from tests.conftest import Clock
from tests.demo.parties import Parties, basic

RESOURCE = "http://127.0.0.1:9001"


def test_defaults_are_those_of_the_documentation() -> None:
    command, settings = parse([], {})
    assert command.command is None
    assert settings == Settings()
    assert settings.issuer_url == "http://127.0.0.1:9000"
    assert settings.resource_url == RESOURCE
    assert settings.nonce == "required"
    assert settings.symmetric == "on"
    assert not settings.bearer


OPTIONS: dict[str, tuple[list[str], object]] = {
    "AS_PORT": (["--as-port", "1"], 1),
    "RS_PORT": (["--rs-port", "0"], 0),
    "CLIENT_PORT": (["--client-port", "9"], 9),
    "ISSUER": (["--issuer", "https://as.example"], "https://as.example"),
    "RESOURCE": (["--resource", "http://[::1]:1"], "http://[::1]:1"),
    "PROFILE": (["--profile", "fapi2"], "fapi2"),
    "CORS_ORIGINS": (["--cors-origins", "https://a.example"], "https://a.example"),
    "NONCE": (["--nonce", "off"], "off"),
    "DATABASE": (["--database", "sqlite:///x"], "sqlite:///x"),
    "KEYS": (["--keys", "k"], Path("k")),
    "RS_KEYS": (["--rs-keys", "r"], Path("r")),
    "CLIENTS": (["--clients", "c.json"], Path("c.json")),
    "ACCESS_TOKEN_LIFETIME": (["--access-token-lifetime", "5"], 5),
    "SYMMETRIC": (["--symmetric", "off"], "off"),
    "TICKETS": (["--tickets", "off"], "off"),
    "SYMMETRIC_MODEL": (["--symmetric-model", "encapsulated"], "encapsulated"),
    "POST_QUANTUM": (["--post-quantum", "on"], "on"),
    "WORKERS": (["--workers", "3"], 3),
    "REDIS": (["--redis", "rediss://redis.example"], "rediss://redis.example"),
    "INTROSPECTION_ENDPOINT": (
        ["--introspection-endpoint", "http://localhost/i"],
        "http://localhost/i",
    ),
    "LOG_LEVEL": (["--log-level", "debug"], "debug"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_also_a_variable(name: str) -> None:
    arguments, value = OPTIONS[name]
    _, by_option = parse(["as", *arguments], {})
    _, by_variable = parse(["as"], {f"DPOP_DEMO_{name}": arguments[1]})
    assert by_option == by_variable
    assert getattr(by_option, name.lower()) == value


def test_no_option_was_forgotten() -> None:
    others = {"bearer", "tls_cert", "tls_key"}
    assert {name.lower() for name in OPTIONS} | others == set(Settings.__slots__)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("on", True), ("1", True), ("TRUE", True), ("off", False), ("no", False)],
)
def test_bearer_is_on_or_off(text: str, expected: object) -> None:
    assert parse([], {"DPOP_DEMO_BEARER": text})[1].bearer is expected


def test_an_option_wins_over_a_variable_before_and_after_the_command() -> None:
    environ = {"DPOP_DEMO_NONCE": "off", "DPOP_DEMO_BEARER": "on"}
    for arguments in (
        ["--nonce", "required", "--no-bearer", "rs"],
        ["rs", "--nonce", "required", "--no-bearer"],
    ):
        command, settings = parse(arguments, environ)
        assert command.command == "rs"
        assert settings.nonce == "required"
        assert settings.bearer is False


def test_settings_survive_the_way_through_the_environment() -> None:
    settings = Settings(
        bearer=True, clients=Path("c"), issuer="https://as.example", as_port=1
    )
    assert parse([], settings.to_environment())[1] == settings


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--issuer", "http://as.example"),
        ("--resource", "http://192.168.0.1:80"),
        ("--introspection-endpoint", "http://as.example/introspect"),
        ("--issuer", "http://localhost.example"),
        ("--issuer", "https://as.example/"),
        ("--issuer", "https://as.example/path"),
        ("--issuer", "https://as.example?x"),
        ("--issuer", "https://as.example#x"),
        ("--issuer", "https://user@as.example"),
        ("--issuer", "https://AS.example"),
        ("--issuer", "ftp://as.example"),
        ("--issuer", "https://"),
        ("--issuer", "https://[::1"),
        ("--issuer", "https://as.example:99999"),
        ("--issuer", ""),
        ("--as-port", "65536"),
        ("--as-port", "-1"),
        ("--rs-port", "9000"),
        ("--workers", "0"),
        ("--workers", "65"),
        ("--redis", "redis.example:6379"),
        ("--redis", "https://redis.example"),
        ("--redis", "redis://"),
        ("--redis", "unix://"),
        ("--redis", "redis://redis.example:99999"),
        ("--access-token-lifetime", "0"),
        ("--access-token-lifetime", "43201"),
        ("--database", "no url"),
        ("--database", "sqlite://"),
        ("--database", "sqlite:///:memory:"),
        ("--database", "postgresql+pg8000://host/name"),
    ],
)
def test_an_impossible_option_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    assert main([f"{option}={value}"]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"demo_server: {option}: ")
    assert message.count("\n") == 1


@pytest.mark.requirement("G-1")
@pytest.mark.parametrize("option", ["issuer", "resource", "introspection_endpoint"])
@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        ("https://as.example", True),
        ("http://127.0.0.1:9000", True),
        ("http://localhost:9000", True),
        ("http://[::1]:9000", True),
        ("http://as.example", False),
        ("http://10.0.0.1", False),
        ("http://0.0.0.0:9000", False),
        ("http://127.0.0.1.example", False),
    ],
)
def test_plain_http_is_for_loopback_addresses_only(
    option: str, url: str, accepted: object
) -> None:
    values: dict[str, Any] = {option: url}
    if accepted:
        assert getattr(Settings(**values), option) == url
    else:
        with pytest.raises(SettingsError, match="https"):
            Settings(**values)


def test_a_password_in_a_faulty_database_url_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(database="://user:hunter2@")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(SettingsError) as caught:
        Settings(redis="https://user:hunter2@redis.example")
    assert "hunter2" not in str(caught.value)


def test_a_database_that_cannot_be_opened_is_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "configure", lambda _: None)
    database = f"--database=sqlite:///{tmp_path}"  # a directory
    keys = f"--keys={tmp_path}/keys"
    assert main(["as", "--as-port=0", "--rs-port=0", database, keys]) == 1
    message = capsys.readouterr().err
    assert message.startswith("demo_server: --database: ")
    assert message.count("\n") == 1


def test_a_redis_that_does_not_answer_is_told_at_the_start(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "configure", lambda _: None)
    arguments = ["as", "--as-port=0", f"--database=sqlite:///{tmp_path}/as.sqlite3"]
    arguments += [f"--keys={tmp_path}/keys", "--redis=redis://127.0.0.1:1"]
    assert main(arguments) == 1
    assert capsys.readouterr().err == "demo_server: --redis: no usable answer.\n"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DPOP_DEMO_NONCE", "maybe"),
        ("DPOP_DEMO_BEARER", "maybe"),
        ("DPOP_DEMO_AS_PORT", "many"),
    ],
)
def test_a_faulty_variable_is_named(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        parse([], {variable: value})


@pytest.mark.parametrize("arguments", [["--nonce", "maybe"], ["start"], ["keys"]])
def test_a_faulty_command_line_shows_how_it_is_used(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(arguments, {})
    assert caught.value.code != 0
    assert "usage: python -m demo_server" in capsys.readouterr().err


def test_help_names_every_option_and_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["--help"], {})
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for arguments, _ in OPTIONS.values():
        assert arguments[0] in text
    for word in "as", "rs", "keys", "secrets", "--bearer", "DPOP_DEMO_AS_PORT":
        assert word in text


def test_keys_are_beside_an_sqlite_file_unless_told_otherwise() -> None:
    assert Settings(database="sqlite:////a/b.db").keys_directory == Path("/a/b.keys")
    other = Settings(database="postgresql://host/name")
    assert other.keys_directory == Path("dpop-demo.keys")
    assert Settings(keys=Path("/k")).keys_directory == Path("/k")


LOOPBACK = "http://127.0.0.1/callback"


@pytest.mark.parametrize(
    ("requested", "registered", "expected"),
    [
        ("https://app.example/cb", "https://app.example/cb", True),
        ("https://app.example/cb?x", "https://app.example/cb", False),
        ("https://app.example:1/cb", "https://app.example/cb", False),
        (LOOPBACK, LOOPBACK, True),
        ("http://127.0.0.1:1/callback", LOOPBACK, True),
        ("http://127.0.0.1:65535/callback", LOOPBACK, True),
        ("http://127.0.0.1:65536/callback", LOOPBACK, False),
        ("http://127.0.0.1:0/callback", LOOPBACK, False),
        ("http://127.0.0.1:1/callback/", LOOPBACK, False),
        ("http://127.0.0.1:1/", LOOPBACK, False),
        ("http://127.0.0.1:1@evil.example/callback", LOOPBACK, False),
        ("http://127.0.0.1.evil.example/callback", LOOPBACK, False),
        ("http://127.0.0.2:1/callback", LOOPBACK, False),
        ("https://127.0.0.1:1/callback", LOOPBACK, False),
        ("http://localhost:1/callback", "http://localhost/callback", False),
        ("http://[::1]:1/callback", "http://[::1]/callback", True),
        ("http://127.0.0.1:1/callback\n", LOOPBACK, False),
        ("http://127.0.0.1:1", "http://127.0.0.1", True),
    ],
)
def test_a_redirect_uri_is_registered_exactly_but_for_a_loopback_port(
    requested: str,
    registered: str,
    expected: object,
) -> None:
    assert is_registered(requested, [registered]) is expected


def write(path: Path, entries: object) -> Path:
    path.write_text(json.dumps(entries))
    return path


def test_a_client_file_gives_clients_with_defaults(tmp_path: Path) -> None:
    entry = {"client_id": "x", "client_secret": "s"}
    (client,) = client_file.load(write(tmp_path / "c", [entry]), resource=RESOURCE)
    assert client["token_endpoint_auth_method"] == "client_secret_basic"
    assert client["grant_types"] == ["authorization_code"]
    assert client["audiences"] == [RESOURCE]


def public_jwks(key: ECKey) -> dict[str, Any]:
    return {"keys": [key.as_dict(private=False)]}


@pytest.mark.parametrize(
    "entry",
    [
        "x",
        {},
        {"client_id": "x"},
        {"client_id": "", "client_secret": "s"},
        {"client_id": "\u00e9", "client_secret": "s"},
        {"client_id": 7, "client_secret": "s"},
        {"client_id": "x", "client_secret": 7},
        {"client_id": "x", "token_endpoint_auth_method": "tls_client_auth"},
        {"client_id": "x", "token_endpoint_auth_method": ["none"]},
        {"client_id": "x", "token_endpoint_auth_method": "private_key_jwt"},
        {
            "client_id": "x",
            "token_endpoint_auth_method": "none",
            "grant_types": ["client_credentials"],
        },
        {"client_id": "x", "client_secret": "s", "grant_types": ["password"]},
        {"client_id": "x", "client_secret": "s", "grant_types": "refresh_token"},
        {"client_id": "x", "client_secret": "s", "response_types": ["token"]},
        {"client_id": "x", "client_secret": "s", "scope": "admin"},
        {"client_id": "x", "client_secret": "s", "audiences": [""]},
        {"client_id": "x", "client_secret": "s", "audiences": ["a" * 257]},
        {"client_id": "x", "client_secret": "s", "dpop_bound_access_tokens": "true"},
        {"client_id": "x", "client_secret": "s", "redirect_uris": ["http://a.example"]},
        {"client_id": "x", "client_secret": "s", "redirect_uris": ["https://a.ex/#f"]},
        {"client_id": "x", "client_secret": "s", "redirect_uris": ["javascript:x"]},
        {"client_id": "x", "jwks": {"keys": [{"kty": "nonsense"}]}},
        {"client_id": "x", "jwks": []},
        {"client_id": "demo-public", "client_secret": "s"},
    ],
)
def test_a_faulty_client_is_refused(tmp_path: Path, entry: object) -> None:
    with pytest.raises(ClientFileError):
        client_file.load(write(tmp_path / "c", [entry]), resource=RESOURCE)


def test_private_keys_of_clients_are_refused(tmp_path: Path, ec_key: ECKey) -> None:
    for key in ec_key, OctKey.generate_key(256):
        jwks = {"keys": [key.as_dict(private=True)]}
        path = write(tmp_path / "c", [{"client_id": "x", "jwks": jwks}])
        with pytest.raises(ClientFileError, match="public keys"):
            client_file.load(path, resource=RESOURCE)


@pytest.mark.parametrize("content", ["", "{}", "[", '{"client_id": "x"}'])
def test_a_client_file_is_a_json_list(tmp_path: Path, content: str) -> None:
    path = tmp_path / "c"
    path.write_text(content)
    with pytest.raises(ClientFileError):
        client_file.load(path, resource=RESOURCE)
    with pytest.raises(ClientFileError):
        client_file.load(tmp_path / "missing", resource=RESOURCE)


def test_a_faulty_client_file_is_one_line_without_the_secret(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "configure", lambda _: None)
    entry = {"client_id": "x", "client_secret": "hunter2", "scope": "admin"}
    path = write(tmp_path / "c", [entry])
    database = f"sqlite:///{tmp_path}/x.db"
    arguments = ["as", "--as-port=0", f"--clients={path}", f"--database={database}"]
    assert main(arguments) == 1
    message = capsys.readouterr().err
    assert message.startswith("demo_server: --clients: ")
    assert message.count("\n") == 1
    assert "hunter2" not in message


def test_a_client_of_the_file_gets_tokens_and_loses_that_with_its_entry(
    tmp_path: Path, clock: Clock, ec_key: ECKey
) -> None:
    entry = {
        "client_id": "extra",
        "client_secret": "s",
        "grant_types": ["client_credentials"],
        "dpop_bound_access_tokens": True,
    }
    path = write(tmp_path / "c.json", [entry])
    parties = Parties.start(tmp_path, clock, ec_key, clients=path)
    form = {"grant_type": "client_credentials"}
    headers = basic("extra", "s")
    assert parties.token(form, headers=headers).status_code == 200
    unbound = parties.as_client.post("/token", data=form, headers=headers)
    assert unbound.get_json()["error"] == "invalid_dpop_proof"
    write(path, [])
    prepare(parties.settings)
    assert parties.token(form, headers=headers).status_code == 401


def test_secrets_of_clients_are_stored_as_hashes(
    parties: Parties, tmp_path: Path
) -> None:
    with parties.as_app.app_context():
        create_app(parties.settings)
    content = b"".join(path.read_bytes() for path in tmp_path.glob("demo.sqlite3*"))
    assert b"demo-confidential-secret" not in content
    assert b"wonderland" not in content
    assert b"client_secret_basic" in content


def test_a_changed_secret_is_hashed_anew_and_an_unchanged_one_is_not(
    tmp_path: Path, clock: Clock, ec_key: ECKey
) -> None:
    entry = {"client_id": "extra", "client_secret": "one"}
    path = write(tmp_path / "c.json", [entry])
    parties = Parties.start(tmp_path, clock, ec_key, clients=path)

    def stored() -> str | None:
        database = Database(parties.settings.database)
        with Session(database.engine) as session:
            client = session.get(Client, "extra")
            found = client.secret_hash if client else None
        database.close()
        return found

    first = stored()
    prepare(parties.settings)
    assert stored() == first
    write(path, [{**entry, "client_secret": "two"}])
    prepare(parties.settings)
    assert stored() != first
