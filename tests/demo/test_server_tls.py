"""TLS at both servers: which versions and ciphers, and the flow over it."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from joserfc.jwk import ECKey

from demo_server import demo_data
from demo_server.cli.command_line import parse
from demo_server.cli.commands import main
from demo_server.option_values import SettingsError
from demo_server.settings import Settings
from demo_server.supervisor import DemoServer
from demo_server.tls import client_context, server_context
from tests.demo.fapi import FapiClient
from tests.patience import PATIENCE


def make_certificate(directory: Path, *, passphrase: bytes | None = None) -> None:
    """Write ``cert.pem``, self-signed for the loopback address, and ``key.pem``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "demo")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    encryption = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    (directory / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (directory / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, encryption)
    )


def settings_in(directory: Path, **options: object) -> Settings:
    return Settings(
        as_port=0,
        rs_port=0,
        database=f"sqlite:///{directory}/demo.sqlite3",
        tls_cert=directory / "cert.pem",
        tls_key=directory / "key.pem",
        log_level="warning",
        **options,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    directory = tmp_path_factory.mktemp("tls")
    make_certificate(directory)
    with DemoServer(settings_in(directory, profile="fapi2")) as server:
        yield server


@pytest.fixture
def certificate(server: DemoServer) -> str:
    return str(server.settings.tls_cert)


@pytest.mark.requirement("F-2")
def test_the_flow_over_tls(server: DemoServer, certificate: str, ec_key: ECKey) -> None:
    assert server.as_url.startswith("https:")
    assert server.settings.issuer_url == server.as_url
    client = FapiClient(server, ec_key, verify=certificate)
    token = client.redeem(client.code()).json()["access_token"]
    # The resource server fetches the keys of its issuer over TLS too.
    url = f"{server.rs_url}/api/accounts"
    assert client.send("GET", url, access_token=token).json()["owner"] == (
        demo_data.USERNAME
    )
    assert {cookie.secure for cookie in client.session.cookies} == {True}


@pytest.mark.requirement("G-1")
def test_plain_http_gets_no_answer(server: DemoServer) -> None:
    for url in server.as_url, server.rs_url:
        with pytest.raises(requests.ConnectionError):
            requests.get(url.replace("https:", "http:"), timeout=PATIENCE)


Context = Callable[[ssl.SSLContext], None]


def handshake(port: int, certificate: str, prepare: Context) -> tuple[str, str]:
    """Return version and cipher that the server agrees to."""
    context = ssl.create_default_context(cafile=certificate)
    prepare(context)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection,
        context.wrap_socket(connection, server_hostname="127.0.0.1") as secure,
    ):
        cipher = secure.cipher()
        assert cipher is not None
        return str(secure.version()), cipher[0]


def only(version: ssl.TLSVersion, ciphers: str | None = None) -> Context:
    def prepare(context: ssl.SSLContext) -> None:
        context.minimum_version = context.maximum_version = version
        if ciphers is not None:
            context.set_ciphers(ciphers)

    return prepare


def test_both_servers_speak_tls_1_2_and_1_3_with_modern_ciphers(
    server: DemoServer, certificate: str
) -> None:
    for port in server.settings.as_port, server.settings.rs_port:
        version, _ = handshake(port, certificate, only(ssl.TLSVersion.TLSv1_3))
        assert version == "TLSv1.3"
        modern = only(ssl.TLSVersion.TLSv1_2)
        version, cipher = handshake(port, certificate, modern)
        assert version == "TLSv1.2"
        assert cipher.startswith("ECDHE-")
        assert "-GCM-" in cipher
        old = only(ssl.TLSVersion.TLSv1_2, "ECDHE+AES:!AESGCM:!AESCCM")
        with pytest.raises(OSError, match=r"handshake|alert|reset"):
            handshake(port, certificate, old)


def test_versions_and_ciphers_are_those_of_the_recommendation(
    server: DemoServer,
) -> None:
    context = server_context(server.settings)
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    names = {str(cipher["name"]) for cipher in context.get_ciphers()}
    assert names
    assert all(name.startswith(("TLS_", "ECDHE-")) for name in names)
    assert all("GCM" in name for name in names if name.startswith("ECDHE-"))


def test_without_a_certificate_there_is_no_tls() -> None:
    settings = Settings()
    assert server_context(settings) is None
    assert client_context(settings) is None
    assert settings.issuer_url.startswith("http:")


def test_certificate_and_key_are_options_and_variables() -> None:
    arguments = ["--tls-cert", "c.pem", "--tls-key", "k.pem"]
    _, settings = parse(arguments, {})
    assert settings.tls_cert == Path("c.pem")
    assert parse([], settings.to_environment())[1] == settings


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"tls_key": None}, "--tls-cert"),
        ({"tls_cert": None}, "--tls-cert"),
        ({"issuer": "http://127.0.0.1:9000"}, "--issuer"),
        ({"resource": "http://127.0.0.1:9001"}, "--resource"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    options: dict[str, object], option: str
) -> None:
    values: dict[str, object] = {"tls_cert": Path("c"), "tls_key": Path("k"), **options}
    with pytest.raises(SettingsError, match=option):
        Settings(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", ["missing", "garbage", "other key", "passphrase"])
@pytest.mark.parametrize("command", [[], ["as"], ["rs"]])
def test_a_certificate_that_cannot_be_used_is_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    fault: str,
    command: list[str],
) -> None:
    make_certificate(tmp_path, passphrase=b"x" if fault == "passphrase" else None)
    if fault == "missing":
        (tmp_path / "key.pem").unlink()
    elif fault == "garbage":
        (tmp_path / "cert.pem").write_text("garbage")
    elif fault == "other key":
        certificate = (tmp_path / "cert.pem").read_bytes()
        make_certificate(tmp_path)
        (tmp_path / "cert.pem").write_bytes(certificate)
    arguments = [
        *command,
        "--as-port=0",
        "--rs-port=0",
        f"--database=sqlite:///{tmp_path}/x.db",
        f"--tls-cert={tmp_path}/cert.pem",
        f"--tls-key={tmp_path}/key.pem",
    ]
    assert main(arguments) == 1
    message = capsys.readouterr().err
    assert message.startswith("demo_server: --tls-cert: ")
    assert message.count("\n") == 1
