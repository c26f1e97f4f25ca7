"""Symmetric proofs under a ticket at a resource server (DPoP Symmetric Profile 1.0).

:class:`dpop_ext.ProofVerifier` does the rest of the checks, which are the same for all
kinds of proof.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from dpop_ext.core.confirmation import AccessToken, bound_jkt
from dpop_ext.core.recent import Recent
from dpop_ext.core.request_binding import access_token_hash, check_request
from dpop_ext.core.token_text import token_digest
from dpop_ext.errors import (
    AccessTokenError,
    DPoPError,
    StaleTicketError,
    UnsupportedKeyError,
)
from dpop_ext.symmetric.derivation import check_identifier
from dpop_ext.symmetric.mac_key import MacKey
from dpop_ext.symmetric.proof import SymmetricProof, check_mac
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.ticket import (
    Ticket,
    check_life,
    check_logout,
    parse_ticket,
    ticket_mac_key,
)
from dpop_ext.symmetric.ticket_keys import TicketKey
from dpop_ext.symmetric.verification import peek_access_token
from dpop_ext.tickets import Tickets
from dpop_ext.verified_proof import OpenedProof, TicketUse

#: Keys that are remembered at most. Each takes about 1 kB beside its token.
MAX_KEYS = 10_000


class TicketVerifier:
    """Verify symmetric proofs whose key came with a ticket of this resource server.

    A ticket that cannot be judged, because the ticket keys or the log-outs cannot be
    read, counts as stale: the client goes on with asymmetric proofs, which need
    neither.

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
        check_identifier(issuer)
        check_identifier(audience)
        self._tickets = tickets
        self._issuer = issuer
        self._audience = audience
        self._token_form = token_form
        self._clock = clock
        #: Keys of proofs that verified with a verified token, by the hash of that token
        #: and the ticket.
        self._known: Recent[tuple[bytes, str], TicketUse] = Recent(MAX_KEYS)

    def open(self, proof: SymmetricProof, access_token: str) -> TicketUse | None:
        """Verify the MAC with a JWT that may be unverified.

        :returns: None for opaque tokens, of which nothing is known yet.
        :raises ProofError: the algorithm is not for tickets, the ticket is malformed,
            or the MAC does not verify.
        :raises StaleTicketError: the ticket is unknown or not good at this time.
        :raises AccessTokenError: the token cannot be one for this server.
        :raises UnboundTokenError: the token is bound to no key.
        """
        if proof.algorithm not in self._tickets.algorithms:
            raise UnsupportedKeyError
        now = int(self._clock())
        known = None
        if self._token_form == "jwt":
            known = self._find_known(access_token, proof.ticket or "", now=now)
        if known is None:
            # Before the token is looked at: nobody's token is read, or asked about, on
            # behalf of a ticket that is not good.
            found = self._find(proof, now=now)
            if self._token_form != "jwt":
                return None
            token = peek_access_token(
                access_token,
                issuer=self._issuer,
                audience=self._audience,
                now=now,
                only_audience=False,
            )
            return self._verify_mac(proof, token, access_token, *found)
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
        self.check_ended(use, jkt, now=now)
        check_request(proof.claims, method=opened.method, url=opened.url, ath=use.ath)
        self._keep(access_token, use, token)
        return jkt

    def recall(
        self, name: bytes, token: AccessToken, *, ticket: str, algorithm: str, now: int
    ) -> TicketUse | None:
        """Return the key that :meth:`verify` kept, if it is good now but for a log-out.

        :param name: the SHA-256 of the exact text of the token.
        :param token: verified; this very object, as it was then.
        :param ticket: as it was sent.
        :param algorithm: of the proof.
        :param now: seconds since the epoch.
        :returns: None if it has to be derived, or found out why not.
        :raises StaleTicketError: the ticket or its key has ended since.
        """
        known = self._known.get((name, ticket))
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
        key = self._find_key(known.ticket, now=now)
        return known if key is known.key else None

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
        self.check_ended(use, jkt, now=now)
        return use.mac_key.response_key()

    def _verify_mac(
        self,
        proof: SymmetricProof,
        token: AccessToken,
        access_token: str,
        ticket: Ticket,
        key: TicketKey,
    ) -> TicketUse:
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

    def _recall_mac(
        self, proof: SymmetricProof, token: AccessToken, access_token: str, *, now: int
    ) -> TicketUse:
        """Verify the MAC, with a verified token that only its issuer can read."""
        known = self._find_known(access_token, proof.ticket or "", now=now)
        # It can say something else today than it did before.
        if known is not None and _same_client(known.token, token):
            check_mac(proof, known.mac_key)
            return known
        found = self._find(proof, now=now)
        return self._verify_mac(proof, token, access_token, *found)

    def _find_known(
        self, access_token: str, ticket: str, *, now: int
    ) -> TicketUse | None:
        """Return the key that this ticket gave with this token before.

        :raises StaleTicketError: the ticket or its key has ended since.
        """
        known = self._known.get((token_digest(access_token), ticket))
        if known is None:
            return None
        key = self._find_key(known.ticket, now=now)
        # Another ticket key may have been given the same name.
        return known if key is known.key or key == known.key else None

    def _find(self, proof: SymmetricProof, *, now: int) -> tuple[Ticket, TicketKey]:
        ticket = parse_ticket(proof.ticket)
        return ticket, self._find_key(ticket, now=now)

    def _find_key(self, ticket: Ticket, *, now: int) -> TicketKey:
        """Return the ticket key: looked up each time, so that it can be erased."""
        try:
            key = self._tickets.keys.load().find(ticket.key_id, now=now)
        except Exception as error:
            raise StaleTicketError from error
        if key is None:
            raise StaleTicketError
        check_life(ticket, key, now=now)
        return key

    def _keep(self, text: str, use: TicketUse, token: AccessToken) -> None:
        """Remember a key, now that the token that it was derived with is verified."""
        if use.verified and use.token is token:
            return
        # Else what open() read of the token is not what was found out about it.
        if use.token.expires_at == token.expires_at:
            kept = use._replace(token=token, verified=True)
            self._known.put((token_digest(text), use.ticket.text), kept)


def _same_client(peeked: AccessToken, token: AccessToken) -> bool:
    """Tell whether both name the same inputs of the key derivation."""
    return peeked is token or (
        peeked.client_id == token.client_id and bound_jkt(peeked) == bound_jkt(token)
    )
