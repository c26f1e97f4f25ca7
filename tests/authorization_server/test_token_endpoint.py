"""The proof of a token request: header, target, order, errors and logs."""

from __future__ import annotations

import logging
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from authlib.oauth2.rfc6749 import InvalidGrantError
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc8628 import DEVICE_CODE_GRANT_TYPE
from werkzeug.middleware.proxy_fix import ProxyFix

from dpop_ext.authorization_server import DPoP
from dpop_ext.authorization_server.http_request import (
    form_value,
    is_sent_to_loopback,
    raw_target,
    read_proof,
)
from dpop_ext.core.policy import FAPI2, ProofPolicy
from dpop_ext.errors import (
    MalformedProofError,
    MalformedRequestError,
    StoreError,
)
from dpop_ext.stores.memory import MemoryReplayStore
from tests.authorization_server.simulator import (
    JWT_BEARER,
    TOKEN_URL,
    Prover,
    basic,
)
from tests.authorization_server.test_every_grant import error_of
from tests.patience import PATIENCE

CLIENT_CREDENTIALS = {"grant_type": "client_credentials"}


class CountingStore(MemoryReplayStore):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        self.calls += 1
        return super().add(key, expires_at=expires_at, now=now)


@pytest.mark.parametrize("name", ["DPoP", "dpop", "DPOP", "Dpop"])
@pytest.mark.requirement("H-1")
def test_the_field_name_has_any_case(sim: Any, prove: Any, name: str) -> None:
    response = sim.token(CLIENT_CREDENTIALS, headers=[(name, prove())])
    assert response.get_json()["token_type"] == "DPoP"


@pytest.mark.requirement("H-2")
def test_the_field_value_has_one_case(sim: Any, prove: Any) -> None:
    response = sim.token(CLIENT_CREDENTIALS, prove().swapcase())
    assert error_of(response) == (400, "invalid_dpop_proof")


@pytest.mark.parametrize("value", ["", " ", ",", ", "])
@pytest.mark.requirement("H-4")
def test_an_empty_field_is_not_an_absent_one(sim: Any, value: str) -> None:
    """Trap: "absent" would silently make a Bearer token."""
    response = sim.token(CLIENT_CREDENTIALS, value)
    assert error_of(response) == (400, "invalid_dpop_proof")
    assert sim.tokens == []


@pytest.mark.parametrize("join", ["{0},{1}", "{0}, {1}", ",{0}", "{0},", "{0},{0}"])
@pytest.mark.requirement("C-1")
def test_two_fields_joined_by_the_server_are_refused(
    sim: Any, prove: Any, join: str
) -> None:
    """Trap: WSGI joins two fields of one name, and a list of them shows one."""
    response = sim.token(CLIENT_CREDENTIALS, join.format(prove(), prove()))
    assert error_of(response) == (400, "invalid_dpop_proof")


@pytest.mark.requirement("C-1")
def test_two_fields_are_refused(sim: Any, prove: Any) -> None:
    fields = [("DPoP", prove()), ("DPoP", prove())]
    response = sim.token(CLIENT_CREDENTIALS, headers=fields)
    assert error_of(response) == (400, "invalid_dpop_proof")


@pytest.mark.requirement("H-5")
def test_a_proof_outside_the_header_is_no_proof(sim: Any, prove: Any) -> None:
    sim.http.set_cookie("DPoP", prove())
    for name in ("DPoP", "dpop", "dpop_proof"):
        form = CLIENT_CREDENTIALS | {name: prove()}
        url = f"{TOKEN_URL}?{name}={prove()}"
        response = sim.token(form, url=url)
        assert response.get_json()["token_type"] == "Bearer"


@pytest.mark.parametrize(
    "text",
    ["x", "a.b", "a.b.c.d.e", "..", "\xe9", "a" * 9000, "e30.e30.e30", "null", "{}"],
)
@pytest.mark.requirement("C-2", "T-3")
def test_what_is_no_proof_is_refused(sim: Any, text: str) -> None:
    response = sim.token(CLIENT_CREDENTIALS, text)
    assert error_of(response) == (400, "invalid_dpop_proof")


