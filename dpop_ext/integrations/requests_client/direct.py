"""What the environment does not change (:rfc:`9449#section-2`, :rfc:`8252`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.models import PreparedRequest, Response
from requests.utils import resolve_proxies

from dpop_ext.core.target import is_loopback


class DirectSession(requests.Session):
    """Goes through no proxy of the environment to a loopback address.

    The authorities that it is given in ``verify`` count before those of the
    environment: requests would trust ``REQUESTS_CA_BUNDLE`` in their place.

    A token, a proof or a client's secret may go there in the clear because nobody else
    sees it. ``http_proxy`` would take it to another machine, unless ``no_proxy`` names
    the address. A proxy that the session, or a request, is given is used.
    """

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        """Return the settings for a request."""
        if verify is None and isinstance(self.verify, str):
            verify = self.verify
        return super().merge_environment_settings(
            url, _with_exception(url, proxies), stream, verify, cert
        )

    def rebuild_proxies(self, prepared_request: Any, proxies: Any) -> Any:
        """Return the proxies for a request that a redirect leads to."""
        return super().rebuild_proxies(  # type: ignore[no-untyped-call]
            prepared_request, _with_exception(prepared_request.url, proxies)
        )

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """Send a request."""
        if "proxies" not in kwargs:
            kwargs["proxies"] = proxies_for(request, self)
        response: Response = super().send(request, **kwargs)
        return response


def proxies_for(request: PreparedRequest, session: requests.Session) -> dict[str, str]:
    """Return the proxies that *session* has for a request that was prepared."""
    proxies = dict(session.proxies)
    if isinstance(session, DirectSession):
        proxies = _with_exception(request.url, proxies)
    return resolve_proxies(request, proxies, session.trust_env)


def _with_exception(
    url: str | None, proxies: Mapping[str, str] | None
) -> dict[str, str]:
    """Return *proxies* with the host of *url* needing none, if it is this machine."""
    given = dict(proxies or {})
    host = urlsplit(url or "").hostname or ""
    if not is_loopback(host):
        return given
    # What is named here counts in place of the environment, not beside it.
    others = given.get("no_proxy") or os.environ.get(
        "no_proxy", os.environ.get("NO_PROXY", "")
    )
    # With anything beside it, the star would not stand for all hosts any more.
    if others.strip() != "*":
        # As it is written: requests compares IPv6 addresses as text.
        others = ",".join(filter(None, (others, host)))
    given["no_proxy"] = others
    return given
