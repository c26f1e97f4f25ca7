"""What operators watch: real OpenTelemetry readers, records as handlers see them."""

from __future__ import annotations

import ast
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from dpop_ext import telemetry
from dpop_ext.errors import StoreError
from dpop_ext.log_events import EVENTS
from dpop_ext.stores.memory import MemoryReplayStore
from tests.conftest import Clock
from tests.patience import PATIENCE
from tests.resource_server.world import ADAPTERS, Request, World, send

ROOT = Path(__file__).parents[2]


class Meters:
    """What a collector gets."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader])

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        if data is None:
            return []
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def names(self) -> set[str]:
        data = self.reader.get_metrics_data()
        assert data is not None
        return {
            metric.name
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def counts(self, name: str, *labels: str) -> dict[tuple[Any, ...], int]:
        return {
            tuple(point.attributes[label] for label in labels): point.value
            for point in self.points(name)
        }


@pytest.fixture
def meters() -> Iterator[Meters]:
    meters = Meters()
    telemetry.instrument(meters.provider)
    yield meters
    telemetry.instrument()


def get(world: World, token: str, proof: str) -> Any:
    headers = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
    return Request(headers=headers).environ()


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_requests_are_counted_by_outcome_and_reason(
    world: World, meters: Meters, adapter: str
) -> None:
    world.symmetric = True
    app = world.app(adapter)
    token = world.symmetric_token()
    environ = get(world, token, world.proof(token))
    assert send(app, environ).status == 200
    send(app, get(world, token, world.symmetric_proof(token)))
    send(app, get(world, token, environ["HTTP_DPOP"]))
    send(app, get(world, token, world.proof(token, key=world.other_key)))
    assert meters.counts("dpop.requests", "role", "outcome", "reason", "kind") == {
        ("rs", "accepted", "ok", "asymmetric"): 1,
        ("rs", "accepted", "ok", "symmetric"): 1,
        ("rs", "refused", "replayed_proof", "none"): 1,
        ("rs", "refused", "key_mismatch", "none"): 1,
    }


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_accepted_bearer_token_is_counted_as_one(
    world: World, meters: Meters, adapter: str
) -> None:
    world.accept_bearer = True
    app = world.app(adapter)
    for token in (world.unbound_token(), world.token()):
        headers = [("Authorization", f"Bearer {token}")]
        send(app, Request(headers=headers).environ())
    assert meters.counts("dpop.requests", "outcome", "kind") == {
        ("accepted", "bearer"): 1,
        ("refused", "none"): 1,
    }


def test_a_request_that_two_layers_decide_is_counted_once(
    world: World, meters: Meters
) -> None:
    token = world.token()
    environ = get(world, token, world.proof(token)) | {"dpop_ext.spent": set()}
    for app in (world.wsgi_app(), world.flask_app()):
        assert send(app, environ).status == 200
    assert meters.counts("dpop.requests", "outcome") == {("accepted",): 1}


def test_the_age_of_proofs_shows_the_skew_of_clocks(
    world: World, meters: Meters, clock: Clock
) -> None:
    app, token = world.wsgi_app(), world.token()
    for iat in (clock.now - 40, clock.now + 20):
        send(app, get(world, token, world.proof(token, now=iat)))
    points = meters.points("dpop.proof.age")
    assert {point.attributes["dated"]: point.sum for point in points} == {
        "past": 40,
        "future": 20,
    }


def test_no_label_is_made_up_by_a_sender(world: World, meters: Meters) -> None:
    app, token = world.wsgi_app(), world.token()
    for number in range(20):
        environ = get(world, token, f"junk{number}")
        environ["RAW_URI"] = f"/made-up/{number}"
        send(app, environ)
        send(app, get(world, f"junk{number}", world.proof(token)))
    assert len(meters.points("dpop.requests")) <= 3


def test_a_store_is_timed_also_when_it_fails(meters: Meters) -> None:
    with telemetry.timing_store("redis"):
        pass
    with pytest.raises(StoreError), telemetry.timing_store("redis"):
        raise StoreError
    points = meters.points("dpop.store.duration")
    assert {point.attributes["outcome"]: point.count for point in points} == {
        "answered": 1,
        "failed": 1,
    }


def test_polls_tell_the_age_of_the_keyring(meters: Meters) -> None:
    telemetry.record_keyring_poll(outcome="answered", age=0.0)
    telemetry.record_keyring_poll(outcome="failed", age=310.0)
    telemetry.record_keyring_poll(outcome="failed", age=None)
    assert meters.counts("dpop.keyring.polls", "outcome") == {
        ("answered",): 1,
        ("failed",): 2,
    }
    (point,) = meters.points("dpop.keyring.age")
    assert (point.count, point.max) == (2, 310.0)


@pytest.mark.requirement("X-20", "T20")
def test_a_refusal_is_a_record_with_parts(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    token = world.token()
    environ = get(world, token, world.proof(token, key=world.other_key))
    environ["RAW_URI"] = "/accounts?secret"
    with caplog.at_level(logging.INFO, "dpop_ext"):
        send(world.wsgi_app(), environ)
    (record,) = (r for r in caplog.records if getattr(r, "event", "") != "")
    assert vars(record)["event"] == "request_refused"
    assert vars(record)["fields"] == {
        "role": "rs",
        "status": 401,
        "reason": "key_mismatch",
        "cause": None,
        "client": "'client-1'",
        "endpoint": "'/accounts'",
    }


def test_every_event_is_listed_and_used() -> None:
    used = set()
    for path in (ROOT / "dpop_ext").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
                "log_event"
            ):
                (event,) = ast.literal_eval(ast.List([node.args[2]], ast.Load()))
                used.add(event)
    assert used == set(EVENTS)


def test_operators_can_read_about_every_event_and_instrument(meters: Meters) -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    for event in EVENTS:
        assert f"`{event}`" in text
    telemetry.count_request("rs", outcome="accepted", reason="ok", kind="bearer")
    telemetry.count_accepted("rs", kind="symmetric", age=1.0)
    telemetry.count_token(bound=True, symmetric=False)
    telemetry.record_keyring_poll(outcome="answered", age=1.0)
    with telemetry.timing_store("sql"):
        pass
    names = meters.names()
    assert len(names) == 6
    for name in names:
        assert f"`{name}`" in text


def test_without_opentelemetry_nothing_happens() -> None:
    program = """
