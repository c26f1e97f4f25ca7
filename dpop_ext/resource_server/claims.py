"""Claims of access tokens, checked one by one: :rfc:`7519#section-4.1`."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from dpop_ext.errors import AccessTokenError

#: Seconds that ``nbf`` and ``iat`` of a token may lie ahead of this server's clock.
#: For ``exp`` there is no leeway.
FUTURE = 60
#: Characters of the longest text that is believed.
MAX_TEXT = 2048


def require_identifier(value: object, setting: str) -> str:
    """Return the configured identifier of a server, if it can be one.

    :param setting: what it is configured as, for the error.
    :raises ValueError: it cannot: nothing that is compared with it would be good.
    """
    if not isinstance(value, str) or not value:
        raise ValueError(f"{setting} is one identifier, as it stands in tokens")
    return value


def required_text(claims: Mapping[str, Any], name: str) -> str:
    """Return a claim that must be a string and not empty.

    :raises AccessTokenError: it is not.
    """
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        raise AccessTokenError(check=name)
    return value


def optional_text(claims: Mapping[str, Any], name: str) -> str | None:
    """Return a claim that must be a string, if it is there at all.

    :raises AccessTokenError: it is something else, or too long.
    """
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise AccessTokenError(check=name)
    return value


def required_audience(claims: Mapping[str, Any], expected: str) -> tuple[str, ...]:
    """Return ``aud``, a string or an array of them, with *expected* among them.

    :raises AccessTokenError: it is not.
    """
    value = claims.get("aud")
    if value == expected:
        return (expected,)
    entries = value if isinstance(value, list) else [value]
    if not all(isinstance(entry, str) for entry in entries) or expected not in entries:
        raise AccessTokenError(check="aud")
    return tuple(entries)


def check_times(
    claims: Mapping[str, Any], *, now: int, required: Collection[str]
) -> int | None:
    """Check ``exp``, ``nbf`` and ``iat``.

    :param now: seconds since the epoch.
    :param required: those of the three that must be there.
    :returns: ``exp`` in whole seconds since the epoch, None if it is absent.
    :raises AccessTokenError: expired, not valid yet, or no time at all.
    """
    for name in required:
        if name not in claims:
            raise AccessTokenError(check=name)
    latest = now + FUTURE
    for name in ("nbf", "iat"):
        if name in claims and _time(claims, name) > latest:
            raise AccessTokenError(check=name)
    if "exp" not in claims:
        return None
    expires_at = _time(claims, "exp")
    if now >= expires_at:
        raise AccessTokenError(check="exp")
    return math.floor(expires_at)


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims[name]
    # Nearly all are int. bool is one in Python; JSON says otherwise.
    if type(value) is not int and (
        isinstance(value, bool) or not isinstance(value, (int, float))
    ):
        raise AccessTokenError(check=name)
    return value
