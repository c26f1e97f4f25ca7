"""The demo servers as processes: start, stop, rotation, and requests in parallel."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from joserfc.jwk import ECKey

from demo_server import demo_data
from demo_server.database import Database
from demo_server.supervisor import DemoServer
from dpop_ext import ProofSigner
from dpop_ext.core.proof_making import make_proof
from dpop_ext.integrations.requests_client import OAuth2Session
from tests.demo.parties import CHALLENGE, code_form, hidden_fields, query_of
from tests.engines import wait_until
from tests.patience import PATIENCE

ROOT = Path(__file__).parent.parent.parent


@contextmanager
def command(*arguments: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "demo_server", *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def run(*arguments: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "demo_server", *arguments],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def read_urls(process: subprocess.Popen[str], count: int) -> list[str]:
    """Read what it prints once it answers; if it ends instead, what it says of that."""
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(count)]
    if not all(lines):
        process.kill()
        _, log = process.communicate()
        pytest.fail(f"the servers did not start: {lines}\n{log}")
    return [line.split()[-1] for line in lines]


def answers(url: str) -> bool:
    try:
        requests.get(url, timeout=PATIENCE)
    except requests.RequestException:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_servers_start_and_stop_with_one_command(
    tmp_path: Path, number: signal.Signals
) -> None:
    environ = {
        "DPOP_DEMO_AS_PORT": "0",
        "DPOP_DEMO_DATABASE": f"sqlite:///{tmp_path}/x.db",
    }
    with command("--rs-port", "0", **environ) as process:
        as_url, rs_url, page_url = read_urls(process, 3)
        assert requests.get(page_url, timeout=PATIENCE).status_code == 200
        metadata = requests.get(
            f"{as_url}/.well-known/oauth-authorization-server", timeout=PATIENCE
        ).json()
        assert metadata["issuer"] == as_url
        metadata = requests.get(
            f"{rs_url}/.well-known/oauth-protected-resource", timeout=PATIENCE
        ).json()
        assert metadata["resource"] == rs_url
        process.send_signal(number)
        _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "Traceback" not in log
    for url in as_url, rs_url, page_url:
        assert not answers(url)


def test_the_servers_do_not_outlive_the_supervisor(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/x.db"
    options = ["--as-port=0", "--rs-port=0", f"--database={database}"]
    with command(*options) as process:
        urls = read_urls(process, 2)
        process.kill()
    wait_until(
        lambda: not any(answers(url) for url in urls), what="the servers have ended"
    )


def test_a_taken_port_is_one_line_that_names_the_option(tmp_path: Path) -> None:
    database = f"--database=sqlite:///{tmp_path}/x.db"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for option, arguments in (
            ("--as-port", ["--rs-port=0"]),
            ("--rs-port", ["rs"]),
        ):
            done = run(
                *arguments, f"{option}={port}", database, environ=dict(os.environ)
            )
            assert done.returncode == 1
            assert done.stderr == (
                f"demo_server: {option}: port {port} is taken; 0 picks a free one\n"
            )
    assert list(tmp_path.iterdir()) == []


def test_as_and_rs_can_start_alone_and_at_once(tmp_path: Path) -> None:
    database = f"--database=sqlite:///{tmp_path}/x.db"
    resource = "http://localhost:1"
    with (
        command("as", "--as-port=0", f"--resource={resource}", database) as as_process,
        command("rs", "--rs-port=0", f"--resource={resource}", database) as rs_process,
    ):
        (as_url,) = read_urls(as_process, 1)
        (rs_url,) = read_urls(rs_process, 1)
        assert answers(as_url)
        assert rs_url == resource
        for process in as_process, rs_process:
            process.terminate()
            process.communicate(timeout=PATIENCE)
            assert process.returncode == 0


def test_many_processes_can_create_the_tables_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from demo_server.database import Database\n"
        "database = Database(sys.argv[1]); sys.stdin.read(1)\n"
        "database.create_schema(); database.close()"
    )
    url = f"sqlite:///{tmp_path}/x.db"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, url], cwd=ROOT, stdin=subprocess.PIPE
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    assert [process.wait(timeout=PATIENCE) for process in processes] == [0] * 3
    database = Database(url)
    database.create_schema()
    database.close()


def open_session(server: DemoServer) -> OAuth2Session:
    session = OAuth2Session(
        "demo-confidential",
        demo_data.CONFIDENTIAL_SECRET,
        dpop=ProofSigner.generate(symmetric="never"),
        token_endpoint=f"{server.as_url}/token",
        issuer=server.settings.issuer_url,
        resource=server.settings.resource_url,
    )
    session.fetch_token(grant_type="client_credentials")
    return session


def test_the_raw_target_goes_through(demo_server: DemoServer) -> None:
    target = "/api/echo//a%2Fb%20c/%7e?x=%20&y"
    with open_session(demo_server) as session:
        answer = session.request("PATCH", f"{demo_server.rs_url}{target}")
    assert answer.status_code == 200
    assert answer.json() == {
        "method": "PATCH",
        "target": requests.Request("GET", demo_server.rs_url + target)
        .prepare()
        .path_url,
        "proof": "asymmetric",
    }
    assert "%2F" in answer.json()["target"]


def raw_exchange(url: str, request: bytes) -> bytes:
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    return answer


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"secret-token\r\n\r\n", 400),
        (b"GET /secret-token HTTP/9.9\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nAuthorization secret-token\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nDPoP: " + b"secret-token" * 3000 + b"\r\n\r\n", 431),
        (b"GET /" + b"secret-token" * 3000 + b" HTTP/1.1\r\n\r\n", 414),
    ],
)
def test_what_is_no_http_request_is_not_repeated(
    demo_server: DemoServer, request_bytes: bytes, status: int
) -> None:
    for url in demo_server.as_url, demo_server.rs_url:
        answer = raw_exchange(url, request_bytes)
        assert answer.split()[1] == str(status).encode()
        assert b"secret-token" not in answer


def test_fields_of_a_proxy_are_not_believed(demo_server: DemoServer) -> None:
    fields = {
        "Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example",
        "SCRIPT_NAME": "/evil",
    }
    url = f"{demo_server.rs_url}/api/accounts"
    challenge = requests.get(url, headers=fields, timeout=PATIENCE)
    assert challenge.status_code == 401
    assert "evil" not in challenge.headers["WWW-Authenticate"]
    assert demo_server.rs_url in challenge.headers["WWW-Authenticate"]


def test_a_proof_of_8_kib_gets_the_answer_of_the_protocol(
    demo_server: DemoServer,
) -> None:
    fields = {"Authorization": "DPoP " + "a" * 16_384, "DPoP": "b" * 9000}
    answer = requests.get(
        f"{demo_server.rs_url}/api/accounts", headers=fields, timeout=PATIENCE
    )
    assert answer.status_code == 401


def test_rotated_signing_keys_leave_old_tokens_good(demo_server: DemoServer) -> None:
    with open_session(demo_server) as before:
        url = f"{demo_server.rs_url}/api/accounts"
        assert before.get(url).status_code == 200
        jwks = requests.get(f"{demo_server.as_url}/jwks", timeout=PATIENCE).json()
        done = run("keys", "rotate", environ=demo_server.environment)
        assert done.returncode == 0, done.stderr
        kid = done.stdout.splitlines()[0].split()[-1]
        now = requests.get(f"{demo_server.as_url}/jwks", timeout=PATIENCE).json()
        kids = [key["kid"] for key in now["keys"]]
        assert kids == [kid, *(key["kid"] for key in jwks["keys"])]
        with open_session(demo_server) as after:
            # The resource server fetches the new key once a second at most.
            wait_until(
                lambda: after.get(url).status_code == 200, what="the new key is known"
            )
        assert before.get(url).status_code == 200


@pytest.fixture
def own_servers() -> Iterator[DemoServer]:
    """Servers that the test may spoil."""
    with DemoServer() as server:
        yield server


def test_the_operator_sees_and_rotates_derivation_secrets(
    own_servers: DemoServer,
) -> None:
    # They issue no keys once it has run.
    def operate(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "dpop_ext", "secrets", *arguments],
            env=own_servers.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def states() -> list[str]:
        (found,) = json.loads(operate("list", "--json"))
        assert found["audience"] == own_servers.settings.resource_url
        assert found["issuer"] == own_servers.settings.issuer_url
        return [version["state"] for version in found["versions"]]

    with open_session(own_servers) as client:
        url = f"{own_servers.rs_url}/api/accounts"
        assert client.get(url).status_code == 200
        assert states() == ["active"]
        operate("rotate")
        assert states() == ["active", "pending"]
        operate("revoke", "1", "--yes")
        assert states() == ["revoked", "pending"]
        # Before and after the resource server knows.
        for _ in range(20):
            assert client.get(url).status_code == 200


def test_the_servers_share_no_file_and_no_database(demo_server: DemoServer) -> None:
    processes = demo_server._processes
    environs = {
        role: Path(f"/proc/{process.pid}/environ").read_bytes()
        for role, process in processes.items()
    }
    directory = demo_server.settings.rs_keys_directory
    assert str(directory).encode() in environs["rs"]
    assert str(directory).encode() not in environs["as"]
    database = demo_server.settings.database.removeprefix("sqlite:///").encode()
    assert database in environs["as"]
    assert database not in environs["rs"]
    keys = str(demo_server.settings.keys_directory).encode()
    assert keys not in environs["rs"]


def test_the_keys_of_a_resource_server_are_registered_by_command(
    demo_server: DemoServer, tmp_path: Path
) -> None:
    environ = {**demo_server.environment, "DPOP_DEMO_RS_KEYS": str(tmp_path)}
    shown = run("rs-jwks", environ=environ)
    assert shown.returncode == 0, shown.stderr
    keys = json.loads(shown.stdout)["keys"]
    assert {key["use"] for key in keys} == {"sig", "enc"}
    assert not any("d" in key for key in keys)
    file = tmp_path / "public.jwks"
    file.write_text(shown.stdout)
    database = f"sqlite:///{tmp_path}/other.sqlite3"
    environ |= {"DPOP_DEMO_DATABASE": database}
    done = run("register-resource-server", "--jwks", str(file), environ=environ)
    assert done.returncode == 0, done.stderr
    resource = demo_server.settings.resource_url
    assert done.stdout == f"registered demo-resource-server for {resource}\n"
    private = (tmp_path / "resource-server.json").read_text()
    for content, reason in (
        ('{"keys": ' + private + "}", "a private key"),
        ("{", "not JSON"),
        ("[]", "not a JWK Set"),
        ('{"keys": [' + json.dumps(keys[0]) + "]}", 'one key with "use": "sig"'),
    ):
        file.write_text(content)
        done = run("register-resource-server", "--jwks", str(file), environ=environ)
        assert done.returncode == 1
        assert f"--jwks: {reason}" in done.stderr
    done = run("register-resource-server", "--jwks", "nowhere", environ=environ)
    assert "--jwks: nowhere cannot be read" in done.stderr


def get_code(server: DemoServer) -> str:
    """Get a code for the public client, bound to no key."""
    with requests.Session() as browser:
        page = browser.get(
            f"{server.as_url}/authorize",
            params={
                "response_type": "code",
                "client_id": "demo-public",
                "redirect_uri": code_form("")["redirect_uri"],
                "scope": "accounts",
                "code_challenge": CHALLENGE,
                "code_challenge_method": "S256",
            },
            timeout=PATIENCE,
        )
        form = {**hidden_fields(page.text), "username": "alice"}
        form["password"] = demo_data.PASSWORD
        page = browser.post(f"{server.as_url}/login", data=form, timeout=PATIENCE)
        token = hidden_fields(page.text)["csrf_token"]
        answer = browser.post(
            page.url,
            data={"csrf_token": token, "decision": "allow"},
            allow_redirects=False,
            timeout=PATIENCE,
        )
    return query_of(answer.headers["Location"])["code"]


def post_in_parallel(
    server: DemoServer, form: dict[str, str], count: int
) -> list[dict[str, Any]]:
    """Send the same form with *count* different proofs by one key, all at once."""
    url, key = f"{server.as_url}/token", ECKey.generate_key("P-256")
    nonce = requests.post(
        url, data=form, headers={"DPoP": _proof(key, url)}, timeout=PATIENCE
    )
    assert nonce.json()["error"] == "use_dpop_nonce"
    proofs = [_proof(key, url, nonce.headers["DPoP-Nonce"]) for _ in range(count)]
    start = threading.Barrier(count)
    bodies: list[dict[str, Any]] = []

    def post(proof: str) -> None:
        start.wait(timeout=PATIENCE)
        answer = requests.post(
            url, data=form, headers={"DPoP": proof}, timeout=PATIENCE
        )
        bodies.append(json.loads(answer.text))

    threads = [threading.Thread(target=post, args=(proof,)) for proof in proofs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return bodies


def _proof(key: ECKey, url: str, nonce: str | None = None) -> str:
    return make_proof(
        key,
        algorithm="ES256",
        method="POST",
        url=url,
        now=int(time.time()),
        nonce=nonce,
    )


@pytest.mark.requirement("X-5")
def test_of_parallel_redemptions_exactly_one_succeeds(demo_server: DemoServer) -> None:
    bodies = post_in_parallel(demo_server, code_form(get_code(demo_server)), 6)
    assert sum("access_token" in body for body in bodies) == 1
    assert sum(body.get("error") == "invalid_grant" for body in bodies) == 5


def test_of_parallel_refreshes_exactly_one_succeeds(demo_server: DemoServer) -> None:
    # No proof at the first: the refresh token may be refreshed with any key once.
    form = code_form(get_code(demo_server))
    first = requests.post(
        f"{demo_server.as_url}/token", data=form, timeout=PATIENCE
    ).json()
    form = {
        "grant_type": "refresh_token",
        "client_id": "demo-public",
        "refresh_token": first["refresh_token"],
    }
    bodies = post_in_parallel(demo_server, form, 6)
    assert sum("access_token" in body for body in bodies) == 1
    assert sum(body.get("error") == "invalid_grant" for body in bodies) == 5
