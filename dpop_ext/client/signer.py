"""The one object of a client: key, nonces, symmetric keys (:rfc:`9449#section-4`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, NoReturn

from dpop_ext.client.audience import Audience
from dpop_ext.client.clock_skew import MAX_SKEW, ClockSkew
from dpop_ext.client.destination import Destination
from dpop_ext.client.exchange import Flow
from dpop_ext.client.external_key import ExternalKey
from dpop_ext.client.key_generation import choose_algorithm, generate_key
from dpop_ext.client.key_ring import KeyRing
from dpop_ext.client.nonces import NonceCache, Role
from dpop_ext.client.proof_maker import ProofMaker
from dpop_ext.client.protection import NO_PROTECTION, Protection
from dpop_ext.client.rehearsal import Rehearsal, RehearsalFlow
from dpop_ext.client.request_message import RequestMessage
from dpop_ext.client.resource_flow import ResourceRequest
from dpop_ext.client.ticket_ring import TicketRing
from dpop_ext.client.ticket_server import TicketServer
from dpop_ext.client.token_flow import TokenRequest
from dpop_ext.client.token_response import delivered_jwe
from dpop_ext.core.akp import AnyKey
from dpop_ext.errors import KeyDeliveryError, SymmetricUnavailableError
from dpop_ext.symmetric.hpke import HPKE_ALGORITHM, require_support

SymmetricMode = Literal["prefer", "must", "never"]
KeyAlgorithm = Literal["ECDH-ES", "HPKE-9-KE"]


class ProofSigner:
    """Signs the requests of a client, and remembers what servers answered.

    The reason for this being one object is that the key, the nonces by server and the
    symmetric keys by token belong together, whatever number of sessions and threads
    use them. Callers hand it to an adapter and see neither proofs nor nonces.

    A public client keeps the key as long as its refresh token, which is bound to it:
    see :mod:`dpop_ext.client.keyfile`. Symmetric keys live in memory only.

    :param key: the private key; or, where it cannot be had, what signs with it: an
        :class:`~dpop_ext.client.ExternalKey`.
    :param algorithm: to sign with; by default ``ES256``, ``ES384`` or ``ES512`` for
        the curve, ``Ed25519``, or ``PS256``. A post-quantum key knows its own, and so
        does an external one.
    :param symmetric: whether token requests ask for a symmetric key, where issuer and
        resource are known: ``prefer`` goes on with asymmetric proofs if there is none,
        ``must`` refuses the token, ``never`` does not ask. A server that demands
        asymmetric proofs gets them in any case: they prove more, not less.
    :param key_algorithm: how symmetric keys are encrypted: ``ECDH-ES`` for X25519,
        which every server can do, or the post-quantum ``HPKE-9-KE``. An authorization
        server that has none of the latter refuses the request, and a resource server
        gives no ticket.
    :param compose: contribute to the random value in each token with a derived key, so
        that it stays unique if the server's random numbers are not, and check that it
        was used. It makes proof and response of a token request 270 bytes longer in
        all, and a server that encrypts its keys for resource servers has no use for
        it: then there is no symmetric key.
    :param protection: what of requests to resource servers and of their answers is
        authenticated besides; a request can have another.
    :param max_skew: seconds that the clock may be off. A server that refuses a proof
        tells its time along with it, and if it is another one, later proofs for that
        server have the server's. 0 relies on the clock.
    :param clock: returns seconds since the epoch.
    :raises TypeError: *key* is neither a key nor an external one.
    :raises ValueError: no private key, or one that the algorithm is not for;
        *max_skew* is more than 24 hours; or an algorithm that the cryptography package
        of this process lacks.
    """

    def __init__(
        self,
        key: AnyKey | ExternalKey,
        *,
        algorithm: str | None = None,
        symmetric: SymmetricMode = "prefer",
        key_algorithm: KeyAlgorithm = "ECDH-ES",
        compose: bool = False,
        protection: Protection = NO_PROTECTION,
        max_skew: int = MAX_SKEW,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if symmetric not in {"prefer", "must", "never"}:
            raise ValueError("symmetric is one of 'prefer', 'must' and 'never'")
        if key_algorithm not in {"ECDH-ES", HPKE_ALGORITHM}:
            raise ValueError("key_algorithm is 'ECDH-ES' or 'HPKE-9-KE'")
        if key_algorithm == HPKE_ALGORITHM:
            require_support()
        self._proofs = ProofMaker(key, algorithm=algorithm, clock=clock)
        self._nonces = NonceCache()
        self._skew = ClockSkew(max_skew)
        self._keys = KeyRing()
        self._tickets = TicketRing(key_algorithm=key_algorithm)
        self._symmetric = symmetric
        self._key_algorithm: KeyAlgorithm = key_algorithm
        self._compose = compose
        #: What requests to resource servers have that say nothing else.
        self.protection = protection

    @classmethod
    def generate(
        cls,
        algorithm: str | None = None,
        *,
        supported: Collection[str] | None = None,
        symmetric: SymmetricMode = "prefer",
        key_algorithm: KeyAlgorithm = "ECDH-ES",
        compose: bool = False,
        protection: Protection = NO_PROTECTION,
        max_skew: int = MAX_SKEW,
        clock: Callable[[], float] = time.time,
    ) -> ProofSigner:
        """Make a signer with a new key.

        :param algorithm: ``ES256``, ``Ed25519``, ``EdDSA``, ``PS256``, ``ES384``,
            ``ES512`` or ``RS256``; by default the first of these that is *supported*.
            The post-quantum ``ML-DSA-44``, ``ML-DSA-65`` and ``ML-DSA-87`` must be
            named: the last two need symmetric keys at resource servers, as their
            proofs are too long for a header field.
        :param supported: ``dpop_signing_alg_values_supported`` of the server's
            metadata; None if it is not known.
        :raises ValueError: another algorithm, or one that the cryptography package of
            this process lacks.
        :raises UnsupportedKeyError: the server supports none of the algorithms, or not
            the one that was named (:rfc:`9449#section-5.1`).
        """
        algorithm = choose_algorithm(algorithm, supported=supported)
        return cls(
            generate_key(algorithm),
            algorithm=algorithm,
            symmetric=symmetric,
            key_algorithm=key_algorithm,
            compose=compose,
            protection=protection,
            max_skew=max_skew,
            clock=clock,
        )

    @property
    def jkt(self) -> str:
        """Thumbprint of the public key: the ``dpop_jkt`` of authorization requests."""
        return self._proofs.jkt

    @property
    def algorithm(self) -> str:
        """The signature algorithm of the asymmetric proofs."""
        return self._proofs.algorithm

    @property
    def key_algorithm(self) -> KeyAlgorithm:
        """How symmetric keys are encrypted that token requests ask for."""
        return self._key_algorithm

    @property
    def symmetric(self) -> SymmetricMode:
        """Whether token requests ask for a symmetric key."""
        return self._symmetric

    def resource_request(
        self,
        *,
        method: str,
        url: str,
        access_token: str,
        replayable: bool = True,
        content: str | None = None,
        protection: Protection | None = None,
    ) -> Flow:
        """Begin a request with a bound access token.

        :param method: as it goes out.
        :param url: the final URL.
        :param replayable: whether the body, if any, can be sent a second time.
        :param content: digest of the content as it goes out, by
            :func:`dpop_ext.core.request_digest.content_digest`. A protected request
            cannot do without; others do not need it.
        :param protection: what is authenticated besides; None is that of the signer.
        :raises ValueError: the URL is plain http beyond this machine, the token has
            characters that no header takes, or *content* is missing.
        """
        protection = self.protection if protection is None else protection
        return ResourceRequest(
            Destination.of(url),
            method=method,
            access_token=access_token,
            replayable=replayable,
            proofs=self._proofs,
            nonces=self._nonces,
            keys=self._keys,
            tickets=self._tickets,
            skew=self._skew,
            message=RequestMessage(protection, url=url, content=content),
            authenticate=protection.authenticated_responses,
        ).flow()

    def needs_nonce(self, url: str, role: Role) -> bool:
        """Tell whether a request is likely to be refused for want of a nonce.

        :param url: where to.
        :param role: ``as`` for an authorization server, ``rs`` for a resource server.
        :raises ValueError: the URL is plain http beyond this machine.
        """
        return not self._nonces.is_fresh(Destination.of(url).origin, role)

    def rehearsal(
        self, *, method: str, url: str, access_token: str
    ) -> RehearsalFlow | None:
        """Begin to ask for nothing but a nonce, before a request that is sent once.

        One ``HEAD`` request with a proof that no server accepts, and one without any
        credentials if the route has no ``HEAD``. Neither can do anything, and their
        answers are of no interest to anybody.

        :param method: of the request that follows.
        :param url: the final URL.
        :returns: None if the server's nonce is known, and not old, or it wants none.
        :raises ValueError: as :meth:`resource_request`.
        """
        if not self.needs_nonce(url, "rs"):
            return None
        return Rehearsal(
            Destination.of(url),
            method=method,
            url=url,
            access_token=access_token,
            proofs=self._proofs,
            nonces=self._nonces,
            keys=self._keys,
            skew=self._skew,
            protection=self.protection,
        ).flow()

    def token_request(
        self,
        *,
        method: str,
        url: str,
        audience: Audience | None = None,
        once: bool = False,
        pushed: bool = False,
    ) -> Flow:
        """Begin a request to the token endpoint, of any grant.

        :param method: as it goes out.
        :param url: the final URL.
        :param audience: what a symmetric key would be for; None asks for none.
        :param once: do not send it again with the nonce that the server wants.
        :param pushed: it is one to the endpoint for pushed requests, with ``dpop_jkt``.
            That takes no proof in the form, so one that is too long is left out.
        :raises ValueError: the URL is plain http beyond this machine.
        """
        return TokenRequest(
            Destination.of(url),
            method=method,
            audience=None if self._symmetric == "never" else audience,
            must=self._symmetric == "must",
            once=once,
            pushed=pushed,
            compose=self._compose,
            key_algorithm=self._key_algorithm,
            proofs=self._proofs,
            nonces=self._nonces,
            keys=self._keys,
            skew=self._skew,
        ).flow()

    def use_tickets(self, server: TicketServer) -> None:
        """Ask *server* for tickets, and use them where the token has no key of its own.

        The first request goes out as ever, and its answer brings the ticket. It is good
        for some minutes, also with the next access token. Signers that are not to have
        symmetric keys do not ask.

        :param server: from its metadata: :meth:`TicketServer.of_metadata`.
        """
        if self._symmetric != "never":
            self._tickets.add_server(server)

    def has_symmetric_key(self, access_token: str) -> bool:
        """Tell whether a symmetric key is held for *access_token*."""
        return access_token in self._keys

    @property
    def needs_symmetric_key(self) -> bool:
        """Whether resource servers get symmetric proofs or none.

        So with ``ML-DSA-65`` and ``ML-DSA-87``, whose proofs fit no header field.
        """
        return self._proofs.needs_symmetric_key

    def key_expires_at(self, access_token: str) -> int | None:
        """Return when the symmetric key that is held for a token ends.

        :returns: seconds since the epoch; None if no key is held.
        """
        return self._keys.expires_at(access_token)

    def require_symmetric_key(self, token: Mapping[str, Any]) -> None:
        """Refuse a token without a symmetric key, if this signer must have one.

        Keep the refresh token of the response before: the one it replaces may be spent.

        :param token: the JSON object of a successful token response.
        :raises KeyDeliveryError: a key came, but was not accepted.
        :raises SymmetricUnavailableError: no key came.
        """
        if self._symmetric != "must" or self.has_symmetric_key(token["access_token"]):
            return
        if delivered_jwe(token) is not None:
            raise KeyDeliveryError
        raise SymmetricUnavailableError("The response has no symmetric key.")

    def memory(self) -> tuple[dict[tuple[str, Role], str], dict[str, int]]:
        """Return what servers told: nonces by origin and role, clock skew by origin."""
        return self._nonces.known(), self._skew.known()

    def remember(
        self, nonces: Mapping[tuple[str, Role], str], skew: Mapping[str, int]
    ) -> None:
        """Take over what :meth:`memory` returned, perhaps in another process."""
        self._nonces.restore(nonces)
        self._skew.restore(skew)

    def time_at(self, url: str) -> int:
        """Return the time by the clock of a server, as far as it is known.

        :param url: of the server.
        :returns: seconds since the epoch.
        :raises ValueError: the URL is plain http beyond this machine.
        """
        return self._proofs.now() + self._skew.offset(Destination.of(url).origin)

    def forget(self, access_token: str) -> None:
        """Drop the symmetric key of a token that is replaced."""
        self._keys.drop(access_token)

    def __repr__(self) -> str:
        return f"<ProofSigner {self.algorithm} {self.jkt}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer is not pickled; keep its key in a key file")
