"""Header fields that go out with the answer of an application: :rfc:`9449#section-8`.

The application's own fields stay as they are, as far as that is possible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dpop_ext.resource_server.ticket_issuer import TicketOffer

#: Fields with their names as they are written.
Headers = list[tuple[str, str]]


def with_nonce(headers: Headers, nonce: str) -> Headers:
    """Return the fields of an answer with ``DPoP-Nonce``, which makes it uncacheable.

    One that the application has set stays the only one, and so does what it said about
    caching if that is as strict (:rfc:`9449#section-8.2`).
    """
    if _values(headers, "DPoP-Nonce"):
        return headers
    return [*_with_no_store(headers), ("DPoP-Nonce", nonce)]


def with_ticket(headers: Headers, offer: TicketOffer, *, status: int) -> Headers:
    """Return the fields of an answer with the ticket that its request asks for.

    None goes out with an error, and none beside one of another layer of the same
    application. It is for this request alone, so no cache may keep it.
    """
    if status >= 400 or _values(headers, "DPoP-Ticket"):
        return headers
    ticket = offer.accept()
    if ticket is None:
        return headers
    varied = varying(_with_no_store(headers), "DPoP")
    return [*varied, ("DPoP-Ticket", ticket)]


def varying(headers: Headers, name: str) -> Headers:
    """Return *headers* that say that the answer depends on a field of the request."""
    if {each.lower() for each in listed(headers, "Vary")} & {name.lower(), "*"}:
        return headers
    return [*headers, ("Vary", name)]


def listed(headers: Headers, field: str) -> list[str]:
    """Return what a field lists, whose values are separated by commas."""
    names = [name.strip() for v in _values(headers, field) for name in v.split(",")]
    return [name for name in names if name]


def _with_no_store(headers: Headers) -> Headers:
    directives = _values(headers, "Cache-Control")
    if any("no-store" in value.lower() for value in directives):
        return headers
    others = [
        (name, value) for name, value in headers if name.lower() != "cache-control"
    ]
    return [*others, ("Cache-Control", ", ".join([*directives, "no-store"]))]


def _values(headers: Headers, field: str) -> list[str]:
    return [value for name, value in headers if name.lower() == field.lower()]
