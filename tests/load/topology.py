"""Two AS and four RS processes of one machine, behind nginx."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import requests
from joserfc.jwk import ECKey

from tests.engines import free_ports, wait_until
from tests.integrations.reverse_proxy import nginx
from tests.patience import PATIENCE

ROOT = Path(__file__).parent.parent.parent
AS_WORKERS = 2
RS_WORKERS = 4
CLIENT_ID = "load"
#: With which the client signs its assertions.
CLIENT_KEY = ECKey.generate_key("P-256", {"kid": "k1"})

_SERVER = """
upstream {name} {{ server 127.0.0.1:{upstream}; keepalive 64; }}
server {{
    listen 127.0.0.1:{port};
    location / {{
        proxy_pass http://{name};
        proxy_http_version 1.1;
        proxy_set_header Connection "";
    }}
}}
"""


@dataclass(frozen=True, kw_only=True)
class Topology:
    """Where the servers are, as their clients see them."""

    issuer: str
    resource: str
    #: The nonce secrets of each server.
    nonces: dict[str, Path]
    #: The database of the ticket keys.
    tickets: Path
    #: With which the commands of an operator find the same servers.
    environment: dict[str, str]
    #: Of the master process of each server.
    processes: dict[str, int]

    def workers(self) -> dict[int, str]:
        """Return the worker processes there are now, and of which server each is."""
        masters = {pid: role for role, pid in self.processes.items()}
        found = {}
        for status in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                # The name in brackets may hold anything.
                parent = int(status.read_text().rpartition(")")[2].split()[1])
                if parent in masters:
                    found[int(status.parent.name)] = masters[parent]
        return found

    def memory(self) -> dict[int, int]:
        """Return the resident memory of each worker process, in kilobytes."""
        sizes = {}
        for pid in self.workers():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    sizes[pid] = int(line.split()[1])
        return sizes


@contextlib.contextmanager
def running(directory: Path, **options: str) -> Iterator[Topology]:
    """Start the servers and the proxy; stop them in the end.

    :param options: further options of both servers, and of the commands of operators.
    """
    as_port, rs_port, as_public, rs_public = free_ports(4)
    issuer = f"http://127.0.0.1:{as_public}"
    resource = f"http://127.0.0.1:{rs_public}"
    clients = directory / "clients.json"
    entry = {
        "client_id": CLIENT_ID,
        "jwks": {"keys": [CLIENT_KEY.as_dict(private=False)]},
        "grant_types": ["client_credentials"],
    }
    clients.write_text(json.dumps([entry]))
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DPOP_DEMO_AS_PORT": str(as_port),
        "DPOP_DEMO_RS_PORT": str(rs_port),
        "DPOP_DEMO_ISSUER": issuer,
        "DPOP_DEMO_RESOURCE": resource,
        "DPOP_DEMO_DATABASE": f"sqlite:///{directory}/demo.sqlite3",
        "DPOP_DEMO_KEYS": str(directory / "keys"),
        "DPOP_DEMO_RS_KEYS": str(directory / "rs-keys"),
        "DPOP_EXT_DATABASE": f"sqlite:///{directory}/demo.sqlite3",
        "DPOP_EXT_KEY_FILE": str(directory / "keys" / "database.key"),
        "DPOP_DEMO_CLIENTS": str(clients),
        "DPOP_DEMO_LOG_LEVEL": "warning",
        **{f"DPOP_DEMO_{name.upper()}": value for name, value in options.items()},
    }
    configuration = _SERVER.format(name="as", port=as_public, upstream=as_port)
    configuration += _SERVER.format(name="rs", port=rs_public, upstream=rs_port)
    with contextlib.ExitStack() as stack:
        processes = {}
        jwks = _operate(environment, "rs-jwks")
        for role, workers in ("as", AS_WORKERS), ("rs", RS_WORKERS):
            arguments = ["--workers", str(workers)]
            path = directory / f"{role}.log"
            log = stack.enter_context(path.open("ab"))
            process = subprocess.Popen(
                [sys.executable, "-m", "demo_server", role, *arguments],
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            stack.callback(_stop, process)
            processes[role] = process.pid
            name = "authorization-server" if role == "as" else "protected-resource"
            port = as_port if role == "as" else rs_port
            url = f"http://127.0.0.1:{port}/.well-known/oauth-{name}"
            answers = partial(_answers, process, url, path)
            wait_until(answers, what=f"{role} answers", log=path)
            if role == "as":
                command = ("register-resource-server", "--jwks", "-")
                _operate(environment, *command, stdin=jwks)
        stack.enter_context(
            nginx(directory, configuration, ports=[as_public, rs_public])
        )
        yield Topology(
            issuer=issuer,
            resource=resource,
            nonces={
                "as": directory / "keys" / "nonces-as.json",
                "rs": directory / "rs-keys" / "nonces.json",
            },
            tickets=directory / "rs-keys" / "tickets.sqlite3",
            environment=environment,
            processes=processes,
        )


def _operate(environment: dict[str, str], *arguments: str, stdin: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-m", "demo_server", *arguments],
        env=environment,
        input=stdin,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _answers(process: subprocess.Popen[bytes], url: str, log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        return requests.get(url, timeout=PATIENCE).ok
    except requests.RequestException:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
