"""A thousand clients, a rotation and a revocation: who asks for a new token, and when.

The clients, the schedule and the tables are the real ones; time and network are not.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy
from joserfc.jwk import ECKey

from dpop_ext.client.audience import Audience
from dpop_ext.client.exchange import Outcome, Reply
from dpop_ext.client.renewal import MAX_JITTER, uniform_jitter
from dpop_ext.client.signer import ProofSigner
from dpop_ext.errors import (
    StaleKeyError,
    SymmetricUnavailableError,
    UnknownKeyError,
)
from dpop_ext.integrations.sqla_secrets import SQLAudienceSecrets
from dpop_ext.symmetric.rotation_plan import RotationPlan
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import SecretRing
from tests.client.driving import (
    ISSUER,
    OK,
    RESOURCE,
    STALE_KEY,
    TOKEN_ENDPOINT,
    UNKNOWN_KEY,
)
from tests.client.reading import read
from tests.client.token_server import token_reply
from tests.conftest import Clock

CLIENTS = 1000
TOKEN_LIFETIME = 600
#: Seconds between two requests of a client.
INTERVAL = 100
PLAN = RotationPlan(poll=30, token_lifetime=TOKEN_LIFETIME, active_period=900)
AUDIENCE = Audience.of(ISSUER, RESOURCE, ())


class SimulatedClient:
    """One client with its token. It refreshes when it has to, and once at a time."""

    def __init__(self, fleet: Fleet, name: int) -> None:
        self.fleet = fleet
        self.signer = ProofSigner(fleet.key, clock=fleet.clock)
        self.name = name
        self.number = 0
        self.version = 0
        self.expires_at = 0.0

    @property
    def token(self) -> str:
        return f"token-{self.name}-{self.number}"

    def refresh(self, reason: str) -> None:
        self.fleet.refreshes.append((self.fleet.clock(), reason))
        self.number += 1
        self.expires_at = self.fleet.clock() + TOKEN_LIFETIME
        flow = self.signer.token_request(
            method="POST", url=TOKEN_ENDPOINT, audience=AUDIENCE
        )
        proof = next(flow).headers()["DPoP"]
        reply, self.version = self.fleet.issue(proof, self.token)
        with pytest.raises(StopIteration):
            flow.send(reply)

    def request(self) -> None:
        if self.fleet.clock() >= self.expires_at:
            self.refresh("expired")
        flow = self.signer.resource_request(
            method="GET", url=f"{RESOURCE}/accounts", access_token=self.token
        )
        attempt, kinds = next(flow), ""
        while True:
            is_symmetric = read(attempt.headers()["DPoP"]).is_symmetric
            kinds += "s" if is_symmetric else "a"
            reply = self.fleet.verify(self.version) if is_symmetric else OK
            try:
                attempt = flow.send(reply)
            except StopIteration as end:
                outcome: Outcome = end.value
                break
        assert reply is OK
        self.fleet.kinds[kinds] += 1
        if outcome.refresh_due:
            token = self.token
            self.fleet.later(uniform_jitter(), lambda: self.refresh_stale(token))

    def refresh_stale(self, token: str) -> None:
        if token == self.token:
            self.refresh("stale")


class Fleet:
    """The clients, an issuer and a resource server that polls it."""

    def __init__(self, secrets: SQLAudienceSecrets, clock: Clock, key: ECKey) -> None:
        self.secrets = secrets
        self.clock = clock
        self.key = key
        #: When a token was asked for, and why.
        self.refreshes: list[tuple[float, str]] = []
        #: Requests by the kinds of proofs that each took.
        self.kinds: Counter[str] = Counter()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._jitter = random.Random(7)
        self._ring = self._published()
        self._poll()
        self.clients = [SimulatedClient(self, name) for name in range(CLIENTS)]
        for client in self.clients:
            client.refresh("first")
            client.expires_at -= self._jitter.uniform(0, TOKEN_LIFETIME)

    def start(self, *, spread: float) -> None:
        """Have each client make a request now and then, from now on."""
        for client in self.clients:
            self.later(self._jitter.uniform(0, spread), self._requests(client))

    def later(self, delay: float, job: Callable[[], None]) -> None:
        event = (self.clock() + delay, next(self._order), job)
        heapq.heappush(self._events, event)

    def run(self, seconds: float) -> None:
        end = self.clock() + seconds
        while self._events and self._events[0][0] <= end:
            at, _, job = heapq.heappop(self._events)
            self.clock.advance(at - self.clock())
            job()
        self.clock.advance(end - self.clock())

    def issue(self, proof: str, token: str) -> tuple[Reply, int]:
        ring = self.secrets.load(RESOURCE)
        assert ring is not None
        now = self.clock.now
        try:
            active = ring.active(now=now)
        except SymmetricUnavailableError:
            return Reply(status=200, body=b'{"token_type": "DPoP"}'), 0
        assert active.expires_at >= now + TOKEN_LIFETIME + 120
        reply = token_reply(proof, access_token=token, now=now, version=active.version)
        return reply, active.version

    def verify(self, version: int) -> Reply:
        try:
            self._ring.find(version, now=self.clock.now)
        except StaleKeyError:
            return STALE_KEY
        except UnknownKeyError:
            return UNKNOWN_KEY
        return OK

    def count(self, reason: str) -> int:
        return sum(why == reason for _, why in self.refreshes)

    def _requests(self, client: SimulatedClient) -> Callable[[], None]:
        def request() -> None:
            client.request()
            self.later(INTERVAL, request)

        return request

    def _poll(self) -> None:
        self._ring = self._published()
        self.later(PLAN.poll * self._jitter.uniform(1, 1.1), self._poll)

    def _published(self) -> SecretRing:
        numbered = self.secrets.load_numbered(RESOURCE)
        assert numbered is not None
        return numbered[0]


@pytest.fixture
def fleet(tmp_path: Path, clock: Clock, ec_key: ECKey) -> Iterator[Fleet]:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/as.sqlite3")
    key = SecretBytes(bytes(range(32)))
    secrets = SQLAudienceSecrets(engine, key, issuer=ISSUER, clock=clock)
    secrets.create_schema()
    secrets.register(RESOURCE, PLAN, at_once=True)
    yield Fleet(secrets, clock, ec_key)
    engine.dispose()


@pytest.mark.requirement("T18", "R1703", "R2084")
def test_a_rotation_costs_no_refresh(fleet: Fleet) -> None:
    """From one active version to the next, until the first has been erased."""
    fleet.start(spread=INTERVAL)
    fleet.run(PLAN.active_period + PLAN.verify_period + 60)
    ring = fleet.secrets.load(RESOURCE)
    assert ring is not None
    assert [entry.state for entry in ring][:2] == ["retired", "active"]
    # No request took more than one proof, and every key was known and good.
    assert fleet.kinds.keys() == {"s"}
    assert fleet.kinds.total() >= CLIENTS * 16
    # Each token was used to its end.
    assert fleet.count("stale") == 0
    assert CLIENTS * 2 <= fleet.count("expired") <= CLIENTS * 3


@pytest.mark.requirement("T2", "T18", "R1602")
def test_a_revocation_that_all_clients_notice_at_once_is_no_storm(
    fleet: Fleet,
) -> None:
    fleet.secrets.revoke(RESOURCE, 1)
    fleet.run(PLAN.poll * 1.1)
    for client in fleet.clients:
        client.expires_at = fleet.clock() + TOKEN_LIFETIME
    began = fleet.clock()
    fleet.start(spread=0)
    fleet.run(MAX_JITTER)
    # No outage: each request was answered, after a second proof.
    assert fleet.kinds == {"sa": CLIENTS}
    # One refresh for each, spread over ten seconds.
    times = [at - began for at, why in fleet.refreshes if why == "stale"]
    assert len(times) == CLIENTS
    each_second = Counter(int(at) for at in times)
    assert max(each_second.values()) < 2 * CLIENTS / MAX_JITTER
    assert len(each_second) >= MAX_JITTER
    # There is no new version to issue with yet: they go on, and do not ask again.
    fleet.run(PLAN.pending_period - (fleet.clock() - began) - PLAN.poll * 1.1)
    assert fleet.count("stale") == CLIENTS
    assert fleet.count("expired") == 0
    assert fleet.kinds["a"] == fleet.kinds.total() - CLIENTS
    # Each gets a key with its next token, when its time has come anyway.
    fleet.run(TOKEN_LIFETIME)
    before = fleet.kinds["s"]
    fleet.run(INTERVAL + 1)
    assert fleet.kinds["s"] - before >= CLIENTS
    assert fleet.count("stale") == CLIENTS
    assert fleet.count("expired") == CLIENTS