@pytest.mark.requirement("X-21", "X-22")
def test_a_client_assertion_is_no_proof(sim: Any) -> None:
    response = sim.token(CLIENT_CREDENTIALS, sim.assertion("confidential"))
    assert error_of(response) == (400, "invalid_dpop_proof")


@pytest.mark.requirement("X-21")
def test_a_proof_is_no_assertion(sim: Any, prove: Any) -> None:
    form = {"grant_type": JWT_BEARER, "assertion": prove()}
    assert error_of(sim.token(form)) == (400, "invalid_grant")


@pytest.mark.requirement("S-12", "X-23")
def test_what_a_proof_says_beside_is_ignored(sim: Any, prove: Any) -> None:
    proof = prove(access_token="t", claims={"extra": {"a": [1]}, "sub": "x"})
    assert sim.token(CLIENT_CREDENTIALS, proof).status_code == 200


def test_an_unexpected_exception_is_a_faulty_proof(
    make_sim: Any, prove: Any, caplog: Any
) -> None:
    """Trap: the libraries raise more than their own errors for hostile input."""

    class Broken(DPoP):
        def get_policy(self, request: Any) -> ProofPolicy:
            if "DPoP" in request.headers:
                raise RecursionError("what the caller sent")
            return super().get_policy(request)

    sim = make_sim(dpop_class=Broken)
    with caplog.at_level(logging.INFO):
        response = sim.token(CLIENT_CREDENTIALS, prove())
    assert error_of(response) == (400, "invalid_dpop_proof")
    assert "RecursionError" in caplog.text
    assert "what the caller sent" not in caplog.text


# --- the target


@pytest.mark.requirement("C-9", "N-2", "N-8")
@pytest.mark.parametrize("htu", ["https://AS.example:443/token", f"{TOKEN_URL}?a=b#c"])
def test_htu_is_compared_with_the_public_url(sim: Any, prove: Any, htu: str) -> None:
    proof = prove.raw(htu=htu)
    url = "https://10.0.0.7:8080/token?x=y"
    assert sim.token(CLIENT_CREDENTIALS, proof, url=url).status_code == 200


@pytest.mark.requirement("N-6")
def test_an_escaped_slash_is_not_a_slash(sim: Any, prove: Any) -> None:
    """Trap: WSGI decodes the path, so %2F can be told from / in the raw target only."""
    escaped = "https://as.example/tenant/a%2Fb/token"
    plain = "https://as.example/tenant/a/b/token"
    for url, other in ((escaped, plain), (plain, escaped)):
        assert sim.token(CLIENT_CREDENTIALS, prove(url=url), url=url).status_code == 200
        refused = sim.token(CLIENT_CREDENTIALS, prove(url=other), url=url)
        assert error_of(refused) == (400, "invalid_dpop_proof")


def test_the_raw_target_is_where_authlib_keeps_it(sim: Any) -> None:
    """Trap: the attribute is private to Authlib. This test pins it."""
    with sim.app.test_request_context("/tenant/a%2Fb/token?c=d", base_url="https://h"):
        oauth2_request = sim.server.create_oauth2_request(None)
        assert oauth2_request._request.environ["RAW_URI"] == "/tenant/a%2Fb/token?c=d"
        assert sim.dpop.get_raw_target(oauth2_request) == "/tenant/a%2Fb/token?c=d"


@pytest.mark.parametrize("name", ["RAW_URI", "REQUEST_URI"])
def test_either_name_of_the_raw_target_will_do(sim: Any, prove: Any, name: str) -> None:
    url = "https://as.example/tenant/a%2Fb/token"
    environ = {"RAW_URI": "", "REQUEST_URI": "", name: "/tenant/a%2Fb/token"}
    response = sim.token(CLIENT_CREDENTIALS, prove(url=url), url=url, environ=environ)
    assert response.status_code == 200


def test_without_a_raw_target_an_escape_that_decoding_loses_is_refused(
    sim: Any, prove: Any
) -> None:
    environ = {"RAW_URI": "", "REQUEST_URI": ""}
    good = sim.token(CLIENT_CREDENTIALS, prove(), environ=environ)
    assert good.status_code == 200
    url = "https://as.example/tenant/a%2Fb/token"
    proof = prove(url=url)
    refused = sim.token(CLIENT_CREDENTIALS, proof, url=url, environ=environ)
    assert error_of(refused) == (400, "invalid_dpop_proof")


