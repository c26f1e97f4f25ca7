from __future__ import annotations

import gc
import logging
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from authlib.integrations.base_client import (
    InvalidTokenError,
    MissingTokenError,
    OAuthError,
    UnsupportedTokenTypeError,
)
from authlib.oauth2.auth import TokenAuth
from authlib.oauth2.rfc6749 import OAuth2Token
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc.jwk import ECKey

from dpop_ext.client.key_material import KeyMaterial
from dpop_ext.client.signer import ProofSigner, SymmetricMode
from dpop_ext.errors import (
    KeyDeliveryError,
    SymmetricUnavailableError,
    UnboundTokenError,
)
from dpop_ext.integrations.requests_client import OAuth2Session
from tests.conftest import Clock
from tests.integrations.scripted_server import (
    Answer,
    Received,
    ScriptedServer,
    running_server,
)
from tests.integrations.token_endpoint import ISSUER, STALE, AuthorizationServer, Jobs
from tests.patience import PATIENCE


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def make(
    server: AuthorizationServer, ec_key: ECKey, clock: Clock, jobs: Jobs
) -> Iterator[Callable[..., OAuth2Session]]:
    """Make a session for both servers; *symmetric* is the mode of its signer."""
    sessions: list[OAuth2Session] = []

    def make(*, symmetric: SymmetricMode = "prefer", **kwargs: Any) -> OAuth2Session:
        arguments: dict[str, Any] = {
            "dpop": ProofSigner(ec_key, symmetric=symmetric, clock=clock),
            "token_endpoint": server.url,
            "issuer": ISSUER,
            "resource": server.resource,
            "refresh": jobs,
            **kwargs,
        }
        sessions.append(OAuth2Session("client", "secret", **arguments))
        return sessions[-1]

    yield make
    for session in sessions:
        session.close()


@pytest.fixture
def session(make: Callable[..., OAuth2Session]) -> OAuth2Session:
    return make()


@pytest.mark.requirement("T-1", "P-1", "S-9", "S-11")
def test_a_session_fetches_a_token_and_uses_it(
    session: OAuth2Session, server: AuthorizationServer, resource: ScriptedServer
) -> None:
    session.fetch_token()
    assert session.get(f"{resource.url}/me").json() == {}
    (request,) = server.received
    assert request.authorization.startswith("Basic ")
    assert request.form == {
        "grant_type": "client_credentials",
        "resource": server.resource,
    }
    assert "ath" not in request.proof.claims
    (call,) = resource.received
    assert call.authorization == "DPoP access-1"
    assert "ath" in call.proof.claims


def test_without_an_issuer_every_proof_is_asymmetric(
    make: Callable[..., OAuth2Session],
    server: AuthorizationServer,
    resource: ScriptedServer,
) -> None:
    session = make(issuer=None, resource=None)
    session.fetch_token()
    session.get(resource.url)
    assert server.forms == [{"grant_type": "client_credentials"}]
    assert "dsk" not in server.received[0].proof.claims
    assert resource.kinds == "a"


@pytest.mark.requirement("X-1", "X-13")
def test_an_authorization_request_names_the_key_and_uses_pkce(
    session: OAuth2Session, server: AuthorizationServer
) -> None:
    url, state = session.create_authorization_url("https://as.example/authorize")
    query = {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}
    verifier = session.code_verifier
    assert query == {
        "response_type": "code",
        "client_id": "client",
        "state": state,
        "dpop_jkt": session.dpop.jkt,
        "resource": server.resource,
        "code_challenge": create_s256_code_challenge(verifier),
        "code_challenge_method": "S256",
    }
    session.fetch_token(authorization_response=f"https://c.example/?code=c&{state=!s}")
    assert server.forms[0]["code_verifier"] == verifier
    assert session.code_verifier is None


