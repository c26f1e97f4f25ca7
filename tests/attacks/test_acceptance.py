"""What other implementations got wrong: each is a promise of this one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from joserfc.jwk import ECKey

from tests.attacks.moves import ask, claims_of, forge, prove, prove_symmetrically
from tests.demo.parties import CONFIDENTIAL, RESOURCE_SERVER
from tests.fuzz.running import running
from tests.fuzz.servers import Servers
from tests.fuzz.wire import Answer, send


@pytest.mark.requirement("X-15")
@pytest.mark.parametrize("kind", ["asymmetric", "symmetric"])
def test_of_fifty_uses_of_a_proof_at_once_one_is_served(
    servers: Servers, kind: str
) -> None:
    token, delivered = servers.symmetric
    proof = prove(servers, token)
    if kind == "symmetric":
        proof = prove_symmetrically(servers, delivered.key.reveal(), token)
    barrier = Barrier(50)

    def use(_: int) -> tuple[int, str | None]:
        barrier.wait()
        answer = ask(servers, token, proof)
        return answer.status, answer.error

    with ThreadPoolExecutor(50) as pool:
        answers = Counter(pool.map(use, range(50)))
    assert answers == {(200, None): 1, (401, "invalid_dpop_proof"): 49}


@pytest.mark.requirement("Q-1", "Q-18", "U-12")
def test_a_nonce_that_changes_all_the_time_logs_nobody_out(
    strict_servers: Servers,
) -> None:
    servers = strict_servers
    code = servers.code()
    servers.nonces.clear()
    before = servers.state()
    pairs = [("grant_type", b"authorization_code"), ("code", code.encode())]
    for _ in range(3):
        answer = servers.ask_token([*pairs, ("client_id", b"demo-public")])
        assert (answer.status, answer.error) == (400, "use_dpop_nonce")
    assert servers.state() == before
    tokens = servers.redeem(code).get_json()
    for _ in range(6):
        # Every nonce that the client has is too old by then.
        servers.clock.advance(200)
        refreshed = servers.refresh(tokens["refresh_token"])
        assert refreshed.status_code == 200
        tokens = refreshed.get_json()
        token = tokens["access_token"]
        assert servers.api("GET", "/api/accounts", token).status_code == 200


#: How a request is made faulty, the answer, and the reason in the log.
REJECTIONS: dict[str, tuple[Callable[[Servers, str], Answer], int, str | None, str]] = {
    "nothing": (
        lambda s, _: send(s.rs_app, "GET", b"/api/accounts"),
        401,
        None,
        "no_credentials",
    ),
    "no proof": (
        lambda s, token: ask(s, token, None),
        401,
        "invalid_dpop_proof",
        "malformed_proof",
    ),
    "no JWT": (
        lambda s, token: ask(s, token, b"x"),
        401,
        "invalid_dpop_proof",
        "malformed_proof",
    ),
    "another method": (
        lambda s, token: ask(s, token, prove(s, token, method="POST")),
        401,
        "invalid_dpop_proof",
        "target_mismatch",
    ),
    "another path": (
        lambda s, token: ask(s, token, prove(s, token, path="/api/echo/")),
        401,
        "invalid_dpop_proof",
        "target_mismatch",
    ),
    "another token": (
        lambda s, token: ask(s, token, prove(s, "x")),
        401,
        "invalid_dpop_proof",
        "token_mismatch",
    ),
    "Bearer": (
        lambda s, token: ask(s, token, None, scheme="Bearer"),
        401,
        "invalid_token",
        "bearer_refused",
    ),
    "another scheme": (
        lambda s, token: ask(s, token, prove(s, token), scheme="Basic"),
        401,
        None,
        "unsupported_scheme",
    ),
    "two tokens": (
        lambda s, token: ask(s, f"{token}, DPoP {token}", prove(s, token)),
        400,
        "invalid_request",
        "invalid_request",
    ),
    "token in the query": (
        lambda s, token: ask(s, token, None, path="/api/accounts?access_token=x"),
        400,
        "invalid_request",
        "invalid_request",
    ),
    "a token that is none": (
        lambda s, _: ask(s, "x", prove(s, "x")),
        401,
        "invalid_token",
        "invalid_token",
    ),
    "scope": (
        lambda s, token: ask(
            s,
            narrow := forge(token, s.signing_key, scope="accounts"),
            prove(s, narrow, method="POST", path="/api/transfers"),
            method="POST",
            path="/api/transfers",
        ),
        403,
        "insufficient_scope",
        "insufficient_scope",
    ),
    "unbound": (
        lambda s, token: ask(
            s,
            unbound := forge(token, s.signing_key, cnf=None),
            prove(s, unbound),
        ),
        401,
        "invalid_token",
        "invalid_token",
    ),
}


@pytest.mark.requirement("P-4", "P-9", "P-11", "P-16", "D-2", "U-7")
@pytest.mark.parametrize(
    ("make", "status", "error", "reason"), REJECTIONS.values(), ids=REJECTIONS
)
def test_a_rejection_has_status_code_text_and_a_line_in_the_log(
    servers: Servers,
    caplog: pytest.LogCaptureFixture,
    make: Callable[[Servers, str], Answer],
    status: int,
    error: str | None,
    reason: str,
) -> None:
    token, _ = servers.symmetric
    with caplog.at_level("INFO"):
        answer = make(servers, token)
    assert (answer.status, answer.error) == (status, error)
    challenge = answer.first("WWW-Authenticate")
    assert challenge.startswith("DPoP ")
    assert ("error_description=" in challenge) == (error is not None)
    lines = [line for line in caplog.messages if line.startswith("refused: ")]
    assert len(lines) == 1
    assert f"status={status} reason={reason} " in lines[0]


@pytest.mark.requirement("D-1", "D-2", "U-28")
def test_a_bound_token_is_no_bearer_token_anywhere(
    tmp_path: Path, ec_key: ECKey
) -> None:
    for bearer in False, True:
        directory = tmp_path / str(bearer)
        directory.mkdir()
        with running(directory, ec_key, nonce="off", bearer=bearer) as servers:
            token = servers.redeem(servers.code()).get_json()["access_token"]
            url = f"{servers.settings.issuer_url}/userinfo"
            for proof in None, prove(servers, token):
                answer = ask(servers, token, proof, scheme="Bearer")
                assert (answer.status, answer.error) == (401, "invalid_token")
                schemes = answer.all("WWW-Authenticate")
                assert len(schemes) == 1 + bearer
                assert schemes[-1].startswith("DPoP ")
            for proof in None, servers.good_proof("GET", url, token):
                answer = ask(
                    servers,
                    token,
                    proof,
                    app=servers.as_app,
                    path="/userinfo",
                    scheme="Bearer",
                )
                assert (answer.status, answer.error) == (401, "invalid_token")
            proof = servers.good_proof("GET", url, token)
            answer = ask(servers, token, proof, app=servers.as_app, path="/userinfo")
            assert answer.status == 200


@pytest.mark.requirement("B-5", "B-6", "J-5", "U-21")
def test_the_other_endpoints_know_bound_tokens(servers: Servers) -> None:
    token, _ = servers.symmetric
    form = {"token": token}
    stray = {"DPoP": "stray"}
    answer = servers.as_client.post(
        "/introspect", data=form, headers=RESOURCE_SERVER | stray
    ).get_json()
    assert answer["token_type"] == "DPoP"
    assert answer["cnf"] == claims_of(token)["cnf"]
    answer = servers.as_client.post("/revoke", data=form, headers=CONFIDENTIAL | stray)
    assert answer.status_code == 200
    answer = servers.as_client.post("/introspect", data=form, headers=RESOURCE_SERVER)
    assert answer.get_json() == {"active": False}


@pytest.mark.requirement("X-15")
def test_a_store_that_fails_admits_nobody_and_costs_nothing(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, _ = servers.symmetric
    code = servers.code()
    tokens = servers.redeem(servers.code()).get_json()
    before = servers.state()
    with monkeypatch.context() as patch:
        for store in servers.stores:
            patch.setattr(store, "add", fail)
        refused = [servers.redeem(code), servers.refresh(tokens["refresh_token"])]
        for answer in refused:
            assert answer.status_code == 503
            assert answer.get_json()["error"] == "temporarily_unavailable"
            assert answer.headers["Retry-After"]
            assert answer.headers["Cache-Control"] == "no-store"
        refusal = ask(servers, token, prove(servers, token))
        assert (refusal.status, refusal.error) == (503, "temporarily_unavailable")
        assert refusal.first("Retry-After")
        assert not refusal.all("WWW-Authenticate")
    assert servers.state() == before
    assert servers.redeem(code).status_code == 200
    assert servers.refresh(tokens["refresh_token"]).status_code == 200
    assert ask(servers, token, prove(servers, token)).status == 200


def fail(*_: object, **__: object) -> bool:
    raise OSError