@pytest.mark.requirement("N-18")
@pytest.mark.parametrize(
    "field",
    [
        ("Host", "evil.example"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Prefix", "/evil"),
        ("Forwarded", "host=evil.example;proto=http"),
        ("X-HTTP-Method-Override", "PUT"),
    ],
)
def test_no_header_field_changes_the_target(
    sim: Any, prove: Any, field: tuple[str, str]
) -> None:
    assert sim.token(CLIENT_CREDENTIALS, prove(), headers=[field]).status_code == 200
    proof = prove(url="https://evil.example/token")
    refused = sim.token(CLIENT_CREDENTIALS, proof, headers=[field])
    assert error_of(refused) == (400, "invalid_dpop_proof")


@pytest.mark.requirement("N-18")
def test_a_target_in_absolute_form_names_no_host(sim: Any, prove: Any) -> None:
    environ = {"RAW_URI": "https://evil.example/token"}
    good = sim.token(CLIENT_CREDENTIALS, prove(), environ=environ)
    assert good.status_code == 200
    proof = prove(url="https://evil.example/token")
    refused = sim.token(CLIENT_CREDENTIALS, proof, environ=environ)
    assert error_of(refused) == (400, "invalid_dpop_proof")


def test_a_path_in_the_public_url_is_a_prefix(make_sim: Any, prove: Any) -> None:
    sim = make_sim(public_url="https://as.example/auth/")
    proof = prove(url="https://as.example/auth/token")
    assert sim.token(CLIENT_CREDENTIALS, proof).status_code == 200


def test_without_a_public_url_the_framework_decides_and_a_warning_says_so_once(
    make_sim: Any, prove: Any, caplog: Any
) -> None:
    sim = make_sim(public_url=None)
    for _ in range(2):
        proof = prove(url="https://inner.example/token")
        url = "https://inner.example/token"
        assert sim.token(CLIENT_CREDENTIALS, proof, url=url).status_code == 200
    warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "public_url" in warnings[0].getMessage()


@pytest.mark.requirement("U-3")
def test_a_proof_for_another_url_is_explained_to_who_looks_for_it(
    sim: Any, prove: Any, caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG, "dpop_ext")
    proof = prove(url="https://inner.example/token")
    assert sim.token(CLIENT_CREDENTIALS, proof).status_code == 400
    (line,) = (r for r in caplog.records if r.levelname == "DEBUG")
    assert line.fields == {
        "expected": repr(TOKEN_URL),
        "found": "'https://inner.example/token'",
    }


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9000", "[::1]:9000"])
def test_a_loopback_host_is_no_cause_for_a_warning(
    make_sim: Any, prove: Any, caplog: Any, host: str
) -> None:
    sim = make_sim(public_url=None)
    url = f"https://{host}/token"
    assert sim.token(CLIENT_CREDENTIALS, prove(url=url), url=url).status_code == 200
    assert not [r for r in caplog.records if r.levelno == logging.WARNING]


@pytest.mark.parametrize("host", ["a b", "evil.example/x", "[::1", "h:port", "\xe9"])
def test_a_host_that_is_none_is_a_documented_error(
    make_sim: Any, prove: Any, host: str
) -> None:
    sim = make_sim(public_url=None)
    """Trap: Authlib looks at the URL where it does not handle errors yet."""
    headers = [("Host", host)]
    response = sim.token(CLIENT_CREDENTIALS, prove(), headers=headers)
    assert error_of(response) == (400, "insecure_transport")


@pytest.mark.requirement("G-1")
@pytest.mark.parametrize("path", ["token", "authorize", "introspect"])
def test_plain_http_is_a_documented_error(sim: Any, path: str) -> None:
    """Trap: the same; over plain http every endpoint ended in a 500."""
    response = sim.http.post(f"http://as.example/{path}", data=CLIENT_CREDENTIALS)
    assert error_of(response) == (400, "insecure_transport")


def test_a_trusted_proxy_says_what_the_client_sees(make_sim: Any, prove: Any) -> None:
    """Trap: behind a proxy the framework names the inner host."""
    sim = make_sim(public_url=None)
    sim.app.wsgi_app = ProxyFix(sim.app.wsgi_app, x_proto=1, x_host=1)
    fields = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "as.example")]
    inner = "http://localhost:8080/token"
    response = sim.token(CLIENT_CREDENTIALS, prove(), headers=fields, url=inner)
    assert response.status_code == 200


