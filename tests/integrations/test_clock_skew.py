"""A client whose clock is an hour off, with each of the HTTP libraries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import httpx
import httpx2
import pytest
import requests
from authlib.integrations.base_client import OAuthError
from joserfc.jwk import ECKey

from dpop_ext.client.signer import ProofSigner
from dpop_ext.integrations import httpx2_client, httpx_client
from dpop_ext.integrations.authlib_httpx import OAuth2Client
from dpop_ext.integrations.requests_client import DPoPAuth, OAuth2Session
from tests.conftest import Clock
from tests.integrations.scripted_server import (
    Answer,
    Received,
    ScriptedServer,
    running_server,
)
from tests.integrations.token_endpoint import AuthorizationServer

HOUR = 3600
#: Seconds that a proof may be old.
MAX_AGE = 60

#: Sends a request by one of the libraries, and returns its status.
Call = Callable[[str, str], int]


class Punctual:
    """Refuses proofs of another time than its own.

    :param dates: what it says of its time, in place of the truth.
    """

    def __init__(self, clock: Clock, *, ahead: int, dates: list[str] | None) -> None:
        self._clock = clock
        self._ahead = ahead
        self._dates = dates

    def __call__(self, request: Received) -> Answer:
        now = self._clock.now + self._ahead
        dates = [formatdate(now, usegmt=True)] if self._dates is None else self._dates
        fields = [("Date", date) for date in dates]
        if 0 <= now - request.proof.claims["iat"] <= MAX_AGE:
            return Answer(200, fields)
        challenge = ("WWW-Authenticate", 'DPoP error="invalid_dpop_proof"')
        if request.target == "/token":
            return Answer(400, fields, b'{"error": "invalid_dpop_proof"}')
        return Answer(401, [challenge, *fields])


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with running_server() as server:
        yield server


def by_requests(signer: ProofSigner, method: str, url: str) -> int:
    with requests.Session() as session:
        auth = DPoPAuth(signer, "access")
        return session.request(method, url, auth=auth).status_code


def by_httpx(signer: ProofSigner, method: str, url: str) -> int:
    auth = httpx_client.DPoPAuth(signer, "access")
    return httpx.request(method, url, auth=auth).status_code


def by_httpx2(signer: ProofSigner, method: str, url: str) -> int:
    auth = httpx2_client.DPoPAuth(signer, "access")
    status: int = httpx2.request(method, url, auth=auth).status_code
    return status


def by_asyncio(signer: ProofSigner, method: str, url: str) -> int:
    async def call() -> int:
        async with httpx.AsyncClient() as client:
            auth = httpx_client.DPoPAuth(signer, "access")
            return (await client.request(method, url, auth=auth)).status_code

    return asyncio.run(call())


@pytest.fixture(params=[by_requests, by_httpx, by_httpx2, by_asyncio])
def call(request: pytest.FixtureRequest, ec_key: ECKey, clock: Clock) -> Call:
    signer = ProofSigner(ec_key, clock=clock)
    return lambda method, url: request.param(signer, method, url)


@pytest.mark.requirement("T27", "U-5")
@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_a_client_an_hour_off_works_on_the_second_request(
    server: ScriptedServer, clock: Clock, call: Call, ahead: int
) -> None:
    server.script = Punctual(clock, ahead=ahead, dates=None)
    assert call("GET", server.url) == 200
    assert len(server.received) == 2
    assert call("GET", server.url) == 200
    assert len(server.received) == 3


def test_a_request_that_may_have_worked_is_left_to_the_caller(
    server: ScriptedServer, clock: Clock, call: Call
) -> None:
    server.script = Punctual(clock, ahead=HOUR, dates=None)
    assert call("POST", server.url) == 401
    assert len(server.received) == 1
    assert call("POST", server.url) == 200
    assert len(server.received) == 2


@pytest.mark.parametrize(
    "dates",
    [
        ["Fri, 31 Dec 9999 23:59:59 GMT"],
        [formatdate(1_790_003_600, usegmt=True)] * 2,
        ["soon"],
        [""],
    ],
)
@pytest.mark.requirement("U-5")
def test_a_hostile_date_changes_nothing(
    server: ScriptedServer, clock: Clock, call: Call, dates: list[str]
) -> None:
    server.script = Punctual(clock, ahead=HOUR, dates=dates)
    for _ in range(2):
        assert call("GET", server.url) == 401
    assert [proof.claims["iat"] for proof in server.proofs] == [clock.now] * 2


@pytest.mark.parametrize("kind", [OAuth2Session, OAuth2Client])
@pytest.mark.requirement("U-5")
def test_a_session_an_hour_off_gets_its_token_the_second_time(
    server: ScriptedServer, ec_key: ECKey, clock: Clock, kind: Any
) -> None:
    authorization_server = AuthorizationServer(server, "https://api.example", clock)
    issue, punctual = server.script, Punctual(clock, ahead=HOUR, dates=None)

    def script(request: Received) -> Answer:
        refusal = punctual(request)
        return refusal if refusal.status == 400 else issue(request)

    server.script = script
    session = kind(
        "client",
        "secret",
        dpop=ProofSigner(ec_key, clock=clock),
        token_endpoint=authorization_server.url,
    )
    with session:
        with pytest.raises(OAuthError, match="invalid_dpop_proof"):
            session.fetch_token(grant_type="client_credentials")
        token = session.fetch_token(grant_type="client_credentials")
    assert token["access_token"] == "access-2"
    # What the client keeps is judged by its own clock.
    assert not token.is_expired()
