"""Servers that are found by their metadata, and sessions that are made of it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import anyio
import pytest
from joserfc.jwk import ECKey

from dpop_ext.client import AuthorizationRequest, ProofSigner
from dpop_ext.client.discovery import MAX_DOCUMENT
from dpop_ext.core.jose import parse_compact_jws
from dpop_ext.errors import (
    AuthorizationRefusedError,
    AuthorizationResponseError,
    DiscoveryError,
    UnboundTokenError,
    UnsupportedServerError,
    WrongIssuerError,
)
from dpop_ext.integrations import authlib_httpx, requests_client
from tests.client.metadata import as_metadata, rs_metadata
from tests.integrations.scripted_server import (
    Answer,
    Received,
    running_server,
)

CALLBACK = "https://app.example/callback"
WELL_KNOWN = "/.well-known/oauth-authorization-server"
#: Discovery and session of one library, blocking or not.
LIBRARIES: dict[str, tuple[Any, Any]] = {
    "requests": (requests_client.Discovery, requests_client.OAuth2Session),
    "httpx2": (authlib_httpx.Discovery, authlib_httpx.OAuth2Client),
    "asyncio": (authlib_httpx.AsyncDiscovery, authlib_httpx.AsyncOAuth2Client),
}


@dataclass
class Party:
    """Both servers at one URL; the test changes what they say."""

    url: str
    received: list[Received]
    #: Of :func:`as_metadata`.
    changes: dict[str, Any] = field(default_factory=dict)
    #: In place of all others.
    answer: Answer | None = None
    pushed: Answer | None = None
    nonce: str | None = None
    token_type: str = "DPoP"

    def script(self, request: Received) -> Answer:
        if self.answer is not None:
            return self.answer
        if request.target == WELL_KNOWN:
            text = json.dumps(as_metadata()).replace("https://as.example", self.url)
            return answer(200, {**json.loads(text), **self.changes})
        if request.target == "/.well-known/oauth-protected-resource":
            members = rs_metadata(resource=self.url, authorization_servers=[self.url])
            return answer(200, members)
        if request.target == "/api":
            return answer(200, {})
        if self.nonce not in (None, request.proof.claims.get("nonce")):
            fields = [("DPoP-Nonce", str(self.nonce))]
            return answer(400, {"error": "use_dpop_nonce"}, *fields)
        if request.target == "/par":
            return self.pushed or answer(201, {"request_uri": "urn:x:1"})
        return answer(200, {"access_token": "a", "token_type": self.token_type})

    def to(self, target: str) -> list[Received]:
        return [request for request in self.received if request.target == target]

    def session(
        self, library: str, *, key: ECKey | None = None, **arguments: Any
    ) -> Any:
        """Make a session of one library, whichever way its documents are fetched."""
        found = requests_client.Discovery().servers(resource=self.url)
        arguments = {"redirect_uri": CALLBACK, "client_key": key, **arguments}
        return LIBRARIES[library][1].for_servers(found, "app", **arguments)


def answer(status: int, body: Any, *fields: tuple[str, str]) -> Answer:
    return Answer(status, list(fields), json.dumps(body).encode())


@pytest.fixture
def party() -> Iterator[Party]:
    with running_server() as server:
        party = Party(server.url, server.received)
        server.script = party.script
        yield party


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def _of(call: Callable[[], Any]) -> Any:
    value = call()
    return await value if inspect.isawaitable(value) else value


def do(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what a method returns, also one that is awaited."""
    return anyio.run(_of, partial(call, *args, **kwargs))


def callback(request: AuthorizationRequest, **changes: Any) -> dict[str, str]:
    parameters = {"code": "c-1", "state": request.state, "iss": request.issuer}
    return {name: v for name, v in (parameters | changes).items() if v is not None}


# --- the documents