@pytest.mark.requirement("C-8")
def test_htm_is_the_method(sim: Any, prove: Any) -> None:
    for method in ("GET", "post"):
        refused = sim.token(CLIENT_CREDENTIALS, prove(method=method))
        assert error_of(refused) == (400, "invalid_dpop_proof")


# --- order


@pytest.mark.requirement("G-2", "X-26")
@pytest.mark.parametrize("field", [(), (("Authorization", basic("public", "x")),)])
def test_a_proof_is_no_client_authentication(
    make_sim: Any, prove: Any, field: Any
) -> None:
    store = CountingStore()
    sim = make_sim(replay_store=store)
    proof = prove()
    headers = [("DPoP", proof), *field]
    for form in (CLIENT_CREDENTIALS, sim.grant("authorization_code")):
        response = sim.http.post(TOKEN_URL, data=form, headers=headers)
        assert response.get_json()["error"] == "invalid_client"
        assert response.status_code in (400, 401)
    # Strangers must not fill the replay store, and the proof is still good.
    assert store.calls == 0
    assert sim.token(CLIENT_CREDENTIALS, proof).status_code == 200
    assert store.calls == 1


def test_an_error_of_the_grant_does_not_use_the_proof_up(
    make_sim: Any, prove: Any
) -> None:
    store = CountingStore()
    sim = make_sim(replay_store=store)
    proof = prove()
    form = sim.grant("authorization_code")
    refused = sim.token(form | {"code_verifier": "w" * 43}, proof)
    assert error_of(refused) == (400, "invalid_grant")
    assert store.calls == 0
    assert sim.token(form, proof).status_code == 200


@pytest.mark.requirement("C-11", "X-18")
def test_the_nonce_is_checked_before_the_time(
    make_sim: Any, prove: Any, nonces: Any
) -> None:
    """A client whose clock is wrong gets a nonce, and the time by the Date field."""
    sim = make_sim(nonces=nonces)
    old = prove(now=sim.clock.now - 3600)
    assert error_of(sim.token(CLIENT_CREDENTIALS, old)) == (400, "use_dpop_nonce")
    nonce = nonces.issue(purpose="as", now=sim.clock.now)
    old = prove(now=sim.clock.now - 3600, nonce=nonce)
    assert error_of(sim.token(CLIENT_CREDENTIALS, old)) == (400, "invalid_dpop_proof")


@pytest.mark.parametrize(
    "grant", ["authorization_code", "refresh_token", DEVICE_CODE_GRANT_TYPE]
)
@pytest.mark.parametrize("same_key", [True, False])
@pytest.mark.requirement("X-5")
def test_of_two_redemptions_at_once_one_succeeds(
    make_sim: Any, prove: Any, prove_other: Any, grant: str, *, same_key: bool
) -> None:
    """Trap: two requests with two good proofs would both redeem one code."""
    barrier = threading.Barrier(2, timeout=PATIENCE)

    def meet(**_: Any) -> str:
        barrier.wait()
        return secrets.token_hex(8)

    sim = make_sim(generator=BearerTokenGenerator(meet, meet, 300))
    request = sim.grant(grant)
    proofs = [prove(), prove() if same_key else prove_other()]
    before = len(sim.tokens)
    with ThreadPoolExecutor(2) as pool:
        responses = list(pool.map(partial(sim.token, request), proofs))
    assert sorted(r.status_code for r in responses) == [200, 400]
    (loser,) = [r for r in responses if r.status_code == 400]
    assert error_of(loser) == (400, "invalid_grant")
    assert len(sim.tokens) == before + 1


