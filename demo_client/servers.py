"""The servers that the demo talks to, and the operator's commands for them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from demo_client.browser import DemoError

_TIMEOUT = 30
_STOP_TIMEOUT = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where the servers are, and what they say about themselves."""

    as_metadata: Mapping[str, Any]
    rs_metadata: Mapping[str, Any]
    rs_url: str
    resource: str
    #: With which the operator's commands find the same database.
    environment: Mapping[str, str]

    @property
    def issuer(self) -> str:
        """The issuer identifier of the authorization server."""
        return str(self.as_metadata["issuer"])

    @property
    def has_symmetric_keys(self) -> bool:
        """Whether the authorization server issues symmetric keys."""
        return "dpop_symmetric_alg_values_supported" in self.as_metadata

    @property
    def has_tickets(self) -> bool:
        """Whether the resource server gives symmetric keys of its own."""
        return "ticket" in self.symmetric_modes

    @property
    def derives_keys(self) -> bool:
        """Whether both servers derive symmetric keys from a secret that they share."""
        return self.has_symmetric_keys and "derived" in self.symmetric_modes

    @property
    def symmetric_modes(self) -> tuple[str, ...]:
        """How the resource server gets at symmetric keys, if it takes any."""
        return tuple(self.rs_metadata.get("dpop_symmetric_modes_supported", ()))


def discover(as_url: str, rs_url: str, environment: Mapping[str, str]) -> Servers:
    """Read the metadata of both servers (:rfc:`8414`, :rfc:`9728`).

    :raises DemoError: a server does not answer.
    """
    as_metadata = _get(f"{as_url}/.well-known/oauth-authorization-server")
    rs_metadata = _get(f"{rs_url}/.well-known/oauth-protected-resource")
    return Servers(
        as_metadata=as_metadata,
        rs_metadata=rs_metadata,
        rs_url=rs_url,
        resource=rs_metadata["resource"],
        environment=environment,
    )


def operate(servers: Servers, *arguments: str) -> str:
    """Run ``dpop-ext secrets`` as the operator does; return what it printed.

    :raises DemoError: it failed.
    """
    result = subprocess.run(
        [sys.executable, "-m", "dpop_ext", "secrets", *arguments],
        env={**os.environ, **servers.environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT,
    )
    if result.returncode:
        raise DemoError(f"The command failed: {result.stderr.strip()}")
    return result.stdout.strip()


@contextmanager
def second_resource_server(servers: Servers) -> Iterator[str]:
    """Start another resource server of the same issuer; yield its URL.

    :raises DemoError: it did not start.
    """
    environment = {**os.environ, **servers.environment}
    # Its audience follows from its port.
    environment.pop("DPOP_DEMO_RESOURCE", None)
    directory = tempfile.TemporaryDirectory(prefix="dpop-demo-rs-")
    environment |= {
        "DPOP_DEMO_ISSUER": servers.issuer,
        "DPOP_DEMO_RS_KEYS": directory.name,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "demo_server", "rs", "--rs-port", "0"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline() if process.stdout else ""
        url = line.split()[-1] if line.strip() else ""
        if not url.startswith("http"):
            raise DemoError("The second resource server did not start.")
        yield url
    finally:
        process.terminate()
        process.wait(_STOP_TIMEOUT)
        if process.stdout:
            process.stdout.close()
        directory.cleanup()


@contextmanager
def second_node(servers: Servers) -> Iterator[str]:
    """Start the same resource server once more, in another process; yield its URL.

    :raises DemoError: it did not start.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = {
        **os.environ,
        **servers.environment,
        "DPOP_DEMO_ISSUER": servers.issuer,
        "DPOP_DEMO_RESOURCE": servers.resource,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "demo_server", "rs", "--rs-port", str(port)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line.strip():
            raise DemoError("The second process of the resource server did not start.")
        yield f"{urlsplit(servers.rs_url).scheme}://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(_STOP_TIMEOUT)
        if process.stdout:
            process.stdout.close()


def _get(url: str) -> dict[str, Any]:
    try:
        response = requests.get(url, timeout=_TIMEOUT)
        response.raise_for_status()
        document: dict[str, Any] = response.json()
    except (requests.RequestException, ValueError) as error:
        raise DemoError(
            f"No answer from {url}: start the servers with python -m demo_server, or "
            "name them with --as-url and --rs-url."
        ) from error
    return document
