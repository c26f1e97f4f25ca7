"""The demo servers with the FAPI 2.0 profile: the flow, and what does not get through.

On apps with a clock first, then on the two processes.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from joserfc.jwk import ECKey, OKPKey, RSAKey
from werkzeug.test import TestResponse

from demo_server import demo_data
from demo_server.cli.command_line import parse
from demo_server.database import Database
from demo_server.fapi_client import KEY_FILE, load_key
from demo_server.first_start import StartError, prepare
from demo_server.models import Base
from demo_server.option_values import SettingsError
from demo_server.private_file import PrivateFileError
from demo_server.settings import Settings
from demo_server.supervisor import DemoServer
from dpop_ext.core.proof_making import make_proof
from dpop_ext.stores.pushed_requests_sql import SQLPushedRequestStore
from tests.conftest import Clock
from tests.demo.fapi import (
    CODE_FORM,
    REQUEST,
    FapiClient,
    FapiParties,
    assertion,
    authorize,
)
from tests.demo.parties import (
    CALLBACK,
    CONFIDENTIAL,
    RESOURCE_SERVER,
    Parties,
    hidden_fields,
    query_of,
)
from tests.patience import PATIENCE

Make = Callable[..., FapiParties]


@pytest.fixture
def make(tmp_path: Path, clock: Clock, ec_key: ECKey) -> Make:
    def start(**options: Any) -> FapiParties:
        return FapiParties(tmp_path, clock, ec_key, **options)

    return start


@pytest.fixture
def fapi(make: Make) -> FapiParties:
    return make()


@pytest.mark.requirement("F-2", "F-3", "F-4", "F-6", "F-8")
@pytest.mark.parametrize("nonce", ["off", "required"])
def test_the_whole_flow(make: Make, nonce: str) -> None:
    fapi = make(nonce=nonce)
    answer = fapi.redeem(fapi.code()).get_json()
    assert answer["token_type"] == "DPoP"
    api = fapi.parties.api("GET", "/api/accounts", answer["access_token"])
    assert api.get_json()["owner"] == demo_data.USERNAME
    for _ in range(3):
        refreshed = fapi.token(
            grant_type="refresh_token", refresh_token=answer["refresh_token"]
        ).get_json()
        assert "refresh_token" not in refreshed
        api = fapi.parties.api("GET", "/api/accounts", refreshed["access_token"])
        assert api.status_code == 200
    userinfo = fapi.parties.send(
        fapi.parties.as_client,
        "GET",
        f"{fapi.issuer}/userinfo",
        access_token=answer["access_token"],
    )
    assert userinfo.get_json()["sub"] == demo_data.USERNAME


@pytest.mark.requirement("F-8")
@pytest.mark.parametrize(("decision", "member"), [("allow", "code"), ("deny", "error")])
def test_the_answer_is_a_redirection_that_names_the_issuer(
    fapi: FapiParties, decision: str, member: str
) -> None:
    address = authorize(fapi.request_uri())
    answer = fapi.parties.decide(fapi.signed_in(address), address, decision)
    assert answer.status_code == 303
    assert answer.headers["Cache-Control"] == "no-store"
    query = query_of(answer.location)
    assert member in query
    assert query["iss"] == fapi.issuer
    assert query["state"] == "s-1"


@pytest.mark.requirement("F-6", "X-8")
def test_the_code_is_bound_to_the_key_of_the_push(
    fapi: FapiParties, other_ec_key: ECKey
) -> None:
    code = fapi.code()
    answer = fapi.redeem(code, key=other_ec_key)
    assert answer.get_json()["error"] == "invalid_grant"
    assert fapi.redeem(code).get_json()["error"] == "invalid_grant"


@pytest.mark.requirement("F-2")
def test_nothing_is_issued_without_a_proof(fapi: FapiParties) -> None:
    form = fapi.assertion() | CODE_FORM | {"code": fapi.code()}
    answer = fapi.parties.as_client.post("/token", data=form)
    assert answer.get_json()["error"] == "invalid_dpop_proof"
    form = fapi.assertion() | {"grant_type": "client_credentials"}
    answer = fapi.parties.as_client.post("/token", data=form)
    assert answer.get_json()["error"] == "invalid_dpop_proof"


@pytest.mark.requirement("F-1")
def test_clients_without_keys_are_not_known(fapi: FapiParties) -> None:
    form = {"grant_type": "client_credentials"}
    for headers in CONFIDENTIAL, RESOURCE_SERVER:
        answer = fapi.parties.token(form, headers=headers)
        assert answer.get_json()["error"] == "invalid_client"
    answer = fapi.parties.token({**CODE_FORM, "code": "x", "client_id": "demo-public"})
    assert answer.get_json()["error"] == "invalid_client"
    push = fapi.parties.as_client.post("/par", data=REQUEST)
    assert push.get_json()["error"] == "invalid_client"


@pytest.mark.requirement("F-1")
@pytest.mark.parametrize("method", ["none", "client_secret_basic"])
def test_a_file_of_clients_must_fit_the_profile(tmp_path: Path, method: str) -> None:
    path = tmp_path / "clients.json"
    entry = {"client_id": "c", "token_endpoint_auth_method": method}
    entry["client_secret"] = "s" * 32
    path.write_text(json.dumps([entry]))
    settings = Settings(
        database=f"sqlite:///{tmp_path}/x.db", profile="fapi2", clients=path
    )
    with pytest.raises(StartError, match=r"--clients: .* the profile"):
        prepare(settings)


@pytest.mark.requirement("F-12", "F-13")
def test_a_client_of_the_file_may_use_each_algorithm_of_the_profile(
    make: Make, tmp_path: Path, ed_key: OKPKey, rsa_key: RSAKey
) -> None:
    path = tmp_path / "clients.json"
    jwks = {"keys": [key.as_dict(private=False) for key in (ed_key, rsa_key)]}
    entry = {"client_id": "c", "jwks": jwks, "grant_types": ["client_credentials"]}
    path.write_text(json.dumps([entry]))
    fapi = make(clients=path)
    for key, alg, status in (
        (ed_key, "Ed25519", 200),
        (ed_key, "EdDSA", 200),
        (rsa_key, "PS256", 200),
        (rsa_key, "RS256", 401),
    ):
        form = assertion(
            key, issuer=fapi.issuer, now=fapi.clock.now, alg=alg, iss="c", sub="c"
        )
        answer = fapi.token(grant_type="client_credentials", **form)
        assert answer.status_code == status


@pytest.mark.requirement("F-7")
@pytest.mark.parametrize(
    "changes",
    [{"aud": ["http://127.0.0.1:9000"]}, {"aud": "http://127.0.0.1:9000/token"}],
)
def test_the_audience_of_an_assertion_is_the_issuer_and_nothing_else(
    fapi: FapiParties, changes: dict[str, Any]
) -> None:
    answer = fapi.push(**fapi.assertion(**changes))
    assert answer.status_code == 401
    assert answer.get_json()["error"] == "invalid_client"


@pytest.mark.requirement("F-7")
def test_assertions_may_be_ten_seconds_fast_and_not_sixty(fapi: FapiParties) -> None:
    now = fapi.clock.now
    for ahead, status in (10, 201), (61, 401):
        changes = fapi.assertion(iat=now + ahead, nbf=now + ahead)
        assert fapi.push(**changes).status_code == status


@pytest.mark.requirement("F-8")
def test_only_pushed_requests_are_answered(fapi: FapiParties) -> None:
    browser = fapi.parties.as_client
    plain = browser.get("/authorize", query_string=REQUEST)
    assert plain.status_code == 400
    assert plain.mimetype == "text/html"
    assert "faulty request" in plain.text
    answer = browser.get(authorize("urn:ietf:params:oauth:request_uri:x"))
    assert answer.status_code == 400
    assert "start once more" in answer.text
    other = browser.get(authorize(fapi.request_uri(), "demo-public"))
    assert other.status_code == 400


@pytest.mark.requirement("F-8")
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"redirect_uri": "https://evil.example/cb"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "everything"}, "invalid_scope"),
        ({"dpop_jkt": "A" * 43}, "invalid_request"),
        ({"request_uri": "urn:x"}, "invalid_request"),
        ({"resource": "https://other.example"}, "invalid_target"),
        ({"client_id": "demo-resource-server"}, "invalid_client"),
    ],
)
def test_a_faulty_request_is_refused_when_it_is_pushed(
    fapi: FapiParties, changes: dict[str, Any], error: str
) -> None:
    answer = fapi.push(**changes)
    assert answer.status_code in (400, 401)
    assert answer.get_json()["error"] == error
    assert "evil.example" not in answer.text


def test_a_query_or_another_method_is_refused(fapi: FapiParties) -> None:
    browser = fapi.parties.as_client
    form = REQUEST | fapi.assertion()
    assert browser.post("/par?dpop_jkt=x", data=form).status_code == 400
    answer = browser.get("/par")
    assert answer.status_code == 405
    assert answer.get_json()["error"] == "invalid_request"


def test_of_two_decisions_the_first_counts(fapi: FapiParties) -> None:
    address = authorize(fapi.request_uri())
    browser = fapi.signed_in(address)
    token = hidden_fields(browser.get(address).text)["csrf_token"]
    form = {"csrf_token": token, "decision": "allow"}
    assert browser.get(address).status_code == 200
    assert browser.post(address, data=form).status_code == 303
    for answer in browser.post(address, data=form), browser.get(address):
        assert answer.status_code == 400
        assert "answered already" in answer.text
        assert answer.location is None


def test_of_two_decisions_at_once_one_counts(
    fapi: FapiParties, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one finds the request when it looks, and not when it answers."""
    address = authorize(fapi.request_uri())
    browser = fapi.signed_in(address)
    form = {"csrf_token": hidden_fields(browser.get(address).text)["csrf_token"]}
    form["decision"] = "allow"
    monkeypatch.setattr(SQLPushedRequestStore, "consume", lambda self, reference: False)
    answer = browser.post(address, data=form)
    assert answer.status_code == 400
    assert "answered already" in answer.text


