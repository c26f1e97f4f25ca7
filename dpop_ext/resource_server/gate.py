"""The decision of a resource server, for any framework (:rfc:`9449#section-7.1`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.errors import AccessTokenError
from dpop_ext.resource_server.challenges import Challenges
from dpop_ext.resource_server.credentials import ResourceRequest
from dpop_ext.resource_server.decision import next_nonce, open_request, require_scope
from dpop_ext.resource_server.error_refusal import refused
from dpop_ext.resource_server.failure_limit import FailureLimit
from dpop_ext.resource_server.keyring_sync import KeyringSync
from dpop_ext.resource_server.message import verify_message
from dpop_ext.resource_server.public_url import check_public_url
from dpop_ext.resource_server.refusal import AccessRefusedError, Scheme, bearer_refused
from dpop_ext.resource_server.refusal_log import log_refusal
from dpop_ext.resource_server.route_policy import ANY_PROOF, RoutePolicy
from dpop_ext.resource_server.spending import spend_proof
from dpop_ext.resource_server.ticket_issuer import TicketIssuer, TicketOffer
from dpop_ext.resource_server.usual_request import UsualRequests
from dpop_ext.verified_proof import OpenedProof, VerifiedProof
from dpop_ext.verifier import ProofVerifier

#: Verifies the text of an access token: signature or look-up, issuer, audience, times.
#: Returns None, or raises AccessTokenError, for one that is not valid here.
FindToken = Callable[[str], AccessToken | None]


class VerifiedRequest(NamedTuple):
    """A request that may be served."""

    token: AccessToken
    #: None for an unbound token that was sent as Bearer.
    proof: VerifiedProof | None
    #: A ticket for the client, if it asks for one: :meth:`TicketOffer.accept` it when
    #: the answer is known to be no error.
    ticket: TicketOffer | None = None

    @property
    def next_nonce(self) -> str | None:
        """Value for a ``DPoP-Nonce`` field of the answer, if the client needs one."""
        return next_nonce(self.proof)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnspentRequest:
    """A request whose proof is good and may have been used before.

    It may be handed on to a server that uses the proof up, and not be served.
    """

    token: AccessToken
    #: None for an unbound token that was sent as Bearer.
    proof: VerifiedProof | None


class Gate:
    """Decide whether a request may be served, without any framework.

    The order is fixed: credentials, proof, token, binding, scope, and last the one step
    that uses the proof up. So the thief of a token learns nothing about its scope, and
    a refusal uses nothing up.

    :param verifier: shared by all requests.
    :param find_token: returns the verified access token; an
        :class:`~dpop_ext.resource_server.access_token.AccessTokenValidator` for
        example.
    :param public_url: what clients call this server, such as
        ``https://api.example/prefix``. Set it: without it the expected URL comes from
        the ``Host`` field, which is the sender's to choose.
    :param realm: goes into every challenge.
    :param resource_metadata: absolute https URL of the :rfc:`9728` document, goes into
        every challenge.
    :param accept_bearer: also accept tokens that are bound to no key, as Bearer. A
        bound token is refused there.
    :raises TypeError: *verifier* or *find_token* is something else.
    :raises ValueError: *public_url* is not https, loopback excepted, or *realm* or
        *resource_metadata* cannot be sent.
    """

    def __init__(
        self,
        verifier: ProofVerifier,
        find_token: FindToken,
        *,
        public_url: str | None = None,
        realm: str | None = None,
        resource_metadata: str | None = None,
        accept_bearer: bool = False,
    ) -> None:
        if not isinstance(verifier, ProofVerifier):
            raise TypeError("verifier is a ProofVerifier")
        # A class is called for each token, and what it makes is nobody's token.
        finder: object = find_token
        if not callable(finder) or isinstance(finder, type):
            raise TypeError(
                "find_token is a function of an access token, or an object that is "
                "one, such as AccessTokenValidator(...)"
            )
        self._verifier = verifier
        self._find_token = find_token
        self._public_url = check_public_url(public_url)
        self._failures = FailureLimit(verifier.clock)
        self._sync = KeyringSync(verifier)
        self._tickets = TicketIssuer.of(verifier)
        self._usual = UsualRequests.of(
            verifier, find_token, failures=self._failures, public_url=self._public_url
        )
        self.challenges = Challenges.of(
            verifier,
            realm=realm,
            resource_metadata=resource_metadata,
            accept_bearer=accept_bearer,
        )

    def check(
        self,
        request: ResourceRequest,
        *,
        scopes: Iterable[str] = (),
        route: RoutePolicy = ANY_PROOF,
    ) -> VerifiedRequest:
        """Return the token and the proof of *request*, which may be served now.

        :param scopes: alternatives, of which one is enough; each is one or more scope
            values, separated by spaces, all of which are needed.
        :param route: what else the route demands.
        :raises AccessRefusedError: it may not; :attr:`challenges` makes the answer. One
            line about it is in the log.
        """
        token, verified = self._decide(request, scopes, route, spend=True)
        offer = None
        # A symmetric proof asks for none.
        if (
            self._tickets is not None
            and verified is not None
            and verified.kind == "asymmetric"
        ):
            offer = self._tickets.offer(request.proofs[0], verified, token)
        # To call the class takes twice as long.
        return tuple.__new__(VerifiedRequest, (token, verified, offer))

    def verify(
        self,
        request: ResourceRequest,
        *,
        scopes: Iterable[str] = (),
        route: RoutePolicy = ANY_PROOF,
    ) -> UnspentRequest:
        """Make every check of :meth:`check` but the one that can succeed only once.

        It leaves no trace and may be repeated: for a gateway in front of the server
        that calls :meth:`check`. The content is not compared with its digest either,
        for a gateway's question comes without.

        :raises AccessRefusedError: as :meth:`check`, but for a replay.
        """
        token, verified = self._decide(request, scopes, route, spend=False)
        return UnspentRequest(token=token, proof=verified)

    def _decide(
        self,
        request: ResourceRequest,
        scopes: Iterable[str],
        route: RoutePolicy,
        *,
        spend: bool,
    ) -> tuple[AccessToken, VerifiedProof | None]:
        token: AccessToken | None = None
        try:
            if (
                self._usual is not None
                and len(request.authorization) == 1
                and len(request.proofs) == 1
                and not request.token_elsewhere
                and not route.needs_proof
            ):
                usual = self._usual.accept(
                    method=request.method,
                    raw_target=request.raw_target,
                    authorization=request.authorization[0],
                    proof=request.proofs[0],
                    scopes=scopes,
                    spent=request.spent if spend else None,
                )
                if usual is not None:
                    return usual
            opened = open_request(
                request,
                verifier=self._verifier,
                public_url=self._public_url,
                sync=self._sync,
                verify_token=self._verify_token,
            )
            scheme, text, _ = opened.credentials
            token = self._find(scheme, text, opened.proof)
            verified = verify_message(
                opened,
                token,
                verifier=self._verifier,
                sync=self._sync,
                route=route,
                has_content=spend,
            )
            require_scope(token, scopes, scheme=scheme, verified=verified)
            if spend:
                spend_proof(
                    verified,
                    verifier=self._verifier,
                    spent=request.spent,
                    answer=request.answer,
                )
        except AccessRefusedError as error:
            log_refusal(
                error.refusal,
                endpoint=request.raw_target,
                client_id=token.client_id if token is not None else error.client_id,
            )
            raise
        return token, verified

    def _find(
        self, scheme: Scheme, text: str, proof: OpenedProof | None
    ) -> AccessToken:
        if scheme == "bearer" and not self.challenges.accept_bearer:
            raise AccessRefusedError(bearer_refused())
        self._failures.check(proof)
        try:
            return self._verify_token(text)
        except Exception as error:
            self._failures.count(proof, error)
            raise refused(error, AccessTokenError, scheme=scheme) from error

    def _verify_token(self, text: str) -> AccessToken:
        token = self._find_token(text)
        if not isinstance(token, AccessToken):
            raise AccessTokenError
        return token
