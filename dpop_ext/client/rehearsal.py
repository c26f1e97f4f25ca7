"""A nonce before it is needed: :rfc:`9449#section-9`.

A request whose body can be sent once only must not be the one that is refused for want
of a nonce. So another one asks for it first, which can do nothing wherever it goes,
also to a server that does not look at proofs yet:

* ``HEAD``, a safe method, with the token and a proof that is a year old. Who checks
  proofs before routes answers with a nonce, and nobody accepts the proof.
* Where the route has no ``HEAD``, the method of the request to come, without content
  and without anything that says whose it is: no more than any stranger can send.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias

from dpop_ext.client.clock_skew import ClockSkew
from dpop_ext.client.destination import Destination
from dpop_ext.client.exchange import Attempt, Outcome, Reply, send
from dpop_ext.client.key_ring import KeyRing
from dpop_ext.client.nonces import NonceCache, read_nonce
from dpop_ext.client.proof_maker import ProofMaker
from dpop_ext.client.protection import Protection
from dpop_ext.client.request_message import RequestMessage
from dpop_ext.client.resource_flow import require_token68
from dpop_ext.core.request_digest import content_digest
from dpop_ext.errors import ProofTooLongError

#: Seconds by which the proof is too old: more than any clock is off.
AGE: Final = 366 * 24 * 3600
#: What a server answers where a route, or itself, has no ``HEAD``.
NO_HEAD: Final = frozenset((404, 405, 501))


#: What is left out of the fields of the request to come: its credentials, what is not
#: said without content, and what makes another method of ``HEAD`` at some servers.
LEFT_OUT: Final = frozenset(
    (
        *("authorization", "dpop", "transfer-encoding", "expect", "digest"),
        *("content-type", "content-encoding", "content-language", "content-length"),
        *("content-digest", "content-md5", "repr-digest"),
        *("x-http-method-override", "x-http-method", "x-method-override"),
    )
)


class Question(Attempt):
    """A request for nothing but a nonce, without content. No redirect is followed.

    Its fields are those of the request to come, without :data:`LEFT_OUT`, unless
    :attr:`is_anonymous`.

    :param url: of the request to come.
    :param is_needed: whether it must go out still, after others were waited for.
    """

    def __init__(
        self,
        destination: Destination,
        *,
        url: str,
        nonces: NonceCache,
        sign: Callable[[str | None], Mapping[str, str]],
        is_needed: Callable[[], bool],
    ) -> None:
        super().__init__(destination, "rs", nonces=nonces, sign=sign)
        #: Of this request, and not of the one to come.
        self.method = "HEAD"
        #: Likewise.
        self.url = url
        #: Whether no field of the request to come goes out but ``User-Agent``: no
        #: cookie and no credential of any kind. A client certificate is not shown
        #: either, as far as that can be helped.
        self.is_anonymous = False
        #: Ask after :meth:`turn`: whether it must go out still. If not, close the flow.
        self.is_needed = is_needed

    def become_anonymous(self, *, method: str, url: str) -> None:
        """Ask once more, as nobody."""
        self.method, self.url, self.is_anonymous = method, url, True


#: What asks for a nonce: as a :data:`~dpop_ext.client.exchange.Flow`, but each request
#: is another one.
RehearsalFlow: TypeAlias = Generator[Question, Reply, Outcome]


class Rehearsal:
    """Up to two requests to a resource server, for the nonce in an answer.

    :param method: of the request to come.
    :param url: likewise, with its query.
    :param protection: of the request to come.
    """

    def __init__(
        self,
        destination: Destination,
        *,
        method: str,
        url: str,
        access_token: str,
        proofs: ProofMaker,
        nonces: NonceCache,
        keys: KeyRing,
        skew: ClockSkew,
        protection: Protection,
    ) -> None:
        require_token68(access_token)
        self._destination = destination
        self._method = method
        self._url = url
        self._token = access_token
        self._proofs = proofs
        self._nonces = nonces
        self._keys = keys
        self._skew = skew
        # There is no content, and nobody looks at the answer.
        protection = replace(protection, authenticated_responses=False)
        content = content_digest(b"")
        self._message = RequestMessage(protection, url=url, content=content)

    def flow(self) -> RehearsalFlow:
        """Ask, and keep the nonce."""
        question = Question(
            self._destination,
            url=self._url,
            nonces=self._nonces,
            sign=self._headers,
            is_needed=self._is_needed,
        )
        reply = yield from send(question)
        if read_nonce(reply.nonces) is None and reply.status in NO_HEAD:
            # The same attempt still, for those that wait for its end.
            question.become_anonymous(method=self._method, url=self._destination.htu)
            reply = yield from send(question)
        question.learn(reply)
        return Outcome()

    def _is_needed(self) -> bool:
        return not self._nonces.is_fresh(self._destination.origin, "rs")

    def _headers(self, _nonce: str | None) -> dict[str, str]:
        # Without the nonce that is known: it may be good, and no answer then has one.
        make = partial(
            self._proofs.asymmetric,
            method="HEAD",
            url=self._destination.htu,
            access_token=self._token,
            claims=self._message.claims(),
            offset=self._skew.offset(self._destination.origin) - AGE,
        )
        # Asymmetric where that is possible: a key that is refused says nothing of
        # nonces.
        proof = make()
        if not self._proofs.fits_field(proof):
            key = self._keys.find(
                self._token, self._destination, now=self._proofs.now()
            )
            if key is None:
                raise ProofTooLongError
            proof = self._proofs.symmetric(key, **make.keywords)
        return {"Authorization": f"DPoP {self._token}", "DPoP": proof}
