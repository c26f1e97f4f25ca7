from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from authlib.integrations.base_client import OAuthError, UnsupportedTokenTypeError
from joserfc.jwk import ECKey

from dpop_ext.client.signer import ProofSigner, SymmetricMode
from dpop_ext.errors import SymmetricUnavailableError, UnboundTokenError
from dpop_ext.integrations.authlib_httpx import AsyncOAuth2Client, OAuth2Client
from tests.conftest import Clock
from tests.integrations.scripted_server import (
    Answer,
    Received,
    ScriptedServer,
)
from tests.integrations.token_endpoint import ISSUER, STALE, AuthorizationServer, Jobs


class Client:
    """A blocking or an asyncio client, whose calls return when they are done."""

    def __init__(self, runner: asyncio.Runner | None, **kwargs: Any) -> None:
        self.runner = runner
        kind = OAuth2Client if runner is None else AsyncOAuth2Client
        self.client: Any = kind("client", "secret", **kwargs)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.client, name)
        if self.runner is None or not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            returned = value(*args, **kwargs)
            if not asyncio.iscoroutine(returned):
                return returned
            assert self.runner is not None
            return self.runner.run(returned)

        return call

    def run(self, job: Callable[[], Any]) -> None:
        """Run a job of the schedule."""
        returned = job()
        if self.runner is not None:
            self.runner.run(returned)

    def close(self) -> None:
        if self.runner is None:
            self.client.close()
        else:
            self.runner.run(self.client.aclose())


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture(params=["blocking", "asyncio"])
def make(
    request: pytest.FixtureRequest,
    server: AuthorizationServer,
    ec_key: ECKey,
    clock: Clock,
    jobs: Jobs,
) -> Iterator[Callable[..., Client]]:
    """Make a client for both servers; *symmetric* is the mode of its signer."""
    clients: list[Client] = []
    with asyncio.Runner() as runner:

        def make(*, symmetric: SymmetricMode = "prefer", **kwargs: Any) -> Client:
            arguments: dict[str, Any] = {
                "dpop": ProofSigner(ec_key, symmetric=symmetric, clock=clock),
                "token_endpoint": server.url,
                "issuer": ISSUER,
                "resource": server.resource,
                "refresh": jobs,
                **kwargs,
            }
            own = runner if request.param == "asyncio" else None
            clients.append(Client(own, **arguments))
            return clients[-1]

        yield make
        for client in clients:
            client.close()


@pytest.fixture
def client(make: Callable[..., Client]) -> Client:
    return make()


@pytest.mark.requirement("T-1", "P-1", "S-9", "S-11")
def test_a_client_fetches_a_token_and_uses_it(
    client: Client, server: AuthorizationServer, resource: ScriptedServer
) -> None:
    server.nonce = "n1"
    client.fetch_token()
    assert client.get(f"{resource.url}/me").json() == {}
    (call,) = resource.received
    assert call.authorization == f"DPoP {client.token['access_token']}"
    assert resource.kinds == "s"
    assert [form["grant_type"] for form in server.forms] == ["client_credentials"] * 2
    assert server.forms[0]["resource"] == server.resource


def test_without_an_issuer_every_proof_is_asymmetric(
    make: Callable[..., Client], resource: ScriptedServer
) -> None:
    client = make(issuer=None)
    client.fetch_token()
    client.get(resource.url)
    assert resource.kinds == "a"


@pytest.mark.requirement("X-1", "X-13")
def test_an_authorization_request_names_the_key_and_uses_pkce(
    client: Client, server: AuthorizationServer
) -> None:
    url, _ = client.create_authorization_url("https://as.example/authorize")
    assert f"dpop_jkt={client.dpop.jkt}" in url
    assert "code_challenge_method=S256" in url
    verifier = client.code_verifier
    client.fetch_token(grant_type="authorization_code", code="c")
    assert server.forms[0]["code_verifier"] == verifier
    assert client.code_verifier is None