@pytest.mark.requirement("X-13")
def test_pkce_values_of_the_caller_are_left_alone(
    make: Callable[..., OAuth2Session], server: AuthorizationServer
) -> None:
    session = make(code_challenge_method=None)
    endpoint = "https://as.example/authorize"
    url, _ = session.create_authorization_url(endpoint, code_verifier="v" * 43)
    assert create_s256_code_challenge("v" * 43) in url
    url, _ = session.create_authorization_url(
        endpoint, code_challenge="mine", code_challenge_method="S256"
    )
    assert "code_challenge=mine" in url
    assert session.code_verifier is None
    session.fetch_token(code="c", code_verifier="v" * 43)
    assert server.forms[0]["code_verifier"] == "v" * 43


def test_the_verifier_is_kept_until_the_code_was_redeemed(
    session: OAuth2Session, server: AuthorizationServer
) -> None:
    session.create_authorization_url("https://as.example/authorize")
    server.answer = Answer(503)
    with pytest.raises(Exception, match="503"):
        session.fetch_token(code="c")
    server.answer = None
    session.fetch_token(code="c")
    first, second = server.forms
    assert first["code_verifier"] == second["code_verifier"]


@pytest.mark.requirement("T-12", "D-4")
@pytest.mark.parametrize("members", [{"token_type": "Bearer"}, {"token_type": None}])
def test_a_token_of_another_type_is_discarded(
    session: OAuth2Session,
    server: AuthorizationServer,
    resource: ScriptedServer,
    members: dict[str, Any],
) -> None:
    server.members.update(members)
    with pytest.raises(UnboundTokenError):
        session.fetch_token()
    assert session.token is None
    with pytest.raises(MissingTokenError):
        session.get(resource.url)


@pytest.mark.requirement("T-12")
def test_a_refresh_to_another_type_is_discarded_and_the_token_stays(
    session: OAuth2Session, server: AuthorizationServer
) -> None:
    session.fetch_token()
    server.members["token_type"] = "Bearer"
    with pytest.raises(UnboundTokenError):
        session.refresh_token()
    assert session.token["access_token"] == "access-1"


@pytest.mark.requirement("T-12", "D-4")
def test_a_bearer_token_from_elsewhere_is_never_sent(
    make: Callable[..., OAuth2Session], resource: ScriptedServer
) -> None:
    token = {"access_token": "a", "token_type": "Bearer"}
    session = make(token=token)
    with pytest.raises(UnsupportedTokenTypeError):
        session.get(resource.url)
    with pytest.raises(UnboundTokenError):
        session.token = token
    assert resource.received == []


@pytest.mark.requirement("T-12")
def test_a_token_from_the_authorization_endpoint_is_refused(
    session: OAuth2Session,
) -> None:
    response = "https://c.example/#access_token=a&token_type=DPoP"
    with pytest.raises(UnboundTokenError):
        session.fetch_token(authorization_response=response)
    assert session.token is None


@pytest.mark.requirement("U-13")
def test_a_refresh_that_is_asked_for_a_nonce_is_one_refresh(
    session: OAuth2Session, server: AuthorizationServer, resource: ScriptedServer
) -> None:
    session.fetch_token()
    session.token["expires_at"] = 1
    server.nonce = "n1"
    session.get(resource.url)
    _, refused, repeated = server.received
    assert refused.form == repeated.form
    assert repeated.form["refresh_token"] == "refresh"
    assert refused.proof.claims["jti"] != repeated.proof.claims["jti"]
    assert resource.received[0].authorization == "DPoP access-3"


@pytest.mark.requirement("U-8")
def test_an_error_of_the_token_endpoint_is_raised_as_ever(
    session: OAuth2Session, server: AuthorizationServer
) -> None:
    server.answer = Answer(400, body=b'{"error": "invalid_dpop_proof"}')
    with pytest.raises(OAuthError) as caught:
        session.fetch_token()
    assert caught.value.error == "invalid_dpop_proof"
    assert len(server.received) == 1


