"""What a client and its HTTP library tell each other; no HTTP library is named here.

A *flow* is a generator. It yields an :class:`Attempt`, whose headers the adapter puts
on the request; it is sent the :class:`Reply`; and it yields once more when the same
request must go out again. When it ends, the last reply is the answer to the caller.
When it raises :exc:`.ResponseProofError`, the caller gets that and no answer.
The same generator serves blocking and asyncio libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlencode

from dpop_ext.client.destination import Destination
from dpop_ext.client.nonces import NonceCache, Role, read_nonce
from dpop_ext.client.protection import AuthenticatedResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The parts of a response that matter to DPoP."""

    status: int
    #: Values of ``DPoP-Nonce``, one for each header field line.
    nonces: tuple[str, ...] = ()
    #: Values of ``WWW-Authenticate``, likewise.
    challenges: tuple[str, ...] = ()
    #: Values of ``DPoP-Ticket``, likewise.
    tickets: tuple[str, ...] = ()
    retry_after: str | None = None
    #: Values of ``Date``, one for each header field line.
    dates: tuple[str, ...] = ()
    #: Needed of a token endpoint only: there the errors and the keys are in it.
    body: bytes = field(default=b"", repr=False)
    #: The rest is needed only where :attr:`Attempt.authenticate` says so. Values of
    #: ``DPoP-Response``, one for each header field line.
    response_proofs: tuple[str, ...] = ()
    #: All header fields, one for each line.
    fields: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    #: The content before content decoding; None if it has more than 1 MiB, took too
    #: long or did not come to its end. Nothing of it is handed on before the flow has
    #: ended.
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an exchange ended, beside the reply itself."""

    #: The derivation secret behind the symmetric key is no longer good: the next
    #: access token brings a key that is. The present token works meanwhile.
    refresh_due: bool = False
    #: What was found out about the reply, where that was asked for.
    authentication: AuthenticatedResponse | None = None


class Attempt:
    """One request that is about to go out.

    :param destination: where to.
    :param role: what the server is to this client.
    :param nonces: of all servers.
    :param sign: makes the header fields, given the nonce to use.
    :param authenticate: the adapter gives the whole of the answer to the flow.
    :param sign_form: makes the parameters of a form, given the nonce to use; None for
        a request that has no form.
    """

    def __init__(
        self,
        destination: Destination,
        role: Role,
        *,
        nonces: NonceCache,
        sign: Callable[[str | None], Mapping[str, str]],
        sign_form: Callable[[str | None], Mapping[str, str]] | None = None,
        authenticate: bool = False,
    ) -> None:
        self._destination = destination
        self._role: Role = role
        self._nonces = nonces
        self._sign = sign
        self._sign_form = sign_form
        self._nonce: str | None = None
        self._is_first = False
        self.authenticate = authenticate
        #: The proof that was made last: the one that an answer is the answer to.
        self.proof = ""

    def turn(self) -> Future[None] | None:
        """Ask whether to wait before the headers are made.

        Requests that start at once, to a server that has never answered, would all be
        refused for want of a nonce: one goes first.

        :returns: None to go on at once. Else what is done when the first one has been
            answered: wait for it, for
            :data:`~dpop_ext.client.nonces.FIRST_ANSWER_WAIT` seconds at most, and then
            go on. An adapter that cannot wait does not ask.
        """
        if self._is_first:
            return None
        first = self._nonces.claim(self._destination.origin, self._role)
        self._is_first = first is None
        return first

    def headers(self) -> Mapping[str, str]:
        """Make the header fields, with a new proof on each call.

        Call it once for each time that the request is written to a connection, and
        right before: a proof that is sent twice is a replay, and one that waits in a
        queue grows old.

        :raises ProofTooLongError: the proof does not fit a header field.
        """
        fields = self._sign(self._current_nonce())
        self.proof = fields.get("DPoP", "")
        return fields

    def parameters(self) -> Mapping[str, str]:
        """Make the parameters to add to the form that the request sends.

        There are none unless the proof is too long for a header field; with it among
        them, :meth:`headers` has no proof. Call it once for each body, before the
        headers are made. A client that sends no form does not call it.
        """
        if self._sign_form is None:
            return {}
        return self._sign_form(self._current_nonce())

    def _current_nonce(self) -> str | None:
        self._nonce = self._nonces.get(self._destination.origin, self._role)
        return self._nonce

    def learn(self, reply: Reply) -> bool:
        """Keep the nonce of a reply, whatever its status.

        :returns: whether it is another nonce than the one that was just used. With
            the same one, the next attempt would end like this one.
        """
        nonce = read_nonce(reply.nonces)
        if nonce is not None:
            self._nonces.put(self._destination.origin, self._role, nonce)
        self._settle(answered=True)
        return nonce is not None and nonce != self._nonce

    def give_up(self) -> None:
        """Let other requests go on that wait for the answer to this one."""
        self._settle(answered=False)

    def _settle(self, *, answered: bool) -> None:
        if self._is_first:
            self._is_first = False
            self._nonces.settle(self._destination.origin, self._role, answered=answered)


AnyAttempt = TypeVar("AnyAttempt", bound=Attempt)


def send(attempt: AnyAttempt) -> Generator[AnyAttempt, Reply, Reply]:
    """Yield *attempt* and return the reply to it, if one comes."""
    try:
        return (yield attempt)
    except GeneratorExit:
        attempt.give_up()
        raise


def extend_form(body: str | bytes, parameters: Mapping[str, str]) -> str | bytes:
    """Add what :meth:`Attempt.parameters` returned to an urlencoded form."""
    if not parameters:
        return body
    added = urlencode(parameters)
    if isinstance(body, str):
        return f"{body}&{added}" if body else added
    return body + b"&" + added.encode("ascii") if body else added.encode("ascii")


Flow = Generator[Attempt, Reply, Outcome]
