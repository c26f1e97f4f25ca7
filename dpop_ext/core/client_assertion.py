"""The assertion by which a client says who it is: :rfc:`7523`, sections 2.2 and 3."""

from __future__ import annotations

import secrets
from typing import Any, Final

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: Seconds that an assertion of ours is good for.
LIFETIME: Final = 60


def assertion_claims(client_id: str, *, issuer: str, now: int) -> dict[str, Any]:
    """Return the claims of one assertion, which nobody can use twice.

    :param issuer: identifier of the server, and the audience: one that is for an
        endpoint could be used by whoever says that it is theirs.
    :param now: seconds since the epoch.
    """
    return {
        "iss": client_id,
        "sub": client_id,
        "aud": issuer,
        "jti": secrets.token_urlsafe(16),
        "iat": now,
        "exp": now + LIFETIME,
    }


def assertion_parameters(assertion: str) -> dict[str, str]:
    """Return the two parameters of a request that carry *assertion*."""
    return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
