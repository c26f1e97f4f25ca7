"""Where a redirect leads (:rfc:`9110#section-15.4`)."""

from __future__ import annotations

from collections.abc import ItemsView
from typing import Any

import requests
from requests.models import PreparedRequest, Response
from requests.structures import CaseInsensitiveDict

from dpop_ext.client.destination import Destination
from dpop_ext.errors import ResponseProofError


class UnsendableHeaders(CaseInsensitiveDict[str]):
    """Header fields of a request that must not be sent."""

    def items(self) -> ItemsView[str, str]:
        """Refuse to be written to a connection."""
        raise ResponseProofError(
            "A redirect leads to where no answer can be authenticated."
        )

    def copy(self) -> UnsendableHeaders:
        """Return fields that cannot be sent either."""
        return UnsendableHeaders(dict(CaseInsensitiveDict.lower_items(self)))

    def __repr__(self) -> str:
        return "<UnsendableHeaders>"


def redirect_target(response: Response) -> PreparedRequest | None:
    """Return the request that requests would make of a redirect, or None."""
    history = response.history
    with requests.Session() as session:
        session.trust_env = False
        try:
            targets = session.resolve_redirects(
                response, response.request, yield_requests=True
            )
            return next(targets, None)
        except (requests.RequestException, ValueError):
            # requests will meet the same fault, if it follows redirects at all.
            return None
        finally:
            response.history = history


def forget_target(response: Response, **_options: Any) -> None:
    """Make of a redirect an answer like others: a hook for one that is not followed.

    To find out where it leads, requests reads its whole content and unpacks it, however
    much that is.
    """
    response.headers.pop("Location", None)


def is_same_origin(one: str, other: str) -> bool:
    """Tell whether two URLs are of one origin that DPoP may be used with."""
    try:
        return Destination.of(one).origin == Destination.of(other).origin
    except ValueError:
        return False
