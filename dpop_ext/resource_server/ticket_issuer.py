"""When a resource server gives a ticket, and to whom (DPoP Symmetric Profile 1.0).

The request for it is a claim of the proof that comes with any request. Nothing about it
can make that request fail: whoever gets no ticket goes on as before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.key import is_b64url_of
from dpop_ext.core.request_digest import content_digest
from dpop_ext.core.structured_field import format_dictionary
from dpop_ext.errors import DPoPError, StoreError
from dpop_ext.log_events import log_event
from dpop_ext.resource_server.ticket_limit import TicketLimit
from dpop_ext.symmetric.delivery import choose
from dpop_ext.symmetric.encryption_key import import_encryption_key
from dpop_ext.symmetric.hpke import HPKE_ALGORITHM
from dpop_ext.symmetric.key_request import KeyRequest, parse_key_request
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.ticket import Ticket, make_ticket, ticket_mac_key
from dpop_ext.symmetric.ticket_delivery import TicketBinding, wrap_ticket
from dpop_ext.tickets import Tickets
from dpop_ext.verified_proof import VerifiedProof
from dpop_ext.verifier import ProofVerifier

#: The one way of making a key that there is here.
MODE: Final = "wrap"

_log = logging.getLogger("dpop_ext.resource_server")


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketOffer:
    """A ticket that can be had with the answer to one request, unless that is an error.

    It is made when the answer is, so that none is made in vain.
    """

    issuer: TicketIssuer = field(repr=False)
    request: KeyRequest = field(repr=False)
    client_id: str
    binding: TicketBinding = field(repr=False)

    def accept(self) -> str | None:
        """Return the value of ``DPoP-Ticket``; None if there is no ticket after all."""
        try:
            return self.issuer.issue(self)
        except StoreError as error:
            cause = type(error.__cause__ or error).__name__
            log_event(
                _log,
                logging.WARNING,
                "ticket_not_issued",
                "no ticket was issued: %s",
                cause,
                cause=cause,
            )
        except Exception as error:  # noqa: BLE001 - the answer goes out in any case
            # Whatever a hostile key makes a library raise.
            _log.debug("no ticket was issued: %s", type(error).__name__)
        return None


class TicketIssuer:
    """Gives tickets with the answers to requests that ask for one.

    :param tickets: keys, log-outs and limits.
    :param issuer: of the access tokens.
    :param audience: this resource server's own identifier.
    :param clock: seconds since the epoch.
    """

    def __init__(
        self,
        tickets: Tickets,
        *,
        issuer: str,
        audience: str,
        clock: Callable[[], float],
    ) -> None:
        self._tickets = tickets
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._limit = TicketLimit(tickets, clock=clock)

    @classmethod
    def of(cls, verifier: ProofVerifier) -> TicketIssuer | None:
        """Return the issuer of the tickets that *verifier* takes, if it takes any."""
        tickets, issuer, audience = verifier.tickets, verifier.issuer, verifier.audience
        if tickets is None or issuer is None or audience is None:
            return None
        return cls(tickets, issuer=issuer, audience=audience, clock=verifier.clock)

    def offer(
        self, proof: str | None, verified: VerifiedProof | None, token: AccessToken
    ) -> TicketOffer | None:
        """Return what a request asks for, after it was decided that it is served.

        :param proof: value of its ``DPoP`` field.
        :param verified: that proof.
        :param token: its verified access token.
        :returns: None if no ticket is asked for, or in a way that is not understood; if
            the proof is no asymmetric one; or if the token allows none.
        """
        if verified is None or proof is None or "dsk" not in verified.claims:
            return None
        confirmation = token.confirmation
        if (
            verified.kind != "asymmetric"
            or confirmation is None
            or confirmation.jkt != verified.jkt
            or not confirmation.allows_tickets
            or token.issuer != self._issuer
            or token.client_id is None
        ):
            return None
        dsk = verified.claims["dsk"]
        request = _read_request(dsk)
        if request is None:
            return None
        return TicketOffer(
            issuer=self,
            request=request,
            client_id=token.client_id,
            binding=TicketBinding(
                audience=self._audience,
                jkt=verified.jkt,
                n=dsk["n"],
                proof_hash=content_digest(proof.encode("latin-1")),
            ),
        )

    def issue(self, offer: TicketOffer) -> str | None:
        """Make the ticket; one asymmetric encryption at most, and none over the limit.

        :raises StoreError: the ticket keys or the log-outs cannot be read.
        """
        algorithm = next(
            (name for name in offer.request.algorithms if name in self._algorithms),
            None,
        )
        if algorithm is None or not self._limit.allows(
            jkt=offer.binding.jkt, client_id=offer.client_id
        ):
            return None
        accepted = self._tickets.key_algorithms
        recipient = import_encryption_key(
            offer.request.encryption_jwk,
            proof_jwk={},
            allow_hpke=HPKE_ALGORITHM in accepted,
        )
        # The key of the proof is not for encryption as well.
        if recipient is None or recipient.key.thumbprint() == offer.binding.jkt:
            return None
        chosen = choose(
            recipient.key,
            key_algorithms=offer.request.key_algorithms,
            encodings=offer.request.encodings,
            accepted=accepted,
        )
        made = self._make(offer, algorithm)
        if chosen is None or made is None:
            return None
        ticket, key = made
        wrapped = wrap_ticket(
            key,
            recipient=recipient.key,
            algorithm=chosen[0],
            encoding=chosen[1],
            mac_algorithm=algorithm,
            ticket=ticket,
            binding=offer.binding,
        )
        return format_dictionary(
            {
                "tkt": ticket.text,
                "key": wrapped,
                "exp": ticket.expires_at,
                "alg": algorithm,
            }
        )

    @property
    def _algorithms(self) -> tuple[str, ...]:
        return self._tickets.algorithms

    def _make(
        self, offer: TicketOffer, algorithm: str
    ) -> tuple[Ticket, SecretBytes] | None:
        """Return a ticket that is good at once, with its key; None if there is none."""
        now = int(self._clock())
        try:
            ticket_key = self._tickets.keys.load().current(now=now)
        except DPoPError:
            raise
        except Exception as error:
            raise StoreError from error
        if ticket_key is None:
            return None
        logout = self._tickets.find_logout(
            issuer=self._issuer, jkt=offer.binding.jkt, now=now
        )
        # In the seconds after a log-out it would be refused, and asked for again.
        if logout is not None and now <= logout:
            return None
        ticket = make_ticket(ticket_key, now=now)
        key = ticket_mac_key(
            ticket_key.secret.reveal(),
            ticket.raw,
            algorithm=algorithm,
            audience=self._audience,
            issuer=self._issuer,
            client_id=offer.client_id,
            jkt=offer.binding.jkt,
        )
        return ticket, SecretBytes(key)


def _read_request(dsk: Any) -> KeyRequest | None:
    """Return a request for a ticket that can be met; None for any other."""
    if not isinstance(dsk, dict) or dsk.get("mode") != MODE or "jwk" not in dsk:
        return None
    # Whose answer could not be told from another one's is not asked for.
    if not is_b64url_of(dsk.get("n"), length=32):
        return None
    try:
        return parse_key_request(dsk, None)
    except DPoPError:
        return None
