"""A server that has seen requests answers as one does that has seen nothing.

Whole requests, through each adapter: what a server remembers of tokens, keys, headers
and targets, and each short way, must change no answer, nothing that the application is
told, no line of the log and no measurement.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpop_ext import telemetry
from dpop_ext.stores.logouts import MemoryLogoutStore
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.stores.ticket_keys import RotatingTicketKeys
from dpop_ext.symmetric.deny_list import Denial, DenyList
from dpop_ext.symmetric.response import ASKS
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import SecretRing
from dpop_ext.symmetric.ticket import make_ticket, ticket_mac_key
from dpop_ext.tickets import Tickets
from tests.resource_server.world import (
    AUDIENCE,
    CLIENT,
    ISSUER,
    VERSION,
    Request,
    Response,
    World,
    secret,
    send,
)
from tests.test_side_by_side import changed, the_long_way

TARGETS: Final = (
    *("/accounts", "/accounts?a=b", "/accounts/", "/Accounts", "//accounts"),
    *("/%61ccounts", "/accounts%2F", "/./accounts", "/a/../accounts", "/accounts%"),
    *("https://api.example.com/accounts", "http://other.example.com/accounts", "/"),
    *("/accounts?access_token=x", "/accounts?access_token", "/accounts?%61ccess_token"),
)
HOSTS: Final = (
    *("api.example.com", "API.example.com", "api.example.com:443", "api.example.com."),
    *("other.example.com", "api.example.com:80", "api.example.com:", "[::1]", ""),
)
MORE_CLAIMS: Final[tuple[dict[str, Any], ...]] = (
    *({"cd": "x"}, {"hq": "x"}, {ASKS: True}, {"exp": 1}, {"nbf": 1}),
    {"x": ":" * 300},
)
MORE_FIELDS: Final = (
    ("Origin", "https://app.example.com"),
    ("Content-Type", "application/json"),
    ("Content-Type", "application/x-www-form-urlencoded"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("Authorization", "Bearer x"),
)
#: What servers differ in. Those of the second kind take the long way each time.
QUICK: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"use_nonces": True},
    {"token_form": "opaque", "scope": "transfers"},
    {"public_url": f"{AUDIENCE}/v1/"},
)
LONG: Final[tuple[dict[str, Any], ...]] = (
    {"public_url": None, "accept_bearer": True},
    {"scope": "accounts transfers"},
    {"scope": "payments", "use_nonces": True},
)
#: What may have become of the secrets and the tokens since a request was served.
RINGS: Final[dict[str, Callable[[int], Any]]] = {
    "another": lambda now: _ring(secret(VERSION)),
    "revoked": lambda now: _ring(secret(VERSION, "revoked"), secret(VERSION + 1)),
    "not held": lambda now: _ring(secret(VERSION - 1)),
    "denied": lambda now: _ring(
        secret(VERSION),
        denied=DenyList([Denial(token_id="token-1", expires_at=now + 1)]),
    ),
    "denial over": lambda now: _ring(
        secret(VERSION), denied=DenyList([Denial(token_id="token-1", expires_at=now)])
    ),
    "too old": lambda now: _ring(secret(VERSION), good_until=now),
    "broken": lambda now: None,
}
SECONDS: Final = (0.4, 1, 19, 20, 59, 60, 61, 65.5, 180, 299.9, 300, 301, -1, -31)


def _ring(*entries: Any, **options: Any) -> SecretRing:
    return SecretRing(entries, issuer=ISSUER, audience=AUDIENCE, **options)


class Uses(MemoryReplayStore):
    """A store that can be copied."""

    def __init__(self, used: frozenset[bytes] = frozenset()) -> None:
        super().__init__()
        self.used = set(used)

    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        new = key not in self.used
        self.used.add(key)
        return new


class Records(logging.Handler):
    """What is logged and measured."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        # joserfc answers no, and the library under it raises this.
        text = record.getMessage().replace("cause=InvalidSignature", "cause=-")
        self.seen.append((record.levelno, text))

    def get_meter(self, name: str) -> Any:
        return self

    def create_counter(self, name: str, **_about: str) -> Any:
        return self

    create_histogram = create_counter

    def add(self, amount: float, labels: dict[str, str]) -> None:
        self.seen.append((amount, dict(labels)))

    record = add

    def take(self) -> list[Any]:
        taken, self.seen = self.seen, []
        return taken


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> Any:
    records = Records()
    logger = logging.getLogger("dpop_ext.resource_server")
    monkeypatch.setattr(logger, "level", logging.INFO)
    instruments = telemetry._Instruments(records)
    monkeypatch.setattr(telemetry._source, "instruments", instruments)
    logger.addHandler(records)
    logging.Logger.manager._clear_cache()  # type: ignore[attr-defined]
    yield records
    logger.removeHandler(records)


