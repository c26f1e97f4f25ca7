"""What an application knows about a token, read as an AccessToken (RFC 9449 section 6).

Validators of Authlib return what they like: the claims of a JWT, the answer to an
introspection request, a row of a database.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dpop_ext.core.confirmation import AccessToken, Confirmation, parse_confirmation
from dpop_ext.errors import AccessTokenError


def read_confirmation(token: Any) -> Confirmation | None:
    """Return the key that *token* is bound to, or None for an unbound token.

    Understands an :class:`AccessToken`, a mapping with ``cnf``, an object with a method
    ``get_confirmation``, and a row with a column ``dpop_jkt`` (and ``dpop_dsk``).

    :raises AccessTokenError: bound, but in a way that cannot be verified.
    :raises TypeError: nothing tells whether it is bound, so it must not be accepted.
    """
    if isinstance(token, AccessToken):
        return token.confirmation
    if isinstance(token, Mapping):
        return _of_claims(token)
    if hasattr(token, "get_confirmation"):
        found = token.get_confirmation()
        if found is None or isinstance(found, Confirmation):
            return found
        return parse_confirmation(found)
    if hasattr(token, "dpop_jkt"):
        return _of_row(token)
    raise TypeError("override get_confirmation(token): is this token bound to a key?")


def read_access_token(
    token: Any, confirmation: Confirmation | None, *, issuer: str | None
) -> AccessToken:
    """Return what the verifier needs of a *token* that has been validated.

    :param confirmation: from :func:`read_confirmation`.
    :param issuer: of tokens that do not name theirs, as rows of a database.
    """
    if isinstance(token, AccessToken):
        return token
    if isinstance(token, Mapping):
        return _claims_token(token, confirmation)
    return _row_token(token, confirmation, issuer=issuer)


def _of_claims(claims: Mapping[str, Any]) -> Confirmation | None:
    if "cnf" in claims:
        confirmation = parse_confirmation(claims["cnf"])
        if confirmation.jkt is None:
            _refuse_unverifiable(claims.get("token_type"))
        return confirmation
    _refuse_unverifiable(claims.get("token_type"))
    return None


def _of_row(token: Any) -> Confirmation | None:
    if token.dpop_jkt is None:
        _refuse_unverifiable(getattr(token, "token_type", None))
        return None
    cnf: dict[str, Any] = {"jkt": token.dpop_jkt}
    key = _symmetric_key(token)
    if key and "jwe" in key:
        cnf["jwe"] = key["jwe"]
    elif key:
        cnf["dsk"] = {name: key[name] for name in key if name != "aud"}
    return parse_confirmation(cnf)


def _symmetric_key(token: Any) -> Mapping[str, Any] | None:
    """Return the column ``dpop_dsk``, which is JSON or text of it."""
    dsk = getattr(token, "dpop_dsk", None)
    if isinstance(dsk, str):
        dsk = json.loads(dsk)
    return dsk if isinstance(dsk, Mapping) else None


def _refuse_unverifiable(token_type: object) -> None:
    """Refuse a token that says it is bound and not to what."""
    if isinstance(token_type, str) and token_type.lower() == "dpop":
        raise AccessTokenError("The key of the access token is not known.")


def _claims_token(
    claims: Mapping[str, Any], confirmation: Confirmation | None
) -> AccessToken:
    audience = claims.get("aud")
    return AccessToken(
        issuer=_text(claims.get("iss")),
        audience=tuple(
            entry
            for entry in (audience if isinstance(audience, list) else [audience])
            if isinstance(entry, str)
        ),
        client_id=_text(claims.get("client_id")),
        expires_at=_seconds(claims.get("exp")),
        token_id=_text(claims.get("jti")),
        confirmation=confirmation,
        scope=_text(claims.get("scope")) or "",
        claims=claims,
    )


def _row_token(
    row: Any, confirmation: Confirmation | None, *, issuer: str | None
) -> AccessToken:
    issued_at = _seconds(getattr(row, "issued_at", None))
    expires_in = _seconds(getattr(row, "expires_in", None))
    key = _symmetric_key(row) or {}
    audience = _text(key.get("aud"))
    expires_at = issued_at + expires_in if issued_at and expires_in else None
    if "jwe" in key and expires_at is not None:
        # The key ends with the token, by the clock reading that made both.
        expires_at = min(expires_at, _seconds(key.get("exp")) or expires_at)
    return AccessToken(
        issuer=issuer,
        audience=(audience,) if audience else (),
        client_id=_text(getattr(row, "client_id", None)),
        expires_at=expires_at,
        token_id=None,
        confirmation=confirmation,
        scope=_text(getattr(row, "scope", None)) or "",
        claims={},
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _seconds(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value)
