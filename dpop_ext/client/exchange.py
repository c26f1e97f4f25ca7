"""What a client and its HTTP library tell each other; no HTTP library is named here.

A *flow* is a generator. It yields an :class:`Attempt`, whose headers the adapter puts
on the request; it is sent the :class:`Reply`; and it yields once more when the same
request must go out again. When it ends, the last reply is the answer to the caller.
The same generator serves blocking and asyncio libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from dpop_ext.client.destination import Destination
from dpop_ext.client.nonces import NonceCache, Role, read_nonce


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The parts of a response that matter to DPoP."""

    status: int
    #: Values of ``DPoP-Nonce``, one for each header field line.
    nonces: tuple[str, ...] = ()
    #: Values of ``WWW-Authenticate``, likewise.
    challenges: tuple[str, ...] = ()
    retry_after: str | None = None
    #: Needed of a token endpoint only: there the errors and the keys are in it.
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an exchange ended, beside the reply itself."""

    #: The derivation secret behind the symmetric key is no longer good: the next
    #: access token brings a key that is. The present token works meanwhile.
    refresh_due: bool = False


class Attempt:
    """One request that is about to go out.

    :param destination: where to.
    :param role: what the server is to this client.
    :param nonces: of all servers.
    :param sign: makes the header fields, given the nonce to use.
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
    ) -> None:
        self._destination = destination
        self._role: Role = role
        self._nonces = nonces
        self._sign = sign
        self._sign_form = sign_form
        self._nonce: str | None = None

    def headers(self) -> Mapping[str, str]:
        """Make the header fields, with a new proof on each call.

        Call it once for each time that the request is written to a connection, and
        right before: a proof that is sent twice is a replay, and one that waits in a
        queue grows old.

        :raises ProofTooLongError: the proof does not fit a header field.
        """
        return self._sign(self._current_nonce())

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
        if nonce is None:
            return False
        self._nonces.put(self._destination.origin, self._role, nonce)
        return nonce != self._nonce


def extend_form(body: str | bytes, parameters: Mapping[str, str]) -> str | bytes:
    """Add what :meth:`Attempt.parameters` returned to an urlencoded form."""
    if not parameters:
        return body
    added = urlencode(parameters)
    if isinstance(body, str):
        return f"{body}&{added}" if body else added
    return body + b"&" + added.encode("ascii") if body else added.encode("ascii")


Flow = Generator[Attempt, Reply, Outcome]