@pytest.mark.parametrize("error", [StoreError(), InvalidGrantError()])
def test_an_error_while_saving_is_a_documented_one(
    sim: Any, prove: Any, caplog: Any, error: Any
) -> None:
    def broken(token: Any, request: Any) -> None:
        raise error

    caplog.set_level(logging.INFO)
    sim.server._save_token = broken
    response = sim.token(CLIENT_CREDENTIALS, prove())
    expected = {"StoreError": (503, "temporarily_unavailable")}
    got = error_of(response)
    assert got == expected.get(type(error).__name__, (400, "invalid_grant"))
    assert len([r for r in caplog.records if "refused" in r.getMessage()]) == 1


# --- nonces


@pytest.mark.requirement("Q-2", "Q-5", "Q-16", "Q-20", "C-10")
def test_a_nonce_that_is_not_ours_gets_a_new_one(
    make_sim: Any, prove: Any, nonces: Any
) -> None:
    sim = make_sim(nonces=nonces)
    now = sim.clock.now
    for nonce in (
        "made-up",
        nonces.issue(purpose="rs", now=now),
        nonces.issue(purpose="as", now=now - 240),
    ):
        response = sim.token(CLIENT_CREDENTIALS, prove(nonce=nonce))
        assert error_of(response) == (400, "use_dpop_nonce")
        assert response.headers.getlist("DPoP-Nonce") == [
            nonces.issue(purpose="as", now=now)
        ]


@pytest.mark.requirement("Q-4", "Q-7", "Q-9", "Q-11", "Q-19")
def test_success_carries_the_next_nonce_only_when_the_old_one_ages(
    make_sim: Any, prove: Any, nonces: Any
) -> None:
    sim = make_sim(nonces=nonces)
    nonce = nonces.issue(purpose="as", now=sim.clock.now)
    fresh = sim.token(CLIENT_CREDENTIALS, prove(nonce=nonce))
    assert fresh.status_code == 200
    assert "DPoP-Nonce" not in fresh.headers
    sim.clock.advance(60)
    aged = sim.token(CLIENT_CREDENTIALS, prove(nonce=nonce))
    assert aged.status_code == 200
    assert aged.headers["Cache-Control"] == "no-store"
    assert aged.headers.getlist("DPoP-Nonce") == [
        nonces.issue(purpose="as", now=sim.clock.now)
    ]


@pytest.mark.requirement("Q-4")
def test_a_nonce_is_sent_to_one_client_only(
    make_sim: Any, prove: Any, nonces: Any
) -> None:
    """Trap: Authlib has one list of header fields for every response of the process."""
    sim = make_sim(nonces=nonces)
    nonce = nonces.issue(purpose="as", now=sim.clock.now)
    sim.clock.advance(60)
    for _ in range(3):
        response = sim.token(CLIENT_CREDENTIALS, prove(nonce=nonce))
        assert len(response.headers.getlist("DPoP-Nonce")) == 1
    assert "DPoP-Nonce" not in sim.token(CLIENT_CREDENTIALS).headers
    revoked = sim.http.post(
        "https://as.example/revoke",
        data={"token": "unknown"},
        headers=[("Authorization", basic("confidential", "secret"))],
    )
    assert revoked.status_code == 200
    assert "DPoP-Nonce" not in revoked.headers


@pytest.mark.requirement("Q-17")
def test_a_script_may_read_the_nonce(make_sim: Any, prove: Any, nonces: Any) -> None:
    sim = make_sim(nonces=nonces)
    origin = [("Origin", "https://app.example")]
    exposed = "Access-Control-Expose-Headers"
    challenge = sim.token(CLIENT_CREDENTIALS, prove(), headers=origin)
    assert challenge.headers[exposed] == "DPoP-Nonce"
    proof = prove(nonce=challenge.headers["DPoP-Nonce"])
    sim.clock.advance(60)
    aged = sim.token(CLIENT_CREDENTIALS, proof, headers=origin)
    assert aged.headers[exposed] == "DPoP-Nonce"
    assert exposed not in sim.token(CLIENT_CREDENTIALS, prove()).headers


