"""What an answer of Flask tells a client, and the log (:rfc:`9449#section-8.2`)."""

from __future__ import annotations

from flask import Response, after_this_request
from flask import request as flask_request
from werkzeug.datastructures import Headers

from dpop_ext.integrations.answer_fields import with_nonce, with_ticket
from dpop_ext.integrations.cors import with_exposed
from dpop_ext.integrations.wsgi_request import raw_target
from dpop_ext.resource_server.refusal import Refusal
from dpop_ext.resource_server.refusal_log import log_refusal
from dpop_ext.resource_server.ticket_issuer import TicketOffer


def tell_client(nonce: str | None, ticket: TicketOffer | None) -> None:
    """Tell the client what it is to learn from the answer."""
    if nonce is None and ticket is None:
        return

    @after_this_request
    def add_fields(response: Response) -> Response:
        headers = list(response.headers)
        if nonce is not None:
            headers = with_nonce(headers, nonce)
        if ticket is not None:
            headers = with_ticket(headers, ticket, status=response.status_code)
        response.headers = Headers(headers)
        return response


def expose_fields() -> None:
    """Let a script read the nonce and the challenge, of refusals above all."""

    @after_this_request
    def expose(response: Response) -> Response:
        response.headers = Headers(with_exposed(list(response.headers)))
        return response


def log_unless_served(refusal: Refusal) -> None:
    """Log later: with ``optional=True`` the view serves the request nevertheless."""

    @after_this_request
    def log(response: Response) -> Response:
        if response.status_code == refusal.status:
            log_refused(refusal, client_id=None)
        return response


def log_refused(refusal: Refusal, *, client_id: str | None) -> None:
    """Log a refusal of the request that is being served."""
    log_refusal(
        refusal, endpoint=raw_target(flask_request.environ), client_id=client_id
    )
