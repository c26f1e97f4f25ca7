"""What the conformance suite of the OpenID Foundation asks of a FAPI 2.0 server.

Each test plays a module or two of its plan for the Security Profile (final), with DPoP,
``private_key_jwt`` and plain OAuth; the comment at the top has their names without the
prefix ``fapi2-security-profile-final-``. What the suite would report as a failure or a
warning fails here.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import requests
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from sqlalchemy import select, update

from demo_server.database import Database
from demo_server.models import AuthorizationCode, Base
from demo_server.settings import Settings
from demo_server.supervisor import DemoServer
from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.core.request_binding import access_token_hash
from tests.demo.fapi import REQUEST, FapiClient, authorize
from tests.demo.parties import query_of
from tests.patience import PATIENCE

CALLBACK = "https://suite.example/callback"
#: The suite registers one of these for its second client.
CALLBACK_WITH_QUERY = f"{CALLBACK}?dummy1=lorem&dummy2=ipsum"

EC_KEY = ECKey.generate_key("P-256", {"kid": "one"})
RSA_KEY = RSAKey.generate_key(2048, {"kid": "two"})

Json = dict[str, Any]


@pytest.fixture(scope="module", params=["off", "required"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DemoServer]:
    directory: Path = tmp_path_factory.mktemp("conformance")
    keys: dict[str, Key] = {"suite-1": EC_KEY, "suite-2": RSA_KEY}
    entries = [
        {
            "client_id": name,
            "jwks": {"keys": [key.as_dict(private=False)]},
            "redirect_uris": [CALLBACK, CALLBACK_WITH_QUERY],
            "grant_types": ["authorization_code", "refresh_token"],
        }
        for name, key in keys.items()
    ]
    (directory / "clients.json").write_text(json.dumps(entries))
    settings = Settings(
        as_port=0,
        rs_port=0,
        database=f"sqlite:///{directory}/demo.sqlite3",
        profile="fapi2",
        nonce=request.param,
        clients=directory / "clients.json",
        log_level="error",
    )
    with DemoServer(settings) as server:
        yield server


@pytest.fixture(scope="module")
def one(server: DemoServer) -> FapiClient:
    return FapiClient(
        server,
        ECKey.generate_key("P-256"),
        client_id="suite-1",
        client_key=EC_KEY,
        redirect_uri=CALLBACK,
    )


@pytest.fixture(scope="module")
def two(server: DemoServer) -> FapiClient:
    return FapiClient(
        server,
        ECKey.generate_key("P-256"),
        client_id="suite-2",
        client_key=RSA_KEY,
        algorithm="PS256",
        redirect_uri=CALLBACK_WITH_QUERY,
    )


def accounts(client: FapiClient) -> str:
    return f"{client.server.rs_url}/api/accounts"


def error_of(answer: requests.Response) -> str:
    """Check what every error in JSON has in common; return its code."""
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json()
    assert body.keys() <= {"error", "error_description", "error_uri"}
    for text in body.values():
        assert re.fullmatch(r"[\x20-\x21\x23-\x5B\x5D-\x7E]+", text)
    statuses = (400, 401) if body["error"] == "invalid_client" else (400,)
    assert answer.status_code in statuses
    return str(body["error"])


def tokens_of(answer: requests.Response) -> Json:
    """Check what every successful token response has in common; return it."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    body: Json = answer.json()
    assert body["token_type"] == "DPoP"
    assert body["expires_in"] > 0
    assert "id_token" not in body
    assert re.fullmatch(r"[A-Za-z0-9._~+/-]{22,}=*", body["access_token"])
    return body


def redirected(client: FapiClient, answer: requests.Response) -> Json:
    """Check what every authorization response has in common; return it."""
    assert answer.status_code == 303
    location = answer.headers["Location"]
    assert location.startswith(client.redirect_uri)
    assert not urlsplit(location).fragment
    query = query_of(location)
    assert query["iss"] == client.server.as_url
    for name in urlsplit(client.redirect_uri).query and ("dummy1", "dummy2"):
        assert query.pop(name)
    return query


