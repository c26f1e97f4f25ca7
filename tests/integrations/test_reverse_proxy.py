"""Behind a real reverse proxy: what it, or anybody, says about the URL is nothing."""

from __future__ import annotations

import hashlib
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from joserfc.jwk import ECKey

from demo_server import demo_data
from demo_server.settings import Settings
from demo_server.supervisor import DemoServer
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.proof_making import make_proof
from dpop_ext.integrations.client_certificate import ClientCertificate
from tests.authorization_server.simulator import Prover, Simulator, basic
from tests.conftest import Clock
from tests.engines import free_ports
from tests.integrations.reverse_proxy import (
    CERTIFICATE_FIELD,
    Answer,
    nginx,
    send,
    server,
    serving,
    tls_server,
    write_certificate,
)
from tests.resource_server.world import World

FORM = ("Content-Type", "application/x-www-form-urlencoded")

#: What a client can send to make a server believe that it has another name.
FORGERIES = [
    [("X-Forwarded-Host", "evil.example")],
    [("X-Forwarded-Proto", "https")],
    [("X-Forwarded-Port", "8443")],
    [("X-Forwarded-Prefix", "/evil")],
    [("X-Forwarded-For", "10.0.0.1"), ("X-Real-IP", "10.0.0.1")],
    [("X-Forwarded-Ssl", "on"), ("X-Scheme", "https"), ("Front-End-Https", "on")],
    [("X-Original-URL", "/evil"), ("X-Rewrite-URL", "/evil")],
    [("X-Original-Host", "evil.example"), ("X-Host", "evil.example")],
    [("Script-Name", "/evil"), ("X-Script-Name", "/evil")],
    [("Forwarded", "for=10.0.0.1;host=evil.example;proto=https")],
]
HOSTS = [[("Host", "evil.example")], [("Host", "127.0.0.1:1")]]


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Both demo servers behind nginx, and a client with a key and a token."""

    as_port: int
    rs_port: int
    inner: DemoServer
    key: ECKey

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.as_port}"

    @property
    def resource(self) -> str:
        return f"http://127.0.0.1:{self.rs_port}"

    def proof(self, method: str, url: str, token: str | None = None) -> str:
        return make_proof(
            self.key,
            algorithm="ES256",
            method=method,
            url=url,
            now=int(time.time()),
            access_token=token,
        )

    def token(
        self,
        url: str,
        target: str = "/token",
        more: list[tuple[str, str]] | None = None,
    ) -> Answer:
        """Ask for a token with a proof that names *url*."""
        form = {"grant_type": "client_credentials", "scope": "accounts"}
        secret = basic("demo-confidential", demo_data.CONFIDENTIAL_SECRET)
        headers = [("DPoP", self.proof("POST", url)), ("Authorization", secret), FORM]
        body = urlencode(form).encode()
        return send(self.as_port, "POST", target, headers + (more or []), body=body)

    def api(
        self,
        token: str,
        url: str,
        target: str,
        more: list[tuple[str, str]] | None = None,
    ) -> Answer:
        """Ask for *target* with a proof that names *url*."""
        headers = [
            ("Authorization", f"DPoP {token}"),
            ("DPoP", self.proof("GET", url, token)),
        ]
        return send(self.rs_port, "GET", target, headers + (more or []))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: Any, ec_key: ECKey) -> Iterator[Demo]:
    directory: Path = tmp_path_factory.mktemp("proxy")
    as_port, rs_port = free_ports(2)
    settings = Settings(
        as_port=0,
        rs_port=0,
        issuer=f"http://127.0.0.1:{as_port}",
        resource=f"http://127.0.0.1:{rs_port}",
        nonce="off",
        database=f"sqlite:///{directory}/demo.sqlite3",
        log_level="error",
    )
    with DemoServer(settings) as inner:
        servers = server(as_port, inner.settings.as_port) + server(
            rs_port, inner.settings.rs_port
        )
        with nginx(directory, servers, ports=[as_port, rs_port]):
            yield Demo(as_port=as_port, rs_port=rs_port, inner=inner, key=ec_key)


@pytest.fixture(scope="module")
def token(demo: Demo) -> str:
    text: str = demo.token(f"{demo.issuer}/token").json["access_token"]
    return text


@pytest.mark.requirement("N-18", "U-3")
def test_a_proof_names_the_public_url_and_no_other(demo: Demo, token: str) -> None:
    answer = demo.token(f"{demo.issuer}/token")
    assert (answer.status, answer.json["token_type"]) == (200, "DPoP")
    path = "/api/accounts"
    assert demo.api(token, demo.resource + path, path).status == 200
    inner_as = f"http://127.0.0.1:{demo.inner.settings.as_port}"
    inner_rs = f"http://127.0.0.1:{demo.inner.settings.rs_port}"
    refused = demo.token(f"{inner_as}/token")
    assert (refused.status, refused.json["error"]) == (400, "invalid_dpop_proof")
    refused = demo.api(token, inner_rs + path, path)
    assert (refused.status, refused.json["error"]) == (401, "invalid_dpop_proof")


@pytest.mark.requirement("N-6", "N-11", "N-18")
@pytest.mark.parametrize(
    ("path", "other"),
    [
        ("a%2Fb", "a/b"),
        ("a%2fb%252F", "a%2fb%2F"),
        ("a//b", "a/b"),
        ("a%3Bb%40c", "a;b@c"),
        ("caf%C3%A9", "caf%E9"),
        ("x/", "x"),
    ],
)
def test_the_path_comes_through_as_it_was_sent(
    demo: Demo, token: str, path: str, other: str
) -> None:
    target = f"/api/echo/{path}"
    answer = demo.api(token, demo.resource + target, target)
    assert answer.status == 200
    assert answer.json["target"] == target
    refused = demo.api(token, f"{demo.resource}/api/echo/{other}", target)
    assert (refused.status, refused.json["error"]) == (401, "invalid_dpop_proof")


@pytest.mark.requirement("N-18", "U-3")
@pytest.mark.parametrize("forged", [*FORGERIES, *HOSTS])
def test_forged_header_fields_change_nothing(
    demo: Demo, token: str, forged: list[tuple[str, str]]
) -> None:
    path = "/api/accounts"
    assert demo.api(token, demo.resource + path, path, forged).status == 200
    assert demo.token(f"{demo.issuer}/token", more=forged).status == 200
    for url in ("http://evil.example", "https://evil.example", "http://127.0.0.1:1"):
        for prefix in ("", "/evil"):
            refused = demo.api(token, url + prefix + path, path, forged)
            assert refused.json["error"] == "invalid_dpop_proof"
            refused = demo.token(f"{url}{prefix}/token", more=forged)
            assert refused.json["error"] == "invalid_dpop_proof"
    own = demo.resource.replace("http:", "https:")
    assert demo.api(token, own + path, path, forged).status == 401


@pytest.mark.requirement("N-18")
def test_a_target_in_absolute_form_names_no_server(demo: Demo, token: str) -> None:
    path = "/api/accounts"
    for origin in (demo.resource, "http://evil.example"):
        absolute = origin + path
        assert demo.api(token, demo.resource + path, absolute).status == 200
    refused = demo.api(
        token, f"http://evil.example{path}", f"http://evil.example{path}"
    )
    assert (refused.status, refused.json["error"]) == (401, "invalid_dpop_proof")


@pytest.mark.requirement("N-18")
def test_two_host_fields_get_nowhere(demo: Demo, token: str) -> None:
    path = "/api/accounts"
    hosts = [("Host", f"127.0.0.1:{demo.rs_port}"), ("Host", "evil.example")]
    for url in (demo.resource, "http://evil.example"):
        assert demo.api(token, url + path, path, hosts).status == 400


def test_the_documents_name_the_public_urls(demo: Demo) -> None:
    forged = [("Host", "evil.example"), ("X-Forwarded-Host", "evil.example")]
    document = "/.well-known/oauth-authorization-server"
    answer = send(demo.as_port, "GET", document, forged).json
    assert answer["token_endpoint"] == f"{demo.issuer}/token"
    document = "/.well-known/oauth-protected-resource"
    assert send(demo.rs_port, "GET", document, forged).json["resource"] == demo.resource


# --- TLS ends at the proxy, and it removes a prefix


@dataclass(frozen=True, kw_only=True)
class Prefixed:
    """One public server with two applications under prefixes."""

    port: int
    tls: ssl.SSLContext
    #: Shows this certificate to the proxy.
    with_certificate: ssl.SSLContext
    certificate: str
    world: World
    prove: Prover

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def api(self, url: str, target: str, *more: tuple[str, str]) -> Answer:
        text = self.world.token()
        proof = self.world.proof(text, url=url)
        headers = [("Authorization", f"DPoP {text}"), ("DPoP", proof), *more]
        return send(self.port, "GET", target, headers, tls=self.tls)

    def token(self, url: str, *more: tuple[str, str]) -> Answer:
        headers = [
            ("DPoP", self.prove(url=url)),
            ("Authorization", basic("confidential", "secret")),
            FORM,
            *more,
        ]
        form = b"grant_type=client_credentials"
        return send(self.port, "POST", "/as/token", headers, body=form, tls=self.tls)


@pytest.fixture(scope="module")
def prefixed(
    tmp_path_factory: Any, ec_key: ECKey, other_ec_key: ECKey
) -> Iterator[Prefixed]:
    clock, directory = Clock(), tmp_path_factory.mktemp("proxy")
    (port,) = free_ports(1)
    url = f"https://127.0.0.1:{port}"
    certificate = write_certificate(directory)
    tls = ssl.create_default_context(cadata=certificate)
    with_certificate = ssl.create_default_context(cadata=certificate)
    with_certificate.load_cert_chain(
        directory / "certificate.pem", directory / "key.pem"
    )
    world = World(
        clock=clock,
        key=ec_key,
        other_key=other_ec_key,
        issuer_key=other_ec_key,
        public_url=f"{url}/shop",
        client_certificate=ClientCertificate(header=CERTIFICATE_FIELD),
    )
    sim = Simulator(clock, public_url=f"{url}/as")
    with serving(world.wsgi_app()) as shop, serving(sim.app) as authorization_server:
        servers = tls_server(port, directory, shop=shop, **{"as": authorization_server})
        with nginx(directory, servers, ports=[port]):
            yield Prefixed(
                port=port,
                tls=tls,
                with_certificate=with_certificate,
                certificate=certificate,
                world=world,
                prove=Prover(ec_key, clock),
            )


@pytest.mark.requirement("N-18", "U-3")
def test_the_public_url_has_the_prefix_that_the_proxy_removes(
    prefixed: Prefixed,
) -> None:
    shop = f"{prefixed.url}/shop"
    assert prefixed.api(f"{shop}/orders", "/shop/orders").status == 200
    for url in (
        f"{prefixed.url}/orders",
        f"{shop}/shop/orders",
        f"http://127.0.0.1:{prefixed.port}/shop/orders",
        "https://127.0.0.1/shop/orders",
    ):
        assert prefixed.api(url, "/shop/orders").status == 401
    assert prefixed.token(f"{prefixed.url}/as/token").json["token_type"] == "DPoP"
    refused = prefixed.token(f"{prefixed.url}/token")
    assert (refused.status, refused.json["error"]) == (400, "invalid_dpop_proof")


@pytest.mark.requirement("N-6")
def test_escapes_survive_the_removal_of_the_prefix(prefixed: Prefixed) -> None:
    shop = f"{prefixed.url}/shop"
    for path in ("/a%2Fb", "/a%2fb/..", "/a//b", "/a%252Fb?q=%2F"):
        assert prefixed.api(shop + path, f"/shop{path}").status == 200
    assert prefixed.api(f"{shop}/a/b", "/shop/a%2Fb").status == 401
    assert prefixed.api(f"{shop}/a%2Fb", "/shop/a/b").status == 401


@pytest.mark.requirement("N-18")
@pytest.mark.parametrize("forged", FORGERIES)
def test_forgeries_get_through_the_proxy_and_change_nothing(
    prefixed: Prefixed, forged: list[tuple[str, str]]
) -> None:
    good, path = f"{prefixed.url}/shop/orders", "/shop/orders"
    assert prefixed.api(good, path, *forged).status == 200
    assert prefixed.token(f"{prefixed.url}/as/token", *forged).status == 200
    for url in ("https://evil.example", "https://evil.example/evil"):
        assert prefixed.api(f"{url}/orders", path, *forged).status == 401
        assert prefixed.api(f"{url}/shop/orders", path, *forged).status == 401
        assert prefixed.token(f"{url}/token", *forged).status == 400


@pytest.mark.requirement("B-9")
def test_the_certificate_of_the_client_comes_through_and_no_other(
    prefixed: Prefixed,
) -> None:
    der = ssl.PEM_cert_to_DER_cert(prefixed.certificate)
    thumbprint = b64url_encode(hashlib.sha256(der).digest())
    world, url = prefixed.world, f"{prefixed.url}/shop/orders"

    def status(tls: ssl.SSLContext, *more: tuple[str, str]) -> int:
        text = world.token(cnf={"jkt": world.jkt, "x5t#S256": thumbprint})
        proof = world.proof(text, url=url)
        headers = [("Authorization", f"DPoP {text}"), ("DPoP", proof), *more]
        return send(prefixed.port, "GET", "/shop/orders", headers, tls=tls).status

    forged = (CERTIFICATE_FIELD, quote(prefixed.certificate))
    assert status(prefixed.with_certificate) == 200
    assert status(prefixed.with_certificate, (CERTIFICATE_FIELD, "x")) == 200
    assert status(prefixed.tls) == 401
    assert status(prefixed.tls, forged) == 401
    assert status(prefixed.tls, (CERTIFICATE_FIELD.replace("-", "_"), forged[1])) == 401
