"""Plain http that stays on this machine (:rfc:`9449#section-2`, :rfc:`8252`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def direct_mounts(
    mounts: Mapping[str, Any] | None = None, *, proxy: object = None
) -> dict[str, Any] | None:
    """Return the ``mounts`` of a client that goes to this machine by itself.

    ``http_proxy`` in the environment would take a token to another one, unless
    ``no_proxy`` names the address, of which there are more than patterns can match. So
    no plain http goes through a proxy of the environment.

    :param mounts: those that the client is given, which count more.
    :param proxy: the one that it is given, which is used.
    """
    if proxy is not None:
        return dict(mounts) if mounts else None
    given = dict(mounts or {})
    # What is given for all schemes would count less than an environment's for this one.
    return {"http://": given.get("all://")} | given