@pytest.mark.requirement("C-10")
def test_a_nonce_is_ignored_while_nonces_are_off(sim: Any, prove: Any) -> None:
    assert sim.token(CLIENT_CREDENTIALS, prove(nonce="any")).status_code == 200


# --- who must use DPoP


@pytest.mark.requirement("F-2")
def test_a_policy_can_require_dpop_of_every_client(make_sim: Any, prove: Any) -> None:
    sim = make_sim(policy=FAPI2)
    refused = sim.token(CLIENT_CREDENTIALS)
    assert error_of(refused) == (400, "invalid_dpop_proof")
    assert sim.token(CLIENT_CREDENTIALS, prove()).status_code == 200


def test_a_subclass_decides_who_must_use_dpop(make_sim: Any) -> None:
    class Always(DPoP):
        def is_required(self, client: Any) -> bool:
            return bool(client.client_id == "public")

    sim = make_sim(dpop_class=Always)
    assert sim.token(CLIENT_CREDENTIALS).status_code == 200
    refused = sim.token(sim.grant("password", "public"), client="public")
    assert error_of(refused) == (400, "invalid_dpop_proof")


@pytest.mark.requirement("M-4")
@pytest.mark.parametrize("value", [False, None])
def test_a_client_need_not_use_dpop_unless_it_says_so(sim: Any, value: Any) -> None:
    sim.clients["confidential"].client_metadata["dpop_bound_access_tokens"] = value
    assert sim.token(CLIENT_CREDENTIALS).get_json()["token_type"] == "Bearer"


# --- other endpoints


@pytest.mark.requirement("J-5")
@pytest.mark.parametrize("value", ["garbage", "", "a,b"])
def test_a_proof_at_another_endpoint_is_ignored(
    sim: Any, prove: Any, value: str
) -> None:
    token = sim.token(CLIENT_CREDENTIALS, prove()).get_json()["access_token"]
    headers = [("Authorization", basic("confidential", "secret")), ("DPoP", value)]
    for path in ("introspect", "revoke"):
        response = sim.http.post(
            f"https://as.example/{path}", data={"token": token}, headers=headers
        )
        assert response.status_code == 200
    assert sim.introspect(token) == {"active": False}


# --- hostile requests without a proof


@pytest.mark.parametrize(
    "field", ["Basic /w==", "Basic gICAgA==", "Basic", "Basic =", "Bearer x"]
)
def test_hostile_credentials_are_a_documented_error(sim: Any, field: str) -> None:
    """Trap: Authlib lets the decoding error of the credentials through."""
    response = sim.http.post(
        TOKEN_URL, data=CLIENT_CREDENTIALS, headers=[("Authorization", field)]
    )
    assert response.status_code in (400, 401)
    assert response.get_json()["error"] in ("invalid_request", "invalid_client")


@pytest.mark.parametrize("field", ["Basic /w==", "Basic gICAgA=="])
def test_hostile_credentials_are_one_at_an_endpoint_of_authlib(
    sim: Any, field: str
) -> None:
    response = sim.http.post(
        "https://as.example/revoke",
        data={"token": "x"},
        headers=[("Authorization", field)],
    )
    assert response.status_code == 400
    assert response.get_json()["error"] == "invalid_request"


@pytest.mark.parametrize(
    "assertion", ["x", "a.b.c", "e30.e30.", "eyJhbGciOlsxXX0.e30.YQ", "\xe9" * 9]
)
def test_a_hostile_assertion_is_a_documented_error(sim: Any, assertion: str) -> None:
    form = {"grant_type": JWT_BEARER, "assertion": assertion}
    response = sim.token(form)
    assert response.status_code == 400
    assert response.get_json()["error"] in ("invalid_request", "invalid_grant")


def test_a_fault_of_the_application_stays_one(make_sim: Any) -> None:
    sim = make_sim()
    sim.app.testing = True

    def broken(_client_id: str) -> None:
        raise ConnectionError

    sim.server._client_auth = None
    sim.server._query_client = broken
    with pytest.raises(ConnectionError):
        sim.token(CLIENT_CREDENTIALS)


# --- what is logged


