"""Requests octet by octet to the demo servers, as gunicorn hands them on (RFC 9112)."""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from joserfc.jwk import ECKey

from demo_server import demo_data
from demo_server.supervisor import DemoServer
from dpop_ext.core.proof_making import make_proof
from dpop_ext.core.request_digest import content_digest, query_digest
from tests.patience import PATIENCE

CREDENTIALS = base64.b64encode(
    f"demo-confidential:{demo_data.CONFIDENTIAL_SECRET}".encode()
)


class Wire:
    """A client that writes what it likes, with a good token."""

    def __init__(self, server: DemoServer, key: ECKey) -> None:
        self.server = server
        self.key = key
        self.nonces: dict[str, str] = {}
        token_url = f"{server.as_url}/token"
        for _ in range(2):
            answer = requests.post(
                token_url,
                data={"grant_type": "client_credentials"},
                auth=("demo-confidential", demo_data.CONFIDENTIAL_SECRET),
                headers={"DPoP": self.prove("POST", token_url)},
                timeout=PATIENCE,
            )
            self.nonces[server.as_url] = answer.headers.get("DPoP-Nonce", "")
        self.token = answer.json()["access_token"]
        answer = requests.get(
            f"{server.rs_url}/api/accounts",
            headers={
                "Authorization": f"DPoP {self.token}",
                "DPoP": self.prove("GET", f"{server.rs_url}/api/accounts"),
            },
            timeout=PATIENCE,
        )
        self.nonces[server.rs_url] = answer.headers["DPoP-Nonce"]

    def prove(
        self, method: str, url: str, claims: Mapping[str, Any] | None = None
    ) -> str:
        parts = urlsplit(url)
        return make_proof(
            self.key,
            algorithm="ES256",
            method=method,
            url=url,
            now=int(time.time()),
            access_token=getattr(self, "token", None),
            nonce=self.nonces.get(f"{parts.scheme}://{parts.netloc}"),
            claims=claims,
        )

    def send(self, base: str, octets: bytes) -> bytes:
        """Send what is given; return the status line of the first answer."""
        parts = urlsplit(base)
        assert parts.hostname is not None
        with socket.create_connection((parts.hostname, parts.port), 10) as connection:
            connection.sendall(octets)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := connection.recv(65_536):
                answer += piece
        return answer.partition(b"\r\n")[0].removeprefix(b"HTTP/1.1 ")[:3]

    def get(self, target: str, claimed: str, more: str = "") -> bytes:
        """Send a request with a proof for another target, maybe."""
        proof = self.prove("GET", self.server.rs_url + claimed)
        return self.send(
            self.server.rs_url,
            f"GET {target} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n"
            f"Authorization: DPoP {self.token}\r\nDPoP: {proof}\r\n{more}\r\n".encode(),
        )


@pytest.fixture(scope="module")
def wire(demo_server: DemoServer, ec_key: ECKey) -> Wire:
    return Wire(demo_server, ec_key)


@pytest.mark.requirement("C-9", "N-6", "N-18")
@pytest.mark.parametrize(
    ("target", "claimed", "status"),
    [
        ("/api/accounts", "/api/accounts", b"200"),
        ("http://evil.example/api/accounts", "/api/accounts", b"200"),
        ("/api/accounts?x=/api/echo/#y", "/api/accounts", b"200"),
        ("http://evil.example/api/echo/?/api/accounts", "/api/accounts", b"401"),
        ("/api%2Faccounts", "/api/accounts", b"401"),
        ("/api/echo/%3F", "/api/echo/", b"401"),
        ("/api/echo/%23", "/api/echo/", b"401"),
        ("//evil.example/api/accounts", "/api/accounts", b"404"),
        ("/api/accounts;x", "/api/accounts", b"404"),
        ("ftp://evil.example/api/accounts", "/api/accounts", b"400"),
        ("api/accounts", "/api/accounts", b"400"),
        ("/api/acc\tounts", "/api/accounts", b"400"),
        ("/api/accounts\0", "/api/accounts", b"400"),
        ("*", "/api/accounts", b"400"),
    ],
)
def test_the_path_that_is_routed_is_the_path_that_is_proved(
    wire: Wire, target: str, claimed: str, status: bytes
) -> None:
    assert wire.get(target, claimed) == status


