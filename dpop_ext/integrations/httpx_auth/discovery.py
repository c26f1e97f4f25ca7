"""Servers found by their metadata, with httpx or httpx2: :rfc:`8414`, :rfc:`9728`."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import aclosing, closing
from functools import partial
from types import ModuleType
from typing import Any

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
from dpop_ext.integrations.httpx_auth.direct import direct_mounts


class _Discovery:
    """What blocking and asyncio clients share.

    :param client: of the library, with the proxies and certificates of yours; its
        header fields, cookies and parameters stay with it. None makes one.
    :param cache: None makes one.
    :param permit: tells of a URL whether it may be asked for, and of the endpoints that
        are found; None permits all. For clients that strangers lead to servers
        (:rfc:`9728#section-7.7`).
    """

    #: httpx or httpx2.
    library: ModuleType

    def __init__(
        self,
        client: Any = None,
        *,
        cache: MetadataCache | None = None,
        permit: Permit | None = None,
    ) -> None:
        self._client = client
        self._cache = cache or MetadataCache()
        self._permit = permit

    def _send(self, client: Any, url: str) -> Any:
        timeout = self.library.Timeout(FETCH_TIMEOUT / 2)
        # Not built by the client: it would add what is meant for other servers.
        request = self.library.Request(
            "GET",
            url,
            headers=dict(FETCH_FIELDS),
            extensions={"timeout": timeout.as_dict()},
        )
        return client.send(
            request,
            stream=True,
            # Without it the library looks into ~/.netrc, or at the client's own.
            auth=self.library.Auth(),
            follow_redirects=False,
        )

    def _find(self, issuer: str | None, resource: str | None) -> Lookup:
        return find_servers(self._cache, issuer=issuer, resource=resource)

    def _find_challenged(self, response: Any, issuer: str | None) -> Lookup:
        return find_challenged(
            self._cache,
            url=str(response.request.url),
            challenges=response.headers.get_list("WWW-Authenticate"),
            issuer=issuer,
        )


class BlockingDiscovery(_Discovery):
    """Finds authorization and resource servers by what they say about themselves.

    Behaviour and errors are those of
    :class:`~dpop_ext.integrations.requests_client.Discovery`, and ``HTTPError`` of the
    library where a server cannot be reached.
    """

    def servers(
        self, *, issuer: str | None = None, resource: str | None = None
    ) -> Servers:
        """Find an authorization server, or a resource server and the one of its tokens.

        :param issuer: identifier of the authorization server. It can be left out if the
            resource server names one and no other.
        :param resource: identifier of the resource server; None looks for none.
        """
        return self._run(self._find(issuer, resource))

    def challenged(self, response: Any, *, issuer: str | None = None) -> Servers:
        """Find the servers that an answer leads to, such as 401 without a token."""
        return self._run(self._find_challenged(response, issuer))

    def _run(self, lookup: Lookup) -> Servers:
        lookup = only_permitted(lookup, self._permit)
        client = self._client or self.library.Client(mounts=direct_mounts())
        try:
            url = next(lookup)
            while True:
                limited = limited_document()
                fetch = partial(self._fetch, client, url, limited)
                fetched = within(FETCH_TIMEOUT, fetch, late=limited.late, url=url)
                url = lookup.send(fetched)
        except StopIteration as end:
            found: Servers = end.value
            return found
        finally:
            if self._client is None:
                client.close()

    def _fetch(self, client: Any, url: str, limited: LimitedContent) -> Fetched:
        with closing(self._send(client, url)) as response:
            if _is_readable(response, limited):
                for piece in response.iter_raw():
                    limited.add(piece)
            return _fetched(response, limited)


class AsyncioDiscovery(_Discovery):
    """:class:`BlockingDiscovery` for asyncio, and for trio."""

    def servers(
        self, *, issuer: str | None = None, resource: str | None = None
    ) -> Awaitable[Servers]:
        """Find servers as :meth:`BlockingDiscovery.servers` does."""
        return self._run(self._find(issuer, resource))

    def challenged(
        self, response: Any, *, issuer: str | None = None
    ) -> Awaitable[Servers]:
        """Find the servers that an answer leads to, such as 401 without a token."""
        return self._run(self._find_challenged(response, issuer))

    async def _run(self, lookup: Lookup) -> Servers:
        lookup = only_permitted(lookup, self._permit)
        client = self._client or self.library.AsyncClient(mounts=direct_mounts())
        try:
            url = next(lookup)
            while True:
                url = lookup.send(await self._fetch(client, url))
        except StopIteration as end:
            found: Servers = end.value
            return found
        finally:
            if self._client is None:
                await client.aclose()

    async def _fetch(self, client: Any, url: str) -> Fetched:
        import anyio  # noqa: PLC0415

        limited = limited_document()
        with anyio.move_on_after(FETCH_TIMEOUT):
            async with aclosing(await self._send(client, url)) as response:
                if _is_readable(response, limited):
                    async for piece in response.aiter_raw():
                        limited.add(piece)
                return _fetched(response, limited)
        raise limited.late()


def _is_readable(response: Any, limited: LimitedContent) -> bool:
    """Tell whether an answer has a document that can be read.

    :raises DiscoveryError: it is compressed.
    """
    if response.status_code != 200:
        return False
    limited.require_plain(response.headers.get("Content-Encoding"))
    return True


def _fetched(response: Any, limited: LimitedContent) -> Fetched:
    return Fetched(
        status=response.status_code,
        content=limited.content,
        cache_control=response.headers.get("Cache-Control", ""),
    )
