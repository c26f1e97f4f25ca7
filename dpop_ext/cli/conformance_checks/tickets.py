"""Tickets of the resource server, and proofs under them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from dpop_ext.cli.conformance_checks.pair import Answer
from dpop_ext.cli.conformance_checks.prover import Prover
from dpop_ext.cli.conformance_checks.trial import Trial, judged, skipped
from dpop_ext.client.ticket_request import TICKET_FIELD, TicketRequest
from dpop_ext.errors import KeyDeliveryError
from dpop_ext.symmetric.ticket_delivery import DeliveredTicket
from dpop_ext.symmetric.ticket_keys import MAX_LIFETIME

_DELIVERED = "R1801 R2134 R2136 R2137 R2138"


def check_tickets(prover: Prover) -> Iterator[Trial]:
    """Ask for a ticket, if the server says that it has any, and use it."""
    modes = prover.pair.resource_metadata.get("dpop_symmetric_modes_supported")
    if not isinstance(modes, list) or "ticket" not in modes:
        for name, requirements in (
            ("a ticket", _DELIVERED),
            ("caching of a ticket", "R1806"),
            ("a proof under a ticket", "R1803"),
            ("a ticket that was changed", "R1509"),
        ):
            yield skipped(name, "rs", requirements, "the server has no tickets")
        return
    answer, ticket = _request(prover)
    yield judged(
        "a ticket",
        "rs",
        _DELIVERED,
        good=ticket is not None,
        seen="delivered" if ticket else _seen(answer),
        advice="Answer an asymmetric proof with dsk and n by a DPoP-Ticket: 36 "
        f"characters, good for {MAX_LIFETIME} s at most, with a JWE that echoes n and "
        "names the proof and this server.",
    )
    if ticket is None:
        return
    caching = answer.fields.get("Cache-Control", ""), answer.fields.get("Vary", "")
    yield judged(
        "caching of a ticket",
        "rs",
        "R1806",
        good="no-store" in caching[0] and "dpop" in caching[1].lower(),
        seen=f"Cache-Control {caching[0]!r}, Vary {caching[1]!r}",
        advice="Send Cache-Control: no-store and Vary: DPoP with a ticket.",
    )
    yield from _use(prover, ticket)


def _request(prover: Prover) -> tuple[Answer, DeliveredTicket | None]:
    pair, token = prover.pair, prover.issued.access_token
    request = TicketRequest(resource=pair.resource, jkt=pair.key.thumbprint())
    sent: list[str] = []

    def once(nonce: str | None) -> str:
        sent.append(pair.asymmetric_proof(token, nonce, request.claims()))
        return sent[-1]

    answer = pair.ask(token, once)
    try:
        ticket = request.read(answer.values(TICKET_FIELD), proof=sent[-1], now=pair.now)
    except KeyDeliveryError:
        return answer, None
    return answer, ticket


def _seen(answer: Answer) -> str:
    there = answer.values(TICKET_FIELD)
    return f"{answer}, {'not one to use' if there else 'none'}"


def _use(prover: Prover, ticket: DeliveredTicket) -> Iterator[Trial]:
    token = prover.issued.access_token
    make = partial(prover.proof, key=ticket.key.reveal())
    answer = prover.pair.ask(token, partial(make, header={"tkt": ticket.ticket}))
    yield judged(
        "a proof under a ticket",
        "rs",
        "R1803",
        good=answer.is_good,
        seen=str(answer),
        advice="Derive its key from the ticket and from whose token it is.",
    )
    last = ticket.ticket[-1]
    changed = ticket.ticket[:-1] + ("B" if last == "A" else "A")
    answer = prover.pair.ask(token, partial(make, header={"tkt": changed}))
    yield judged(
        "a ticket that was changed",
        "rs",
        "R1509",
        good=(answer.status, answer.error) == (401, "invalid_dpop_proof"),
        seen=str(answer),
        advice="Derive the key from every byte. Expected: 401 invalid_dpop_proof.",
    )
