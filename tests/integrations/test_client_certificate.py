"""Tokens that are bound to a certificate, alone or beside a key (RFC 8705)."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import time
from dataclasses import replace
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from joserfc.jwk import ECKey

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.integrations.client_certificate import MAX_LENGTH, ClientCertificate
from dpop_ext.resource_server import RejectBoundTokens
from tests.resource_server.world import ADAPTERS, Request, Response, Rows, World, send

X5T = "x5t#S256"
VARIABLE = "SSL_CLIENT_CERT"
adapters = pytest.mark.parametrize("adapter", ADAPTERS)


def certificate(key: ECKey) -> x509.Certificate:
    """A self-signed one, as a client can have it."""
    private = key.private_key
    assert private is not None
    name = x509.Name([])
    day = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    return (
        x509.CertificateBuilder(name, name, private.public_key(), 1, day, day)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )


def pem(found: x509.Certificate) -> str:
    return found.public_bytes(serialization.Encoding.PEM).decode()


def thumbprint(found: x509.Certificate) -> str:
    return b64url_encode(found.fingerprint(hashes.SHA256()))


@pytest.fixture(scope="session")
def mine(ec_key: ECKey) -> x509.Certificate:
    return certificate(ec_key)


@pytest.fixture(scope="session")
def other(other_ec_key: ECKey) -> x509.Certificate:
    return certificate(other_ec_key)


@pytest.fixture
def world(world: World) -> World:
    return replace(
        world,
        accept_bearer=True,
        symmetric=True,
        client_certificate=ClientCertificate(variable=VARIABLE),
    )


def call(
    world: World, adapter: str, token: str, shown: str | None, scheme: str = "DPoP"
) -> Response:
    headers = [("Authorization", f"{scheme} {token}"), ("DPoP", world.proof(token))]
    changes = {} if shown is None else {VARIABLE: shown}
    return send(world.app(adapter), Request(headers=headers).environ(**changes))


def error(response: Response, scheme: str) -> str | None:
    assert response.status == 401
    return response.challenges[scheme].get("error")


# --- the decision


@adapters
@pytest.mark.requirement("B-9")
def test_a_token_with_key_and_certificate_needs_both(
    world: World, adapter: str, mine: x509.Certificate, other: x509.Certificate
) -> None:
    token = world.token(cnf={"jkt": world.jkt, X5T: thumbprint(mine)})
    assert call(world, adapter, token, pem(mine)).status == 200
    for shown in (None, "", pem(other), "garbage"):
        assert error(call(world, adapter, token, shown), "DPoP") == "invalid_token"
    stolen = world.token(
        cnf={"jkt": world.other_key.thumbprint(), X5T: thumbprint(mine)}
    )
    assert error(call(world, adapter, stolen, pem(mine)), "DPoP") == "invalid_token"
    assert world.served == 1


@adapters
@pytest.mark.requirement("B-9")
def test_so_does_a_symmetric_proof(
    world: World, adapter: str, mine: x509.Certificate, other: x509.Certificate
) -> None:
    dsk = {"alg": "HS256", "v": 7, "r": b64url_encode(bytes(range(100, 132)))}
    cnf = {"jkt": world.jkt, "dsk": dsk, X5T: thumbprint(mine)}
    token = world.token(cnf=cnf)
    for shown, status in [(pem(mine), 200), (pem(other), 401), ("", 401)]:
        headers = [("Authorization", f"DPoP {token}")]
        headers.append(("DPoP", world.symmetric_proof(token)))
        environ = Request(headers=headers).environ(**{VARIABLE: shown})
        assert send(world.app(adapter), environ).status == status


@adapters
@pytest.mark.requirement("J-19", "B-9", "P-7")
def test_a_token_with_a_certificate_alone_is_no_dpop_token(
    world: World, adapter: str, mine: x509.Certificate
) -> None:
    token = world.token(cnf={X5T: thumbprint(mine)})
    for shown in (pem(mine), None):
        assert error(call(world, adapter, token, shown), "DPoP") == "invalid_token"
    assert world.served == 0


@adapters
@pytest.mark.requirement("B-9")
def test_it_is_a_bearer_token_that_needs_its_certificate(
    world: World, adapter: str, mine: x509.Certificate, other: x509.Certificate
) -> None:
    token = world.token(cnf={X5T: thumbprint(mine)})
    assert call(world, adapter, token, pem(mine), "Bearer").status == 200
    for shown in (None, pem(other)):
        refused = call(world, adapter, token, shown, "Bearer")
        assert error(refused, "Bearer") == "invalid_token"
        assert error(refused, "DPoP") is None
    assert world.served == 1


@adapters
@pytest.mark.requirement("D-1", "B-9")
def test_a_certificate_does_not_make_up_for_a_proof(
    world: World, adapter: str, mine: x509.Certificate
) -> None:
    for cnf in ({"jkt": world.jkt}, {"jkt": world.jkt, X5T: thumbprint(mine)}):
        token = world.token(cnf=cnf)
        refused = call(world, adapter, token, pem(mine), "Bearer")
        assert error(refused, "Bearer") == "invalid_token"
    assert world.served == 0


@adapters
@pytest.mark.requirement("B-9")
def test_without_a_source_no_certificate_is_believed(
    world: World, adapter: str, mine: x509.Certificate
) -> None:
    world.client_certificate = None
    alone = world.token(cnf={X5T: thumbprint(mine)})
    both = world.token(cnf={"jkt": world.jkt, X5T: thumbprint(mine)})
    for token, scheme in [(alone, "Bearer"), (both, "DPoP")]:
        refused = call(world, adapter, token, pem(mine), scheme)
        assert error(refused, scheme) == "invalid_token"


@adapters
@pytest.mark.requirement("B-9")
@pytest.mark.parametrize(
    "name", ["Client-Cert", "X-SSL-Client-Cert", "SSL-Client-Cert", "SSL_CLIENT_CERT"]
)
def test_a_client_cannot_send_its_certificate_itself(
    world: World, adapter: str, mine: x509.Certificate, name: str
) -> None:
    """The header field of a proxy counts only where the operator has named it."""
    token = world.token(cnf={"jkt": world.jkt, X5T: thumbprint(mine)})
    headers = [("Authorization", f"DPoP {token}"), ("DPoP", world.proof(token))]
    headers.append((name, quote(pem(mine))))
    environ = Request(headers=headers).environ()
    assert send(world.app(adapter), environ).status == 401
    world.client_certificate = ClientCertificate(header=name)
    assert send(world.app(adapter), environ).status == 200


@pytest.mark.requirement("B-9", "D-1")
def test_the_mixin_for_bearer_validators_knows_certificates(
    world: World, mine: x509.Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Careful(RejectBoundTokens, Rows):
        pass

    monkeypatch.setattr("tests.resource_server.world.Rows", Careful)
    for cnf, shown, status in [
        ({X5T: thumbprint(mine)}, pem(mine), 200),
        ({X5T: thumbprint(mine)}, None, 401),
        ({"jkt": world.jkt}, pem(mine), 401),
    ]:
        token = world.token(cnf=cnf)
        assert call(world, "flask", token, shown, "Bearer").status == status


# --- where the certificate comes from


@pytest.fixture
def forms(mine: x509.Certificate) -> list[str]:
    """The certificate as servers and proxies write it."""
    text = pem(mine)
    der = base64.b64encode(mine.public_bytes(serialization.Encoding.DER)).decode()
    return [
        text,
        text.strip(),
        text.replace("\n", "\r\n"),
        text.replace("\n", "\n\t").strip(),
        text.replace("\n", " "),
        quote(text),
        quote(text, safe=""),
        f":{der}:",
    ]


def test_every_spelling_gives_the_same_thumbprint(
    mine: x509.Certificate, forms: list[str]
) -> None:
    read = ClientCertificate(header="Client-Cert")
    der = mine.public_bytes(serialization.Encoding.DER)
    expected = b64url_encode(hashlib.sha256(der).digest())
    for text in forms:
        assert read({"HTTP_CLIENT_CERT": text}) == expected == thumbprint(mine)


def test_what_is_no_certificate_is_none(mine: x509.Certificate) -> None:
    text = pem(mine)
    read = ClientCertificate(variable=VARIABLE)
    for odd in (
        *("", " ", "(null)", "NONE", "::", ":=:", ":a:", ":a b:", "\xe9", None, 5),
        *(text + text, text.replace("CERTIFICATE", "PUBLIC KEY"), text[:-30]),
        *(f"{quote(text)},{quote(text)}", f"junk{text}", text.replace("M", "!", 1)),
        text.replace("\n", "\n" + "A" * MAX_LENGTH),
        "-----BEGIN CERTIFICATE-----\n\n-----END CERTIFICATE-----",
    ):
        assert read({VARIABLE: odd}) is None
    assert read({}) is None


def test_what_is_no_certificate_takes_no_time() -> None:
    text = "-----BEGIN CERTIFICATE-----".ljust(MAX_LENGTH - 1) + "!"
    begun = time.thread_time()
    assert ClientCertificate(variable=VARIABLE)({VARIABLE: text}) is None
    # A search of each way to divide the white space takes some seconds.
    assert time.thread_time() - begun < 0.5


@pytest.mark.parametrize(
    "options",
    [{}, {"variable": "A", "header": "A"}, {"variable": "HTTP_CLIENT_CERT"}],
)
def test_one_source_is_named(options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"variable|header"):
        ClientCertificate(**options)