class Servers:
    """One server for all requests, and a new one for each."""

    def __init__(self, world: World, adapter: str, records: Records) -> None:
        self.world, self.adapter, self.records = world, adapter, records
        self.world.store = Uses()
        self.tokens = (
            world.symmetric_token(),
            world.symmetric_token(exp=world.clock.now + 20),
        )
        self.ticket, self.ticket_key = None, SecretBytes(b"")
        if world.tickets is not None:
            key = world.tickets.keys.load().current(now=world.clock.now)
            assert key is not None
            ticket = make_ticket(key, now=world.clock.now)
            derived = ticket_mac_key(
                key.secret.reveal(),
                ticket.raw,
                algorithm="HS256",
                audience=AUDIENCE,
                issuer=ISSUER,
                client_id=CLIENT,
                jkt=world.jkt,
            )
            self.ticket, self.ticket_key = ticket.text, SecretBytes(derived)
        self.opened = 0
        self.start()

    def start(self) -> None:
        """Start the server that remembers; it forgets everything but what was used."""
        self.world._verifier = None
        open_proof = self.world.verifier.open

        def count(*values: Any, **names: Any) -> Any:
            self.opened += 1
            return open_proof(*values, **names)

        self.world.verifier.open = count  # type: ignore[method-assign]
        self.app = self.world.app(self.adapter)

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("symmetric", "asymmetric", *(["ticket"] if self.ticket else []))

    def make(self, kind: str, token: str, **changes: Any) -> Request:
        world = self.world
        url = (world.public_url or AUDIENCE).rstrip("/") + "/accounts"
        values = {"url": url, "jti": secrets.token_urlsafe(12)} | changes
        if kind == "asymmetric":
            proof = world.proof(token, **values)
        elif kind == "ticket":
            values |= {"key": self.ticket_key, "ticket": self.ticket}
            proof = world.encapsulated_proof(token, **values)
        else:
            proof = world.symmetric_proof(token, **values)
        return Request(headers=[("Authorization", f"DPoP {token}"), ("DPoP", proof)])

    def warm(self, token: str) -> None:
        """Let the one server get to know a token and a key."""
        for _ in range(2):
            before = self.opened
            for kind in self.kinds:
                answer = send(self.app, self.make(kind, token).environ())
                assert answer.status == (403 if self.world.scope == "payments" else 200)
        assert self.opened - before == (0 if self.is_quick else len(self.kinds))
        self.world.told.clear()
        self.records.take()

    @property
    def is_quick(self) -> bool:
        return self.world.public_url is not None and self.world.scope in (
            "accounts",
            "transfers",
        )

    def same(self, request: Request, ring: SecretRing | None) -> Response:
        new = replace(self.world, store=Uses(frozenset(self.used)), told=[])
        new.keyring.replace(ring)  # type: ignore[arg-type]
        answer, seen = send(self.app, request.environ()), self.records.take()
        with the_long_way():
            assert send(new.app(self.adapter), request.environ()) == answer
        assert self.records.take() == seen
        assert self.world.told == new.told
        self.world.told.clear()
        return answer

    def log_out(self, *, over: bool = False) -> None:
        """Let the client log out, at all servers."""
        if self.world.tickets is not None:
            logouts = MemoryLogoutStore()
            object.__setattr__(self.world.tickets, "logouts", logouts)
            if not over:
                self.world.verifier.log_out(jkt=self.world.jkt)

    @property
    def used(self) -> set[bytes]:
        assert isinstance(self.world.store, Uses)
        return self.world.store.used


