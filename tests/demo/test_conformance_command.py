"""``dpop-ext conformance`` at the demo, as it is and with a fault each."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from click.testing import CliRunner, Result
from flask import Flask
from joserfc.jwk import ECKey
from requests.adapters import HTTPAdapter
from urllib3 import HTTPHeaderDict, HTTPResponse
from werkzeug.test import run_wsgi_app

from demo_server import demo_data
from demo_server.supervisor import DemoServer
from dpop_ext import usual_proof
from dpop_ext.authorization_server.random_values import RandomValues
from dpop_ext.cli import limited_answer
from dpop_ext.cli.conformance import conforming_targets, try_pair
from dpop_ext.cli.conformance_checks.pair import Pair
from dpop_ext.cli.conformance_checks.trial import TARGETS, Trial
from dpop_ext.cli.group import dpop_ext
from dpop_ext.core import request_binding
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.symmetric import proof as symmetric_proof
from dpop_ext.symmetric.conformance import (
    AUTHORIZATION_SERVER,
    PROFILE,
    RESOURCE_SERVER,
)
from dpop_ext.symmetric.mac_key import MacKey
from dpop_ext.symmetric.response import MAX_ANSWER
from tests.conftest import Clock
from tests.demo.parties import Parties
from tests.documents.regions import DOCS
from tests.integrations.scripted_server import Answer, running_server
from tests.patience import PATIENCE
from tests.plugins.requirement import RequirementList

CLIENT = "demo-confidential"
Fields = list[tuple[str, str]]


class AppAdapter(HTTPAdapter):
    """Sends requests to an app of this process."""

    def __init__(self, app: Flask) -> None:
        super().__init__()
        self._app = app

    def send(self, request: Any, *args: Any, **kwargs: Any) -> requests.Response:
        answer = self._app.test_client().open(
            request.path_url,
            method=request.method,
            base_url=request.url.removesuffix(request.path_url),
            headers=dict(request.headers),
            data=request.body,
        )
        raw = HTTPResponse(
            body=io.BytesIO(answer.data),
            headers=HTTPHeaderDict(list(answer.headers)),
            status=answer.status_code,
            preload_content=False,
        )
        return self.build_response(request, raw)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server is late: each is on this machine, and may be stopped with the test."""
    monkeypatch.setattr(limited_answer, "TIMEOUT", PATIENCE)


@pytest.fixture
def parties(tmp_path: Path, clock: Clock, ec_key: ECKey) -> Parties:
    """The apps, a little later: the first secrets are made by the system's clock."""
    clock.advance(int(time.time()) + 60 - clock())
    return Parties.start(tmp_path, clock, ec_key)


@contextmanager
def pair_of(parties: Parties, clock: Clock) -> Iterator[Pair]:
    with requests.Session() as http:
        settings = parties.settings
        http.mount(settings.issuer_url, AppAdapter(parties.as_app))
        http.mount(settings.resource_url, AppAdapter(parties.rs_app))
        yield Pair(
            issuer=settings.issuer_url,
            resource=settings.resource_url,
            url=f"{settings.resource_url}/api/accounts",
            client_id=CLIENT,
            client_secret=demo_data.CONFIDENTIAL_SECRET,
            scope="accounts",
            clock=clock,
            http=http,
        )


@pytest.fixture
def pair(parties: Parties, clock: Clock) -> Iterator[Pair]:
    with pair_of(parties, clock) as pair:
        yield pair


def failures(trials: list[Trial]) -> set[str]:
    return {trial.name for trial in trials if trial.status == "failed"}


def test_requirements_and_targets_are_those_of_the_list() -> None:
    listed = RequirementList.read(DOCS / "requirements.toml").requirements
    assert {name: listed[name].target for name in TARGETS} == TARGETS


@pytest.mark.requirement("R1707")
def test_the_demo_conforms(pair: Pair) -> None:
    trials = list(try_pair(pair))
    assert not failures(trials)
    assert {trial.status for trial in trials} == {"passed"}
    assert {trial.party for trial in trials} == {"as", "rs"}
    names = [trial.name for trial in trials]
    assert len(set(names)) == len(names)
    tried = {name for trial in trials for name in trial.requirements}
    assert tried == set(TARGETS)
    targets = conforming_targets(trials)
    assert targets[0] == "AS"
    assert "RS" in targets


