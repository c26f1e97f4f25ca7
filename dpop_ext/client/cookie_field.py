"""The cookies of a request that goes out once more: :rfc:`6265#section-5.4`."""

from __future__ import annotations


def with_cookies(own: str | None, got: str | None) -> str | None:
    """Return the ``Cookie`` field of the next attempt; None for none.

    :param own: the one of the attempt before.
    :param got: one of the cookies that its answer has set; they count more.
    """
    if own is None or got is None:
        return own if got is None else got
    names = {_name(cookie) for cookie in got.split("; ")}
    kept = [cookie for cookie in own.split("; ") if _name(cookie) not in names]
    return "; ".join([*kept, got])


def _name(cookie: str) -> str:
    return cookie.partition("=")[0]