def error_page(answer: requests.Response) -> None:
    """Check that a person, and not the client, is told."""
    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "Location" not in answer.headers
    assert "<h1" in answer.text


def access_token(client: FapiClient, **changes: Any) -> str:
    return str(tokens_of(client.redeem(client.code(**changes)))["access_token"])


# --- normal clients


@pytest.mark.requirement("J-1", "M-1", "F-8", "F-12")
def test_the_metadata_says_what_fapi_needs(one: FapiClient) -> None:
    # discovery-end-point-verification
    url = f"{one.server.as_url}/.well-known/oauth-authorization-server"
    answer = requests.get(url, timeout=PATIENCE)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    document = answer.json()
    fapi = {"PS256", "ES256", "EdDSA"}
    assert document["issuer"] == one.server.as_url
    assert document["response_types_supported"] == ["code"]
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["require_pushed_authorization_requests"] is True
    assert "private_key_jwt" in document["token_endpoint_auth_methods_supported"]
    assert "S256" in document["code_challenge_methods_supported"]
    assert "refresh_token" in document["grant_types_supported"]
    for name in (
        "dpop_signing_alg_values_supported",
        "token_endpoint_auth_signing_alg_values_supported",
    ):
        assert fapi <= set(document[name]) <= fapi | {"Ed25519"}
    for name in "authorization", "token", "pushed_authorization_request":
        assert document[f"{name}_endpoint"].startswith(one.server.as_url)


@pytest.mark.requirement("F-2", "F-4", "F-8")
def test_two_clients_get_tokens_of_their_own(one: FapiClient, two: FapiClient) -> None:
    # happy-flow
    tokens = {}
    for client in one, two:
        pushed = client.push(state="x" * 128)
        assert pushed.status_code == 201
        assert pushed.headers["Content-Type"] == "application/json"
        assert pushed.headers["Cache-Control"] == "no-store"
        assert 5 <= pushed.json()["expires_in"] <= 600
        reference = pushed.json()["request_uri"].rpartition(":")[2]
        assert len(reference) >= 22
        address = authorize(pushed.json()["request_uri"], client.client_id)
        query = redirected(client, client.decide(address))
        assert query.keys() == {"code", "state", "iss"}
        assert query["state"] == "x" * 128
        assert len(query["code"]) >= 22
        body = tokens_of(client.redeem(query["code"]))
        tokens[client.client_id] = body["access_token"]
        answer = client.send("GET", accounts(client), access_token=body["access_token"])
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Date"]
    answer = one.send("GET", accounts(one), access_token=tokens["suite-2"])
    assert answer.status_code == 401


def test_a_denial_is_told_to_the_client(one: FapiClient, two: FapiClient) -> None:
    # user-rejects-authentication
    for client in one, two:
        address = authorize(client.request_uri(state="y" * 128), client.client_id)
        query = redirected(client, client.decide(address, "deny"))
        assert query.pop("error_description", "x").isprintable()
        expected = {"error": "access_denied", "state": "y" * 128}
        assert query == {**expected, "iss": client.server.as_url}


@pytest.mark.parametrize("state", [None, "z" * 1000])
def test_state_comes_back_as_it_was_pushed(one: FapiClient, state: str | None) -> None:
    # ensure-authorization-request-without-state-success and ...-with-long-state
    address = authorize(one.request_uri(state=state), one.client_id)
    query = redirected(one, one.decide(address))
    assert query.get("state") == state
    assert tokens_of(one.redeem(query["code"]))


@pytest.mark.parametrize("inside", [None, "inside"])
def test_state_beside_a_request_uri_is_ignored(
    one: FapiClient, inside: str | None
) -> None:
    # ensure-different-state-inside-and-outside-request-object and state-only-outside-
    # request-object-not-used
    address = authorize(one.request_uri(state=inside), one.client_id) + "&state=outside"
    assert redirected(one, one.decide(address)).get("state") == inside


def test_duplicates_are_not_needed(one: FapiClient) -> None:
    # par-without-duplicate-parameters
    address = authorize(one.request_uri(), one.client_id)
    names = {pair.partition("=")[0] for pair in urlsplit(address).query.split("&")}
    assert names == {"client_id", "request_uri"}
    assert "code" in redirected(one, one.decide(address))


