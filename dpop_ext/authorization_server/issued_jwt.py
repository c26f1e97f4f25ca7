"""What a token generator made, against what it was asked for (RFC 9449 section 6.1)."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from dpop_ext.authorization_server.issuance import Issuance
from dpop_ext.authorization_server.key_plan import Encapsulation


def issued_claims(issuance: Issuance, access_token: str) -> dict[str, Any] | None:
    """Return the claims of the token that was made, or None if it is opaque."""
    # What our own generator has just signed need not be parsed again.
    if issuance.signed is not None and issuance.signed[0] == access_token:
        return issuance.signed[1]
    return _parse(access_token)


def _parse(access_token: str) -> dict[str, Any] | None:
    parts = access_token.split(".")
    if len(parts) != 3:
        return None
    try:
        header, payload = (
            json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
            for part in parts[:2]
        )
    except ValueError:
        return None
    is_jwt = isinstance(header, dict) and "alg" in header and isinstance(payload, dict)
    return payload if is_jwt else None


def check_claims(issuance: Issuance, claims: dict[str, Any]) -> None:
    """Check that a JWT says what binds it: nobody looks anything up for a JWT.

    :param issuance: of a token that is bound to a key.
    :raises RuntimeError: the token generator is not one for bound tokens.
    """
    cnf, plan, key = claims.get("cnf"), issuance.plan, issuance.issued_key
    if not isinstance(cnf, dict) or cnf.get("jkt") != issuance.jkt:
        raise RuntimeError(
            "The token generator made a JWT that is not bound to the key of the proof: "
            "use AccessTokenGenerator, or the mixin ConfirmationClaim."
        )
    if plan is None:
        return
    if (
        key is None
        or claims.get("iss") != plan.issuer
        or claims.get("aud") != plan.audience
        or cnf.get(key.name) != key.value
        or cnf.get("jwe" if key.name == "dsk" else "dsk") is not None
    ):
        raise RuntimeError(
            "The JWT of the token generator does not fit its symmetric key: iss must "
            "be that of SymmetricKeys, aud and cnf those of ConfirmationClaim."
        )
    if isinstance(plan.origin, Encapsulation) and (
        claims.get("client_id") != plan.origin.client_id
        or claims.get("exp") != key.expires_at
    ):
        raise RuntimeError(
            "The JWT of the token generator does not fit its encrypted key: client_id "
            "must be that of the client, exp that of ConfirmationClaim."
        )


def limit_lifetime(
    issuance: Issuance,
    token: dict[str, Any],
    claims: dict[str, Any] | None,
    *,
    now: int,
) -> dict[str, Any]:
    """Keep a token from outliving what it is exchanged for, or its key.

    :param token: the response that the generator made.
    :param claims: of its access token, if that is a JWT.
    :param now: seconds since the epoch.
    :returns: the response with the lifetime that the token has.
    :raises RuntimeError: the token generator is not one for such tokens.
    :raises InvalidRequestError: what it is exchanged for has just expired.
    """
    if claims is not None and not (
        claims.get("exp", math.inf) <= (issuance.latest or math.inf)
        and claims.items() >= issuance.claims.items()
    ):
        raise RuntimeError(
            "The JWT of the token generator outlives the subject token or its "
            "encrypted key, or lacks act or sub: use AccessTokenGenerator, or "
            "ConfirmationClaim."
        )
    lifetime = token.get("expires_in")
    if not lifetime:
        raise RuntimeError("A token that must end in time needs a lifetime.")
    return {**token, "expires_in": issuance.lifetime(lifetime, now=now)}
