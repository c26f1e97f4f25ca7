"""A key from the resource server itself, for a client that has none for its token."""

from __future__ import annotations

import time
from typing import Any

import requests
from joserfc.jwk import ECKey
from requests.adapters import HTTPAdapter

from demo_client import transcript
from demo_client.browser import DemoError
from demo_client.journey import CLIENT_ID, Client
from demo_client.report import Report, outcome, without_nonces
from demo_client.servers import Servers, second_node
from demo_server.demo_data import CONFIDENTIAL_SECRET
from dpop_ext import ProofSigner
from dpop_ext.client import TicketServer
from dpop_ext.client.ticket_request import TICKET_FIELD, TicketRequest
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.proof_making import make_proof
from dpop_ext.integrations.requests_client import DPoPAuth, DPoPTokenAuth
from dpop_ext.symmetric.proof import make_symmetric_proof
from dpop_ext.symmetric.ticket import parse_ticket
from dpop_ext.symmetric.ticket_delivery import DeliveredTicket

_TIMEOUT = 30


def run(client: Client, servers: Servers, report: Report) -> None:
    """Get a ticket, use it in several ways, and try what a thief would try."""
    user = TicketUser(client, servers, report)
    user.get()
    user.use()
    user.use_with_the_next_token()
    user.use_at_another_node()
    user.log_out()
    attack(client, servers, report)


class TicketUser:
    """A client with the same key, whose tokens bring no symmetric key."""

    def __init__(self, client: Client, servers: Servers, report: Report) -> None:
        self._client = client
        self._servers = servers
        self._report = report
        self._url = f"{servers.rs_url}/api/echo/tickets"
        self._signer = ProofSigner(client.key)
        server = TicketServer.of_metadata(
            servers.api.document, issuer=servers.issuer, client_id=CLIENT_ID
        )
        if server is None:
            raise DemoError("The resource server has no tickets.")
        self._signer.use_tickets(server)

    def get(self) -> None:
        """Send a request as ever; a claim of its proof asks for a ticket."""
        transcript.heading("A ticket: a key from the resource server itself")
        transcript.why(
            "for tokens that have no key; it comes with the first answer, so it costs "
            "no request"
        )
        response = self._send()
        transcript.exchange(response)
        self._report.add(
            "asymmetric proof that asks",
            expected="200 asymmetric, ticket",
            got=_describe(response),
        )

    def use(self) -> None:
        """Send the next request."""
        transcript.heading("The next request, with an HMAC")
        response = self._send()
        transcript.exchange(response)
        self._report.add(
            "proof with the ticket",
            expected="200 symmetric",
            got=_describe(response),
        )

    def use_with_the_next_token(self) -> None:
        """Refresh the token; the ticket stays."""
        transcript.heading("The next access token, with the same ticket")
        transcript.why("it is for the key, the client and the issuer, not for a token")
        session = self._client.session
        session.refresh_token(session.metadata["token_endpoint"])
        response = self._send()
        transcript.exchange(response)
        self._report.add(
            "the same ticket, another token",
            expected="200 symmetric",
            got=_describe(response),
        )

    def use_at_another_node(self) -> None:
        """Send a request to a process that has never seen the ticket."""
        transcript.heading("Another process of the resource server")
        transcript.why(
            "it has not seen the ticket, and nobody has stored it: the key follows "
            "from the ticket, the token and the ticket key of this hour"
        )
        with second_node(self._servers) as url:
            response = self._send(node=url)
        transcript.exchange(response)
        self._report.add(
            "the same ticket, another process",
            expected="200 symmetric",
            got=_describe(response),
        )

    def log_out(self) -> None:
        """End the tickets of this key, everywhere."""
        transcript.heading("Log-out")
        transcript.why(
            "all tickets of this key end at once, at every process; the token does "
            "not, so the client goes on with an asymmetric proof"
        )
        auth = DPoPAuth(self._signer, self._client.session.token["access_token"])
        url = f"{self._servers.rs_url}/api/logout"
        response = requests.post(url, auth=auth, timeout=_TIMEOUT)
        transcript.exchange(response)
        self._report.add(
            "log-out", expected="204", got=without_nonces(outcome(response))
        )
        response = self._send()
        transcript.exchange(response)
        self._report.add(
            "the ticket after it",
            expected="401 use_dpop_asymmetric stale_ticket, 200",
            got=without_nonces(outcome(response)),
        )

    def _send(self, node: str | None = None) -> requests.Response:
        auth = DPoPAuth(self._signer, self._client.session.token["access_token"])
        with requests.Session() as session:
            if node is not None:
                session.mount(self._servers.rs_url, _OtherNode(self._servers, node))
            return session.get(self._url, auth=auth, timeout=_TIMEOUT)


