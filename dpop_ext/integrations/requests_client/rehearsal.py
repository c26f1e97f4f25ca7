"""A nonce before it is needed, with requests: :rfc:`9449#section-9`."""

from __future__ import annotations

from requests.hooks import default_hooks
from requests.models import PreparedRequest
from requests.structures import CaseInsensitiveDict

from dpop_ext.client.exchange import Flow
from dpop_ext.integrations.requests_client.signed_request import (
    Exchange,
    SignedHeaders,
)

#: Credentials of the other request, and what is not said without content.
_LEFT_OUT = frozenset(
    (
        *("authorization", "dpop", "transfer-encoding", "expect", "digest"),
        *("content-type", "content-encoding", "content-language", "content-length"),
        *("content-digest", "content-md5", "repr-digest"),
    )
)


def rehearsal_of(request: PreparedRequest) -> PreparedRequest | None:
    """Return what goes out before a request whose body is sent once only.

    :param request: one that is signed, or any other.
    :returns: None if it can do without.
    """
    fields = request.headers
    if not isinstance(fields, SignedHeaders):
        return None
    flow = fields.exchange.rehearse()
    if flow is None:
        return None
    bare = request.copy()
    bare.body = None
    # Another mapping: one that is signed makes a proof of the other request.
    bare.headers = CaseInsensitiveDict(
        (name, value) for name, value in fields.lower_items() if name not in _LEFT_OUT
    )
    bare.prepare_content_length(None)
    bare.hooks = default_hooks()
    return sign_rehearsal(bare, flow)


def sign_rehearsal(request: PreparedRequest, flow: Flow) -> PreparedRequest | None:
    """Make *request* the one of *flow*; None if there is no need for it any more."""
    exchange = Exchange(request, lambda *_: flow)
    if not exchange.is_needed():
        return None
    exchange.prepare(request)
    return request
