"""The keys that tickets give with access tokens (DPoP Symmetric Profile 1.0).

They are remembered at the resource server. What ends a ticket is looked at with each
request.
"""

from __future__ import annotations

from dpop_ext.core.confirmation import AccessToken, bound_jkt
from dpop_ext.core.recent import Recent
from dpop_ext.core.request_binding import access_token_hash
from dpop_ext.core.token_text import token_digest
from dpop_ext.errors import AccessTokenError, DPoPError, StaleTicketError
from dpop_ext.symmetric.derivation import check_identifier
from dpop_ext.symmetric.mac_key import MacKey
from dpop_ext.symmetric.proof import SymmetricProof, check_mac
from dpop_ext.symmetric.ticket import Ticket, check_life, check_logout, ticket_mac_key
from dpop_ext.symmetric.ticket_keys import TicketKey
from dpop_ext.tickets import Tickets
from dpop_ext.verified_proof import TicketUse

#: Keys that are remembered at most. Each takes about 1 kB beside its token.
MAX_KEYS = 10_000


class TicketUses:
    """Finds the key of a ticket with a token, and what has ended it.

    A ticket that cannot be judged, because the ticket keys or the log-outs cannot be
    read, counts as stale: the client goes on with asymmetric proofs, which need
    neither.

    :param tickets: keys and log-outs, shared by all servers.
    :param issuer: identifier of the authorization server.
    :param audience: this resource server's own identifier.
    :raises ValueError: *issuer* or *audience* cannot be part of a derivation.
    """

    def __init__(self, tickets: Tickets, *, issuer: str, audience: str) -> None:
        check_identifier(issuer)
        check_identifier(audience)
        self._tickets = tickets
        self._issuer = issuer
        self._audience = audience
        #: Keys of proofs that verified with a verified token, by the hash of that token
        #: and the ticket.
        self._recent: Recent[tuple[bytes, str | None], TicketUse] = Recent(MAX_KEYS)

    def known(
        self, access_token: str, ticket: str | None, *, now: int
    ) -> TicketUse | None:
        """Return the key that *ticket* gave with this token before.

        :param access_token: its exact text.
        :param ticket: as it was sent.
        :raises StaleTicketError: the ticket or its key has ended since.
        """
        known = self._recent.get((token_digest(access_token), ticket))
        if known is None:
            return None
        key = self.find_key(known.ticket, now=now)
        # Another ticket key may have been given the same name.
        return known if key is known.key or key == known.key else None

    def recall(
        self, name: bytes, token: AccessToken, *, ticket: str, algorithm: str, now: int
    ) -> TicketUse | None:
        """Return the key that was kept, if it is good now but for a log-out.

        :param name: the SHA-256 of the exact text of the token.
        :param token: verified; this very object, as it was then.
        :param ticket: as it was sent.
        :param algorithm: of the proof.
        :param now: seconds since the epoch.
        :returns: None if it has to be derived, or found out why not.
        :raises StaleTicketError: the ticket or its key has ended since.
        """
        known = self._recent.get((name, ticket))
        confirmation = token.confirmation
        if (
            known is None
            or known.token is not token
            or not known.verified
            or token.expires_at is None
            or now >= token.expires_at
            or confirmation is None
            or not confirmation.allows_tickets
            or known.mac_key.algorithm != algorithm
            or algorithm not in self._tickets.algorithms
        ):
            return None
        key = self.find_key(known.ticket, now=now)
        return known if key is known.key else None

    def keep(self, access_token: str, use: TicketUse, token: AccessToken) -> None:
        """Remember a key, now that the token that it was derived with is verified."""
        # Else what was read of the token is not what was found out about it.
        if use.token.expires_at == token.expires_at:
            kept = use._replace(token=token, verified=True)
            self._recent.put((token_digest(access_token), use.ticket.text), kept)

    def derive(
        self,
        proof: SymmetricProof,
        token: AccessToken,
        access_token: str,
        ticket: Ticket,
        key: TicketKey,
    ) -> TicketUse:
        """Derive the key of a ticket with a token, and verify a MAC by it.

        :param token: it may be unverified.
        :param access_token: its exact text.
        :param key: what :meth:`find_key` returned for *ticket*.
        :raises UnboundTokenError: the token is bound to no key.
        :raises AccessTokenError: it names no client, or what cannot be part of a
            derivation.
        :raises BadSignatureError: the MAC does not verify.
        """
        jkt = bound_jkt(token)
        if token.client_id is None:
            raise AccessTokenError
        try:
            derived = ticket_mac_key(
                key.secret.reveal(),
                ticket.raw,
                algorithm=proof.algorithm,
                audience=self._audience,
                issuer=self._issuer,
                client_id=token.client_id,
                jkt=jkt,
            )
        except ValueError as error:
            raise AccessTokenError("The access token is malformed.") from error
        mac_key = MacKey(proof.algorithm, derived)
        check_mac(proof, mac_key)
        return TicketUse(
            mac_key=mac_key,
            token=token,
            ticket=ticket,
            key=key,
            ath=access_token_hash(access_token),
        )

    def find_key(self, ticket: Ticket, *, now: int) -> TicketKey:
        """Return the key of a ticket: looked up each time, so that it can be erased.

        :param now: seconds since the epoch.
        :raises StaleTicketError: it is not known, or *ticket* is not good at this time.
        """
        try:
            key = self._tickets.keys.load().find(ticket.key_id, now=now)
        except Exception as error:
            raise StaleTicketError from error
        if key is None:
            raise StaleTicketError
        check_life(ticket, key, now=now)
        return key

    def check_ended(self, use: TicketUse, jkt: str, *, now: int) -> None:
        """Refuse a ticket that ended by a log-out of its key.

        :param jkt: thumbprint of that key.
        :raises StaleTicketError: it did, or that cannot be told.
        """
        try:
            logout = self._tickets.find_logout(issuer=self._issuer, jkt=jkt, now=now)
        except DPoPError as error:
            raise StaleTicketError from error
        check_logout(use.ticket, use.key, not_before=logout)
