"""The demo servers over HTTP, clients that do not stop, and an operator who rotates."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from joserfc.jwk import ECKey
from werkzeug.serving import WSGIRequestHandler, make_server

from demo_server import authorization_server, demo_data, passwords, resource_server
from demo_server.derivation_secrets import open_secrets
from demo_server.first_start import prepare, prepare_resource_server
from demo_server.listener import bind
from demo_server.settings import Settings
from dpop_ext import ProofSigner
from dpop_ext.integrations.requests_client import OAuth2Session
from dpop_ext.integrations.sqla_secrets import SQLAudienceSecrets
from dpop_ext.resource_server.transport import fetch
from dpop_ext.symmetric.rotation_plan import RotationPlan
from tests.conftest import Clock
from tests.demo.parties import register

CLIENTS = 4
TOKEN_LIFETIME = 60
PLAN = RotationPlan(poll=30, token_lifetime=TOKEN_LIFETIME, active_period=360)
#: Seconds by which the clock moves at a time: less than a proof may be old.
STEP = 5


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: Any, **__: Any) -> None:
        pass


@contextmanager
def serving(app: Any, listener: Any) -> Iterator[None]:
    port = listener.getsockname()[1]
    server = make_server(
        "127.0.0.1",
        port,
        app,
        threaded=True,
        request_handler=_Quiet,
        fd=listener.fileno(),
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Load:
    """Clients in threads of their own; all of them make a request at each step."""

    def __init__(self, settings: Settings, clock: Clock, key: ECKey) -> None:
        self.clock = clock
        self.settings = settings
        self.key = key
        self.secrets: SQLAudienceSecrets
        #: Answers by status and the kind of proof that the server saw.
        self.answers: Counter[tuple[int, str]] = Counter()
        self.refreshes: list[Callable[[], None]] = []
        self.requests = 0
        self._lock = threading.Lock()
        self._sessions = [self._session() for _ in range(CLIENTS)]
        self._expires_at = [0.0] * CLIENTS

    def run(self, seconds: int) -> None:
        """Let time pass, and every client work."""
        for _ in range(-(-seconds // STEP)):
            self.clock.advance(STEP)
            self.requests += CLIENTS
            self._each(self._work)

    def refresh(self) -> None:
        """Do what waits for its delay to be over."""
        for job in self.refreshes:
            job()
        self.refreshes.clear()

    def states(self) -> list[str]:
        entries = self.secrets.peek(self.settings.resource_url)
        return [entry.state for entry in entries]

    def close(self) -> None:
        for session in self._sessions:
            session.close()

    def _session(self) -> OAuth2Session:
        return OAuth2Session(
            "demo-confidential",
            demo_data.CONFIDENTIAL_SECRET,
            dpop=ProofSigner(self.key, clock=self.clock),
            token_endpoint=f"{self.settings.issuer_url}/token",
            issuer=self.settings.issuer_url,
            resource=self.settings.resource_url,
            scope="accounts",
            grant_type="client_credentials",
            leeway=0,
            refresh=self.refreshes.append,
        )

    def _work(self, number: int) -> None:
        session = self._sessions[number]
        if self.clock() >= self._expires_at[number]:
            session.fetch_token()
            self._expires_at[number] = self.clock() + TOKEN_LIFETIME
        answer = session.get(f"{self.settings.resource_url}/api/accounts")
        proof = answer.json().get("proof", "none")
        with self._lock:
            self.answers[answer.status_code, proof] += 1

    def _each(self, work: Callable[[int], None]) -> None:
        failures: list[BaseException] = []

        def run(number: int) -> None:
            try:
                work(number)
            except BaseException as error:  # noqa: BLE001
                failures.append(error)

        threads = [threading.Thread(target=run, args=(n,)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []


@pytest.fixture
def load(
    tmp_path: Path, clock: Clock, ec_key: ECKey, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Load]:
    # Slow on purpose, and not what this test is about.
    monkeypatch.setattr(passwords, "METHOD", "scrypt:128:8:1")
    passwords._hash_of_nobody.cache_clear()
    start = Settings(as_port=0, rs_port=0)
    with ExitStack() as stack:
        listeners = {
            role: stack.enter_context(bind(role, start)) for role in ("as", "rs")
        }
        settings = Settings(
            as_port=listeners["as"].getsockname()[1],
            rs_port=listeners["rs"].getsockname()[1],
            database=f"sqlite:///{tmp_path}/demo.sqlite3",
            access_token_lifetime=TOKEN_LIFETIME,
        )
        prepare(settings, clock=clock)
        prepare_resource_server(settings)
        register(settings)
        engine = sqlalchemy.create_engine(settings.database)
        stack.callback(engine.dispose)
        load = Load(settings, clock, ec_key)
        stack.callback(load.close)
        load.secrets = open_secrets(settings, engine, clock=clock)
        # A day is too long to wait for.
        load.secrets.register(settings.resource_url, PLAN)
        as_app = authorization_server.create_app(settings, clock=clock)
        # It polls while it answers a request, so that no poll is late.
        rs_app = resource_server.create_app(settings, fetch=fetch, clock=clock)
        stack.enter_context(serving(as_app, listeners["as"]))
        stack.enter_context(serving(rs_app, listeners["rs"]))
        yield load
    passwords._hash_of_nobody.cache_clear()


@pytest.mark.requirement("R1703", "T18")
def test_a_whole_cycle_loses_no_request_and_needs_no_second_proof(load: Load) -> None:
    load.run(3 * STEP)
    load.secrets.rotate(load.settings.resource_url)
    assert load.states() == ["active", "pending"]
    load.run(PLAN.pending_period)
    assert load.states() == ["verify_only", "active"]
    load.run(PLAN.verify_period)
    load.secrets.retire(load.settings.resource_url, 1)
    assert load.states()[0] == "retired"
    load.run(3 * STEP)
    assert load.answers.keys() == {(200, "symmetric")}
    assert load.answers.total() == load.requests > 60 * CLIENTS
    assert load.refreshes == []


@pytest.mark.requirement("T2", "R1510", "R2011")
def test_a_revoked_version_is_no_outage(load: Load) -> None:
    load.run(3 * STEP)
    assert load.answers == {(200, "symmetric"): 3 * CLIENTS}
    load.secrets.revoke(load.settings.resource_url, 1)
    # Some requests come before the resource server knows, and some after.
    load.run(2 * STEP)
    assert len(load.refreshes) == CLIENTS
    load.refresh()
    load.run(PLAN.pending_period - 3 * STEP)
    assert load.answers.keys() == {(200, "symmetric"), (200, "asymmetric")}
    assert load.answers.total() == load.requests
    assert load.states() == ["revoked", "pending"]
    assert load.refreshes == []
    # Keys come with the next tokens once there is a version to issue with.
    load.run(4 * STEP + TOKEN_LIFETIME)
    load.answers.clear()
    load.run(3 * STEP)
    assert load.answers == {(200, "symmetric"): 3 * CLIENTS}
