"""The part of a resource server that answers a request with a ticket."""

from __future__ import annotations

from typing import Any

from dpop_ext.client.exchange import Reply
from dpop_ext.core.request_digest import content_digest
from dpop_ext.core.structured_field import format_dictionary
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.ticket import make_ticket
from dpop_ext.symmetric.ticket_delivery import TicketBinding, wrap_ticket
from dpop_ext.symmetric.ticket_keys import random_ticket_key
from tests.client.driving import RESOURCE
from tests.client.reading import read
from tests.client.token_server import recipient_of

TICKET_MAC_KEY = SecretBytes(bytes(range(50, 82)))


def ticket_field(
    proof: str,
    *,
    now: int,
    jkt: str,
    lifetime: int = 300,
    resource: str = RESOURCE,
    n: str | None = None,
    answers: str | None = None,
    **members: Any,
) -> str:
    """Make the field that answers *proof*; what is given here is wrong on purpose."""
    dsk = read(proof).claims["dsk"]
    key = random_ticket_key(now // 3600, lifetime=lifetime)
    ticket = make_ticket(key, now=now)
    wrapped = wrap_ticket(
        TICKET_MAC_KEY,
        recipient=recipient_of(dsk),
        algorithm=dsk["kalgs"][0],
        encoding="A256GCM",
        mac_algorithm="HS256",
        ticket=ticket,
        binding=TicketBinding(
            audience=resource,
            jkt=jkt,
            n=n or dsk["n"],
            proof_hash=content_digest((answers or proof).encode()),
        ),
    )
    values: dict[str, Any] = {
        "tkt": ticket.text,
        "key": wrapped,
        "exp": ticket.expires_at,
        "alg": "HS256",
    }
    return format_dictionary(values | members)


def ticket_reply(proof: str, *, status: int = 200, **arguments: Any) -> Reply:
    """Answer *proof* with a ticket."""
    return Reply(status=status, tickets=(ticket_field(proof, **arguments),))