def test_documents_are_fetched_without_credentials(
    party: Party, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login alice password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    discovery = LIBRARIES[library][0]()
    found = do(discovery.servers, resource=party.url)
    assert found.authorization.issuer == party.url
    assert found.resource.resource == party.url
    assert len(party.received) == 2
    for request in party.received:
        assert not request.all("Authorization")
        assert not request.all("DPoP")
        assert request.all("Accept-Encoding") == ["identity"]
    # And not again: both are kept for a while.
    assert do(discovery.servers, resource=party.url) == found
    assert len(party.received) == 2


@pytest.mark.parametrize(
    ("status", "fields", "body"),
    [
        (302, [("Location", "/elsewhere")], b""),
        (200, [("Content-Encoding", "gzip")], b"{}"),
        (200, [], b" " * (MAX_DOCUMENT + 1)),
        (200, [], b"no JSON"),
        (404, [], b"{}"),
    ],
)
def test_what_is_no_document_is_not_read(
    party: Party,
    library: str,
    status: int,
    fields: list[tuple[str, str]],
    body: bytes,
) -> None:
    party.answer = Answer(status, fields, body)
    discovery = LIBRARIES[library][0]()
    with pytest.raises(DiscoveryError):
        do(discovery.servers, issuer=party.url)
    # At most at the two places where it can be.
    assert {request.target for request in party.received} <= {
        WELL_KNOWN,
        "/.well-known/openid-configuration",
    }


# --- the code flow


def use(session: Any, scenario: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    """Return what a scenario returns, in the one event loop of the session."""

    async def run() -> Any:
        try:
            return await scenario(session)
        finally:
            await _of(session.aclose if hasattr(session, "aclose") else session.close)

    return anyio.run(run)


async def run_flow(session: Any) -> Any:
    request = await _of(session.start_authorization)
    parameters = callback(request)
    await _of(partial(session.finish_authorization, request, parameters))
    return request


@pytest.mark.requirement("F-9", "G-5", "X-1")
def test_each_attempt_has_its_own_proof_and_assertion(
    party: Party, library: str, ec_key: ECKey
) -> None:
    party.nonce = "n-1"
    session = party.session(library, key=ec_key, scope="accounts")
    request = use(session, run_flow)
    pushes, tokens = party.to("/par"), party.to("/token")
    # The nonce of the one is good for the other.
    assert (len(pushes), len(tokens)) == (2, 1)
    assertions = [
        parse_compact_jws(sent.form["client_assertion"], max_length=8192)
        for sent in (*pushes, *tokens)
    ]
    assert len({a.payload["jti"] for a in assertions}) == 3
    assert {a.payload["aud"] for a in assertions} == {party.url}
    assert len({sent.proof.claims["jti"] for sent in (*pushes, *tokens)}) == 3
    form = pushes[-1].form
    assert form["dpop_jkt"] == request.jkt == session.dpop.jkt
    assert form["resource"] == party.url
    assert form["scope"] == "accounts"
    assert tokens[0].form["code_verifier"] == request.code_verifier
    assert request.url == f"{party.url}/authorize?client_id=app&request_uri=urn%3Ax%3A1"


@pytest.mark.parametrize(
    ("arguments", "methods"),
    [
        ({}, ["none"]),
        ({"client_secret": "secret"}, ["client_secret_post"]),
        ({"client_secret": "secret"}, ["client_secret_basic"]),
    ],
)
def test_the_client_is_named_once(
    party: Party, library: str, arguments: dict[str, Any], methods: list[str]
) -> None:
    party.changes = {"token_endpoint_auth_methods_supported": methods}
    session = party.session(library, **arguments)
    use(session, run_flow)
    (push,) = party.to("/par")
    # The form of the test has each parameter once, or fails.
    assert push.form["client_id"] == "app"
    assert len(push.all("Authorization")) == (methods == ["client_secret_basic"])


def test_a_request_that_was_not_taken_leads_nowhere(
    party: Party, library: str, ec_key: ECKey
) -> None:
    for refusal in (
        answer(400, {"error": "invalid_scope"}),
        answer(307, {"request_uri": "urn:x:1"}, ("Location", f"{party.url}/api")),
    ):
        party.pushed = refusal
        with pytest.raises(AuthorizationRefusedError):
            use(
                party.session(library, key=ec_key), lambda s: _of(s.start_authorization)
            )
    assert not party.to("/api")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"iss": "https://evil.example"}, WrongIssuerError),
        ({"iss": None}, WrongIssuerError),
        ({"state": "other"}, AuthorizationResponseError),
        ({"error": "access_denied"}, AuthorizationRefusedError),
        ({"code": None}, AuthorizationResponseError),
    ],
)
def test_no_code_is_sent_that_came_from_elsewhere(
    party: Party, ec_key: ECKey, changes: dict[str, Any], error: type[Exception]
) -> None:
    session = party.session("requests", key=ec_key)
    request = session.start_authorization()
    with pytest.raises(error):
        session.finish_authorization(request, callback(request, **changes))
    assert not party.to("/token")
    assert not session.token