class _OtherNode(HTTPAdapter):
    """Brings requests to another process, as a load balancer does."""

    def __init__(self, servers: Servers, node: str) -> None:
        super().__init__()
        self._own, self._node = servers.rs_url, node

    def send(self, request: Any, *args: Any, **kwargs: Any) -> requests.Response:
        """Send *request* to the other one."""
        request.url = request.url.replace(self._own, self._node, 1)
        return super().send(request, *args, **kwargs)


class TicketThief:
    """Another client, with a ticket of its own and somebody else's token."""

    def __init__(self, servers: Servers, report: Report) -> None:
        self._report = report
        self._servers = servers
        self._url = f"{servers.rs_url}/api/accounts"
        self._key = ECKey.generate_key("P-256")
        self._token = self._get_token()
        self._ticket = self._get_ticket()

    def with_an_edited_ticket(self) -> None:
        """Change the random part of the ticket, and its time."""
        transcript.heading("Attack: an edited ticket")
        transcript.why("another ticket gives another key, so the MAC is not by it")
        raw = parse_ticket(self._ticket.ticket).raw
        self._expect(
            "401 invalid_dpop_proof", "edited ticket", raw[:-1] + bytes([raw[-1] ^ 1])
        )
        later = (self._ticket.expires_at + 3).to_bytes(6, "big")
        self._expect(
            "401 invalid_dpop_proof",
            "ticket that is to last longer",
            raw[:5] + later + raw[11:],
        )

    def with_a_ticket_that_has_ended(self) -> None:
        """Name a time that is over."""
        transcript.heading("Attack: a ticket that has ended")
        transcript.why("an honest client asks for another one when it reads this")
        raw = parse_ticket(self._ticket.ticket).raw
        before = (int(time.time()) - 1).to_bytes(6, "big")
        self._expect(
            "401 use_dpop_asymmetric stale_ticket",
            "ticket that has ended",
            raw[:5] + before + raw[11:],
        )

    def with_the_token_of_another_client(self, stolen: str) -> None:
        """Send a stolen token with a ticket of one's own."""
        transcript.heading("Attack: a stolen token with another client's ticket")
        transcript.why("client and key of the token go into the key of the ticket")
        raw = parse_ticket(self._ticket.ticket).raw
        self._expect("200", "the ticket with its own token", raw)
        self._expect(
            "401 invalid_dpop_proof", "ticket of another client", raw, token=stolen
        )

    def _get_token(self) -> str:
        auth = DPoPTokenAuth(
            ProofSigner(self._key, symmetric="never"),
            ("demo-confidential", CONFIDENTIAL_SECRET),
        )
        response = requests.post(
            self._servers.authorization.token_endpoint,
            data={"grant_type": "client_credentials", "scope": "accounts"},
            auth=auth,
            timeout=_TIMEOUT,
        )
        return str(response.json()["access_token"])

    def _get_ticket(self) -> DeliveredTicket:
        request = TicketRequest(
            resource=self._servers.resource, jkt=self._key.thumbprint()
        )
        proof = make_proof(
            self._key,
            algorithm="ES256",
            method="GET",
            url=self._url,
            now=int(time.time()),
            access_token=self._token,
            nonce=self._nonce(),
            claims=request.claims(),
        )
        fields = self._request(proof, self._token).raw.headers.getlist(TICKET_FIELD)
        ticket = request.read(fields, proof=proof, now=int(time.time()))
        if ticket is None:
            raise DemoError("The resource server gave no ticket.")
        return ticket

    def _nonce(self) -> str | None:
        """Get a nonce as anybody can; None if the server demands none."""
        proof = make_proof(
            self._key,
            algorithm="ES256",
            method="GET",
            url=self._url,
            now=int(time.time()),
            access_token=self._token,
        )
        return self._request(proof, self._token).headers.get("DPoP-Nonce")

    def _expect(
        self, expected: str, step: str, ticket: bytes, *, token: str | None = None
    ) -> None:
        token = token or self._token
        proof = make_symmetric_proof(
            self._ticket.key,
            algorithm=self._ticket.algorithm,
            method="GET",
            url=self._url,
            now=int(time.time()),
            access_token=token,
            nonce=self._nonce(),
            ticket=b64url_encode(ticket),
        )
        response = self._request(proof, token)
        transcript.exchange(response)
        self._report.add(step, expected=expected, got=outcome(response))

    def _request(self, proof: str, token: str) -> requests.Response:
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
        return requests.get(self._url, headers=headers, timeout=_TIMEOUT)


def attack(client: Client, servers: Servers, report: Report) -> None:
    """Try everything."""
    thief = TicketThief(servers, report)
    thief.with_an_edited_ticket()
    thief.with_a_ticket_that_has_ended()
    thief.with_the_token_of_another_client(client.session.token["access_token"])


def _describe(response: requests.Response) -> str:
    """Return status, the kind of proof that was verified, and whether a ticket came."""
    found = f"{response.status_code} {response.json().get('proof', '?')}"
    return found + (", ticket" if TICKET_FIELD in response.headers else "")