@pytest.mark.requirement("C-1", "H-4", "N-18")
@pytest.mark.parametrize(
    ("field", "status"),
    [
        ("DPoP: \r\n", b"401"),
        ("DPoP: x\r\n", b"401"),
        ("dpop: x\r\n", b"401"),
        ("D_PoP: x\r\n", b"200"),
        ("Authorization: DPoP x\r\n", b"400"),
        ("Host: also.example\r\n", b"400"),
        ("DPoP : x\r\n", b"400"),
        ("X: a\r\n DPoP: b\r\n", b"400"),
        ("X-Forwarded-Proto: https\r\nScript-Name: /x\r\nSCRIPT_NAME: /x\r\n", b"200"),
    ],
)
def test_a_second_field_is_no_way_around(wire: Wire, field: str, status: bytes) -> None:
    assert wire.get("/api/accounts", "/api/accounts", field) == status


@pytest.mark.parametrize("server", ["as", "rs"])
@pytest.mark.parametrize(
    ("fields", "body", "status"),
    [
        (b"Transfer-Encoding: chunked", b"zz\r\nx", b"400"),
        (b"Transfer-Encoding: chunked", b"-1\r\nx", b"400"),
        (b"Transfer-Encoding: chunked", b"ffffffffffffffff\r\nx", b"400"),
        (b"Transfer-Encoding: chunked", b"1\r\nxy", b"400"),
        (b"Transfer-Encoding: chunked", b"3", b"400"),
        (b"Transfer-Encoding: gzip, chunked", b"0\r\n\r\n", b"400"),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 4", b"0\r\n\r\n", b"400"),
        (b"Content-Length: 4\r\nContent-Length: 5", b"abcde", b"400"),
        (b"Content-Length: -1", b"", b"400"),
        (b"Content-Length: 99999999999999999999", b"", b"413"),
        (b"Content-Length: 30", b"x", b"400"),
    ],
)
def test_a_body_that_is_none_is_no_fault_of_the_server(
    wire: Wire, server: str, fields: bytes, body: bytes, status: bytes
) -> None:
    base = wire.server.as_url if server == "as" else wire.server.rs_url
    path, credentials = b"/token", b"Basic " + CREDENTIALS
    kind = b"application/x-www-form-urlencoded"
    if server == "rs":
        path, kind = b"/api/transfers", b"application/json"
        credentials = f"DPoP {wire.token}\r\nDPoP: ".encode()
        credentials += wire.prove("POST", f"{base}/api/transfers").encode()
    octets = (
        b"POST %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: %b\r\n"
        b"Content-Type: %b\r\n%b\r\n\r\n%b"
    ) % (path, credentials, kind, fields, body)
    assert wire.send(base, octets) == status


ORDER = b'{"to": "bob", "amount": 10}'
CHUNKS = b"5\r\n" + ORDER[:5] + b"\r\n16;x=y\r\n" + ORDER[5:] + b"\r\n0\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked"


@pytest.mark.requirement("R2141", "R2143", "R2144", "T21")
@pytest.mark.parametrize(
    ("target", "fields", "body", "status"),
    [
        (b"?a=%2F", b"Content-Length: 27", ORDER, b"201"),
        (b"?a=%2F", CHUNKED, CHUNKS, b"201"),
        (b"?a=%2F", CHUNKED, CHUNKS.replace(b"bob", b"eve"), b"401"),
        (b"?a=%2F", CHUNKED, b"0\r\n\r\n", b"401"),
        (b"?a=%2F", b"Content-Length: 27", ORDER.replace(b"bob", b"eve"), b"401"),
        (b"?a=%2F", b"Content-Length: 26", ORDER[:-1], b"401"),
        (b"?a=%2F", b"Content-Length: 0", b"", b"401"),
        (b"?a=%2F", b"Content-Length: 30", ORDER, b"400"),
        (b"?a=%2F", CHUNKED, CHUNKS[:-9], b"400"),
        (b"?a=%2F", b"Content-Length: 1048577", b"", b"413"),
        (b"?a=%2f", b"Content-Length: 27", ORDER, b"401"),
        (b"?a=/", b"Content-Length: 27", ORDER, b"401"),
        (b"", b"Content-Length: 27", ORDER, b"401"),
    ],
)
def test_content_and_query_are_hashed_as_they_come_over_the_wire(
    wire: Wire, target: bytes, fields: bytes, body: bytes, status: bytes
) -> None:
    claims = {"cd": content_digest(ORDER), "hq": query_digest("/?a=%2F")}
    base = wire.server.rs_url
    proof = wire.prove("POST", f"{base}/api/payments", claims)
    octets = (
        b"POST /api/payments%b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Authorization: DPoP %b\r\nDPoP: %b\r\nContent-Type: application/json\r\n"
        b"%b\r\n\r\n%b"
    ) % (target, wire.token.encode(), proof.encode(), fields, body)
    assert wire.send(base, octets) == status
