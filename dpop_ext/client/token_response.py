"""What a token response must say before it is used: :rfc:`9449#section-5`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpop_ext.errors import UnboundTokenError


def is_bound(token: Mapping[str, Any]) -> bool:
    """Tell whether a response holds an access token of the type ``DPoP``."""
    token_type = token.get("token_type")
    return (
        isinstance(token_type, str)
        and token_type.lower() == "dpop"
        and isinstance(token.get("access_token"), str)
    )


def require_bound(token: Mapping[str, Any]) -> None:
    """Refuse a response whose access token is bound to no key.

    Such a token would have to be sent as Bearer, and whoever saw it could use it.

    :param token: the JSON object of a successful response.
    :raises UnboundTokenError: the ``token_type`` is not ``DPoP``, in any case.
    """
    if not token:
        raise UnboundTokenError("There is no access token yet.")
    if not is_bound(token):
        raise UnboundTokenError(
            "The access token is not bound to a DPoP key: the authorization server has "
            "no DPoP, or not for this client."
        )


def delivered_jwe(token: Mapping[str, Any]) -> str | None:
    """Return the encrypted symmetric key of a response, if it has one."""
    confirmation = token.get("cnf")
    encrypted = confirmation.get("jwe") if isinstance(confirmation, dict) else None
    return encrypted if isinstance(encrypted, str) else None