def test_a_refusal_is_one_line_with_reason_client_and_endpoint(
    make_sim: Any, prove: Any, prove_other: Any, nonces: Any, caplog: Any
) -> None:
    sim = make_sim(nonces=nonces)
    now = sim.clock.now
    nonce = nonces.issue(purpose="as", now=now)
    code = sim.add_code(dpop_jkt=prove.jkt)
    form = sim.grant("authorization_code") | {"code": code.code}
    proofs = [prove(), prove(nonce=nonce, now=now - 999), prove_other(nonce=nonce)]
    caplog.set_level(logging.INFO)
    for proof in proofs:
        assert sim.token(form, proof).status_code == 400
    assert sim.token({"grant_type": "unknown"}).status_code == 400
    lines = [
        record.getMessage()
        for record in caplog.records
        if record.name == "dpop_ext.authorization_server"
    ]
    assert lines == [
        "refused: use_dpop_nonce, client 'confidential', token endpoint",
        "refused: stale_proof, client 'confidential', token endpoint",
        "refused: key_mismatch, client 'confidential', token endpoint",
        "refused: unsupported_grant_type, client 'confidential', token endpoint",
    ]
    for secret in (*proofs, code.code, "secret", *[p.split(".")[2] for p in proofs]):
        assert secret not in caplog.text


def test_the_class_of_what_went_wrong_is_logged_and_not_its_text(
    make_sim: Any, prove: Any, caplog: Any
) -> None:
    class Unreachable:
        def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
            raise ConnectionError("secret of the store")

    caplog.set_level(logging.INFO)
    sim = make_sim(replay_store=Unreachable())
    assert sim.token(CLIENT_CREDENTIALS, "a.b.c").status_code == 400
    assert sim.token(CLIENT_CREDENTIALS, prove()).status_code == 503
    lines = [record.getMessage() for record in caplog.records]
    where = "client 'confidential', token endpoint"
    assert lines == [
        f"refused: malformed_proof, {where}, cause MalformedJOSEError",
        f"refused: store_unavailable, {where}, cause ConnectionError",
    ]
    assert "secret of the store" not in caplog.text


def test_a_client_id_cannot_forge_a_log_line(sim: Any, prove: Any, caplog: Any) -> None:
    caplog.set_level(logging.INFO)
    form = {"grant_type": "password", "client_id": "x\nrefused: " + "y" * 500}
    sim.http.post(TOKEN_URL, data=form, headers=[("DPoP", prove())])
    (line,) = [r.getMessage() for r in caplog.records]
    assert "\n" not in line
    assert len(line) < 200


@pytest.mark.requirement("X-19")
def test_the_lifetime_of_a_token_without_nonces_is_warned_about_once(
    make_sim: Any, prove: Any, nonces: Any, caplog: Any
) -> None:
    """Trap: Authlib's own lifetime for client_credentials is ten days."""
    for _ in range(2):
        assert make_sim(lifetime=3600).token(CLIENT_CREDENTIALS, prove()).status_code
    assert caplog.records == []
    sim = make_sim(lifetime=3601)
    for _ in range(2):
        assert sim.token(CLIENT_CREDENTIALS, prove()).status_code == 200
    (record,) = caplog.records
    assert "expires_generator" in record.getMessage()
    caplog.clear()
    sim = make_sim(lifetime=3601, nonces=nonces)
    nonce = nonces.issue(purpose="as", now=sim.clock.now)
    assert sim.token(CLIENT_CREDENTIALS, prove(nonce=nonce)).status_code == 200
    assert caplog.records == []


def test_every_default_algorithm_works_and_others_do_not(
    sim: Any, clock: Any, rsa_key: Any, ed_key: Any
) -> None:
    """Trap: joserfc's limit for headers refuses every proof with an RSA key."""
    for key, algorithm in ((rsa_key, "PS256"), (ed_key, "Ed25519"), (ed_key, "EdDSA")):
        proof = Prover(key, clock, algorithm)()
        assert sim.token(CLIENT_CREDENTIALS, proof).status_code == 200
    refused = sim.token(CLIENT_CREDENTIALS, Prover(rsa_key, clock, "RS256")())
    assert error_of(refused) == (400, "invalid_dpop_proof")


