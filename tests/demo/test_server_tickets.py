"""Tickets of the demo's resource server: in one process, in several, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from joserfc.jwk import ECKey

from demo_client.servers import discover, second_node
from demo_server import resource_server
from demo_server.demo_data import CONFIDENTIAL_SECRET
from demo_server.private_file import PrivateFileError
from demo_server.resource_server_tickets import ROW_KEY_FILE, load_row_key
from demo_server.settings import Settings
from demo_server.supervisor import DemoServer
from dpop_ext import ProofSigner
from dpop_ext.client import TicketServer
from dpop_ext.client.ticket_request import TicketRequest
from dpop_ext.integrations import httpx_client, requests_client
from dpop_ext.symmetric.proof import make_symmetric_proof
from dpop_ext.symmetric.ticket_delivery import DeliveredTicket
from tests.conftest import Clock
from tests.demo.parties import Parties
from tests.patience import PATIENCE

DOCUMENT = "/.well-known/oauth-protected-resource"
MODES = "dpop_symmetric_modes_supported"


def get_ticket(parties: Parties, token: str) -> DeliveredTicket:
    resource = parties.settings.resource_url
    request = TicketRequest(resource=resource, jkt=parties.key.thumbprint())
    answer = parties.api("GET", "/api/accounts", token, claims=dict(request.claims()))
    assert answer.status_code == 200
    proof = answer.request.headers["DPoP"]
    fields = answer.headers.getlist("DPoP-Ticket")
    ticket = request.read(fields, proof=proof, now=parties.clock.now)
    assert ticket is not None
    return ticket


def use_ticket(parties: Parties, ticket: DeliveredTicket, token: str) -> Any:
    url = f"{parties.settings.resource_url}/api/accounts"
    proof = make_symmetric_proof(
        ticket.key,
        algorithm="HS256",
        method="GET",
        url=url,
        now=parties.clock.now,
        access_token=token,
        nonce=parties.nonces.get(parties.settings.resource_url),
        ticket=ticket.ticket,
    )
    return parties.rs_client.get(
        "/api/accounts", headers={"Authorization": f"DPoP {token}", "DPoP": proof}
    )


def access_token(parties: Parties) -> str:
    token: str = parties.redeem(parties.code()).get_json()["access_token"]
    return token


@pytest.mark.requirement("R1803", "R1805")
def test_a_ticket_outlives_the_process_that_made_it(
    parties: Parties, clock: Clock
) -> None:
    token = access_token(parties)
    ticket = get_ticket(parties, token)
    assert use_ticket(parties, ticket, token).get_json()["proof"] == "symmetric"
    parties.rs_app = resource_server.create_app(
        parties.settings, fetch=parties.fetch, clock=clock
    )
    parties.rs_client = parties.rs_app.test_client()

    assert use_ticket(parties, ticket, token).get_json()["proof"] == "symmetric"
    assert use_ticket(parties, ticket, access_token(parties)).status_code == 200


@pytest.mark.requirement("R2132", "T15")
def test_a_logout_ends_tickets_and_not_the_token(
    parties: Parties, clock: Clock
) -> None:
    token = access_token(parties)
    ticket = get_ticket(parties, token)
    assert parties.api("POST", "/api/logout", token).status_code == 204

    assert (
        "stale_ticket" in use_ticket(parties, ticket, token).headers["WWW-Authenticate"]
    )
    assert parties.api("GET", "/api/accounts", token).status_code == 200
    clock.advance(6)
    assert use_ticket(parties, get_ticket(parties, token), token).status_code == 200


def test_tokens_that_are_introspected_have_tickets_too(
    tmp_path: Path, clock: Clock, ec_key: ECKey
) -> None:
    parties = Parties.start(
        tmp_path,
        clock,
        ec_key,
        introspection_endpoint="http://127.0.0.1:9000/introspect",
    )
    token = access_token(parties)
    ticket = get_ticket(parties, token)

    assert use_ticket(parties, ticket, token).get_json()["proof"] == "symmetric"


@pytest.mark.parametrize(
    ("options", "modes"),
    [
        ({}, ["derived", "ticket"]),
        ({"tickets": "off"}, ["derived"]),
        ({"symmetric": "off"}, None),
    ],
)
def test_what_is_on_is_what_the_metadata_says(
    tmp_path: Path,
    clock: Clock,
    ec_key: ECKey,
    options: dict[str, Any],
    modes: list[str] | None,
) -> None:
    parties = Parties.start(tmp_path, clock, ec_key, **options)
    document = parties.rs_client.get(DOCUMENT).get_json()
    assert document.get(MODES) == modes
    token = access_token(parties)
    request = TicketRequest(resource=parties.settings.resource_url, jkt="x")
    answer = parties.api("GET", "/api/accounts", token, claims=dict(request.claims()))

    assert answer.status_code == 200
    offered = modes is not None and "ticket" in modes
    assert ("DPoP-Ticket" in answer.headers) is offered
    expected = 204 if offered else 404
    assert parties.api("POST", "/api/logout", token).status_code == expected


def test_a_logout_needs_a_key_to_log_out(
    tmp_path: Path, clock: Clock, ec_key: ECKey
) -> None:
    parties = Parties.start(tmp_path, clock, ec_key, bearer=True)
    unbound = parties.as_client.post(
        "/token",
        data={"grant_type": "client_credentials", "scope": "accounts"},
        auth=("demo-confidential", CONFIDENTIAL_SECRET),
    ).get_json()["access_token"]
    headers = {"Authorization": f"Bearer {unbound}"}

    assert parties.rs_client.post("/api/logout", headers=headers).status_code == 400


def test_the_key_of_the_rows_is_a_private_file(tmp_path: Path) -> None:
    settings = Settings(database=f"sqlite:///{tmp_path}/demo.sqlite3")
    key = load_row_key(settings)
    path = settings.rs_keys_directory / ROW_KEY_FILE
    assert path.stat().st_mode & 0o077 == 0
    assert load_row_key(settings) == key
    path.write_bytes(b"short")

    with pytest.raises(PrivateFileError, match="32 bytes"):
        load_row_key(settings)


# --- over HTTP, with two worker processes


@pytest.fixture
def signer(demo_server: DemoServer) -> ProofSigner:
    signer = ProofSigner(ECKey.generate_key("P-256"))
    metadata = requests.get(demo_server.rs_url + DOCUMENT, timeout=PATIENCE).json()
    server = TicketServer.of_metadata(
        metadata, issuer=demo_server.as_url, client_id="demo-confidential"
    )
    assert server is not None
    signer.use_tickets(server)
    return signer


@pytest.fixture
def token(demo_server: DemoServer, signer: ProofSigner) -> str:
    answer = requests.post(
        f"{demo_server.as_url}/token",
        data={"grant_type": "client_credentials", "scope": "accounts"},
        auth=requests_client.DPoPTokenAuth(
            signer, ("demo-confidential", CONFIDENTIAL_SECRET)
        ),
        timeout=PATIENCE,
    )
    found: str = answer.json()["access_token"]
    return found


def echo_with_requests(url: str, signer: ProofSigner, token: str) -> Iterator[Any]:
    with requests.Session() as session:
        while True:
            auth = requests_client.DPoPAuth(signer, token)
            # No connection is kept, so that each worker gets some of them.
            yield session.get(
                url, auth=auth, timeout=PATIENCE, headers={"Connection": "close"}
            )


def echo_with_httpx(url: str, signer: ProofSigner, token: str) -> Iterator[Any]:
    with httpx.Client() as client:
        while True:
            auth = httpx_client.DPoPAuth(signer, token)
            yield client.get(url, auth=auth, headers={"Connection": "close"})


@pytest.mark.requirement("R1803")
@pytest.mark.parametrize("echo", [echo_with_requests, echo_with_httpx])
def test_a_ticket_of_one_worker_is_good_at_all(
    demo_server: DemoServer, signer: ProofSigner, token: str, echo: Any
) -> None:
    assert demo_server.settings.workers == 2
    answers = echo(f"{demo_server.rs_url}/api/echo/x", signer, token)
    first = next(answers)
    assert first.json()["proof"] == "asymmetric"
    assert "DPoP-Ticket" in first.headers

    kinds = [next(answers).json()["proof"] for _ in range(12)]
    assert kinds == ["symmetric"] * 12


@pytest.mark.requirement("R1803")
def test_a_node_that_starts_later_recreates_the_key(
    demo_server: DemoServer, signer: ProofSigner, token: str
) -> None:
    servers = discover(demo_server.as_url, demo_server.rs_url, demo_server.environment)
    ticket_answer = next(
        echo_with_requests(f"{demo_server.rs_url}/api/echo/x", signer, token)
    )
    assert "DPoP-Ticket" in ticket_answer.headers
    flow = signer.resource_request(
        method="GET", url=f"{demo_server.rs_url}/api/echo/x", access_token=token
    )
    with second_node(servers) as url:
        answer = requests.get(
            f"{url}/api/echo/x", headers=dict(next(flow).headers()), timeout=PATIENCE
        )
    assert answer.status_code == 200, answer.text
    assert answer.json()["proof"] == "symmetric"