@pytest.mark.requirement("R1707")
def test_a_pair_without_a_shared_secret_conforms_too(
    tmp_path: Path, clock: Clock, ec_key: ECKey
) -> None:
    clock.advance(int(time.time()) + 60 - clock())
    parties = Parties.start(tmp_path, clock, ec_key, symmetric_model="encapsulated")
    with pair_of(parties, clock) as pair:
        trials = list(try_pair(pair))
    assert not failures(trials)
    # What is about versions of secrets, and nothing else.
    assert {trial.name for trial in trials if trial.status != "passed"} == {
        "reference to the key",
        "second token",
        "edited tokens",
    }
    assert "RS" in conforming_targets(trials)


# --- servers with a fault


def edit_answers(app: Flask, edit: Callable[[int, Fields, bytes], Any]) -> None:
    """Let *edit* change status, header fields and body of every answer."""
    inner = app.wsgi_app

    def edited(environ: Any, start_response: Any) -> list[bytes]:
        body, status, headers = run_wsgi_app(inner, environ)
        code, fields, content = int(status[:3]), list(headers), b"".join(body)
        if "json" in headers.get("Content-Type", ""):
            code, fields, content = edit(code, fields, content)
        sent = [field for field in fields if field[0] != "Content-Length"]
        start_response(f"{code} Edited", [*sent, ("Content-Length", f"{len(content)}")])
        return [content]

    app.wsgi_app = edited  # type: ignore[method-assign]


def edit_fields(app: Flask, edit: Callable[[Fields], Fields]) -> None:
    edit_answers(app, lambda status, fields, body: (status, edit(fields), body))


def edit_body(app: Flask, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    def edited(status: int, fields: Fields, body: bytes) -> Any:
        before = json.loads(body)
        after = edit(before)
        # What is spelled in another way is another content.
        return status, fields, body if after == before else json.dumps(after).encode()

    edit_answers(app, edited)


def without(*names: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda body: {name: body[name] for name in body if name not in names}


def uncached(fields: Fields) -> Fields:
    return [field for field in fields if field[0] != "Cache-Control"]


def silent_about_macs(fields: Fields) -> Fields:
    return [(name, value.replace("sym_algs", "macs")) for name, value in fields]


def unaware(fields: Fields) -> Fields:
    renamed = ("invalid_dpop_proof", "invalid_token")
    return [(name, value.replace(*renamed)) for name, value in fields]


ISSUER_FAULTS: dict[str, tuple[Callable[[Parties], None], set[str]]] = {
    "another issuer in the metadata": (
        lambda p: edit_body(
            p.as_app, lambda b: b | {"issuer": "x"} if "issuer" in b else b
        ),
        {"issuer metadata"},
    ),
    "no list of key algorithms": (
        lambda p: edit_body(
            p.as_app, without("dpop_symmetric_key_encryption_alg_values_supported")
        ),
        {"symmetric members of the issuer"},
    ),
    "no claim": (
        lambda p: edit_body(p.as_app, without("dpop_sym_conformance")),
        {"claim of the issuer"},
    ),
    "the token type of Bearer": (
        lambda p: edit_body(
            p.as_app, lambda b: b | {"token_type": "Bearer"} if "token_type" in b else b
        ),
        {"token response"},
    ),
    "no key": (
        lambda p: edit_body(p.as_app, without("cnf")),
        {"token response"},
    ),
    "answers that may be cached": (
        lambda p: edit_fields(p.as_app, uncached),
        {"caching"},
    ),
    "other words for refusals": (
        lambda p: edit_body(
            p.as_app, lambda b: b | {"error": "server_error"} if "error" in b else b
        ),
        {
            "parameter and claim that disagree",
            "an encryption key with private members",
            "a low-order encryption key",
            "an RSA key of 1024 bits",
            "an RSA exponent of 3",
            "an n of 31 bytes",
            "a key that must be and cannot",
            "an Ed25519 key and no other to encrypt for",
            "a symmetric proof at the token endpoint",
        },
    ),
}


@pytest.mark.parametrize("fault", ISSUER_FAULTS)
def test_a_fault_of_the_issuer_is_reported(
    fault: str, pair: Pair, parties: Parties
) -> None:
    make, expected = ISSUER_FAULTS[fault]
    if fault == "other words for refusals":
        # A client that is told nothing of nonces has to bring one.
        next(iter(try_pair(pair)))
        pair.request_token({})
    make(parties)
    trials = list(try_pair(pair))
    assert failures(trials) == expected
    targets = conforming_targets(trials)
    assert "AS" not in targets
    # Without a key there is nothing to try at the other one; and who says that he is
    # somebody else is not asked for one.
    no_key = {"no key", "another issuer in the metadata"}
    assert ("RS" in targets) == (fault not in no_key)
    for trial in trials:
        assert bool(trial.advice) == (trial.status == "failed")


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (silent_about_macs, {"algorithms in the challenge"}),
        (unaware, {"no typ", "HS384", "no ath", "another key", "no MAC"}),
    ],
)
def test_a_fault_of_the_challenges_is_reported(
    edit: Any, expected: set[str], pair: Pair, parties: Parties
) -> None:
    edit_fields(parties.rs_app, edit)
    trials = list(try_pair(pair))
    assert expected <= failures(trials)
    assert "RS" not in conforming_targets(trials)
    assert "AS" in conforming_targets(trials)