# --- requests of other frameworks


def test_header_fields_may_be_any_mapping() -> None:
    """Of a framework whose fields are no multi-dict, or of a test."""
    assert read_proof({"Content-Type": "x"}) is None
    assert read_proof({"dpop": "p"}) == "p"
    for fields in ({"DPoP": ""}, {"DPoP": "p,q"}, {"DPoP": "p", "dpop": "q"}):
        with pytest.raises(MalformedProofError):
            read_proof(fields)


def test_what_an_application_adds_to_one_answer_is_in_no_other(
    sim: Any, prove: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle_response = sim.server.handle_response

    def handle(status: int, body: Any, headers: list[tuple[str, str]]) -> Any:
        headers.append(("X-Number", str(len(sim.tokens))))
        return handle_response(status, body, headers)

    monkeypatch.setattr(sim.server, "handle_response", handle)
    for number in ("1", "2"):
        answer = sim.token({"grant_type": "client_credentials"}, prove())
        assert answer.headers.getlist("X-Number") == [number]


def test_a_form_may_be_any_mapping() -> None:
    request = SimpleNamespace(form={"a": "1"})
    assert (form_value(request, "a"), form_value(request, "b")) == ("1", None)


def test_a_repeated_parameter_has_no_value(sim: Any) -> None:
    with sim.app.test_request_context("/", method="POST", data={"a": ["1", "1"]}):
        request = sim.server.create_oauth2_request(None)
        with pytest.raises(MalformedRequestError):
            form_value(request, "a")


def test_a_framework_without_an_environ_has_no_raw_target() -> None:
    assert raw_target(SimpleNamespace()) is None
    assert raw_target(SimpleNamespace(_request=SimpleNamespace())) is None


def test_a_url_that_is_none_is_not_loopback() -> None:
    assert is_sent_to_loopback(SimpleNamespace(uri="https://[::1]/token"))
    assert not is_sent_to_loopback(SimpleNamespace(uri="https://[::1/token"))


# --- faults of the programmer


@pytest.mark.parametrize("kind", ["client_credentials", "refresh_token"])
@pytest.mark.parametrize("form", ["opaque", "jwt"])
def test_what_is_stored_says_which_key_it_is_bound_to(
    make_sim: Any, prove: Any, form: str, kind: str
) -> None:
    """An opaque token and a refresh token would be anybody's, so forgetting is told."""
    sim = make_sim(form=form)
    sim.app.testing = True
    save = sim.server._save_token
    sim.server._save_token = lambda token, request: None
    if (form, kind) == ("jwt", "client_credentials"):
        assert sim.token(sim.grant(kind), prove()).status_code == 200
        return
    request = sim.grant(kind)
    with pytest.raises(RuntimeError, match="dpop_columns"):
        sim.token(request, prove())
    assert sim.token(sim.grant(kind)).get_json()["token_type"] == "Bearer"
    sim.server._save_token = save
    assert sim.token(sim.grant(kind), prove()).get_json()["token_type"] == "DPoP"


@pytest.mark.parametrize("fault", [OSError, RuntimeError])
def test_a_policy_that_cannot_be_found_is_no_fault_of_the_proof(
    make_sim: Any, prove: Any, fault: type[Exception], caplog: Any
) -> None:
    """Such as when a database is down: the client may try again."""

    class Failing(DPoP):
        def get_policy(self, request: Any) -> Any:
            raise fault("down")

    sim = make_sim(dpop_class=Failing)
    sim.app.testing = True
    form = sim.grant("authorization_code")
    for _ in range(2):  # by the usual way, too
        with pytest.raises(fault, match="down"):
            sim.token(form, prove())
    assert sim.is_unused(form)
    assert "malformed" not in caplog.text


def test_a_policy_may_refuse_a_request(make_sim: Any, prove: Any) -> None:
    class Refusing(DPoP):
        def get_policy(self, request: Any) -> Any:
            raise StoreError

    for _ in range(2):
        response = make_sim(dpop_class=Refusing).token(CLIENT_CREDENTIALS, prove())
        assert error_of(response) == (503, "temporarily_unavailable")
