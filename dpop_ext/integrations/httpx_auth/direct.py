"""Plain http that stays on this machine (:rfc:`9449#section-2`, :rfc:`8252`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: What needs no encryption because nobody else sees it.
_HERE: Final = ("http://127.0.0.1", "http://localhost", "http://[::1]")
#: Of transports that are given for these, those are some.
_ANYWHERE: Final = frozenset(("http://", "all://"))


def direct_mounts(
    mounts: Mapping[str, Any] | None = None, *, proxy: object = None
) -> dict[str, Any] | None:
    """Return the ``mounts`` of a client that goes to this machine by itself.

    ``http_proxy`` in the environment would take a token to another one, unless
    ``no_proxy`` names the address.

    :param mounts: those that the client is given, which count more.
    :param proxy: the one that it is given, which is used.
    """
    given = dict(mounts or {})
    if proxy is not None or not _ANYWHERE.isdisjoint(given):
        return given or None
    return {**dict.fromkeys(_HERE), **given}