def test_the_scheme_is_good_in_any_case(one: FapiClient) -> None:
    # access-token-type-header-case-sensitivity
    token = access_token(one)
    for scheme in "dPoP", "DPOP", "dpop":
        answer = one.send("GET", accounts(one), access_token=token, scheme=scheme)
        assert answer.status_code == 200


# --- proofs that are good


@pytest.mark.requirement("F-7")
@pytest.mark.parametrize("values", ["nbf-exp", -10, 10])
def test_proofs_of_a_wrong_clock_or_with_an_end_are_good(
    one: FapiClient, values: int | str
) -> None:
    # check-dpop-proof-nbf-exp and ensure-dpopproof-with-iat-10seconds-...-succeeds

    def proof(method: str, url: str, token: str | None = None) -> Callable[[], str]:
        def make() -> str:
            now = int(time.time())
            if isinstance(values, int):
                return one.proof(method, url, access_token=token, now=now + values)
            claims = {"nbf": now, "exp": now + 300}
            return one.proof(method, url, access_token=token, claims=claims)

        return make

    url = one.server.as_url
    code = one.code(proof=proof("POST", f"{url}/par"))
    body = tokens_of(one.redeem(code, proof=proof("POST", f"{url}/token")))
    token = body["access_token"]
    resource = proof("GET", accounts(one), token)
    answer = one.send("GET", accounts(one), access_token=token, proof=resource)
    assert answer.status_code == 200


# --- binding of the code


@pytest.mark.requirement("F-6", "X-9")
def test_a_proof_and_another_thumbprint_are_refused(
    one: FapiClient, two: FapiClient
) -> None:
    # ensure-mismatched-dpop-jkt-fails
    answer = one.push(dpop_jkt=two.key.thumbprint())
    assert error_of(answer) == "invalid_request"


@pytest.mark.requirement("F-6", "X-2", "X-8", "X-10")
@pytest.mark.parametrize("way", ["proof", "dpop_jkt"])
def test_a_code_is_refused_with_another_key(
    one: FapiClient, two: FapiClient, way: str
) -> None:
    # ensure-token-endpoint-fails-with-mismatched-dpop-proof-jkt and ...-dpop-jkt
    code = one.code(**_bound_by(one, way))
    token_url = f"{one.server.as_url}/token"
    other = one.redeem(code, proof=lambda: one.proof("POST", token_url, key=two.key))
    assert error_of(other) == "invalid_grant"


@pytest.mark.requirement("F-6", "X-8", "X-10")
@pytest.mark.parametrize("way", ["proof", "dpop_jkt"])
def test_a_bound_code_is_good_with_its_key(one: FapiClient, way: str) -> None:
    # ensure-dpopproof-at-par-endpoint-binding-success and ensure-dpop-auth-code-
    # binding-success
    assert tokens_of(one.redeem(one.code(**_bound_by(one, way))))


def _bound_by(client: FapiClient, way: str) -> Json:
    if way == "proof":
        return {}
    return {"proof": lambda: None, "dpop_jkt": client.key.thumbprint()}


# --- authorization requests that are refused


@pytest.mark.requirement("F-8")
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        # ensure-redirect-uri-in-authorization-request and
        # ensure-request-object-without-redirect-uri-fails
        ({"redirect_uri": None}, "invalid_request"),
        # plain-fapi-ensure-registered-redirect-uri
        ({"redirect_uri": f"{CALLBACK}/other"}, "invalid_request"),
        # ensure-response-type-code-idtoken-fails, ensure-response-type-token-fails
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_type": "token"}, "unsupported_response_type"),
        # par-ensure-pkce-required, par-plain-pkce-rejected
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        # par-authorization-request-containing-request_uri-form-param
        ({"request_uri": "urn:ietf:params:oauth:request_uri:x"}, "invalid_request"),
    ],
)
def test_a_faulty_request_cannot_be_pushed(
    one: FapiClient, changes: Json, error: str
) -> None:
    assert error_of(one.push(**changes)) == error


