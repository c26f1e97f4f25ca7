"""Several worker processes are one server: what one has seen, all know."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from joserfc.jwk import ECKey
from redis import Redis

from demo_server.authorization_server import attempt_limit
from demo_server.settings import Settings
from demo_server.supervisor import DemoServer
from dpop_ext.core.client_assertion import ASSERTION_TYPE
from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.core.proof_making import make_proof
from tests import engines
from tests.demo.parties import code_form, hidden_fields
from tests.demo.test_server_processes import get_code, open_session, post_in_parallel
from tests.patience import PATIENCE

WORKERS = 4
REQUESTS = 40
#: For the stores of the servers, which would give up after half a second.
WAIT = f"socket_timeout={PATIENCE}&socket_connect_timeout={PATIENCE}"
SIGNER = ECKey.generate_key("P-256", {"kid": "k1"})


def settings(directory: Path, **options: Any) -> Settings:
    clients = directory / "clients.json"
    entry = {
        "client_id": "signer",
        "jwks": {"keys": [SIGNER.as_dict(private=False)]},
        "grant_types": ["client_credentials"],
    }
    clients.write_text(json.dumps([entry]))
    return Settings(
        **{
            "as_port": 0,
            "rs_port": 0,
            "database": f"sqlite:///{directory}/demo.sqlite3",
            "keys": directory / "keys",
            "clients": clients,
            "workers": WORKERS,
            "log_level": "warning",
            **options,
        }
    )


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "redis"])
def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DemoServer]:
    directory = tmp_path_factory.mktemp("workers")
    if request.param == "sqlite":
        with DemoServer(settings(directory)) as server:
            yield server
    elif request.param == "postgresql":
        with (
            engines.postgres_server() as postgres,
            DemoServer(settings(directory, database=postgres.url)) as server,
        ):
            yield server
    else:
        with (
            engines.redis_server() as redis,
            DemoServer(settings(directory, redis=f"{redis.url}?{WAIT}")) as server,
        ):
            yield server
            with Redis.from_url(redis.url) as client:
                assert client.dbsize() > 0


def at_once(send: Callable[[int], requests.Response]) -> Counter[int]:
    """Send requests at the same moment, each on a connection of its own."""
    barrier = threading.Barrier(REQUESTS, timeout=PATIENCE)

    def wait_and_send(number: int) -> int:
        barrier.wait()
        return send(number).status_code

    with ThreadPoolExecutor(REQUESTS) as pool:
        return Counter(pool.map(wait_and_send, range(REQUESTS)))


def prove(server: DemoServer, key: ECKey, token: str, nonce: str | None) -> str:
    return make_proof(
        key,
        algorithm="ES256",
        method="GET",
        url=f"{server.rs_url}/api/accounts",
        now=int(time.time()),
        access_token=token,
        nonce=nonce,
    )


def ask(server: DemoServer, token: str, proof: str) -> requests.Response:
    fields = {"Authorization": f"DPoP {token}", "DPoP": proof}
    return requests.get(
        f"{server.rs_url}/api/accounts", headers=fields, timeout=PATIENCE
    )


def token_of(server: DemoServer, key: ECKey) -> str:
    form = {"grant_type": "client_credentials", **assertion(server)}
    url, nonce = f"{server.as_url}/token", None
    for _ in range(2):
        proof = make_proof(
            key,
            algorithm="ES256",
            method="POST",
            url=url,
            now=int(time.time()),
            nonce=nonce,
        )
        answer = requests.post(
            url, data=form, headers={"DPoP": proof}, timeout=PATIENCE
        )
        nonce = answer.headers.get("DPoP-Nonce")
        if answer.status_code == 200:
            break
    token: str = answer.json()["access_token"]
    return token


def assertion(server: DemoServer) -> dict[str, str]:
    claims = {
        "iss": "signer",
        "sub": "signer",
        "aud": server.settings.issuer_url,
        "exp": int(time.time()) + 60,
        "jti": secrets.token_urlsafe(),
    }
    text = sign_compact({"alg": "ES256", "kid": "k1"}, claims, SIGNER)
    return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": text}


@pytest.mark.requirement("T9", "X-15", "W-4")
def test_one_worker_accepts_the_proof_and_all_know_the_nonce(
    servers: DemoServer, ec_key: ECKey
) -> None:
    token = token_of(servers, ec_key)
    nonce = ask(servers, token, prove(servers, ec_key, token, None)).headers[
        "DPoP-Nonce"
    ]
    proof = prove(servers, ec_key, token, nonce)
    statuses = at_once(lambda _: ask(servers, token, proof))
    assert statuses == {200: 1, 401: REQUESTS - 1}
    fresh = [prove(servers, ec_key, token, nonce) for _ in range(REQUESTS)]
    assert at_once(lambda n: ask(servers, token, fresh[n])) == {200: REQUESTS}


def test_one_worker_takes_the_assertion_of_a_client(servers: DemoServer) -> None:
    form = {"grant_type": "client_credentials", **assertion(servers)}
    url = f"{servers.as_url}/token"
    statuses = at_once(lambda _: requests.post(url, data=form, timeout=PATIENCE))
    assert statuses == {200: 1, 401: REQUESTS - 1}


@pytest.mark.requirement("X-5")
def test_one_worker_redeems_the_code_and_one_the_refresh_token(
    servers: DemoServer,
) -> None:
    bodies = post_in_parallel(servers, code_form(get_code(servers)), 12)
    assert sum("access_token" in body for body in bodies) == 1
    # No proof at the first: the refresh token may be refreshed with any key once.
    form = code_form(get_code(servers))
    first = requests.post(f"{servers.as_url}/token", data=form, timeout=PATIENCE).json()
    form = {
        "grant_type": "refresh_token",
        "client_id": "demo-public",
        "refresh_token": first["refresh_token"],
    }
    bodies = post_in_parallel(servers, form, 12)
    assert sum("access_token" in body for body in bodies) == 1


def test_every_worker_takes_symmetric_proofs(servers: DemoServer) -> None:
    with open_session(servers) as session:
        url = f"{servers.rs_url}/api/accounts"
        assert [session.get(url).status_code for _ in range(20)] == [200] * 20


@pytest.mark.requirement("X-15", "W-4")
def test_a_restart_forgets_no_proof_even_without_nonces(
    tmp_path: Path, ec_key: ECKey
) -> None:
    # The same ones again, so none that somebody could get in between.
    as_port, rs_port = engines.free_ports(2)
    options = settings(
        tmp_path,
        as_port=as_port,
        rs_port=rs_port,
        nonce="off",
        workers=2,
        symmetric="off",
    )
    with DemoServer(options) as server:
        token = token_of(server, ec_key)
        proof = prove(server, ec_key, token, None)
        assert ask(server, token, proof).status_code == 200
    with DemoServer(options) as server:
        answer = ask(server, token, proof)
        assert answer.status_code == 401
        assert answer.json()["error"] == "invalid_dpop_proof"
        another = prove(server, ec_key, token, None)
        assert ask(server, token, another).status_code == 200


def test_guesses_that_come_together_are_not_all_looked_at(servers: DemoServer) -> None:
    def guess(number: int) -> requests.Response:
        with requests.Session() as browser:
            page = browser.get(f"{servers.as_url}/login", timeout=PATIENCE)
            form = {**hidden_fields(page.text), "username": "nobody", "password": "x"}
            return browser.post(f"{servers.as_url}/login", data=form, timeout=PATIENCE)

    statuses = at_once(guess)
    assert statuses[401] <= attempt_limit.MAX_ATTEMPTS
    assert statuses[401] + statuses[429] == REQUESTS
