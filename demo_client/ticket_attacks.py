"""What a thief would try with tickets, and what becomes of it."""

from __future__ import annotations

import time

import requests
from joserfc.jwk import ECKey

from demo_client import transcript
from demo_client.browser import TIMEOUT, DemoError
from demo_client.journey import Client
from demo_client.report import Report, outcome
from demo_client.servers import Servers
from demo_server.demo_data import CONFIDENTIAL_SECRET
from dpop_ext import ProofSigner
from dpop_ext.client.ticket_request import TICKET_FIELD, TicketRequest
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.proof_making import make_proof
from dpop_ext.integrations.requests_client import DPoPTokenAuth
from dpop_ext.symmetric.proof import make_symmetric_proof
from dpop_ext.symmetric.ticket import parse_ticket
from dpop_ext.symmetric.ticket_delivery import DeliveredTicket


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
            timeout=TIMEOUT,
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
        return requests.get(self._url, headers=headers, timeout=TIMEOUT)


def run(client: Client, servers: Servers, report: Report) -> None:
    """Try everything."""
    thief = TicketThief(servers, report)
    thief.with_an_edited_ticket()
    thief.with_a_ticket_that_has_ended()
    thief.with_the_token_of_another_client(client.session.token["access_token"])