def test_the_par_endpoint_knows_post_only(one: FapiClient) -> None:
    # par-attempt-invalid-http-method
    for method in "PUT", "GET":
        form = REQUEST | one.assertion()
        answer = one.send(method, f"{one.server.as_url}/par", data=form)
        assert answer.status_code == 405


def test_a_request_that_was_not_pushed_gets_an_error_page(one: FapiClient) -> None:
    # ensure-unsigned-authorization-request-without-using-par-fails
    own = {"client_id": one.client_id, "redirect_uri": CALLBACK}
    error_page(one.page(f"/authorize?{urlencode(REQUEST | own)}"))


# --- the life of a request_uri


def test_a_request_uri_is_loaded_until_it_is_answered(one: FapiClient) -> None:
    # par-ensure-reused-request-uri-prior-to-auth-completion-succeeds
    address = authorize(one.request_uri(), one.client_id)
    for _ in range(2):
        assert one.page(address).status_code == 200
    assert tokens_of(one.redeem(redirected(one, one.decide(address))["code"]))


def test_a_request_uri_has_one_use(one: FapiClient) -> None:
    # par-attempt-reuse-request_uri
    address = authorize(one.request_uri(), one.client_id)
    assert "code" in redirected(one, one.decide(address))
    error_page(one.page(address))


def test_a_request_uri_expires(one: FapiClient) -> None:
    # par-attempt-to-use-expired-request_uri
    address = authorize(one.request_uri(), one.client_id)
    _age_pushed_requests(one.server)
    error_page(one.page(address))


def test_a_request_uri_is_for_its_client(one: FapiClient, two: FapiClient) -> None:
    # par-attempt-to-use-request_uri-for-different-client
    error_page(one.page(authorize(one.request_uri(), two.client_id)))


def _age_pushed_requests(server: DemoServer) -> None:
    table = Base.metadata.tables["dpop_pushed_request"]
    database = Database(server.settings.database)
    try:
        for row in database.session.execute(select(table)).all():
            aged = {**json.loads(row.request), "expires_at": int(time.time())}
            database.session.execute(
                update(table)
                .where(table.c.reference == row.reference)
                .values(request=json.dumps(aged))
            )
        database.session.commit()
    finally:
        database.close()


def _age(server: DemoServer, model: Any) -> None:
    """Make all that is stored expire now, as nobody waits for it."""
    database = Database(server.settings.database)
    try:
        database.session.execute(update(model).values(expires_at=int(time.time())))
        database.session.commit()
    finally:
        database.close()


# --- the token endpoint


@pytest.mark.requirement("F-2")
def test_no_token_without_a_proof(one: FapiClient) -> None:
    # ensure-holder-of-key-required
    answer = one.redeem(one.code(), proof=lambda: None)
    assert error_of(answer) == "invalid_dpop_proof"


def test_nobody_gets_in_by_the_name_of_another_client(
    one: FapiClient, two: FapiClient
) -> None:
    # ensure-client-id-in-token-endpoint
    forged = one.assertion(iss=two.client_id, sub=two.client_id)
    answer = one.redeem(one.code(), client_id=two.client_id, **forged)
    assert error_of(answer) == "invalid_client"


@pytest.mark.parametrize("key", ["own", "that of the code"])
def test_a_code_is_for_its_client(one: FapiClient, two: FapiClient, key: str) -> None:
    # ensure-authorization-code-is-bound-to-client
    code = one.code()
    answer = two.redeem(
        code,
        redirect_uri=CALLBACK,
        proof=lambda: two.proof(
            "POST",
            f"{two.server.as_url}/token",
            key=two.key if key == "own" else one.key,
        ),
    )
    assert error_of(answer) == "invalid_grant"
    assert tokens_of(one.redeem(code))


