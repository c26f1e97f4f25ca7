"""Values of a proof as a terminal can show them, and nothing of a private key."""

from __future__ import annotations

from typing import Any

from dpop_ext.core.key import PRIVATE_MEMBERS

#: Characters of a value that are shown.
_SHOWN = 120


def without_private(header: dict[str, Any]) -> dict[str, Any]:
    """Return a header to show, in which a private key may have gone astray."""
    jwk = header.get("jwk")
    if not isinstance(jwk, dict):
        return header
    shown = {
        name: "(not shown)" if name in PRIVATE_MEMBERS else value
        for name, value in jwk.items()
    }
    return {**header, "jwk": shown}


def show(value: object) -> str:
    """Return a value that a terminal can take; it came from who knows where."""
    if value is None:
        return "missing"
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)})"


def show_key(jwk: object) -> str:
    """Return the names of the members of a key, and no private one's value."""
    if not isinstance(jwk, dict):
        return show(jwk)
    return f"kty {show(jwk.get('kty'))}, members {', '.join(map(ascii, jwk))}"


def age(value: object, now: int) -> str:
    """Return how long ago a time in seconds was; nothing for what is no time."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    difference = now - value
    side = "ago" if difference >= 0 else "ahead"
    return f" ({abs(difference):.0f} s {side})"
