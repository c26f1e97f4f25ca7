"""What the authorization server reads of an HTTP request."""

from __future__ import annotations

import weakref

from dpop_ext.authorization_server.http_request import full_url


class _Text(str):  # noqa: SLOT000 - weak references need __weakref__
    """Text that tells whether it is still there."""


def test_the_query_of_a_request_is_not_kept() -> None:
    target = _Text("/token?client_secret=x")
    kept = weakref.ref(target)
    url = full_url(None, target=target, public_url="https://as.example/prefix")
    assert url == "https://as.example/prefix/token"
    del target
    assert kept() is None