@pytest.mark.requirement("F-8", "F-11")
def test_a_code_has_one_use(one: FapiClient) -> None:
    # attempt-reuse-authorization-code-after-one-second
    code = one.code()
    token = tokens_of(one.redeem(code))["access_token"]
    urls = accounts(one), f"{one.server.as_url}/userinfo"
    for url in urls:
        assert one.send("GET", url, access_token=token).status_code == 200
    assert error_of(one.redeem(code)) == "invalid_grant"
    for url in urls:
        assert one.send("GET", url, access_token=token).status_code == 401


@pytest.mark.requirement("F-5")
def test_a_code_expires(one: FapiClient) -> None:
    # ensure-token-endpoint-fails-with-expired-auth-code
    code = one.code()
    _age(one.server, AuthorizationCode)
    assert error_of(one.redeem(code)) == "invalid_grant"


@pytest.mark.requirement("F-8")
@pytest.mark.parametrize(
    ("verifier", "error"), [(None, "invalid_request"), ("w" * 43, "invalid_grant")]
)
def test_a_code_needs_its_verifier(
    one: FapiClient, verifier: str | None, error: str
) -> None:
    # ensure-pkce-code-verifier-required, incorrect-pkce-code-verifier-rejected
    assert error_of(one.redeem(one.code(), code_verifier=verifier)) == error


@pytest.mark.requirement("F-3")
def test_a_refresh_needs_its_client_and_a_proof(
    one: FapiClient, two: FapiClient
) -> None:
    # refresh-token
    refresh_tokens = {}
    for client in one, two:
        body = tokens_of(client.redeem(client.code()))
        assert re.fullmatch(r"[\x20-\x7E]{22,}", body["refresh_token"])
        form = {"grant_type": "refresh_token", "scope": REQUEST["scope"]}
        form["refresh_token"] = refresh_tokens[client.client_id] = body["refresh_token"]
        refreshed = tokens_of(client.token(**form))
        assert refreshed.get("refresh_token") in (None, form["refresh_token"])
        assert refreshed["access_token"] != body["access_token"]
        token = refreshed["access_token"]
        answer = client.send("GET", accounts(client), access_token=token)
        assert answer.status_code == 200
        nobody = {"client_assertion": None, "client_assertion_type": None}
        answer = client.token(**form, **nobody, client_id=client.client_id)
        assert error_of(answer) == "invalid_client"
        answer = client.token(**form, proof=lambda: None)
        assert error_of(answer) == "invalid_dpop_proof"
    answer = one.token(
        grant_type="refresh_token", refresh_token=refresh_tokens["suite-2"]
    )
    assert error_of(answer) == "invalid_grant"


@pytest.mark.requirement("T-10")
def test_a_key_of_a_client_that_authenticates_may_change(
    one: FapiClient, two: FapiClient
) -> None:
    # refresh-token, which makes a new key for each proof of a refresh
    body = tokens_of(one.redeem(one.code()))
    refreshed = one.token(
        grant_type="refresh_token",
        refresh_token=body["refresh_token"],
        proof=lambda: one.proof("POST", f"{one.server.as_url}/token", key=two.key),
    )
    token = tokens_of(refreshed)["access_token"]
    answer = two.send("GET", accounts(two), access_token=token)
    assert answer.status_code == 200


# --- client assertions


def _at_par(client: FapiClient, **changes: Any) -> requests.Response:
    return client.push(**client.assertion(**changes))


