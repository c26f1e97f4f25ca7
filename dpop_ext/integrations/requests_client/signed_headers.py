"""Header fields with a proof for each time they are written (:rfc:`9449#section-4`)."""

from __future__ import annotations

from collections.abc import ItemsView, Mapping
from typing import TYPE_CHECKING

from requests.structures import CaseInsensitiveDict

if TYPE_CHECKING:
    from dpop_ext.integrations.requests_client.signed_request import Exchange


class SignedHeaders(CaseInsensitiveDict[str]):
    """Header fields that get a new proof each time they are written.

    urllib3 copies them once for a request and calls :meth:`items` once for each
    attempt. A proof that stands here is one that has been sent, for whoever looks at
    ``response.request``: it is never sent again.
    """

    def __init__(self, fields: Mapping[str, str], exchange: Exchange) -> None:
        super().__init__(fields)
        self.exchange = exchange

    def items(self) -> ItemsView[str, str]:
        """Return the fields for one attempt, with token and proof."""
        return self.exchange.write(self).items()

    def copy(self) -> SignedHeaders:
        """Return fields that are signed like these."""
        return SignedHeaders(self, self.exchange)

    def __repr__(self) -> str:
        # Not the one of the base class: it would make a proof, and show the token.
        return f"<SignedHeaders {', '.join(self)}>"