def test_a_request_that_was_not_answered_expires(
    fapi: FapiParties, clock: Clock
) -> None:
    address = authorize(fapi.request_uri())
    browser = fapi.signed_in(address)
    clock.advance(300)
    assert browser.get(address).status_code == 400
    fapi.request_uri()
    assert _stored(fapi) == 1


def _stored(fapi: FapiParties) -> int:
    database = Database(fapi.parties.settings.database)
    try:
        table = Base.metadata.tables["dpop_pushed_request"]
        return database.session.query(table).count()
    finally:
        database.close()


@pytest.mark.requirement("F-11")
def test_the_resource_server_checks_all_of_a_token(
    fapi: FapiParties, clock: Clock, other_ec_key: ECKey
) -> None:
    def status(token: str, **arguments: Any) -> int:
        answer = fapi.parties.api("GET", "/api/accounts", token, **arguments)
        return answer.status_code

    def token(**changes: Any) -> str:
        body = fapi.redeem(fapi.code(**changes)).get_json()
        return str(body["access_token"])

    good = token()
    assert status(good) == 200
    head, _, signature = good.rpartition(".")
    assert status(f"{head}.{signature[::-1]}") == 401
    assert status(good, key=other_ec_key) == 401
    assert status(token(scope="profile")) == 403
    revoked = token()
    form = fapi.assertion() | {"token": revoked}
    assert fapi.parties.as_client.post("/revoke", data=form).status_code == 200
    assert status(revoked) == 401
    clock.advance(299)
    assert status(good) == 200
    clock.advance(1)
    assert status(good) == 401