@pytest.mark.requirement("F-7", "F-12")
def test_faulty_assertions_authenticate_nobody(one: FapiClient) -> None:
    # ensure-invalid-client-assertions-fail, and ensure-client-assertion-with-...,
    # par-...-as-audience-fails and the like, at the endpoint and at that of tokens
    url, now = one.server.as_url, int(time.time())
    claims: list[Json] = [
        {"sub": None},
        {"sub": "suite-2"},
        {"iss": None},
        {"iss": "suite-2"},
        {"aud": None},
        {"aud": "https://other.example"},
        {"aud": f"{url}/par"},
        {"aud": f"{url}/token"},
        {"aud": [url]},
        {"aud": [url, "https://other.example"]},
        {"aud": f"{url}/"},
        {"exp": now - 300},
        {"exp": None},
        {"jti": None},
    ]
    good = one.assertion()
    header, _, rest = good["client_assertion"].partition(".")
    payload = rest.partition(".")[0]
    none = b64url_encode(b'{"alg":"none"}')
    text, kind = "client_assertion", "client_assertion_type"
    ahead = int(time.time()) + 70
    forms: list[Json] = [
        # The first one: in forty seconds it is not too far ahead any more.
        one.assertion(iat=ahead, nbf=ahead, exp=ahead + 60),
        *(one.assertion(**changes) for changes in claims),
        {text: None, kind: None},
        good | {kind: None},
        good | {kind: "urn:ietf:params:oauth:grant-type:jwt-bearer"},
        good | {text: f"{none}.{payload}."},
        good | {text: f"{header}.{payload}.{'A' * 86}"},
    ]
    for form in forms:
        assert error_of(one.push(**form)) == "invalid_client"
        code = {"grant_type": "authorization_code", "code": "x", **form}
        assert error_of(one.token(**code, client_id="suite-1")) == "invalid_client"
    assert one.push(**good).status_code == 201


@pytest.mark.requirement("F-7")
def test_assertions_of_a_fast_clock_are_good(one: FapiClient) -> None:
    # par-ensure-jwt-client-assertion-nbf-8-seconds-in-the-future-is-accepted
    ahead = int(time.time()) + 8
    assert _at_par(one, iat=ahead, nbf=ahead).status_code == 201


@pytest.mark.requirement("F-12")
def test_an_assertion_by_rs256_authenticates_nobody(two: FapiClient) -> None:
    # ensure-signed-client-assertion-with-RS256-fails
    assert error_of(_at_par(two, alg="RS256")) == "invalid_client"
    assert _at_par(two).status_code == 201