@pytest.mark.parametrize(
    "member", ["dpop_sym_conformance", "resource", "dpop_symmetric_modes_supported"]
)
def test_a_fault_of_the_resource_metadata_is_reported(
    member: str, pair: Pair, parties: Parties
) -> None:
    edit_body(parties.rs_app, without(member))
    trials = list(try_pair(pair))
    (failed,) = [trial for trial in trials if trial.status == "failed"]
    assert failed.party == "rs"
    assert "RS" not in conforming_targets(trials)
    assert set(failed.requirements) <= {"R1705", "R1707"}


def without_field(*names: str) -> Callable[[Fields], Fields]:
    return lambda fields: [field for field in fields if field[0] not in names]


def with_another_type(fields: Fields) -> Fields:
    renamed = {"Content-Type": "application/problem+json"}
    return [(name, renamed.get(name, value)) for name, value in fields]


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (without_field("DPoP-Response"), {"a response proof"}),
        (with_another_type, {"a response proof"}),
        (without_field("DPoP-Ticket"), {"a ticket"}),
        (without_field("Vary"), {"caching of a ticket"}),
        (without_field("Cache-Control"), {"caching of a ticket"}),
    ],
)
def test_what_a_proxy_does_to_answers_is_reported(
    edit: Any, expected: set[str], pair: Pair, parties: Parties
) -> None:
    edit_fields(parties.rs_app, edit)
    assert failures(list(try_pair(pair))) == expected


def test_a_path_that_takes_macs_after_all_is_reported(
    pair: Pair, parties: Parties
) -> None:
    paths = {"dpop_asymmetric_required_paths": ["/api/accounts"]}
    edit_body(parties.rs_app, lambda body: body | paths if "resource" in body else body)
    failed = failures(list(try_pair(pair)))
    assert "a symmetric proof where none is taken" in failed


def test_what_a_server_does_not_offer_is_not_tried(
    pair: Pair, parties: Parties
) -> None:
    """And then nothing is claimed for it."""

    def tried() -> set[tuple[str, str, tuple[str, ...]]]:
        return {(one.name, one.party, one.requirements) for one in trials}

    trials = list(try_pair(pair))
    offered = tried()
    missing = ("dpop_response_signing_supported", "dpop_asymmetric_required_paths")
    plain = {"dpop_symmetric_modes_supported": ["derived"]}
    drop = without(*missing)
    edit_body(
        parties.rs_app,
        lambda body: drop(body) | plain if "resource" in body else body,
    )
    trials = list(try_pair(pair))
    assert not failures(trials)
    assert tried() == offered
    skipped = {trial.name for trial in trials if trial.status == "skipped"}
    assert {"a ticket", "a response proof"} <= skipped
    targets = conforming_targets(trials)
    assert "RS" in targets
    assert not {"TICKET", "RES_PROOF"} & set(targets)


def test_a_repeated_r_is_reported(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RandomValues, "draw", lambda _: bytes(range(32)))
    assert failures(list(try_pair(pair))) == {"second token"}