@pytest.mark.requirement("F-13")
def test_what_the_server_makes_up_has_128_random_bits(fapi: FapiParties) -> None:
    def one_of_each() -> dict[str, str]:
        return {
            "request_uri": fapi.request_uri().rpartition(":")[2],
            "code": fapi.code(),
            "refresh_token": fapi.redeem(fapi.code()).get_json()["refresh_token"],
        }

    samples = [one_of_each() for _ in range(8)]
    for name in samples[0]:
        texts = [sample[name] for sample in samples]
        assert len(set(texts)) == len(texts)
        # Letters and digits at least: over five bits in each place that varies.
        varying = [place for place in zip(*texts, strict=True) if len(set(place)) > 2]
        assert 5 * len(varying) >= 128, name


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
@pytest.mark.requirement("F-13")
@pytest.mark.parametrize(("bits", "status"), [(1024, 400), (2048, 200)])
def test_a_proof_by_a_short_rsa_key_is_refused(
    fapi: FapiParties, bits: int, status: int
) -> None:
    url, key = f"{fapi.issuer}/token", RSAKey.generate_key(bits)
    nonce = None
    for _ in range(2):
        proof = make_proof(
            key,
            algorithm="PS256",
            method="POST",
            url=url,
            now=fapi.clock.now,
            nonce=nonce,
        )
        form = fapi.assertion() | {"grant_type": "client_credentials"}
        answer = fapi.parties.as_client.post(
            "/token", data=form, headers={"DPoP": proof}
        )
        nonce = answer.headers.get("DPoP-Nonce")
    assert answer.status_code == status


