from __future__ import annotations

import secrets

from dpop_ext.resource_server.ticket_limit import MAX_ENTRIES, TicketLimit
from dpop_ext.stores.logouts import MemoryLogoutStore
from dpop_ext.stores.ticket_keys import RotatingTicketKeys
from dpop_ext.tickets import Tickets
from tests.conftest import Clock


def test_a_client_with_many_users_has_a_limit_of_its_own(clock: Clock) -> None:
    tickets = Tickets(
        keys=RotatingTicketKeys(clock=clock),
        logouts=MemoryLogoutStore(),
        client_rate=5,
    )
    limit = TicketLimit(tickets, clock=clock)

    def taken(client_id: str) -> int:
        keys = (secrets.token_hex(16) for _ in range(30))
        return sum(limit.allows(jkt=jkt, client_id=client_id) for jkt in keys)

    assert taken("one") == 10
    assert taken("two") == 10
    assert taken("one") == 0
    clock.advance(1)
    assert taken("one") == 5
    # However long nobody asked, or wherever the clock went.
    clock.advance(10**6)
    assert taken("one") == 10
    clock.advance(-(10**6))
    assert taken("one") == 10


def test_a_flood_of_keys_takes_a_bounded_amount_of_memory(clock: Clock) -> None:
    tickets = Tickets(keys=RotatingTicketKeys(clock=clock), logouts=MemoryLogoutStore())
    limit = TicketLimit(tickets, clock=clock)
    for number in range(MAX_ENTRIES + 100):
        limit.allows(jkt=str(number), client_id=str(number))

    assert len(limit._keys._full_at) == MAX_ENTRIES
    assert len(limit._clients._full_at) == MAX_ENTRIES