def test_a_session_without_its_token_has_no_key_either(
    session: OAuth2Session, resource: ScriptedServer
) -> None:
    session.fetch_token()
    assert session.dpop.has_symmetric_key("access-1")
    auth = session.token_auth
    session.token = None
    assert not session.dpop.has_symmetric_key("access-1")
    with pytest.raises(MissingTokenError):
        session.get(resource.url)
    auth.token = OAuth2Token({"token_type": "DPoP"})
    with pytest.raises(UnsupportedTokenTypeError):
        session.get(resource.url)
    assert resource.received == []


@pytest.mark.requirement("T-13", "U-15")
def test_a_public_client_refreshes_with_the_same_key(
    make: Callable[..., OAuth2Session], server: AuthorizationServer
) -> None:
    updates: list[dict[str, Any]] = []
    session = make(
        token_endpoint_auth_method="none",
        update_token=lambda token, refresh_token: updates.append(token),
    )
    session.fetch_token(code="c")
    session.refresh_token()
    one, other = server.received
    assert one.proof.header["jwk"] == other.proof.header["jwk"]
    assert one.proof.claims["jti"] != other.proof.claims["jti"]
    assert other.form["refresh_token"] == "refresh"
    assert other.form["client_id"] == "client"
    assert [token["access_token"] for token in updates] == ["access-2"]


def test_the_arguments_keep_the_order_that_authlib_gives_them(
    session: OAuth2Session, server: AuthorizationServer
) -> None:
    session.fetch_token(server.url, "a=b", "POST", None, ("user", "secret"))
    session.refresh_token(server.url, "other", "c=d")
    first, second = server.received
    assert first.form["a"] == "b"
    assert first.authorization == "Basic dXNlcjpzZWNyZXQ="
    assert (second.form["refresh_token"], second.form["c"]) == ("other", "d")


def test_a_session_does_not_follow_a_redirect_of_the_token_endpoint(
    session: OAuth2Session, server: AuthorizationServer, resource: ScriptedServer
) -> None:
    server.answer = Answer(307, [("Location", resource.url)])
    with pytest.raises(UnboundTokenError):
        session.fetch_token()
    assert resource.received == []
    assert session.token is None


@pytest.mark.parametrize("end", ["revoke_token", "introspect_token"])
def test_no_redirect_takes_a_token_elsewhere(
    session: OAuth2Session,
    server: AuthorizationServer,
    resource: ScriptedServer,
    end: str,
) -> None:
    session.fetch_token()
    server.answer = Answer(307, [("Location", resource.url)])
    assert getattr(session, end)(server.url, token="refresh").status_code == 307
    assert resource.received == []


def test_an_expired_token_is_refreshed_once_for_all_threads(
    session: OAuth2Session, server: AuthorizationServer, resource: ScriptedServer
) -> None:
    session.fetch_token()
    session.token["expires_at"] = 1
    threads = [
        threading.Thread(target=session.get, args=(resource.url,)) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.received) == 2
    assert {call.authorization for call in resource.received} == {"DPoP access-2"}


def test_a_token_that_expired_for_good_is_not_sent(
    make: Callable[..., OAuth2Session], resource: ScriptedServer
) -> None:
    token = {"access_token": "a", "token_type": "DPoP", "expires_at": 1}
    with pytest.raises(InvalidTokenError):
        make(token=token).get(resource.url)
    assert resource.received == []


@pytest.mark.requirement("R1603", "T23")
def test_symmetric_proofs_go_to_the_resource_alone(
    session: OAuth2Session, server: AuthorizationServer, resource: ScriptedServer
) -> None:
    session.fetch_token()
    session.get(f"{resource.url}/me")
    with running_server() as elsewhere:
        session.get(elsewhere.url)
        session.get(server.url)
        assert elsewhere.kinds == "a"
    assert resource.kinds == "s"
    assert not server.received[-1].proof.is_symmetric


