"""Values of a proof as a terminal can show them, and nothing of a private key."""

from __future__ import annotations

from typing import Any

from dpop_ext.core.key import PRIVATE_MEMBERS

#: Characters of a value that are shown.
_SHOWN = 120
_NOT_SHOWN = "(not shown)"


def without_private(value: Any) -> Any:
    """Return a header or claims to show, in which a private key may have gone astray.

    It is looked for in every object. A ``jwk`` that is none is not shown: often it is a
    key that was made text of.
    """
    if isinstance(value, list):
        return [without_private(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _NOT_SHOWN if _is_private(name, one) else without_private(one)
        for name, one in value.items()
    }


def _is_private(name: str, value: object) -> bool:
    return name in PRIVATE_MEMBERS or (name == "jwk" and not isinstance(value, dict))


def show(value: object) -> str:
    """Return a value that a terminal can take; it came from who knows where."""
    if value is None:
        return "missing"
    text = ascii(without_private(value))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)})"


def show_key(jwk: object) -> str:
    """Return the names of the members of a key, and no private one's value."""
    if not isinstance(jwk, dict):
        return "missing" if jwk is None else "no JSON object"
    return f"kty {show(jwk.get('kty'))}, members {', '.join(map(ascii, jwk))}"


def age(value: object, now: int) -> str:
    """Return how long ago a time in seconds was; nothing for what is no time."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    difference = now - value
    side = "ago" if difference >= 0 else "ahead"
    return f" ({abs(difference):.0f} s {side})"
