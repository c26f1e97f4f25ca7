"""Symmetric proofs under a ticket at a resource server (DPoP Symmetric Profile 1.0).

:class:`dpop_ext.ProofVerifier` does the rest of the checks, which are the same for all
kinds of proof.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from dpop_ext.core.confirmation import AccessToken, bound_jkt
from dpop_ext.core.request_binding import check_request
from dpop_ext.errors import AccessTokenError, StaleTicketError, UnsupportedKeyError
from dpop_ext.symmetric.proof import SymmetricProof, check_mac
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.ticket import parse_ticket
from dpop_ext.symmetric.verification import peek_access_token
from dpop_ext.ticket_uses import TicketUses
from dpop_ext.tickets import Tickets
from dpop_ext.verified_proof import OpenedProof, TicketUse


class TicketVerifier:
    """Verify symmetric proofs whose key came with a ticket of this resource server.

    :param tickets: keys and log-outs, shared by all servers.
    :param issuer: identifier of the authorization server.
    :param audience: this resource server's own identifier.
    :param token_form: whether the tokens of *issuer* are JWTs or opaque.
    :param clock: seconds since the epoch.
    :raises ValueError: *issuer* or *audience* cannot be part of a derivation.
    """

    def __init__(
        self,
        tickets: Tickets,
        *,
        issuer: str,
        audience: str,
        token_form: Literal["jwt", "opaque"],
        clock: Callable[[], float],
    ) -> None:
        #: Their keys, with tokens.
        self.uses = TicketUses(tickets, issuer=issuer, audience=audience)
        self._algorithms = tickets.algorithms
        self._issuer = issuer
        self._audience = audience
        self._token_form = token_form
        self._clock = clock

    def open(self, proof: SymmetricProof, access_token: str) -> TicketUse | None:
        """Verify the MAC with a JWT that may be unverified.

        :returns: None for opaque tokens, of which nothing is known yet.
        :raises ProofError: the algorithm is not for tickets, the ticket is malformed,
            or the MAC does not verify.
        :raises StaleTicketError: the ticket is unknown or not good at this time.
        :raises AccessTokenError: the token cannot be one for this server.
        :raises UnboundTokenError: the token is bound to no key.
        """
        if proof.algorithm not in self._algorithms:
            raise UnsupportedKeyError
        now, uses = int(self._clock()), self.uses
        known = None
        if self._token_form == "jwt":
            known = uses.known(access_token, proof.ticket, now=now)
        if known is None:
            # Before the token is looked at: nobody's token is read, or asked about, on
            # behalf of a ticket that is not good.
            ticket = parse_ticket(proof.ticket)
            key = uses.find_key(ticket, now=now)
            if self._token_form != "jwt":
                return None
            token = peek_access_token(
                access_token,
                issuer=self._issuer,
                audience=self._audience,
                now=now,
                only_audience=False,
            )
            return uses.derive(proof, token, access_token, ticket, key)
        if known.token.expires_at is None or now >= known.token.expires_at:
            raise AccessTokenError("The access token has expired.")
        check_mac(proof, known.mac_key)
        return known

    def verify(
        self,
        opened: OpenedProof,
        proof: SymmetricProof,
        token: AccessToken,
        access_token: str,
        *,
        now: int,
    ) -> str:
        """Return the thumbprint of the client's key once MAC and claims hold.

        :param opened: the proof, opened.
        :param proof: what was opened.
        :param token: the verified access token. A key for symmetric proofs that it may
            have plays no part.
        :param access_token: its exact text.
        :param now: seconds since the epoch.
        :raises AccessTokenError: the token does not fit a symmetric proof.
        :raises UnboundTokenError: the token is bound to no key.
        :raises ProofError: the MAC, or a claim.
        :raises StaleTicketError: there are no tickets for this token; or the ticket has
            ended, by itself or by a log-out.
        """
        jkt = bound_jkt(token)
        if token.issuer != self._issuer:
            raise AccessTokenError
        use = opened.derived
        if use is None:
            use = self._recall_mac(proof, token, access_token, now=now)
        elif not isinstance(use, TicketUse) or not _same_client(use.token, token):
            raise AccessTokenError
        if token.confirmation is not None and not token.confirmation.allows_tickets:
            raise StaleTicketError
        self.uses.check_ended(use, jkt, now=now)
        check_request(proof.claims, method=opened.method, url=opened.url, ath=use.ath)
        if not use.verified or use.token is not token:
            self.uses.keep(access_token, use, token)
        return jkt

    def response_key(
        self, proof: SymmetricProof, token: AccessToken, access_token: str, *, now: int
    ) -> SecretBytes:
        """Return the key of the response proof for a request with a ticket.

        The MAC is verified here, whatever was verified before: a key that is given
        out too early would sign for a forger.

        :param token: verified.
        :param access_token: its exact text.
        :param now: seconds since the epoch.
        :raises ProofError: the ticket is malformed, or the MAC does not verify.
        :raises StaleTicketError: the ticket is unknown or not good at this time, or
            has ended by a log-out: a demand for another proof could be the answer to
            one that was served before.
        :raises AccessTokenError: *token* is of another issuer.
        :raises UnboundTokenError: it is bound to no key.
        """
        jkt = bound_jkt(token)
        if token.issuer != self._issuer:
            raise AccessTokenError
        use = self._recall_mac(proof, token, access_token, now=now)
        self.uses.check_ended(use, jkt, now=now)
        return use.mac_key.response_key()

    def _recall_mac(
        self, proof: SymmetricProof, token: AccessToken, access_token: str, *, now: int
    ) -> TicketUse:
        """Verify the MAC, with a verified token that only its issuer can read."""
        known = self.uses.known(access_token, proof.ticket, now=now)
        # It can say something else today than it did before.
        if known is not None and _same_client(known.token, token):
            check_mac(proof, known.mac_key)
            return known
        ticket = parse_ticket(proof.ticket)
        key = self.uses.find_key(ticket, now=now)
        return self.uses.derive(proof, token, access_token, ticket, key)


def _same_client(peeked: AccessToken, token: AccessToken) -> bool:
    """Tell whether both name the same inputs of the key derivation."""
    return peeked is token or (
        peeked.client_id == token.client_id and bound_jkt(peeked) == bound_jkt(token)
    )
