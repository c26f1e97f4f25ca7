"""Which symmetric key a request is proved with, if any (DPoP Symmetric Profile)."""

from __future__ import annotations

from dpop_ext.client.destination import Destination
from dpop_ext.client.key_ring import KeyRing
from dpop_ext.client.refusal import Refusal, pause_until
from dpop_ext.client.ticket_exchange import TicketExchange
from dpop_ext.errors import ResponseProofError
from dpop_ext.symmetric.delivery import DeliveredKey
from dpop_ext.symmetric.ticket_delivery import DeliveredTicket


class KeyChoice:
    """The key of one request to a resource server, and what its refusals say of it.

    :param keys: of the client, by access token.
    :param tickets: of this request.
    :param repeatable: whether the request may be sent again when it is not known what
        the first one did.
    """

    def __init__(
        self,
        keys: KeyRing,
        tickets: TicketExchange,
        *,
        destination: Destination,
        access_token: str,
        repeatable: bool,
    ) -> None:
        self._keys = keys
        self._tickets = tickets
        self._destination = destination
        self._token = access_token
        self._repeatable = repeatable
        self._refused_once = False
        #: That of the token, else that of a ticket; None for an asymmetric proof.
        self.key: DeliveredKey | DeliveredTicket | None = None
        #: Whether a new access token would bring a key that is good again.
        self.refresh_due = False

    def choose(self, *, now: int) -> None:
        """Take the key that the first proof is made with.

        :param now: seconds since the epoch.
        """
        if self._keys.demands_asymmetric(self._destination):
            return
        key = self._keys.find(self._token, self._destination, now=now)
        self.key = key if key is not None else self._tickets.find(now=now)

    def answer_key(self, *, now: int) -> DeliveredKey | DeliveredTicket:
        """Return the key that the next answer is proved with.

        That is the one of a symmetric proof, and for an asymmetric one the one of the
        token.

        :param now: seconds since the epoch.
        :raises ResponseProofError: there is none.
        """
        if isinstance(self.key, DeliveredTicket):
            return self.key
        key = self._keys.find(self._token, self._destination, now=now, for_answers=True)
        if key is None:
            raise ResponseProofError(
                "There is no key to verify an answer with.",
                refresh_due=self.refresh_due,
            )
        return key

    def reconsider(
        self, refusal: Refusal, *, retry_after: str | None, now: int
    ) -> bool:
        """Draw the conclusions from the refusal of a symmetric proof.

        :param retry_after: of that answer.
        :param now: seconds since the epoch.
        :returns: whether to send the request again.
        """
        has_ticket = isinstance(self.key, DeliveredTicket)
        match refusal:
            case Refusal(error="use_dpop_asymmetric", sym_error="policy"):
                self._keys.demand_asymmetric(self._destination)
            case Refusal(error="use_dpop_asymmetric") if has_ticket:
                # The request goes out again with an asymmetric proof in any case, and
                # that can ask for another one.
                self._tickets.drop()
            case Refusal(error="use_dpop_asymmetric"):
                # The server does not know the secret yet. A refresh would bring the
                # same version, so the key stays, for later.
                self._keys.pause(self._token, until=pause_until(retry_after, now=now))
            case Refusal(error="invalid_token") if has_ticket:
                return False
            case Refusal(error="invalid_token", sym_error="stale_key"):
                self._keys.drop_stale(self._token)
                self.refresh_due = True
            case Refusal(error="invalid_token", sym_error="expired_key"):
                self._keys.drop(self._token)
                self.refresh_due = True
            case Refusal(error="invalid_dpop_proof"):
                return self._reconsider_proof()
            case _:
                return False
        self.key = None
        return True

    def _reconsider_proof(self) -> bool:
        """Decide after ``invalid_dpop_proof``, which leaves the outcome unknown.

        A proof that was seen twice gets this answer, also when the first use of it
        did the work and only the response was lost.
        """
        if self._repeatable and not self._refused_once:
            self._refused_once = True
            return True
        if isinstance(self.key, DeliveredTicket):
            self._tickets.drop()
        else:
            self._keys.drop(self._token)
        self.key = None
        return self._repeatable