@pytest.mark.requirement("T-12")
def test_a_token_of_another_type_is_discarded(
    client: Client, server: AuthorizationServer
) -> None:
    server.members["token_type"] = "Bearer"
    with pytest.raises(UnboundTokenError):
        client.fetch_token()
    assert client.token is None


def test_a_bearer_token_from_elsewhere_is_never_sent(
    client: Client, resource: ScriptedServer
) -> None:
    client.token_auth.token = {"token_type": "Bearer", "access_token": "stolen"}
    client.client.ensure_active_token = lambda token: _active(client)
    with pytest.raises(UnsupportedTokenTypeError):
        client.get(resource.url)
    assert resource.received == []


def _active(client: Client) -> Any:
    async def active() -> bool:
        return True

    return True if client.runner is None else active()


@pytest.mark.requirement("U-13")
def test_a_refresh_that_is_asked_for_a_nonce_is_one_refresh(
    client: Client, server: AuthorizationServer, resource: ScriptedServer
) -> None:
    client.fetch_token()
    client.client.token["expires_at"] = 1
    server.nonce = "n1"
    client.get(resource.url)
    _, refused, repeated = server.received
    assert refused.form == repeated.form
    assert repeated.form["refresh_token"] == "refresh"
    assert refused.proof.claims["jti"] != repeated.proof.claims["jti"]
    assert resource.received[0].authorization == "DPoP access-3"


@pytest.mark.requirement("U-8")
def test_an_error_of_the_token_endpoint_is_raised_as_ever(
    client: Client, server: AuthorizationServer
) -> None:
    server.answer = Answer(400, body=b'{"error": "invalid_grant"}')
    with pytest.raises(OAuthError, match="invalid_grant"):
        client.fetch_token()


def test_an_expired_token_is_refreshed_first(
    client: Client, server: AuthorizationServer, resource: ScriptedServer
) -> None:
    client.fetch_token()
    client.client.token["expires_at"] = 1
    client.get(resource.url)
    assert [form["grant_type"] for form in server.forms] == [
        "client_credentials",
        "refresh_token",
    ]
    assert resource.received[0].authorization == "DPoP access-2"


@pytest.mark.requirement("R1602")
def test_a_stale_key_costs_no_outage_and_one_refresh(
    client: Client,
    server: AuthorizationServer,
    resource: ScriptedServer,
    jobs: Jobs,
) -> None:
    def script(request: Received) -> Answer:
        return STALE if request.proof.is_symmetric else Answer()

    resource.script = script
    client.fetch_token()
    assert client.get(resource.url).status_code == 200
    assert client.get(resource.url).status_code == 200
    assert resource.kinds == "saa"
    (job,) = jobs
    client.run(job)
    assert server.forms[-1]["grant_type"] == "refresh_token"
    assert client.token["access_token"] == "access-2"


def test_a_token_without_a_refresh_token_is_fetched_again(
    client: Client,
    server: AuthorizationServer,
    resource: ScriptedServer,
    jobs: Jobs,
) -> None:
    del server.members["refresh_token"]
    resource.play(STALE, Answer())
    client.fetch_token()
    client.get(resource.url)
    client.run(jobs[0])
    grants = [form["grant_type"] for form in server.forms]
    assert grants == ["client_credentials"] * 2


def test_a_refresh_that_has_happened_meanwhile_is_not_repeated(
    client: Client,
    server: AuthorizationServer,
    resource: ScriptedServer,
    jobs: Jobs,
) -> None:
    resource.play(STALE, Answer())
    client.fetch_token()
    client.get(resource.url)
    client.refresh_token()
    client.run(jobs[0])
    assert len(server.received) == 2


def test_in_the_foreground_the_token_is_new_when_the_response_is_there(
    make: Callable[..., Client], resource: ScriptedServer
) -> None:
    client = make(refresh="foreground")
    resource.play(STALE, Answer())
    client.fetch_token()
    client.get(resource.url)
    assert client.token["access_token"] == "access-2"


