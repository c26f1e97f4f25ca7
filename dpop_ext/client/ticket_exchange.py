"""What a ticket does in one request: used, asked for, kept (Symmetric Profile)."""

from __future__ import annotations

import logging
from dataclasses import replace

from dpop_ext.client.destination import Destination
from dpop_ext.client.exchange import Reply
from dpop_ext.client.ticket_request import TicketRequest
from dpop_ext.client.ticket_ring import TicketRing
from dpop_ext.errors import KeyDeliveryError
from dpop_ext.log_events import log_event
from dpop_ext.symmetric.ticket_delivery import DeliveredTicket

_log = logging.getLogger("dpop_ext.client")


class TicketExchange:
    """The part that tickets have in one request to a resource server.

    :param tickets: of the client.
    :param destination: of the request.
    :param jkt: thumbprint of the client's key.
    """

    def __init__(
        self, tickets: TicketRing, destination: Destination, *, jkt: str
    ) -> None:
        self._tickets = tickets
        self._destination = destination
        self._jkt = jkt
        self._server = tickets.find_server(destination)
        self._held: DeliveredTicket | None = None
        self._asks = False
        #: What the proof that was made last asks for, and that proof.
        self._asked: tuple[TicketRequest, str] | None = None

    def find(self, *, now: int) -> DeliveredTicket | None:
        """Return the ticket to use, if there is one.

        :param now: seconds since the epoch.
        """
        if self._server is not None:
            self._held = self._tickets.find(self._server, self._destination, now=now)
        return self._held

    def begin(self, *, now: int) -> TicketRequest | None:
        """Return what the next asymmetric proof asks for; None if it asks for nothing.

        Asked is for a ticket that is not there yet, by one request at a time.
        """
        self._asked = None
        if self._server is None:
            return None
        if not self._asks:
            if self._tickets.find(self._server, self._destination, now=now) is not None:
                return None
            self._asks = self._tickets.may_ask(self._server, self._destination, now=now)
        if not self._asks:
            return None
        return TicketRequest(
            resource=self._server.resource,
            jkt=self._jkt,
            key_algorithm=self._tickets.key_algorithm,
        )

    def sent(self, request: TicketRequest, proof: str) -> None:
        """Remember the proof that *request* became part of."""
        self._asked = request, proof

    def learn(self, reply: Reply, *, now: int, proved: bool) -> None:
        """Keep the ticket of a reply. That of an error is not looked at.

        :param now: seconds since the epoch.
        :param proved: the reply was authenticated by a key that is known to be shared
            with the server.
        """
        if self._server is None or self._asked is None or reply.status >= 400:
            return
        request, proof = self._asked
        try:
            ticket = request.read(reply.tickets, proof=proof, now=now)
        except KeyDeliveryError as error:
            ticket = None
            log_event(
                _log,
                logging.WARNING,
                "ticket_refused",
                "ticket not used: %s",
                error.description,
            )
        if ticket is None:
            self._tickets.ask_later(self._server, self._destination, now=now)
        else:
            ticket = replace(ticket, proved=proved)
            self._tickets.add(self._server, self._destination, ticket)

    def drop(self) -> None:
        """Forget the ticket that was used."""
        if self._server is not None and self._held is not None:
            self._tickets.drop(self._server, self._destination, self._held)
        self._held = None
