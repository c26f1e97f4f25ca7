"""A request with a bound access token, and its repetitions: :rfc:`9449#section-7`."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from functools import partial

from dpop_ext.client.clock_skew import ClockSkew
from dpop_ext.client.destination import Destination
from dpop_ext.client.exchange import Attempt, Flow, Outcome, Reply, send
from dpop_ext.client.key_choice import KeyChoice
from dpop_ext.client.key_ring import KeyRing
from dpop_ext.client.nonces import NonceCache
from dpop_ext.client.proof_maker import ProofMaker
from dpop_ext.client.protection import AuthenticatedResponse
from dpop_ext.client.refusal import read_refusal
from dpop_ext.client.request_message import RequestMessage
from dpop_ext.client.ticket_exchange import TicketExchange
from dpop_ext.client.ticket_ring import TicketRing
from dpop_ext.core.token68 import is_token68
from dpop_ext.errors import ResponseProofError
from dpop_ext.symmetric.delivery import DeliveredKey
from dpop_ext.symmetric.ticket_delivery import DeliveredTicket

#: Methods that may be repeated when it is not known what the first request did
#: (:rfc:`9110#section-9.2.2`).
IDEMPOTENT = frozenset(("DELETE", "GET", "HEAD", "OPTIONS", "PUT", "TRACE"))


class ResourceRequest:
    """One request to a resource server, and how often and in which form it goes out.

    Beside the first attempt, at most one for a nonce, one with another time, one with a
    new symmetric proof and one with an asymmetric proof.

    :param replayable: whether the body can be sent again. If not, a refusal is the
        answer: an attempt with an empty body would be another request.
    :param message: what its proofs say of content and query.
    :param authenticate: an answer without a response proof is refused.
    """

    def __init__(
        self,
        destination: Destination,
        *,
        method: str,
        access_token: str,
        replayable: bool,
        proofs: ProofMaker,
        nonces: NonceCache,
        keys: KeyRing,
        tickets: TicketRing,
        skew: ClockSkew,
        message: RequestMessage,
        authenticate: bool,
    ) -> None:
        require_token68(access_token)
        self._destination = destination
        self._method = method
        self._token = access_token
        self._replayable = replayable
        self._proofs = proofs
        self._nonces = nonces
        self._tickets = TicketExchange(tickets, destination, jkt=proofs.jkt)
        self._choice = KeyChoice(
            keys,
            self._tickets,
            destination=destination,
            access_token=access_token,
            repeatable=method in IDEMPOTENT,
        )
        self._message = message
        self._authenticate = authenticate
        self._skew = skew
        self._sent = 0
        self._clock_corrected = False

    def flow(self) -> Flow:
        """Send, look, and send again where that can help.

        :raises ResponseProofError: the answer is to be authenticated, and it is not,
            or nothing was sent because there is no key to do so with.
        """
        choice = self._choice
        choice.choose(now=self._proofs.now())
        nonce_asked = False
        while True:
            answer_key = None
            if self._authenticate:
                answer_key = choice.answer_key(now=self._proofs.now())
            attempt = Attempt(
                self._destination,
                "rs",
                nonces=self._nonces,
                sign=partial(self._headers, choice.key),
                authenticate=answer_key is not None,
            )
            reply = yield from send(attempt)
            authentication = None
            if answer_key is not None:
                authentication = self._verify(reply, attempt, answer_key)
            nonce_is_new = attempt.learn(reply)
            self._tickets.learn(
                reply,
                now=self._proofs.now(),
                proved=authentication is not None
                and authentication.authenticates_server,
            )
            refusal = read_refusal(reply)
            if refusal.error == "use_dpop_nonce":
                again = nonce_is_new and not nonce_asked
                nonce_asked = True
            elif refusal.error == "invalid_dpop_proof" and self._correct_clock(
                reply, authentication
            ):
                again = self._method in IDEMPOTENT
            elif choice.key is None:
                again = False
            else:
                again = choice.reconsider(
                    refusal, retry_after=reply.retry_after, now=self._proofs.now()
                )
            if not (again and self._replayable and self._can_prove()):
                return Outcome(
                    refresh_due=choice.refresh_due, authentication=authentication
                )

    def _verify(
        self, reply: Reply, attempt: Attempt, key: DeliveredKey | DeliveredTicket
    ) -> AuthenticatedResponse:
        try:
            return self._message.verify(reply, attempt, key, now=self._proofs.now())
        except ResponseProofError as error:
            attempt.give_up()
            # A server cannot prove that it does not know the key. So such a refusal
            # counts for the key, which costs its use at worst, and the request, of
            # which nobody knows what it did, is not repeated.
            choice, refusal = self._choice, read_refusal(reply)
            if choice.key is not None and refusal.error != "invalid_dpop_proof":
                choice.reconsider(
                    refusal, retry_after=reply.retry_after, now=self._proofs.now()
                )
            error.refresh_due = choice.refresh_due
            raise

    def _correct_clock(
        self, reply: Reply, authentication: AuthenticatedResponse | None
    ) -> bool:
        """Tell whether a refused proof had a wrong time, and the next one another.

        Learned for other requests too, and at most once believed of this one. It says
        nothing about the key.

        :param authentication: of *reply*. It has a time, which counts then: anybody on
            the way can write another ``Date``, and have proofs of the future made.
        """
        dates = reply.dates
        if authentication is not None:
            dates = (formatdate(authentication.issued_at, usegmt=True),)
        learned = self._skew.learn(
            self._destination.origin,
            dates,
            sent=self._sent,
            received=self._proofs.now(),
        )
        again = learned and not self._clock_corrected
        self._clock_corrected |= learned
        return again

    def _can_prove(self) -> bool:
        """Tell whether there is a proof for one more attempt.

        A post-quantum signer may have none without its symmetric key: the refusal is
        the answer then, and says whether a refresh is due.
        """
        if self._choice.key is not None or not self._proofs.is_long:
            return True
        nonce = self._nonces.get(self._destination.origin, "rs")
        return self._proofs.fits_field(self._maker(None, nonce)())

    def _headers(
        self, key: DeliveredKey | DeliveredTicket | None, nonce: str | None
    ) -> dict[str, str]:
        self._sent = self._proofs.now()
        make = self._maker(key, nonce)
        proof = self._ask(make) if key is None else None
        field = self._proofs.field(proof or make())
        return {"Authorization": f"DPoP {self._token}", "DPoP": field}

    def _maker(
        self, key: DeliveredKey | DeliveredTicket | None, nonce: str | None
    ) -> Callable[..., str]:
        """Return what makes the proof of an attempt; None makes an asymmetric one."""
        make: Callable[..., str] = self._proofs.asymmetric
        if key is not None:
            make = partial(self._proofs.symmetric, key)
        return partial(
            make,
            method=self._method,
            url=self._destination.htu,
            access_token=self._token,
            nonce=nonce,
            claims=self._message.claims(),
            offset=self._skew.offset(self._destination.origin),
        )

    def _ask(self, make: Callable[..., str]) -> str | None:
        """Return a proof that asks for a ticket too, if there is reason to."""
        request = self._tickets.begin(now=self._proofs.now())
        if request is None:
            return None
        proof = make(claims={**self._message.claims(), **request.claims()})
        if not self._proofs.fits_field(proof):
            return None
        self._tickets.sent(request, proof)
        return proof


def require_token68(access_token: str) -> None:
    """Refuse a token that would be something else in a header field.

    :raises ValueError: it has other characters than those of a token68.
    """
    if not is_token68(access_token):
        raise ValueError("The access token has characters that no header takes.")