@pytest.mark.requirement("F-5")
def test_a_code_is_good_for_a_minute(fapi: FapiParties, clock: Clock) -> None:
    code = fapi.code()
    clock.advance(59)
    assert fapi.redeem(code).status_code == 200
    late = fapi.code()
    clock.advance(60)
    assert fapi.redeem(late).get_json()["error"] == "invalid_grant"


@pytest.mark.requirement("F-8")
def test_a_second_use_of_a_code_ends_what_the_first_one_got(
    fapi: FapiParties,
) -> None:
    code = fapi.code()
    first = fapi.redeem(code).get_json()
    assert fapi.redeem(code).get_json()["error"] == "invalid_grant"
    answer = fapi.token(
        grant_type="refresh_token", refresh_token=first["refresh_token"]
    )
    assert answer.get_json()["error"] == "invalid_grant"
    answer = fapi.parties.as_client.post(
        "/introspect", data={"token": first["access_token"]}, headers=RESOURCE_SERVER
    )
    assert answer.get_json() == {"active": False}


@pytest.mark.requirement("Q-18", "U-12")
@pytest.mark.parametrize(
    "thing", ["code", "refresh token", "rotated refresh token", "assertion", "push"]
)
def test_a_nonce_challenge_uses_nothing_up(
    make: Make, tmp_path: Path, clock: Clock, ec_key: ECKey, thing: str
) -> None:
    """The very same form is good, once its proof has the nonce."""
    path = "/par" if thing == "push" else "/token"
    if thing == "rotated refresh token":
        parties = Parties.start(tmp_path, clock, ec_key)
        tokens = parties.redeem(parties.code()).get_json()
        form = {"grant_type": "refresh_token", "client_id": "demo-public"}
        form["refresh_token"] = tokens["refresh_token"]
    else:
        fapi = make()
        parties, form = fapi.parties, fapi.assertion()
        if thing == "code":
            form |= CODE_FORM | {"code": fapi.code()}
        elif thing == "refresh token":
            tokens = fapi.redeem(fapi.code()).get_json()
            form |= {"grant_type": "refresh_token"}
            form |= {"refresh_token": tokens["refresh_token"]}
        elif thing == "assertion":
            form |= {"grant_type": "client_credentials"}
        else:
            form |= REQUEST
    url = parties.settings.issuer_url + path

    def send(nonce: str | None) -> TestResponse:
        proof = make_proof(
            ec_key,
            algorithm="ES256",
            method="POST",
            url=url,
            now=clock.now,
            nonce=nonce,
        )
        return parties.as_client.post(path, data=form, headers={"DPoP": proof})

    before = _everything(tmp_path)
    for nonce in None, "stale":
        challenge = send(nonce)
        assert challenge.status_code == 400
        assert challenge.get_json()["error"] == "use_dpop_nonce"
    assert _everything(tmp_path) == before
    answer = send(challenge.headers["DPoP-Nonce"])
    assert answer.status_code == (201 if thing == "push" else 200), answer.text
    assert _everything(tmp_path) != before


