"""The way from Bearer to DPoP works as ``docs/rollout.md`` has it."""

from __future__ import annotations

import atexit
import json
import re
from pathlib import Path
from typing import Any

import pytest
from authlib.integrations.sqla_oauth2 import OAuth2ClientMixin
from flask import Flask, jsonify
from joserfc.jwk import ECKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dpop_ext.integrations.flask_oauth2 import current_observation, current_proof
from dpop_ext.resource_server.observer import Observer
from dpop_ext.resource_server.readiness import Criteria, judge
from dpop_ext.resource_server.tally import Tally
from tests.authorization_server.simulator import Prover, Simulator
from tests.authorization_server.test_every_grant import error_of
from tests.cli.conftest import run as run_command
from tests.conftest import Clock
from tests.resource_server.world import CLIENT, Request, Rows, World, send

TEXT = (Path(__file__).parents[2] / "docs" / "rollout.md").read_text()
BLOCKS = {
    block.splitlines()[0].removeprefix("# "): block
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
}


def status(names: dict[str, Any], headers: list[tuple[str, str]]) -> Any:
    """Ask an application that the names of the document protect."""
    app = Flask(__name__)

    @app.get("/accounts")
    @names["require_oauth"]("accounts")  # type: ignore[untyped-decorator]
    def accounts() -> Any:
        seen = current_observation.reason if current_observation else None
        return jsonify(proof=current_proof.kind if current_proof else None, seen=seen)

    answer = send(app, Request(headers=headers).environ())
    return answer.json if answer.status == 200 else answer.status


@pytest.mark.requirement("U-28", "D-8")
def test_each_step_at_a_resource_server_can_be_taken_back(world: World) -> None:
    """Steps 2, 6 and 8 of ``docs/migration.md``, and again from their end."""
    bound, unbound = world.token(), world.unbound_token()

    def answers(*, accept_bearer: bool, observer: Observer | None) -> list[int]:
        world.accept_bearer, world.observer = accept_bearer, observer
        app = world.flask_app()
        good = [("Authorization", f"DPoP {bound}"), ("DPoP", world.proof(bound))]
        bearer = [[("Authorization", f"Bearer {text}")] for text in (unbound, bound)]
        return [
            send(app, Request(headers=fields).environ()).status
            for fields in (good, good[:1], *bearer)
        ]

    steps: list[tuple[bool, Observer | None, list[int]]] = [
        (True, Observer(clock=world.clock), [200, 200, 200, 200]),
        (True, None, [200, 401, 200, 401]),
        (False, None, [200, 401, 401, 401]),
    ]
    for accept_bearer, observer, expected in [*steps, *reversed(steps)]:
        assert answers(accept_bearer=accept_bearer, observer=observer) == expected


@pytest.mark.requirement("U-28")
def test_a_client_is_observed_until_it_is_enforced(
    world: World, tmp_path: Path
) -> None:
    bound, unbound = world.token(client_id="app"), world.unbound_token(client_id="app")
    good = [("Authorization", f"DPoP {bound}"), ("DPoP", world.proof(bound))]
    names: dict[str, Any] = {
        "log_directory": tmp_path,
        "verifier": world.verifier,
        "MyTokenValidator": lambda: world.validator,
        "MyBearerValidator": lambda: Rows(world.validator),
    }
    exec(BLOCKS["observe"], names)
    atexit.unregister(names["observer"].flush)
    bearer = [("Authorization", f"Bearer {unbound}")]
    assert status(names, bearer) == {"proof": None, "seen": "bearer"}
    assert status(names, good) == {"proof": None, "seen": "ok"}
    names["observer"].flush()
    exec(BLOCKS["enforce"], names)
    names["require_oauth"]._observer = names["observer"]
    assert status(names, bearer) == 401
    assert status(names, good[:1]) == 401
    assert status(names, good) == 401  # a replay of what was observed
    again = [*good[:1], ("DPoP", world.proof(bound))]
    assert status(names, again) == {"proof": "asymmetric", "seen": None}
    other = world.unbound_token(client_id=CLIENT)
    bearer = [("Authorization", f"Bearer {other}")]
    assert status(names, bearer) == {"proof": None, "seen": "bearer"}
    names["observer"].flush()
    report = run_command("readiness", str(tmp_path / "dpop.jsonl"), "--json")
    found = {entry["client"]: entry["requests"] for entry in json.loads(report.output)}
    assert found == {"app": {"bearer": 1, "ok": 1}, CLIENT: {"bearer": 1}}


def test_a_client_is_remembered_in_its_metadata(clock: Clock, ec_key: ECKey) -> None:
    class Base(DeclarativeBase):
        pass

    class Client(Base, OAuth2ClientMixin):
        __tablename__ = "client"
        id: Mapped[int] = mapped_column(primary_key=True)
        secret = "secret"

    names: dict[str, Any] = {}
    exec(BLOCKS["remember"], names)
    sim = Simulator(clock, dpop_class=names["OneWayDPoP"])
    client = Client(client_id="confidential", client_secret="secret")
    client.set_client_metadata(
        {"token_endpoint_auth_method": "client_secret_basic"}
        | {"grant_types": ["client_credentials"], "audiences": ["https://api.example"]}
    )
    sim.clients["confidential"] = client
    form = {"grant_type": "client_credentials"}
    assert sim.token(form).get_json()["token_type"] == "Bearer"
    assert sim.token(form, Prover(ec_key, clock)()).status_code == 200
    assert error_of(sim.token(form)) == (400, "invalid_dpop_proof")
    assert client.client_metadata["grant_types"] == ["client_credentials"]


def test_the_report_of_the_document_is_one_that_can_be() -> None:
    now = 1_790_000_000
    tallies = [
        Tally(
            client=client,
            reasons=reasons,
            first_at=now - days * 86_400,
            last_at=now if days in {0, 8} else now - days * 86_400,
        )
        # Nothing more on the days before, but that it was there.
        for client, reasons, days in [
            *(("app", {"ok": 0}, day) for day in range(1, 7)),
            ("app", {"ok": 48201, "stale_proof": 9}, 8),
            ("batch", {"bearer": 960}, 8),
            ("partner", {"ok": 12}, 0),
        ]
    ]
    shown = re.findall(r"^(?:app|batch|partner) .*  (\w+: .*)$", TEXT, re.MULTILINE)
    assert shown == [
        f"{line.verdict}: {line.because}"
        for line in judge(tallies, criteria=Criteria(), now=now)
    ]