def test_another_resource_may_be_asked_for_in_one_request(
    session: OAuth2Session, server: AuthorizationServer, resource: ScriptedServer
) -> None:
    server.resource = f"{resource.url}/v2"
    session.fetch_token(resource=server.resource)
    session.get(f"{resource.url}/v1")
    session.get(f"{resource.url}/v2")
    assert resource.kinds == "as"
    session.fetch_token(resource="urn:nowhere")
    assert "dsk" not in server.received[-1].proof.claims


@pytest.mark.requirement("R1603")
def test_the_bases_say_where_a_resource_is(
    make: Callable[..., OAuth2Session],
    server: AuthorizationServer,
    resource: ScriptedServer,
) -> None:
    server.resource = "urn:accounts"
    with pytest.raises(ValueError, match="URI"):
        make()
    session = make(resource_bases=[resource.url])
    session.fetch_token()
    session.get(f"{resource.url}/me")
    assert resource.kinds == "s"


@pytest.mark.requirement("R1602", "T2")
def test_a_stale_key_costs_no_outage_and_one_refresh(
    session: OAuth2Session,
    server: AuthorizationServer,
    resource: ScriptedServer,
    jobs: Jobs,
) -> None:
    session.fetch_token()
    resource.script = lambda request: STALE if resource.kinds == "s" else Answer()
    response = session.post(f"{resource.url}/transfers", data=b"body")
    assert response.status_code == 200
    assert [call.body for call in resource.received] == [b"body", b"body"]
    assert session.get(resource.url).status_code == 200
    assert resource.kinds == "saa"
    (job,) = jobs
    server.version = 8
    job()
    assert [form["grant_type"] for form in server.forms] == [
        "client_credentials",
        "refresh_token",
    ]
    assert session.get(resource.url).status_code == 200
    assert resource.kinds == "saas"
    assert {call.authorization for call in resource.received[:3]} == {"DPoP access-1"}
    assert resource.received[3].authorization == "DPoP access-2"


@pytest.mark.requirement("R1602")
def test_a_refresh_that_brings_the_stale_version_again_is_the_last(
    session: OAuth2Session,
    server: AuthorizationServer,
    resource: ScriptedServer,
    jobs: Jobs,
    caplog: pytest.LogCaptureFixture,
) -> None:
    session.fetch_token()
    resource.script = lambda request: STALE if request.proof.is_symmetric else Answer()
    session.get(resource.url)
    jobs.pop()()
    assert "version 7 is stale" in caplog.text
    session.get(resource.url)
    assert resource.kinds == "saa"
    assert jobs == []
    assert len(server.received) == 2


@pytest.mark.requirement("R1602")
def test_stale_answers_to_parallel_requests_are_one_refresh(
    session: OAuth2Session, server: AuthorizationServer, jobs: Jobs
) -> None:
    session.fetch_token()
    with running_server() as other:
        server.resource = other.url
        barrier = threading.Barrier(4)

        def script(request: Received) -> Answer:
            return STALE if request.proof.is_symmetric else Answer()

        other.script = script
        session._resource = session._resource._replace(name=other.url)
        session.fetch_token()

        def call() -> None:
            barrier.wait(PATIENCE)
            session.get(other.url)

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(jobs) == 1


def test_a_refresh_that_has_happened_meanwhile_is_not_repeated(
    session: OAuth2Session,
    server: AuthorizationServer,
    resource: ScriptedServer,
    jobs: Jobs,
) -> None:
    session.fetch_token()
    resource.play(STALE, Answer())
    session.get(resource.url)
    session.refresh_token()
    jobs.pop()()
    assert len(server.received) == 2


