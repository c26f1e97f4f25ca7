"""Requests that are served although their proof is missing or bad, and counted.

For the time in which clients learn to send proofs. What an access token needs of itself
is demanded as ever: signature, issuer, audience, times, scope, a certificate that it is
bound to, and that it was not denied. What :rfc:`9449#section-7` demands beyond that is
looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from dpop_ext import telemetry
from dpop_ext.core.confirmation import AccessToken, check_certificate
from dpop_ext.errors import AccessTokenError, KeyMismatchError
from dpop_ext.resource_server.credentials import ResourceRequest, parse_token
from dpop_ext.resource_server.decision import (
    OpenedRequest,
    next_nonce,
    open_request,
)
from dpop_ext.resource_server.error_refusal import refusing
from dpop_ext.resource_server.keyring_sync import KeyringSync
from dpop_ext.resource_server.message import verify_message
from dpop_ext.resource_server.observer import Observer
from dpop_ext.resource_server.refusal import AccessRefusedError, Refusal, no_credentials
from dpop_ext.resource_server.route_policy import ANY_PROOF
from dpop_ext.resource_server.spending import spend_proof
from dpop_ext.resource_server.ticket_issuer import TicketIssuer, TicketOffer
from dpop_ext.verified_proof import OpenedProof, VerifiedProof
from dpop_ext.verifier import ProofVerifier

#: :attr:`ObservedRequest.reason` of an unbound token under Bearer.
BEARER: Final = "bearer"
#: The same of a proof that is good and was used for the first time.
CLEAN: Final = "ok"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedRequest:
    """A request that is served for its token alone, whatever was seen of its proof.

    Whoever sent it may have stolen the token. So this is no :class:`VerifiedRequest`,
    and there is no proof in it, not even a good one.
    """

    token: AccessToken
    #: ``ok``, ``bearer``, or the reason for which it would be refused.
    reason: str
    #: Value for a ``DPoP-Nonce`` field of the answer, if the client needs one.
    next_nonce: str | None
    #: A ticket for the client; only for a good proof.
    ticket: TicketOffer | None = None

    @property
    def proof(self) -> None:
        """None, as of an unbound token that was sent as Bearer."""
        return


class Observation:
    """The checks of one request's proof. The first that fails is kept, and not raised.

    The order of the calls is that of the decision: :meth:`open`, the token,
    :meth:`verify`, the scope, :meth:`finish`.

    :param request: has an access token.
    :param verifier: shared by all requests.
    :param sync: as for :func:`.decision.open_request`.
    :param public_url: likewise.
    :raises AccessRefusedError: no access token, several, or a malformed one.
    """

    def __init__(
        self,
        request: ResourceRequest,
        *,
        verifier: ProofVerifier,
        sync: KeyringSync,
        public_url: str | None,
    ) -> None:
        found = parse_token(request)
        if found is None:
            raise AccessRefusedError(no_credentials(verifier))
        self.scheme, self.text = found
        self.verified: VerifiedProof | None = None
        self._is_content_lost = False
        self._request = replace(request, read_content=self._reading(request))
        self._verifier = verifier
        self._sync = sync
        self._public_url = public_url
        self._opened: OpenedRequest | None = None
        self._refusal: Refusal | None = None

    def open(self, verify_token: Callable[[str], object]) -> OpenedProof | None:
        """Look at the proof without the token.

        :param verify_token: raises unless the text is a token of the issuer.
        """
        self._opened = self._attempt(
            lambda: open_request(
                self._request,
                verifier=self._verifier,
                public_url=self._public_url,
                sync=self._sync,
                verify_token=verify_token,
            )
        )
        return self._opened.proof if self._opened is not None else None

    def verify(self, token: AccessToken) -> None:
        """Look at the proof with the token, which is valid.

        :raises AccessRefusedError: the token is denied, or its certificate is missing.
        """
        opened = self._opened
        if opened is not None:
            self.verified = self._attempt(
                lambda: verify_message(
                    opened,
                    token,
                    verifier=self._verifier,
                    sync=self._sync,
                    route=ANY_PROOF,
                )
            )
        with refusing(AccessTokenError, scheme=self.scheme):
            self._verifier.check_denied(token)
        if token.confirmation is not None:
            with refusing(KeyMismatchError, scheme=self.scheme):
                check_certificate(token.confirmation, self._request.certificate)

    def finish(
        self,
        token: AccessToken,
        *,
        observer: Observer,
        tickets: TicketIssuer | None,
    ) -> ObservedRequest:
        """Use the proof up, so that replays are seen, and count the request."""
        opened, verified = self._opened, self.verified
        if opened is not None and self._refusal is None:
            self._attempt(
                lambda: spend_proof(
                    verified,
                    verifier=self._verifier,
                    spent=opened.request.spent,
                    answer=opened.request.answer,
                )
            )
        nonce, ticket = next_nonce(verified), None
        if self._refusal is not None:
            reason = self._refusal.reason
            nonce = self._refusal.nonce
            if self._request.answer is not None:
                # What nobody would have been served is not proved to anybody.
                self._request.answer.signer = None
        elif opened is None or verified is None:
            reason = BEARER
        else:
            reason = CLEAN
            if tickets is not None:
                ticket = tickets.offer(opened.credentials.proof, verified, token)
        # Layers of one application may each observe a request. It is one.
        mark = (id(observer), b"observed")
        if mark not in self._request.spent:
            self._request.spent.add(mark)
            observer.count(token.client_id, reason)
            if self._refusal is not None:
                telemetry.count_request(
                    "rs", outcome="observed", reason=reason, kind="none"
                )
        return ObservedRequest(
            token=token, reason=reason, next_nonce=nonce, ticket=ticket
        )

    def _attempt(self, step: Callable[[], T]) -> T | None:
        if self._refusal is not None:
            return None
        try:
            return step()
        except AccessRefusedError as error:
            # The application could not read it any more.
            if self._is_content_lost:
                raise
            self._refusal = error.refusal
            return None

    def _reading(self, request: ResourceRequest) -> Callable[[int], bytes] | None:
        read = request.read_content
        if read is None:
            return None

        def reading(limit: int) -> bytes:
            self._is_content_lost = True
            content = read(limit)
            self._is_content_lost = False
            return content

        return reading
