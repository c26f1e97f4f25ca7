"""Servers found by their metadata, with requests: :rfc:`8414`, :rfc:`9728`."""

from __future__ import annotations

from functools import partial

import requests
from requests.models import Response

from dpop_ext.client.answer_limit import LimitedContent
from dpop_ext.client.discovery import (
    FETCH_FIELDS,
    FETCH_TIMEOUT,
    Fetched,
    Lookup,
    Permit,
    find_challenged,
    find_servers,
    limited_document,
    only_permitted,
)
from dpop_ext.client.metadata_cache import MetadataCache
from dpop_ext.client.servers import Servers
from dpop_ext.client.time_limit import within
from dpop_ext.integrations.requests_client.direct import DirectSession
from dpop_ext.integrations.requests_client.redirect import forget_target
from dpop_ext.integrations.requests_client.reply import field_lines

#: Bytes that are read at a time.
_PIECE = 16 * 1024


class Discovery:
    """Finds authorization and resource servers by what they say about themselves.

    ::

        servers = Discovery().servers(resource="https://api.example")

    Documents have 128 KiB and take 10 seconds at most, are fetched over https, without
    credentials, follow no redirect, and are kept for an hour at most: keep the object.

    :param session: of requests, with the proxies and certificates of yours; its header
        fields, cookies and parameters stay with it. None makes one.
    :param cache: None makes one.
    :param permit: tells of a URL whether it may be asked for, and of the endpoints that
        are found; None permits all. For clients that strangers lead to servers
        (:rfc:`9728#section-7.7`).
    """

    def __init__(
        self,
        session: requests.Session | None = None,
        *,
        cache: MetadataCache | None = None,
        permit: Permit | None = None,
    ) -> None:
        self._session = session or DirectSession()
        self._cache = cache or MetadataCache()
        self._permit = permit

    def servers(
        self, *, issuer: str | None = None, resource: str | None = None
    ) -> Servers:
        """Find an authorization server, or a resource server and the one of its tokens.

        :param issuer: identifier of the authorization server. It can be left out if the
            resource server names one and no other.
        :param resource: identifier of the resource server; None looks for none.
        :raises DiscoveryError: a document is not there, too long, malformed or not
            permitted; or no authorization server is named, or several.
        :raises WrongServerError: a document is of another server than the one it was
            asked of, or the resource server does not name *issuer*.
        :raises ValueError: neither is given, or one is no https URL.
        :raises requests.RequestException: a server cannot be reached.
        """
        return self._run(find_servers(self._cache, issuer=issuer, resource=resource))

    def challenged(self, response: Response, *, issuer: str | None = None) -> Servers:
        """Find the servers that an answer leads to, such as 401 without a token.

        :param response: with ``resource_metadata`` in its ``WWW-Authenticate``.
        :param issuer: as of :meth:`servers`, which has the errors, too.
        """
        lookup = find_challenged(
            self._cache,
            url=str(response.request.url),
            challenges=field_lines(response, "WWW-Authenticate"),
            issuer=issuer,
        )
        return self._run(lookup)

    def _run(self, lookup: Lookup) -> Servers:
        lookup = only_permitted(lookup, self._permit)
        try:
            url = next(lookup)
            while True:
                limited = limited_document()
                fetch = partial(self._fetch, url, limited)
                fetched = within(FETCH_TIMEOUT, fetch, late=limited.late, url=url)
                url = lookup.send(fetched)
        except StopIteration as end:
            found: Servers = end.value
            return found

    def _fetch(self, url: str, limited: LimitedContent) -> Fetched:
        # Not prepared by the session: it would add what is meant for other servers,
        # and look into ~/.netrc.
        request = requests.Request(
            "GET", url, headers=dict(FETCH_FIELDS), hooks={"response": forget_target}
        ).prepare()
        settings = self._session.merge_environment_settings(
            url, {}, stream=True, verify=None, cert=None
        )
        with self._session.send(
            request,
            allow_redirects=False,
            timeout=FETCH_TIMEOUT / 2,
            **settings,
        ) as response:
            if response.status_code != 200:
                return Fetched(status=response.status_code)
            limited.require_plain(response.headers.get("Content-Encoding"))
            for piece in response.iter_content(_PIECE):
                limited.add(piece)
            return Fetched(
                status=200,
                content=limited.content,
                cache_control=response.headers.get("Cache-Control", ""),
            )