@pytest.mark.parametrize("iss", ["https://evil.example", None])
def test_nor_one_that_the_method_of_authlib_is_given(
    party: Party, library: str, iss: str | None
) -> None:
    def back(iss: str | None) -> str:
        values = {"code": "c-1", "state": "s"} | ({"iss": iss} if iss else {})
        return f"{CALLBACK}?{urlencode(values)}"

    async def fetch(session: Any) -> None:
        ask = partial(session.fetch_token, code_verifier="v" * 43, state="s")
        with pytest.raises(WrongIssuerError):
            await _of(partial(ask, authorization_response=back(iss)))
        assert not party.to("/token")
        await _of(partial(ask, authorization_response=back(party.url)))

    use(party.session(library), fetch)
    assert party.to("/token")[0].form["code"] == "c-1"


def test_a_request_of_another_server_or_key_is_not_finished(
    party: Party, ec_key: ECKey
) -> None:
    session = party.session("requests", key=ec_key)
    request = session.start_authorization()
    with running_server() as elsewhere:
        other = Party(elsewhere.url, elsewhere.received)
        elsewhere.script = other.script
        # Each is an honest client of its server: codes do not change sides.
        mixed_up = other.session("requests", key=ec_key, dpop=session.dpop)
        with pytest.raises(WrongIssuerError):
            mixed_up.finish_authorization(request, callback(request))
        assert not other.to("/token")
    with pytest.raises(AuthorizationResponseError, match="another key"):
        party.session("requests", key=ec_key).finish_authorization(
            request, callback(request)
        )
    assert not party.to("/token")


def test_a_token_that_is_not_bound_is_not_kept(
    party: Party, library: str, ec_key: ECKey
) -> None:
    party.token_type = "Bearer"
    session = party.session(library, key=ec_key)
    with pytest.raises(UnboundTokenError):
        use(session, run_flow)
    assert not session.token


@pytest.mark.parametrize("algorithms", [[], ["RS512"]])
def test_a_server_without_dpop_is_sent_nothing(
    party: Party, library: str, ec_key: ECKey, algorithms: list[str]
) -> None:
    party.changes = {"dpop_signing_alg_values_supported": algorithms}
    for signer in (None, ProofSigner(ec_key)):
        with pytest.raises(UnsupportedServerError):
            party.session(library, key=ec_key, dpop=signer)
    assert not party.to("/par")


@pytest.mark.requirement("R1706")
def test_a_key_that_must_be_is_not_given_up_for_what_metadata_say(
    party: Party, library: str, ec_key: ECKey
) -> None:
    with pytest.raises(UnsupportedServerError, match="symmetric"):
        party.session(library, key=ec_key, dpop=ProofSigner(ec_key, symmetric="must"))
    likes = ProofSigner(ec_key, symmetric="prefer")
    assert party.session(library, key=ec_key, dpop=likes)
    assert not party.to("/par")


def test_a_session_has_to_be_told_of_its_servers(ec_key: ECKey) -> None:
    session = requests_client.OAuth2Session("app", dpop=ProofSigner(ec_key))
    with pytest.raises(ValueError, match="for_servers"):
        session.start_authorization()