import sys
sys.modules["opentelemetry"] = None
from dpop_ext import telemetry
telemetry.count_request("rs", outcome="accepted", reason="ok", kind="bearer")
telemetry.count_accepted("rs", kind="symmetric", age=1.0)
telemetry.count_token(bound=True, symmetric=False)
telemetry.record_keyring_poll(outcome="answered", age=1.0)
with telemetry.timing_store("sql"):
    print("inside")
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert ran.stdout == "inside\n"


def test_without_a_provider_nothing_is_kept(world: World) -> None:
    telemetry.instrument()
    world.store = MemoryReplayStore()
    token = world.token()
    response = send(world.wsgi_app(), get(world, token, world.proof(token)))
    assert response.status == 200


def test_no_request_waits_for_who_looks_for_a_provider() -> None:
    """He may have stayed behind in the process that this one was forked from."""
    telemetry.instrument()
    request = threading.Thread(
        target=telemetry.record_keyring_poll, kwargs={"outcome": "a", "age": None}
    )
    with telemetry._source.looking:
        request.start()
        request.join(PATIENCE)
        assert not request.is_alive()


def test_instruments_can_be_set_while_somebody_looks_for_a_provider() -> None:
    """A process that was forked meanwhile would wait for him for ever."""
    telemetry.instrument()
    meters = Meters()
    setting = threading.Thread(target=telemetry.instrument, args=[meters.provider])
    with telemetry._source.looking:
        setting.start()
        setting.join(PATIENCE)
        assert not setting.is_alive()
    telemetry.record_keyring_poll(outcome="answered", age=None)
    assert meters.counts("dpop.keyring.polls", "outcome") == {("answered",): 1}
    telemetry.instrument()


@pytest.mark.parametrize("named", [None, "one_that_is_not_installed"])
def test_a_provider_may_be_set_after_the_first_requests(
    named: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no request fails because the environment names one that is not there."""
    if named is not None:
        monkeypatch.setenv("OTEL_PYTHON_METER_PROVIDER", named)
    # In a process of its own: a global provider is set but once.
    program = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from dpop_ext import telemetry
telemetry.LOOK_AGAIN = 0
telemetry.record_keyring_poll(outcome="answered", age=None)
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
telemetry.record_keyring_poll(outcome="answered", age=None)
[resource] = reader.get_metrics_data().resource_metrics
[metric] = resource.scope_metrics[0].metrics
[point] = metric.data.data_points
print(metric.name, point.value)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert ran.stdout == "dpop.keyring.polls 1\n"


def test_a_provider_that_is_not_there_is_not_looked_for_every_second(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_PYTHON_METER_PROVIDER", "not_installed")
    telemetry.instrument()
    began = time.perf_counter()
    telemetry.count_token(bound=True, symmetric=False)
    assert telemetry._source.look_at is not None
    assert telemetry._source.look_at > began + 30
    assert "nothing is measured" in caplog.text
    telemetry.instrument()