@pytest.fixture(params=["flask", "wsgi", "asgi"])
def servers(request: Any, world: World, records: Records) -> list[Servers]:
    tickets = Tickets(
        keys=RotatingTicketKeys(clock=world.clock), logouts=MemoryLogoutStore()
    )
    with_tickets = ({"tickets": tickets}, {"tickets": tickets, "token_form": "opaque"})
    return [
        Servers(replace(world, symmetric=True, **each), request.param, records)
        for each in (*QUICK, *with_tickets, *LONG)
    ]


@pytest.mark.requirement("P-17", "C-2", "C-12b", "J-8", "R1510", "R2011", "R2012")
def test_every_request_gets_one_answer(servers: list[Servers]) -> None:
    @given(data=st.data())
    @settings(max_examples=250)
    def check(data: st.DataObject) -> None:
        both = data.draw(st.sampled_from(servers))
        world, clock = both.world, both.world.clock
        token = data.draw(st.sampled_from(both.tokens))
        both.warm(token)
        start, held = clock(), world.keyring.load()
        if data.draw(st.booleans()):
            clock.advance(data.draw(st.sampled_from(SECONDS)))
        ring = held
        if data.draw(st.booleans()):
            ring = RINGS[data.draw(st.sampled_from(list(RINGS)))](clock.now)
            world.keyring.replace(ring)
        if data.draw(st.booleans()):
            both.log_out()
        try:
            request = _draw_request(both, token, data)
            answer = both.same(request, ring)
            if data.draw(st.booleans()):
                again = both.same(request, ring)
                assert (answer.status, again.status) != (200, 200)
            if request.headers[0] != ("Authorization", f"DPoP {token}"):
                # It is counted who sends a bad token under a good MAC.
                both.start()
        finally:
            world.keyring.replace(held)
            both.log_out(over=True)
            clock.advance(start - clock())
        assert answer.status in {200, 308, 400, 401, 403, 404, 405}

    check()


def _draw_request(both: Servers, token: str, data: st.DataObject) -> Request:
    kind = data.draw(st.sampled_from(both.kinds))
    age = data.draw(st.sampled_from([0, 0, 0, 0, 64, 65, 66, -30, -31, 600]))
    method = data.draw(st.sampled_from(["GET", "GET", "GET", "POST", "HEAD"]))
    changes: dict[str, Any] = {"now": both.world.clock.now - age, "method": method}
    if data.draw(st.booleans()):
        changes["nonce"] = data.draw(st.sampled_from(_nonces(both.world)))
    if data.draw(st.integers(0, 5)) == 0:
        changes["claims"] = data.draw(st.sampled_from(MORE_CLAIMS))
    request = both.make(kind, token, **changes)
    proof = request.headers[1][1]
    odd = data.draw(
        st.sets(st.sampled_from(["token", "proof", "target", "host", "fields"]))
    )
    token = changed(token, data) if "token" in odd else token
    proof = changed(proof, data) if "proof" in odd else proof
    scheme, fields = "DPoP", 1
    if "fields" in odd:
        scheme = data.draw(st.sampled_from(["dpop", "Bearer", "Basic", "DPoP ", ""]))
        fields = data.draw(st.integers(0, 2))
    headers = [("Authorization", f"{scheme} {token}"), *[("DPoP", proof)] * fields]
    if data.draw(st.integers(0, 5)) == 0:
        headers.append(data.draw(st.sampled_from(MORE_FIELDS)))
    return Request(
        headers=headers,
        method=method if "host" not in odd else "GET",
        target=data.draw(st.sampled_from(TARGETS)) if "target" in odd else TARGETS[0],
        host=data.draw(st.sampled_from(HOSTS)) if "host" in odd else HOSTS[0],
        body=data.draw(st.sampled_from([b"", b"", b"a=b", b"access_token=x"])),
    )


def _nonces(world: World) -> list[str | None]:
    ages = [world.nonce(age=age) for age in (0, 1, 2, 3, -1)]
    other = world.nonces.issue(purpose="as", now=world.clock.now)
    return [*ages, other, "x", None]