def test_a_token_without_a_refresh_token_is_fetched_again(
    session: OAuth2Session,
    server: AuthorizationServer,
    resource: ScriptedServer,
    jobs: Jobs,
) -> None:
    server.members.clear()
    session.fetch_token()
    resource.play(STALE, Answer())
    session.get(resource.url)
    jobs.pop()()
    assert [form["grant_type"] for form in server.forms] == ["client_credentials"] * 2
    assert session.token["access_token"] == "access-2"


def test_in_the_foreground_the_token_is_new_when_the_response_is_there(
    make: Callable[..., OAuth2Session],
    server: AuthorizationServer,
    resource: ScriptedServer,
) -> None:
    session = make(refresh="foreground")
    session.fetch_token()
    server.version = 8
    resource.play(STALE, Answer())
    assert session.get(resource.url).status_code == 200
    assert session.token["access_token"] == "access-2"


@pytest.mark.requirement("T20")
def test_a_refresh_that_fails_costs_the_response_nothing(
    make: Callable[..., OAuth2Session],
    server: AuthorizationServer,
    resource: ScriptedServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    session = make(refresh="foreground")
    session.fetch_token()
    server.answer = Answer(400, body=b'{"error": "invalid_grant"}')
    resource.play(STALE, Answer())
    with caplog.at_level(logging.DEBUG, "dpop_ext"):
        assert session.get(resource.url).status_code == 200
    assert caplog.messages == ["refresh after a stale key failed: OAuthError"]
    assert session.token["access_token"] == "access-1"
    assert session.get(resource.url).status_code == 200
    assert len(server.received) == 2


def test_the_default_is_the_background(
    make: Callable[..., OAuth2Session],
    server: AuthorizationServer,
    resource: ScriptedServer,
) -> None:
    session = make(refresh="background")
    session.fetch_token()
    resource.play(STALE, Answer())
    before = set(threading.enumerate())
    session.get(resource.url)
    (timer,) = (
        thread
        for thread in set(threading.enumerate()) - before
        if isinstance(thread, threading.Timer)
    )
    timer.cancel()
    timer.join(PATIENCE)
    assert 0 <= timer.interval <= 10
    assert len(server.received) == 1


@pytest.mark.requirement("T7", "R2215")
@pytest.mark.parametrize(
    ("cnf", "error"),
    [
        ({}, SymmetricUnavailableError),
        ({"cnf": {"jwe": "a.b.c.d.e"}}, KeyDeliveryError),
    ],
)
def test_a_token_that_must_have_a_key_and_has_none_leaves_the_refresh_token(
    make: Callable[..., OAuth2Session],
    server: AuthorizationServer,
    resource: ScriptedServer,
    cnf: dict[str, Any],
    error: type[Exception],
) -> None:
    updates: list[str] = []
    session = make(
        symmetric="must",
        update_token=lambda token, **_: updates.append(token["refresh_token"]),
    )
    session.fetch_token()
    server.members = {"refresh_token": "newer", "cnf": None, **cnf}
    with pytest.raises(error):
        session.refresh_token()
    assert updates == ["newer"]
    assert session.token["refresh_token"] == "newer"
    assert "access_token" not in session.token
    with pytest.raises(error):
        session.get(resource.url)
    assert resource.received == []
    assert server.forms[-1]["refresh_token"] == "newer"
    server.members = {}
    assert session.get(resource.url).status_code == 200
    assert resource.kinds == "s"


@pytest.mark.requirement("T7")
def test_without_a_refresh_token_nothing_is_left_of_such_a_token(
    make: Callable[..., OAuth2Session],
    server: AuthorizationServer,
    resource: ScriptedServer,
) -> None:
    session = make(symmetric="must")
    server.members = {"cnf": None}
    with pytest.raises(SymmetricUnavailableError):
        session.fetch_token()
    with pytest.raises(MissingTokenError):
        session.get(resource.url)


@pytest.mark.requirement("F-9")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_token_goes_in_the_header_alone_and_nonces_to_their_servers(
    session: OAuth2Session,
    server: AuthorizationServer,
    resource: ScriptedServer,
    method: str,
) -> None:
    def demand(request: Received) -> Answer:
        if request.proof.claims.get("nonce") == "of-the-rs":
            return Answer()
        challenge = ("WWW-Authenticate", 'DPoP error="use_dpop_nonce"')
        return Answer(401, [challenge, ("DPoP-Nonce", "of-the-rs")])

    server.nonce, resource.script = "of-the-as", demand
    token = session.fetch_token()["access_token"]
    assert session.request(method, f"{resource.url}/me").status_code == 200
    nonces = [request.proof.claims.get("nonce") for request in server.received]
    assert nonces == [None, "of-the-as"]
    assert resource.nonces == [None, "of-the-rs"]
    for call in resource.received:
        assert call.authorization == f"DPoP {token}"
        assert (call.target, call.body) == ("/me", b"")


@pytest.mark.requirement("F-9")
def test_arguments_that_cannot_work_are_refused(
    make: Callable[..., OAuth2Session],
) -> None:
    with pytest.raises(ValueError, match="one of each"):
        make(symmetric="must", issuer=None)
    with pytest.raises(ValueError, match="header"):
        make(token_placement="uri")
    with pytest.raises(ValueError, match="https"):
        make(resource="http://api.example")
    make(resource="urn:accounts", symmetric="never")
    # No half-made session complains when it is collected.
    gc.collect()


@pytest.mark.requirement("U-2")
def test_sessions_beside_it_are_left_alone(session: OAuth2Session) -> None:
    assert set(TokenAuth.SIGN_METHODS) == {"bearer"}


def test_hooks_of_authlib_still_run(
    session: OAuth2Session, resource: ScriptedServer
) -> None:
    def hook(url: str, headers: Any, body: Any) -> tuple[str, Any, Any]:
        headers["X-Mine"] = "1"
        return f"{url}?hooked", headers, body

    session.fetch_token()
    session.register_compliance_hook("protected_request", hook)
    session.get(f"{resource.url}/me")
    (call,) = resource.received
    assert (call.target, call.all("X-Mine")) == ("/me?hooked", ["1"])


def test_a_revocation_has_no_proof(
    session: OAuth2Session, server: AuthorizationServer
) -> None:
    session.fetch_token()
    server.answer = Answer()
    session.revoke_token(server.url.replace("token", "revoke"), token="access-1")
    assert server.received[-1].all("DPoP") == []


@pytest.mark.requirement("X-20", "T20")
def test_a_pickled_session_has_neither_key_nor_token(
    session: OAuth2Session, ec_key: ECKey
) -> None:
    session.fetch_token()
    pickled = pickle.dumps(session)
    assert b"access-1" not in pickled
    assert str(ec_key.as_dict(private=True)["d"]).encode() not in pickled


def test_token_requests_have_a_time_limit(
    session: OAuth2Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[object] = []
    send = session.send

    def spy(request: Any, **kwargs: Any) -> Any:
        limits.append(kwargs["timeout"])
        return send(request, **kwargs)

    monkeypatch.setattr(session, "send", spy)
    session.fetch_token()
    session.refresh_token(timeout=5)
    session.default_timeout = 7
    session.refresh_token()
    assert limits == [30, 5, 7]


@pytest.mark.requirement("R2193")
def test_key_material_goes_with_the_token_requests_of_its_session(
    make: Any, server: AuthorizationServer
) -> None:
    key = ECKey.generate_key("P-256")
    jwks = {"keys": [{**key.as_dict(private=False), "use": "enc"}]}
    session = make(key_material=KeyMaterial.of(jwks, client_id="client-1"))
    session.fetch_token(grant_type="client_credentials")
    assert server.received[-1].proof.claims["dsk"]["k_jwe"].count(".") == 4
    make().fetch_token(grant_type="client_credentials")
    assert "k_jwe" not in server.received[-1].proof.claims["dsk"]