def test_a_refresh_that_fails_costs_the_response_nothing(
    make: Callable[..., Client],
    server: AuthorizationServer,
    resource: ScriptedServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = make(refresh="foreground")
    resource.play(STALE, Answer())
    client.fetch_token()
    server.answer = Answer(400, body=b'{"error": "invalid_grant"}')
    with caplog.at_level(logging.WARNING, "dpop_ext.client"):
        assert client.get(resource.url).status_code == 200
    assert client.token["access_token"] == "access-1"
    assert "refresh after a stale key failed: OAuthError" in caplog.text


def test_a_token_that_must_have_a_key_and_has_none_leaves_the_refresh_token(
    make: Callable[..., Client], server: AuthorizationServer
) -> None:
    client = make(symmetric="must")
    server.members["cnf"] = {}
    with pytest.raises(SymmetricUnavailableError):
        client.fetch_token()
    assert "access_token" not in client.token
    assert client.token["refresh_token"] == "refresh"


def test_a_client_does_not_follow_a_redirect_of_the_token_endpoint(
    make: Callable[..., Client], server: AuthorizationServer, resource: ScriptedServer
) -> None:
    client = make(follow_redirects=True)
    server.answer = Answer(307, [("Location", f"{resource.url}/token")])
    with pytest.raises(UnboundTokenError):
        client.fetch_token()
    assert resource.received == []


@pytest.mark.parametrize("end", ["revoke_token", "introspect_token"])
def test_no_redirect_takes_a_token_elsewhere(
    make: Callable[..., Client],
    server: AuthorizationServer,
    resource: ScriptedServer,
    end: str,
) -> None:
    client = make(follow_redirects=True)
    client.fetch_token()
    server.answer = Answer(307, [("Location", f"{resource.url}/token")])
    assert getattr(client, end)(server.url, token="refresh").status_code == 307
    assert resource.received == []


def test_hooks_of_authlib_still_run(client: Client, resource: ScriptedServer) -> None:
    def hook(url: str, headers: Any, body: Any) -> tuple[str, Any, Any]:
        headers["X-Mine"] = "1"
        return f"{url}?hooked", headers, body

    client.fetch_token()
    client.register_compliance_hook("protected_request", hook)
    client.get(f"{resource.url}/me")
    (call,) = resource.received
    assert (call.target, call.all("X-Mine")) == ("/me?hooked", ["1"])


@pytest.mark.requirement("F-9")
def test_arguments_that_cannot_work_are_refused(make: Callable[..., Client]) -> None:
    with pytest.raises(ValueError, match="one of each"):
        make(symmetric="must", issuer=None)
    with pytest.raises(ValueError, match="header"):
        make(token_placement="uri")
    with pytest.raises(ValueError, match="https"):
        make(resource="http://api.example")


def test_tasks_refresh_an_expired_token_once(
    server: AuthorizationServer, resource: ScriptedServer, ec_key: ECKey
) -> None:
    async def call() -> None:
        async with AsyncOAuth2Client(
            "client", dpop=ProofSigner(ec_key), token_endpoint=server.url
        ) as client:
            await client.fetch_token(grant_type="client_credentials")
            client.token["expires_at"] = 1
            await asyncio.gather(*(client.get(resource.url) for _ in range(8)))

    asyncio.run(call())
    assert len(server.received) == 2


def test_an_asyncio_client_streams_and_refreshes_in_a_task(
    server: AuthorizationServer, resource: ScriptedServer, ec_key: ECKey, clock: Clock
) -> None:
    async def call() -> int:
        async with AsyncOAuth2Client(
            "client",
            dpop=ProofSigner(ec_key, clock=clock),
            token_endpoint=server.url,
            issuer=ISSUER,
            resource=server.resource,
        ) as client:
            await client.fetch_token(grant_type="client_credentials")
            resource.play(STALE, Answer(body=b"streamed"))
            async with client.stream("GET", resource.url) as response:
                assert await response.aread() == b"streamed"
            return len(client._renewals._waiting)

    # One refresh was waiting, and closing the client gave it up.
    assert asyncio.run(call()) == 1
    assert len(server.received) == 1
