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

from demo_client.browser import TIMEOUT, DemoError
from demo_server.process_environment import LISTENER_VARIABLE
from dpop_ext import DPoPError
from dpop_ext.client import Servers as ServersOfClient
from dpop_ext.client.resource_metadata import ResourceMetadata
from dpop_ext.client.server_metadata import ServerMetadata
from dpop_ext.integrations.requests_client import Discovery, OAuth2Session

_STOP_TIMEOUT = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where the servers are, and what they say about themselves."""

    authorization: ServerMetadata
    api: ResourceMetadata
    rs_url: str
    #: With which the operator's commands find the same database.
    environment: Mapping[str, str]

    @property
    def issuer(self) -> str:
        """The issuer identifier of the authorization server."""
        return self.authorization.issuer

    @property
    def resource(self) -> str:
        """The identifier of the resource server."""
        return self.api.resource

    @property
    def has_symmetric_keys(self) -> bool:
        """Whether the authorization server issues symmetric keys."""
        return bool(self.authorization.symmetric_algorithms)

    @property
    def has_tickets(self) -> bool:
        """Whether the resource server gives symmetric keys of its own."""
        return "ticket" in self.api.symmetric_modes

    @property
    def derives_keys(self) -> bool:
        """Whether both servers derive symmetric keys from a secret that they share."""
        return self.has_symmetric_keys and "derived" in self.api.symmetric_modes

    def keep_answers(self, session: OAuth2Session) -> list[requests.Response]:
        """Return the list of what the authorization server answers from now on."""
        answers: list[requests.Response] = []

        def keep(answer: requests.Response, **_options: Any) -> None:
            if str(answer.request.url).startswith(f"{self.issuer}/"):
                answers.append(answer)

        session.hooks["response"].append(keep)
        return answers

    def session(self, client_id: str, **options: Any) -> OAuth2Session:
        """Make a session of what the servers offer, tickets left out.

        Those are for a step of their own, and would take the place of other proofs.
        """
        return OAuth2Session.for_servers(
            ServersOfClient(authorization=self.authorization),
            client_id,
            resource=self.resource,
            refresh="foreground",
            default_timeout=TIMEOUT,
            **options,
        )


def discover(as_url: str, rs_url: str, environment: Mapping[str, str]) -> Servers:
    """Read the metadata of both servers (:rfc:`8414`, :rfc:`9728`).

    :raises DemoError: a server does not answer, or not as the one that was asked.
    """
    try:
        found = Discovery().servers(issuer=as_url, resource=rs_url)
    except requests.RequestException as error:
        raise DemoError(
            "No answer: start the servers with python -m demo_server, or name them "
            "with --as-url and --rs-url."
        ) from error
    except (DPoPError, ValueError) as error:
        raise DemoError(f"The servers cannot be used: {error}") from error
    assert found.resource is not None  # noqa: S101  it was asked for
    return Servers(
        authorization=found.authorization,
        api=found.resource,
        rs_url=rs_url,
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
        timeout=TIMEOUT,
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
        stop(process)
        directory.cleanup()


@contextmanager
def second_node(servers: Servers) -> Iterator[str]:
    """Start the same resource server once more, in another process; yield its URL.

    :raises DemoError: it did not start.
    """
    environment = {
        **os.environ,
        **servers.environment,
        "DPOP_DEMO_ISSUER": servers.issuer,
        "DPOP_DEMO_RESOURCE": servers.resource,
    }
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Handed down: a port that is free now may be taken when the process wants it.
        port, descriptor = listener.getsockname()[1], listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "demo_server", "rs", "--rs-port", str(port)],
            env={**environment, LISTENER_VARIABLE: str(descriptor)},
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[descriptor],
        )
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line.strip():
            raise DemoError("The second process of the resource server did not start.")
        yield f"{urlsplit(servers.rs_url).scheme}://127.0.0.1:{port}"
    finally:
        stop(process)


def stop(process: subprocess.Popen[str]) -> None:
    """End a server. One that takes too long, on a busy machine, is killed."""
    with process:
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