# --- proofs at the resource server


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A proof as the suite changes it; a member that is None is left out."""

    name: str
    header: Json = dataclasses.field(default_factory=dict)
    claims: Json = dataclasses.field(default_factory=dict)
    key: Any = None
    works: bool = False
    change: Callable[[str], str] = str


def _without_alg(proof: str) -> str:
    header, _, rest = proof.partition(".")
    members = json.loads(b64url_decode(header))
    del members["alg"]
    return f"{b64url_encode(json.dumps(members).encode())}.{rest}"


def _unsigned(proof: str) -> str:
    header, payload, _ = proof.split(".")
    members = {**json.loads(b64url_decode(header)), "alg": "none"}
    return f"{b64url_encode(json.dumps(members).encode())}.{payload}."


PROOFS = [
    Proof(name="not well-formed", change=lambda proof: proof.replace(".", "")),
    *(Proof(name=f"no {n}", header={n: None}) for n in ("typ", "jwk")),
    *(
        Proof(name=f"no {n}", claims={n: None})
        for n in ("jti", "htm", "htu", "iat", "ath")
    ),
    Proof(name="no alg", change=_without_alg),
    Proof(name="typ", header={"typ": "dpopjwt"}),
    Proof(
        name="alg none",
        change=_unsigned,
    ),
    Proof(name="signature", change=lambda p: f"{p[:-86]}{'A' * 86}"),
    Proof(name="private key", header={"jwk": "private"}),
    Proof(name="RS256", key=RSA_KEY, header={"alg": "RS256"}),
    Proof(name="htm", claims={"htm": "PUT"}),
    Proof(name="htu", claims={"htu": "https://www.example.com/other"}),
    Proof(name="ath", claims={"ath": access_token_hash("other")}),
    Proof(name="another key", key=ECKey.generate_key("P-256")),
    Proof(name="Ed25519 of another key", key=OKPKey.generate_key("Ed25519")),
    Proof(
        name="more members",
        header={"extra": "x", "kid": "y"},
        claims={"extra": {"a": [1]}, "sub": "z"},
        works=True,
    ),
    Proof(name="query and fragment", claims={"htu": "{url}?a=b#c"}, works=True),
    Proof(name="upper case", claims={"htu": "{upper}"}, works=True),
    Proof(name="good", works=True),
]


@pytest.mark.requirement("F-11", "F-12")
def test_of_changed_proofs_only_the_harmless_are_good(one: FapiClient) -> None:
    # dpop-negative-tests: one token, and a proof that is changed in one way each
    token = access_token(one)
    for case in PROOFS:
        answer = one.send(
            "GET",
            f"{accounts(one)}?page=1",
            access_token=token,
            proof=lambda case=case: _changed(one, token, case),  # type: ignore[misc]
        )
        assert answer.status_code == (200 if case.works else 401), case.name
        if not case.works:
            assert answer.headers["WWW-Authenticate"].startswith("DPoP "), case.name


def _changed(client: FapiClient, token: str, case: Proof) -> str:
    key = case.key or client.key
    url = accounts(client)
    parts = urlsplit(url)
    upper = f"{parts.scheme.upper()}://{parts.netloc.upper()}{parts.path}"
    algorithm = {"EC": "ES256", "RSA": "PS256", "OKP": "Ed25519"}[key.key_type]
    private = case.header.get("jwk") == "private"
    header = {"typ": "dpop+jwt", "alg": algorithm, **case.header}
    if case.header.get("jwk", "") is not None:
        header["jwk"] = key.as_dict(private=private)
    claims = {
        "jti": b64url_encode(time.time_ns().to_bytes(12, "big")),
        "htm": "GET",
        "htu": url,
        "iat": int(time.time()),
        "ath": access_token_hash(token),
        "nonce": client.nonces.get(client.server.rs_url),
        **case.claims,
    }
    if isinstance(claims["htu"], str):
        claims["htu"] = claims["htu"].replace("{url}", url).replace("{upper}", upper)
    present = [{n: v for n, v in d.items() if v is not None} for d in (header, claims)]
    return case.change(sign_compact(present[0], present[1], key))


@pytest.mark.requirement("F-7")
@pytest.mark.parametrize("hour", [-3600, 3600])
def test_proofs_of_another_hour_are_refused(one: FapiClient, hour: int) -> None:
    # dpop-negative-tests: where nonces are required, the suite would let the nonce
    # stand for the time, and warns; FAPI refuses a time over a minute ahead (F-7)
    token, url = access_token(one), accounts(one)
    answer = one.send(
        "GET",
        url,
        access_token=token,
        proof=lambda: one.proof(
            "GET", url, access_token=token, now=int(time.time()) + hour
        ),
    )
    assert answer.status_code == 401


def test_a_jti_is_good_once(one: FapiClient) -> None:
    # dpop-negative-tests: the second use of a jti
    token, url = access_token(one), accounts(one)
    jti = str(time.time_ns())
    statuses = [
        one.send(
            "GET",
            url,
            access_token=token,
            proof=lambda: one.proof("GET", url, access_token=token, jti=jti),
        ).status_code
        for _ in range(2)
    ]
    assert statuses == [200, 401]


@pytest.mark.requirement("F-10", "F-11")
def test_a_token_is_nothing_without_proof_or_in_the_query(one: FapiClient) -> None:
    # dpop-negative-tests: without a proof, also as Bearer
    token = access_token(one)
    for scheme in "DPoP", "Bearer":
        answer = one.send(
            "GET",
            accounts(one),
            access_token=token,
            scheme=scheme,
            proof=lambda: None,
        )
        assert answer.status_code == 401
    answer = one.send("GET", f"{accounts(one)}?access_token={token}")
    assert answer.status_code == 400


@pytest.mark.parametrize("name", ["DPoP", "DPOP"])
def test_the_field_is_good_in_any_case_and_alone(one: FapiClient, name: str) -> None:
    # dpop-negative-tests: a name in upper case, and two fields
    token, url = access_token(one), accounts(one)
    # Gets a nonce, where there are any.
    assert one.send("GET", url, access_token=token).status_code == 200
    for count, status in (1, 200), (2, 401):
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
        connection.putrequest("GET", urlsplit(url).path)
        connection.putheader("Authorization", f"DPoP {token}")
        for _ in range(count):
            connection.putheader(name, one.proof("GET", url, access_token=token))
        connection.endheaders()
        assert connection.getresponse().status == status
        connection.close()