def accept_any_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    anything = SimpleNamespace(compare_digest=lambda *_: True)
    monkeypatch.setattr(symmetric_proof, "hmac", anything)
    monkeypatch.setattr(usual_proof, "hmac", anything)


def accept_any_header(monkeypatch: pytest.MonkeyPatch) -> None:
    every = symmetric_proof._HEADER_MEMBERS | {"jwk", "jku", "x"}
    monkeypatch.setattr(symmetric_proof, "_HEADER_MEMBERS", every)


def accept_any_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_binding, "check_hash", lambda *_: None)


def accept_any_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_binding, "check_target", lambda *_: None)


def accept_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpop_ext.stores.sql.SQLReplayStore.add", lambda *_, **__: True)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (accept_any_mac, {"another key", "a MAC of 16 bytes"}),
        (accept_any_header, {"jku in the header", "an unknown header member"}),
        (accept_any_hash, {"the ath of another token"}),
        (accept_any_target, {"another URL"}),
        (accept_twice, {"a proof for the second time"}),
    ],
)
def test_a_check_that_is_missing_is_reported(
    fault: Any, expected: set[str], pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    trials = list(try_pair(pair))
    assert expected <= failures(trials)
    assert "RS" not in conforming_targets(trials)


def test_a_pair_that_does_not_share_a_secret_is_reported(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    # At the resource server alone: both derive from a prepared secret.
    monkeypatch.setattr(
        "dpop_ext.symmetric.verification.MacKey",
        lambda algorithm, _key: MacKey(algorithm, bytes(32)),
    )
    trials = list(try_pair(pair))
    assert failures(trials) == {"a symmetric proof"}


# --- the command


def run(server: DemoServer, *arguments: str, **options: str) -> Result:
    settings = server.settings
    given = {
        "--as": settings.issuer_url,
        "--rs": settings.resource_url,
        "--url": f"{settings.resource_url}/api/accounts",
        "--client-id": CLIENT,
        "--scope": "accounts",
    } | options
    words = [word for option in given.items() for word in option]
    secret = {"DPOP_EXT_CLIENT_SECRET": demo_data.CONFIDENTIAL_SECRET}
    command = ["conformance", *words, *arguments]
    return CliRunner(env=secret).invoke(dpop_ext, command)


def test_the_command_prints_trials_and_the_claim(demo_server: DemoServer) -> None:
    shown = run(demo_server)
    assert shown.exit_code == 0, shown.output
    assert "passed   R1503" in shown.output
    assert ", 0 failed, 0 skipped" in shown.output
    assert f"  {PROFILE}#as\n" in shown.output
    assert f"  {PROFILE}#rs\n" in shown.output


def test_the_command_prints_json(demo_server: DemoServer) -> None:
    shown = run(demo_server, "--json")
    assert shown.exit_code == 0, shown.output
    report = json.loads(shown.output)
    assert report["conforms"] is True
    assert set(report["claims"]) <= {
        f"{PROFILE}#{name.lower().replace('_', '-')}"
        for name in (*AUTHORIZATION_SERVER, *RESOURCE_SERVER)
    }
    assert {trial["status"] for trial in report["trials"]} == {"passed"}


def test_the_command_says_what_breaks_the_claim(demo_server: DemoServer) -> None:
    """The page of the metadata takes no tokens."""
    url = f"{demo_server.settings.resource_url}/.well-known/oauth-protected-resource"
    shown = run(demo_server, **{"--url": url})
    assert shown.exit_code == 1
    assert (f"{PROFILE}#rs\n" in shown.output, shown.stderr) == (False, "")
    trials, counts, claim, advice = shown.stdout.split("\n\n")
    lines = trials.splitlines()
    assert f"failed   {'R1503':24}  a proof for the second time: 200, then 200" in lines
    states = [line.split()[0] for line in lines]
    passed, failed = states.count("passed"), states.count("failed")
    assert counts == f"{passed} passed, {failed} failed, 0 skipped"
    heading, first, *_ = claim.splitlines()
    assert heading == "This allows the claim (dpop_sym_conformance):"
    assert first == f"  {PROFILE}#as"
    heading, *changes = advice.splitlines()
    assert heading == "What breaks it, and what to change:"
    assert changes[0].startswith("  R1503, a proof for the second time: Give all nodes")
    assert len([line for line in changes if line[:4].strip()]) == failed
    assert max(map(len, changes)) <= 88
    report = run(demo_server, "--json", **{"--url": url})
    assert report.exit_code == 1
    assert json.loads(report.stdout)["conforms"] is False


def test_a_server_that_is_not_there_is_one_line(demo_server: DemoServer) -> None:
    shown = run(demo_server, **{"--as": "http://127.0.0.1:9"})
    assert shown.exit_code == 1
    assert shown.stderr == (
        "dpop-ext: a server does not answer: ConnectionError; are the URLs right, and "
        "the servers up?\n"
    )


def test_an_answer_without_end_is_one_line(demo_server: DemoServer) -> None:
    with running_server() as endless:
        endless.script = lambda _: Answer(body=b"x" * (MAX_ANSWER + 1))
        shown = run(demo_server, **{"--as": endless.url})
    assert shown.exit_code == 1
    expected = "dpop-ext: a server cannot be examined: The answer is too long.\n"
    assert shown.stderr == expected


def test_nothing_is_sent_in_the_clear(demo_server: DemoServer) -> None:
    assert run(demo_server, **{"--rs": "http://api.example.com"}).exit_code == 2


def test_the_metadata_of_another_issuer_gets_no_secret(
    pair: Pair, parties: Parties
) -> None:
    other = {"issuer": "https://other.example"}
    edit_body(parties.as_app, partial(replaced, other, "issuer"))
    trials = list(try_pair(pair))
    assert "issuer metadata" in failures(trials)
    assert "token response" not in {trial.name for trial in trials}


def replaced(odd: dict[str, Any], seen: str, body: dict[str, Any]) -> dict[str, Any]:
    return body | odd if seen in body else body


ODD_VALUES: list[Any] = [None, 7, "x", [], [7], {}, {"x": 1}, "\x1b[31m"]


@pytest.mark.parametrize("value", ODD_VALUES, ids=repr)
def test_odd_metadata_is_reported_and_no_traceback(
    value: Any, pair: Pair, parties: Parties
) -> None:
    names = (
        *("issuer", "token_endpoint", "dpop_symmetric_kdf_values_supported"),
        *("dpop_sym_conformance", "dpop_symmetric_alg_values_supported"),
    )
    odd = dict.fromkeys(names, value)
    edit_body(parties.as_app, lambda body: body | odd if "issuer" in body else body)
    pair.token_endpoint = ""
    trials = list(try_pair(pair))
    assert "issuer metadata" in failures(trials)
    assert "claim of the issuer" in failures(trials)
    assert not conforming_targets(trials)
    assert all(trial.seen.isprintable() for trial in trials)


@pytest.mark.parametrize("value", ODD_VALUES, ids=repr)
def test_an_odd_token_response_is_reported_and_no_traceback(
    value: Any, pair: Pair, parties: Parties
) -> None:
    for name in ("access_token", "token_type", "cnf", "error"):
        odd = {name: value}
        seen = name if name == "error" else "access_token"
        edit_body(parties.as_app, partial(replaced, odd, seen))
    trials = list(try_pair(pair))
    assert "token response" in failures(trials)
    assert all(trial.seen.isprintable() for trial in trials)


@pytest.mark.parametrize("token", ["\u65e5", "a\nb", "a b", ""])
def test_a_token_that_no_header_takes_is_not_sent(
    token: str, pair: Pair, parties: Parties
) -> None:
    odd = {"access_token": token}
    edit_body(parties.as_app, partial(replaced, odd, "access_token"))
    trials = list(try_pair(pair))
    assert "token response" in failures(trials)
    assert "caching" not in {trial.name for trial in trials}


@pytest.mark.parametrize(
    "header", [b"[" * 100_000, b'{"a":' * 5000, b'{"typ": "\\ud800"}', b"\xff"]
)
def test_an_odd_header_of_the_key_is_reported_and_no_traceback(
    header: bytes, pair: Pair, parties: Parties
) -> None:
    odd = {"cnf": {"jwe": f"{b64url_encode(header)}.a.b.c.d"}}
    edit_body(parties.as_app, partial(replaced, odd, "access_token"))
    trials = list(try_pair(pair))
    assert {"type of the JWE", "key in the JWE"} <= failures(trials)
    assert all(trial.seen.isprintable() for trial in trials)
