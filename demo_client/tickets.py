"""A key from the resource server itself, for a client that has none for its token."""

from __future__ import annotations

from typing import Any

import requests
from requests.adapters import HTTPAdapter

from demo_client import ticket_attacks, transcript
from demo_client.browser import TIMEOUT, DemoError
from demo_client.journey import CLIENT_ID, Client
from demo_client.report import Report, outcome, without_nonces
from demo_client.servers import Servers, second_node
from dpop_ext import ProofSigner
from dpop_ext.client import TicketServer
from dpop_ext.client.ticket_request import TICKET_FIELD
from dpop_ext.integrations.requests_client import DPoPAuth


def run(client: Client, servers: Servers, report: Report) -> None:
    """Get a ticket, use it in several ways, and try what a thief would try."""
    user = TicketUser(client, servers, report)
    user.get()
    user.use()
    user.use_with_the_next_token()
    user.use_at_another_node()
    user.log_out()
    ticket_attacks.run(client, servers, report)


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
        response = requests.post(url, auth=auth, timeout=TIMEOUT)
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
            return session.get(self._url, auth=auth, timeout=TIMEOUT)


class _OtherNode(HTTPAdapter):
    """Brings requests to another process, as a load balancer does."""

    def __init__(self, servers: Servers, node: str) -> None:
        super().__init__()
        self._own, self._node = servers.rs_url, node

    def send(self, request: Any, *args: Any, **kwargs: Any) -> requests.Response:
        """Send *request* to the other one."""
        request.url = request.url.replace(self._own, self._node, 1)
        return super().send(request, *args, **kwargs)


def _describe(response: requests.Response) -> str:
    """Return status, the kind of proof that was verified, and whether a ticket came."""
    found = f"{response.status_code} {response.json().get('proof', '?')}"
    return found + (", ticket" if TICKET_FIELD in response.headers else "")
