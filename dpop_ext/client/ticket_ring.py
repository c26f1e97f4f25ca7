"""The tickets of a client, and when to ask for one (DPoP Symmetric Profile 1.0).

In memory only: a ticket lives for some minutes, and any answer can bring another.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, Final

from dpop_ext.client.destination import Destination
from dpop_ext.client.ticket_server import TicketServer
from dpop_ext.symmetric.ticket_delivery import DeliveredTicket

#: Places of tickets to remember; the one used longest ago is forgotten first.
MAX_PLACES: Final = 100
#: A ticket that ends within so many seconds is not used any more: on its way it could
#: end.
MARGIN: Final = 5
#: Seconds within which one request at a time asks.
ASKING: Final = 5
#: Seconds until the next one asks when a good answer brought no ticket.
PAUSE: Final = 60

#: An origin, and whose tickets.
_Place = tuple[str, TicketServer]


class TicketRing:
    """Tickets by server and origin. Threads may share it."""

    def __init__(self, *, key_algorithm: str) -> None:
        self.key_algorithm = key_algorithm
        self._servers: tuple[TicketServer, ...] = ()
        self._tickets: OrderedDict[_Place, DeliveredTicket] = OrderedDict()
        #: Not asked again until then, in seconds since the epoch.
        self._quiet_until: OrderedDict[_Place, int] = OrderedDict()
        self._lock = threading.Lock()

    def add_server(self, server: TicketServer) -> None:
        """Use tickets of *server* from now on, instead of one with the same bases."""
        with self._lock:
            others = (each for each in self._servers if each.bases != server.bases)
            self._servers = (*others, server)

    def find_server(self, destination: Destination) -> TicketServer | None:
        """Return the server that a request goes to, if it has tickets."""
        for server in reversed(self._servers):
            if destination.is_within(server.bases):
                return server
        return None

    def find(
        self, server: TicketServer, destination: Destination, *, now: int
    ) -> DeliveredTicket | None:
        """Return the ticket to use for a request.

        :param server: :meth:`find_server` of *destination*.
        :param now: seconds since the epoch.
        """
        place = destination.origin, server
        with self._lock:
            ticket = self._tickets.get(place)
            if ticket is None:
                return None
            if now + MARGIN >= ticket.expires_at:
                del self._tickets[place]
                return None
            self._tickets.move_to_end(place)
            return ticket

    def may_ask(
        self, server: TicketServer, destination: Destination, *, now: int
    ) -> bool:
        """Tell whether this request asks for a ticket; others do not for a moment."""
        place = destination.origin, server
        with self._lock:
            quiet_until = self._quiet_until.get(place, now)
            # Beyond the longest pause, the clock was set back.
            if now < quiet_until <= now + PAUSE:
                return False
            self._put(self._quiet_until, place, now + ASKING)
            return True

    def add(
        self, server: TicketServer, destination: Destination, ticket: DeliveredTicket
    ) -> None:
        """Keep a ticket that *destination* answered with."""
        place = destination.origin, server
        with self._lock:
            self._put(self._tickets, place, ticket)
            self._quiet_until.pop(place, None)

    def ask_later(
        self, server: TicketServer, destination: Destination, *, now: int
    ) -> None:
        """Ask no more for a while: a good answer brought no ticket."""
        with self._lock:
            self._put(self._quiet_until, (destination.origin, server), now + PAUSE)

    def drop(
        self, server: TicketServer, destination: Destination, ticket: DeliveredTicket
    ) -> None:
        """Forget *ticket*, unless there is a newer one by now; it may be asked for."""
        place = destination.origin, server
        with self._lock:
            if self._tickets.get(place) is ticket:
                del self._tickets[place]

    @staticmethod
    def _put(entries: OrderedDict[_Place, Any], place: _Place, value: object) -> None:
        entries[place] = value
        entries.move_to_end(place)
        if len(entries) > MAX_PLACES:
            entries.popitem(last=False)
