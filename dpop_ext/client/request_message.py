"""Content and query of a request, and its answer's proof (Symmetric Profile 1.0)."""

from __future__ import annotations

import logging
from typing import Any, Literal

from dpop_ext.client.exchange import Attempt, Reply
from dpop_ext.client.protection import AuthenticatedResponse, Protection
from dpop_ext.core.request_digest import query_digest
from dpop_ext.errors import ResponseProofError
from dpop_ext.log_events import log_event
from dpop_ext.symmetric.delivery import DeliveredKey
from dpop_ext.symmetric.derivation import response_key
from dpop_ext.symmetric.response import (
    ASKS,
    AnsweredRequest,
    verify_response_proof,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.ticket_delivery import DeliveredTicket

_log = logging.getLogger("dpop_ext.client")


class RequestMessage:
    """Content and query of one request, for its proofs and for its answers' proofs.

    :param url: the final URL.
    :param content: digest of the content, as it goes out.
    :raises ValueError: *protection* needs the digest, and there is none: the adapter
        does not know how.
    """

    def __init__(
        self, protection: Protection, *, url: str, content: str | None
    ) -> None:
        if protection.needs_content and content is None:
            raise ValueError("the content of this request cannot be authenticated")
        self._protection = protection
        self._target = url.partition("#")[0]
        self._content = content or ""

    def claims(self) -> dict[str, Any]:
        """Return the claims that go into each proof; empty where none are wanted."""
        claims: dict[str, Any] = {}
        if self._protection.request_digests:
            claims = {"cd": self._content, "hq": query_digest(self._target)}
        if self._protection.authenticated_responses:
            claims[ASKS] = True
        return claims

    def verify(
        self,
        reply: Reply,
        attempt: Attempt,
        key: DeliveredKey | DeliveredTicket,
        *,
        now: int,
    ) -> AuthenticatedResponse:
        """Verify that *reply* is the answer to *attempt*.

        :param key: of the symmetric proof, or of the access token.
        :param now: seconds since the epoch.
        :raises ResponseProofError: it is not.
        """
        try:
            return self._verify(reply, attempt, key, now=now)
        except ResponseProofError as error:
            log_event(
                _log,
                logging.WARNING,
                "response_refused",
                "answer refused: %s",
                error.description,
            )
            raise

    def _verify(
        self,
        reply: Reply,
        attempt: Attempt,
        key: DeliveredKey | DeliveredTicket,
        *,
        now: int,
    ) -> AuthenticatedResponse:
        if reply.content is None:
            raise ResponseProofError("The answer is too long, too slow or broken.")
        proof = verify_response_proof(
            reply.response_proofs,
            SecretBytes(response_key(key.key.reveal())),
            AnsweredRequest.of(
                attempt.proof, target=self._target, content=self._content
            ),
            status=reply.status,
            fields=reply.fields,
            content=reply.content,
            now=now,
        )
        return AuthenticatedResponse(
            status=proof.status, issued_at=proof.issued_at, key=_source(key)
        )


def _source(
    key: DeliveredKey | DeliveredTicket,
) -> Literal["access_token", "proved_ticket", "ticket"]:
    if not isinstance(key, DeliveredTicket):
        return "access_token"
    return "proved_ticket" if key.proved else "ticket"
