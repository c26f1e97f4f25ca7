"""``dpop-ext conformance`` at servers that answer as a test says."""

from __future__ import annotations

import json

import pytest

from dpop_ext.cli.conformance_checks.pair import Pair
from tests.cli.conformance.issuer import Issuer
from tests.cli.conformance.reading import OK
from tests.cli.conftest import run
from tests.integrations.scripted_server import Answer, Received, ScriptedServer


@pytest.fixture
def servers(server: ScriptedServer) -> ScriptedServer:
    """One token with a key is given, and everything is served."""
    about = Pair(
        issuer=server.url,
        resource=f"{server.url}/api",
        url="",
        client_id="app",
        client_secret=None,
    )
    issuer = Issuer(about, opaque=True)
    documents = {
        "/.well-known/oauth-authorization-server": {
            "issuer": about.issuer,
            "token_endpoint": f"{server.url}/token",
        },
        "/.well-known/oauth-protected-resource/api": {"resource": about.resource},
    }

    def answer(request: Received) -> Answer:
        if request.target in documents:
            return Answer(body=json.dumps(documents[request.target]).encode())
        if request.target != "/token":
            return OK
        return Answer(400) if issuer.given else issuer.answer(request)

    server.script = answer
    return server


def examined(servers: ScriptedServer, *options: str) -> tuple[str, list[Received]]:
    """What was printed, and the requests after the metadata."""
    servers.received.clear()
    required = ("--as", servers.url, "--rs", f"{servers.url}/api", "--client-id", "app")
    result = run(
        *("conformance", *required, *options), DPOP_EXT_CLIENT_SECRET="the-secret"
    )
    assert result.exit_code == 1, result.output
    return result.output, servers.received[2:]


@pytest.mark.parametrize("url", [None, "/api/accounts"])
@pytest.mark.parametrize("scope", [None, "accounts"])
def test_the_options_say_where_and_what_for(
    servers: ScriptedServer, url: str | None, scope: str | None
) -> None:
    options: tuple[str, ...] = () if url is None else ("--url", servers.url + url)
    options += () if scope is None else ("--scope", scope)
    shown, (first, *others) = examined(servers, *options)
    assert first.target == "/token"
    assert first.form.get("scope") == scope
    assert first.authorization.startswith("Basic ")
    protected = [sent for sent in others if sent.target != "/token"]
    assert {sent.target for sent in protected} == {url or "/api"}
    assert {sent.authorization for sent in protected} == {"DPoP opaque"}
    assert "the-secret" not in shown


def test_a_symmetric_proof_at_the_token_endpoint_is_good_but_for_its_place(
    servers: ScriptedServer,
) -> None:
    _, sent = examined(servers)
    tried = [one.proof for one in sent if one.target == "/token"]
    (symmetric,) = [proof for proof in tried if proof.is_symmetric]
    assert symmetric.claims["htm"] == "POST"
    assert symmetric.claims["htu"] == f"{servers.url}/token"


def test_a_token_that_is_not_served_ends_what_is_tried(servers: ScriptedServer) -> None:
    answer = servers.script
    servers.script = lambda request: (
        answer(request) if "/api" not in request.target[:5] else Answer(401)
    )
    shown, sent = examined(servers)
    assert [one.target for one in sent].count("/api") == 1
    assert "a symmetric proof: 401" in shown
    assert "This allows the claim" not in shown


def test_a_url_that_leads_nowhere_is_one_line() -> None:
    result = run(
        *("conformance", "--as", "https://a..example", "--rs", "https://b.example"),
        *("--client-id", "app"),
    )
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("dpop-ext: a server does not answer: ")
    assert result.stderr.count("\n") == 1