@pytest.mark.requirement("Q-18")
def test_a_request_uri_outlives_challenges(fapi: FapiParties) -> None:
    address = authorize(fapi.request_uri())
    for _ in range(2):
        fapi.parties.nonces[fapi.issuer] = "stale"
        answer = fapi.token(grant_type="client_credentials")
        assert answer.status_code == 200
    answer = fapi.parties.decide(fapi.signed_in(address), address, "allow")
    assert "code" in query_of(answer.location)


def _everything(directory: Path) -> list[str]:
    """All that the servers have stored."""
    with contextlib.closing(sqlite3.connect(directory / "demo.sqlite3")) as database:
        return list(database.iterdump())


@pytest.mark.requirement("M-1")
def test_the_metadata_is_that_of_the_profile(fapi: FapiParties) -> None:
    browser = fapi.parties.as_client
    metadata = browser.get("/.well-known/oauth-authorization-server").get_json()
    assert metadata["pushed_authorization_request_endpoint"] == f"{fapi.issuer}/par"
    assert metadata["require_pushed_authorization_requests"] is True
    assert metadata["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert metadata["authorization_response_iss_parameter_supported"] is True
    algorithms = ["ES256", "Ed25519", "EdDSA", "PS256"]
    assert metadata["dpop_signing_alg_values_supported"] == algorithms
    assert metadata["token_endpoint_auth_signing_alg_values_supported"] == algorithms


def test_the_other_profile_offers_pushed_requests_too(parties: Parties) -> None:
    form = {**REQUEST, "client_id": "demo-public"}
    url = f"{parties.settings.issuer_url}/par"
    answer = parties.send(parties.as_client, "POST", url, data=form)
    assert answer.status_code == 201
    address = authorize(answer.get_json()["request_uri"], "demo-public")
    browser = parties.as_app.test_client()
    assert parties.sign_in(browser, target=address).location == address
    code = query_of(parties.decide(browser, address, "allow").location)["code"]
    assert parties.redeem(code).get_json()["token_type"] == "DPoP"
    metadata = parties.as_client.get("/.well-known/oauth-authorization-server")
    assert "require_pushed_authorization_requests" not in metadata.get_json()


# --- the options and the key


def test_the_profile_is_an_option_and_a_variable() -> None:
    assert parse([], {})[1].profile == "rfc9449"
    assert parse(["--profile", "fapi2"], {})[1].profile == "fapi2"
    assert parse([], {"DPOP_DEMO_PROFILE": "fapi2"})[1].profile == "fapi2"
    with pytest.raises(SettingsError, match="--bearer"):
        Settings(profile="fapi2", bearer=True)


def test_the_key_of_the_built_in_client_stays_and_is_private(tmp_path: Path) -> None:
    key = load_key(tmp_path)
    assert load_key(tmp_path).as_dict(private=True) == key.as_dict(private=True)
    path = tmp_path / KEY_FILE
    assert path.stat().st_mode & 0o077 == 0
    for content in "[]", "{", '{"kty": "EC"}':
        path.write_text(content)
        with pytest.raises(PrivateFileError, match="not a private JWK"):
            load_key(tmp_path)


def test_public_keys_only_are_in_the_database(fapi: FapiParties) -> None:
    secret = str(fapi.client_key.as_dict(private=True)["d"]).encode()
    path = fapi.parties.settings.database.removeprefix("sqlite:///")
    for file in Path(path).parent.glob("demo.sqlite3*"):
        if file.is_file():
            assert secret not in file.read_bytes()


# --- the two processes


@pytest.fixture
def client(fapi_server: DemoServer, ec_key: ECKey) -> FapiClient:
    return FapiClient(fapi_server, ec_key)


@pytest.mark.requirement("F-2", "F-6", "F-8")
def test_the_flow_over_http(client: FapiClient) -> None:
    code = client.code()
    answer = client.redeem(code)
    assert answer.status_code == 200, answer.text
    token = answer.json()["access_token"]
    url = f"{client.server.rs_url}/api/accounts"
    api = client.send("GET", url, access_token=token)
    assert api.json()["owner"] == demo_data.USERNAME
    assert client.redeem(code).json()["error"] == "invalid_grant"
    refresh = client.token(
        grant_type="refresh_token", refresh_token=answer.json()["refresh_token"]
    )
    assert refresh.json()["error"] == "invalid_grant"


@pytest.mark.requirement("F-1", "F-8")
def test_what_fapi_forbids_is_refused_over_http(client: FapiClient) -> None:
    as_url = client.server.as_url
    plain = requests.get(f"{as_url}/authorize", params=REQUEST, timeout=PATIENCE)
    assert plain.status_code == 400
    assert CALLBACK not in plain.headers.get("Location", "")
    form = REQUEST | {"client_id": "demo-public"}
    assert client.send("POST", f"{as_url}/par", data=form).status_code in (400, 401)
    reused = client.assertion()
    assert client.push(**reused).status_code == 201
    assert client.push(**reused).json()["error"] == "invalid_client"
    assert client.push(client_id="demo-public").status_code == 401
    assert client.push(code_challenge_method="plain").status_code == 400
    assert client.push(**client.assertion(aud=[as_url])).status_code == 401


@pytest.mark.requirement("X-7", "X-15")
@pytest.mark.parametrize("path", ["/token", "/par", "/userinfo", "/api/accounts"])
def test_of_parallel_uses_of_one_proof_exactly_one_is_accepted(
    client: FapiClient, path: str
) -> None:
    token = client.redeem(client.code()).json()["access_token"]
    method, origin = "GET", client.server.as_url
    arguments: dict[str, Any] = {"access_token": token}
    if path.startswith("/api"):
        origin = client.server.rs_url
    if path in ("/token", "/par"):
        method, arguments = "POST", {}
    url = origin + path
    # Gets a nonce: those of the two servers differ, and /userinfo is of the second.
    client.send(method, url, **arguments)
    proof = client.proof(method, url, **arguments)
    form = REQUEST if path == "/par" else {"grant_type": "client_credentials"}
    # An assertion of its own for each: what is tested is the proof.
    forms = [form | client.assertion() for _ in range(32)]
    start = threading.Barrier(32)
    statuses: list[int] = []

    def use(form: dict[str, Any]) -> None:
        body: dict[str, Any] = {"data": form} if method == "POST" else {}
        start.wait(PATIENCE)
        answer = client.send(method, url, proof=lambda: proof, **arguments, **body)
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=use, args=(form,)) for form in forms]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accepted = 201 if path == "/par" else 200
    refused = 400 if method == "POST" else 401
    assert sorted(statuses) == sorted([accepted, *[refused] * 31])


def test_parallel_redemptions_over_http_give_one_token(client: FapiClient) -> None:
    code, statuses = client.code(), []

    def redeem() -> None:
        statuses.append(client.redeem(code).status_code)

    threads = [threading.Thread(target=redeem) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 400, 400, 400]
