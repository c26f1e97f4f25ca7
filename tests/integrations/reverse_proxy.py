"""nginx as a reverse proxy, and a client that sends exactly what it is told to."""

from __future__ import annotations

import datetime as dt
import http.client
import ipaddress
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from joserfc.jwk import ECKey
from werkzeug.serving import make_server

from tests.engines import wait_until
from tests.patience import PATIENCE
from tests.programs import need_program

_CONFIGURATION = """
daemon off;
master_process off;
error_log stderr;
pid {directory}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    # The worst that can be configured: whatever a client sends gets through.
    proxy_set_header Host $http_host;
    {servers}
}}
"""

#: Trap: nginx decodes %2F for a proxy_pass with a path of its own, and quotes it twice
#: in "$1". A named group is sent as it is.
_PREFIX = """
location /{name}/ {{
    if ($request_uri ~ "^(?:https?://[^/]+)?/{name}(?<{name}_rest>/.*)$") {{ }}
    proxy_pass http://127.0.0.1:{port}${name}_rest;
}}
"""


#: The header field in which nginx hands on the certificate of a client.
CERTIFICATE_FIELD = "X-Client-Certificate"


def server(port: int, upstream: int) -> str:
    """Return the configuration of a server that hands on everything."""
    return f"""
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://127.0.0.1:{upstream}; }}
    }}
    """


def tls_server(port: int, directory: Path, **upstreams: int) -> str:
    """Return the configuration of a server that ends TLS and removes prefixes."""
    locations = "".join(
        _PREFIX.format(name=name, port=upstream) for name, upstream in upstreams.items()
    )
    return f"""
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {directory}/certificate.pem;
        ssl_certificate_key {directory}/key.pem;
        # Whatever certificate a client shows: RFC 8705 asks only which one it is.
        ssl_verify_client optional_no_ca;
        proxy_set_header Host $http_host;
        proxy_set_header {CERTIFICATE_FIELD} $ssl_client_escaped_cert;
        {locations}
    }}
    """


@contextmanager
def nginx(directory: Path, servers: str, *, ports: list[int]) -> Iterator[None]:
    """Run nginx until the end of the block."""
    program = need_program("nginx", package="nginx-light")
    configuration = directory / "nginx.conf"
    configuration.write_text(
        _CONFIGURATION.format(directory=directory, servers=servers)
    )
    path = directory / "log"
    with path.open("ab") as log:
        process = subprocess.Popen(
            [str(program), "-p", str(directory), "-c", str(configuration), "-e", "log"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def listens() -> bool:
        assert process.poll() is None, path.read_text()
        return all(_is_open(port) for port in ports)

    try:
        wait_until(listens, what="nginx answers", log=path)
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


def write_certificate(directory: Path) -> str:
    """Write a key and a certificate for this machine; return it, as PEM."""
    private = ECKey.generate_key("P-256").private_key
    assert private is not None
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "proxy")])
    start = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(
            name, name, private.public_key(), 1, start, start + dt.timedelta(days=1)
        )
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (directory / "certificate.pem").write_bytes(pem)
    (directory / "key.pem").write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pem.decode()


@contextmanager
def serving(app: Any) -> Iterator[int]:
    """Serve a WSGI application on a free loopback port, and return the port."""
    http_server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=http_server.serve_forever)
    thread.start()
    try:
        yield http_server.server_port
    finally:
        http_server.shutdown()
        thread.join()
        http_server.server_close()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage = field(repr=False)
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def send(
    port: int,
    method: str,
    target: str,
    headers: list[tuple[str, str]],
    *,
    body: bytes | None = None,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """Send one request, with the target and the header fields as they are given.

    There is a ``Host`` field for the port, unless *headers* has one.
    """
    connection: http.client.HTTPConnection
    if tls is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    else:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=PATIENCE, context=tls
        )
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        if not any(name == "Host" for name, _ in headers):
            connection.putheader("Host", f"127.0.0.1:{port}")
        for name, value in headers:
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return Answer(
            status=response.status, headers=response.headers, body=response.read()
        )
    finally:
        connection.close()


def _is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
