"""Which redirect URI is a registered one (RFC 9700 section 2.1, RFC 8252 7.3)."""

from __future__ import annotations

import re

_LOOPBACK = re.compile(
    r"http://(?P<host>127\.0\.0\.1|\[::1\])(:(?P<port>[0-9]{1,5}))?(?P<rest>/.*)?"
)


def is_registered(requested: str, registered: list[str]) -> bool:
    """Whether *requested* is one of *registered*, character by character.

    A loopback address literal may differ in the port alone: a native application
    takes one that is free. The name ``localhost`` gets no such favour.
    """
    return any(requested == uri or _same_but_port(requested, uri) for uri in registered)


def _same_but_port(requested: str, registered: str) -> bool:
    one, other = _LOOPBACK.fullmatch(requested), _LOOPBACK.fullmatch(registered)
    if one is None or other is None or not 0 < int(one["port"] or 80) < 65_536:
        return False
    return (one["host"], one["rest"]) == (other["host"], other["rest"])
