"""Tickets: a key of the resource server's own, without state (Symmetric Profile 1.0).

A ticket is no secret and holds none. Any server that has the ticket key derives the
key of the proofs from the ticket and from whose token came with it, so a ticket that
was edited, or that another client sends, gives another key. Nothing is decrypted.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.key import is_thumbprint
from dpop_ext.errors import MalformedJOSEError, MalformedProofError, StaleTicketError
from dpop_ext.symmetric.derivation import (
    MAC_ALGORITHMS,
    MAX_CLIENT_ID,
    MAX_IDENTIFIER,
    expand,
    identity,
    lp,
)
from dpop_ext.symmetric.ticket_keys import CLOCK_SKEW, KEY_ID_LENGTH, TicketKey

#: Length of a ticket, in bytes, and of its text in base64url.
TICKET_LENGTH: Final = 27
TICKET_TEXT_LENGTH: Final = 36

#: What every ticket begins with; the other types are not in this version.
_TYPE: Final = b"\x02"
_TIME_LENGTH: Final = 6
_RANDOM_LENGTH: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A ticket that is well-formed. Nothing in it is true before the MAC verified."""

    #: All 27 bytes.
    raw: bytes
    #: Name of the ticket key, 4 bytes.
    key_id: bytes
    #: In seconds since the epoch.
    expires_at: int

    @property
    def text(self) -> str:
        """The ticket as it is sent."""
        return b64url_encode(self.raw)


def make_ticket(key: TicketKey, *, now: int) -> Ticket:
    """Make a ticket under *key*, for whichever client it is going to be.

    :param key: the current one.
    :param now: seconds since the epoch.
    """
    expires_at = now + key.lifetime
    raw = (
        _TYPE
        + key.key_id
        + expires_at.to_bytes(_TIME_LENGTH, "big")
        + secrets.token_bytes(_RANDOM_LENGTH)
    )
    return Ticket(raw=raw, key_id=key.key_id, expires_at=expires_at)


def parse_ticket(text: object) -> Ticket:
    """Read the ``tkt`` of a proof.

    :raises MalformedProofError: not 36 characters of base64url, or a ticket of another
        type.
    """
    if not isinstance(text, str) or len(text) != TICKET_TEXT_LENGTH:
        raise MalformedProofError("The ticket of the proof is malformed.")
    try:
        raw = b64url_decode(text)
    except MalformedJOSEError as error:
        raise MalformedProofError("The ticket of the proof is malformed.") from error
    if raw[:1] != _TYPE:
        raise MalformedProofError("The ticket of the proof is of an unknown type.")
    end = 1 + KEY_ID_LENGTH
    return Ticket(
        raw=raw,
        key_id=raw[1:end],
        expires_at=int.from_bytes(raw[end : end + _TIME_LENGTH], "big"),
    )


def check_life(ticket: Ticket, key: TicketKey, *, now: int) -> None:
    """Check that *ticket* is good at *now*, and that *key* can have made it.

    Whoever holds a good ticket cannot make it last: another time gives another key.

    :param key: the one that the ticket names.
    :param now: seconds since the epoch.
    :raises StaleTicketError: it has expired, or ends later than a ticket that is made
        now, give or take 5 seconds.
    """
    if not now < ticket.expires_at <= now + key.lifetime + CLOCK_SKEW:
        raise StaleTicketError


def check_logout(ticket: Ticket, key: TicketKey, *, not_before: int | None) -> None:
    """Check that *ticket* was made after the log-out.

    :param key: the one that the ticket names.
    :param not_before: the last second of which no ticket is good, in seconds since the
        epoch; None if there was no log-out.
    :raises StaleTicketError: it was made before.
    """
    if not_before is not None and ticket.expires_at - key.lifetime <= not_before:
        raise StaleTicketError


def ticket_mac_key(
    secret: bytes,
    ticket: bytes,
    *,
    algorithm: str,
    audience: str,
    issuer: str,
    client_id: str,
    jkt: str,
) -> bytes:
    """Derive the key of the symmetric proofs with one ticket.

    :param secret: the ticket key, 32 bytes.
    :param ticket: all 27 bytes.
    :param algorithm: a name in :data:`MAC_ALGORITHMS`.
    :param audience: this resource server's own identifier, at most 256 bytes.
    :param issuer: of the access token, at most 256 bytes.
    :param client_id: of the access token, at most 2048 bytes.
    :param jkt: thumbprint that the access token is bound to.
    :returns: 32 bytes for ``HS256``, 64 for ``HS512``.
    :raises ValueError: an argument is outside its limits.
    """
    if algorithm not in MAC_ALGORITHMS:
        raise ValueError("not a MAC algorithm of symmetric proofs")
    if not is_thumbprint(jkt):
        raise ValueError("jkt is not a SHA-256 thumbprint")
    if len(ticket) != TICKET_LENGTH:
        raise ValueError("a ticket has 27 bytes")
    info = (
        b"dpop-sym/1 tkt\0"
        + lp(ticket)
        + lp(algorithm.encode())
        + lp(identity(audience, MAX_IDENTIFIER))
        + lp(identity(issuer, MAX_IDENTIFIER))
        + lp(identity(client_id, MAX_CLIENT_ID))
        + lp(jkt.encode())
    )
    return expand(secret, info, MAC_ALGORITHMS[algorithm])
