"""Finding the servers of a client by their metadata: :rfc:`8414`, :rfc:`9728`.

No HTTP library is named here. A *lookup* is a generator: it yields the URL of a
document, is sent what came of it, and returns what was found out.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from dpop_ext.client.answer_limit import PLAIN_FIELDS, LimitedContent
from dpop_ext.client.metadata_cache import MetadataCache
from dpop_ext.client.resource_metadata import (
    ResourceMetadata,
    named_metadata_url,
    resource_metadata_url,
)
from dpop_ext.client.server_metadata import (
    ServerMetadata,
    is_as_secure,
    server_metadata_urls,
)
from dpop_ext.client.servers import Servers
from dpop_ext.core.strict_json import parse_json_object
from dpop_ext.errors import DiscoveryError, MalformedJOSEError, WrongServerError

#: Bytes of a document.
MAX_DOCUMENT: Final = 128 * 1024
#: Seconds that a document may take, as a whole.
FETCH_TIMEOUT: Final = 10.0

#: Characters ``{}[]:,`` that it may have.
_MAX_STRUCTURAL = 8192

#: Header fields of a request for a document.
FETCH_FIELDS: Final[Mapping[str, str]] = {
    "Accept": "application/json",
    **PLAIN_FIELDS,
    "User-Agent": "dpop-ext",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The answer to a request for a document."""

    status: int
    #: Empty unless the status is 200.
    content: bytes = b""
    #: Value of ``Cache-Control``.
    cache_control: str = ""


T = TypeVar("T")
Lookup = Generator[str, Fetched, Servers]


#: Tells of a URL whether a client that servers lead there may ask for it.
Permit = Callable[[str], bool]


def only_permitted(lookup: Lookup, permit: Permit | None) -> Lookup:
    """Return *lookup*, which is led to no other URLs than those that are permitted.

    :param permit: is told each before it is asked for, and the endpoints that are not
        for the browser; None permits all.
    :raises DiscoveryError: one is not permitted.
    """
    try:
        url = next(lookup)
        while True:
            _require(permit, url)
            url = lookup.send((yield url))
    except StopIteration as end:
        servers: Servers = end.value
    found = servers.authorization
    for endpoint in (
        found.token_endpoint,
        found.pushed_authorization_request_endpoint,
        found.revocation_endpoint,
    ):
        if endpoint is not None:
            _require(permit, endpoint)
    return servers


def _require(permit: Permit | None, url: str) -> None:
    if permit is not None and not permit(url):
        raise DiscoveryError("The metadata leads to a URL that is not permitted.")


def limited_document() -> LimitedContent:
    """Return what reads one document, as far as it may be read."""
    return LimitedContent(
        limit=MAX_DOCUMENT,
        seconds=FETCH_TIMEOUT,
        error=DiscoveryError,
        subject="The metadata",
    )


def find_servers(
    cache: MetadataCache, *, issuer: str | None = None, resource: str | None = None
) -> Lookup:
    """Find an authorization server, or a resource server and the one of its tokens.

    :param issuer: identifier of the authorization server. It can be left out if the
        resource server names one and no other.
    :param resource: identifier of the resource server; None looks for none.
    :raises DiscoveryError: a document is not there, too long or malformed; or no
        authorization server is named, or several.
    :raises WrongServerError: a document is of another server, or the resource server
        names authorization servers and *issuer* is none of them.
    :raises ValueError: neither is given, or one is no https URL.
    """
    if resource is None:
        if issuer is None:
            raise ValueError("name an issuer or a resource")
        return Servers(authorization=(yield from _find_issuer(cache, issuer)))
    metadata = yield from _read(
        cache,
        (resource_metadata_url(resource),),
        lambda document, _url: ResourceMetadata.of_document(
            document, resource=resource
        ),
        missing="The resource server has no metadata at "
        "/.well-known/oauth-protected-resource (RFC 9728).",
    )
    return (yield from _find_its_issuer(cache, metadata, issuer))


def find_challenged(
    cache: MetadataCache,
    *,
    url: str,
    challenges: Sequence[str],
    issuer: str | None = None,
) -> Lookup:
    """Find the servers that an answer leads to: that of a request without a token.

    :param url: of the request.
    :param challenges: values of ``WWW-Authenticate``, one for each field line.
    :param issuer: as of :func:`find_servers`, which has the errors, too.
    """
    metadata = yield from _read(
        cache,
        (named_metadata_url(challenges, request_url=url),),
        lambda document, place: ResourceMetadata.of_challenge(
            document, fetched_from=place, request_url=url
        ),
        missing="The resource server has no metadata where its challenge says.",
    )
    return (yield from _find_its_issuer(cache, metadata, issuer))


def _find_its_issuer(
    cache: MetadataCache, metadata: ResourceMetadata, issuer: str | None
) -> Lookup:
    named = metadata.authorization_servers
    if issuer is None:
        if len(named) != 1:
            raise DiscoveryError(
                "The resource server names no authorization server, or several: "
                "name the issuer."
            )
        (issuer,) = named
        if not is_as_secure(issuer, metadata.resource):
            raise DiscoveryError("The issuer is no https URL.")
    elif named and issuer not in named:
        raise WrongServerError("The resource server does not name this issuer.")
    try:
        found = yield from _find_issuer(cache, issuer)
    except ValueError as error:
        raise DiscoveryError("The issuer is no https URL.") from error
    return Servers(authorization=found, resource=metadata)


def _find_issuer(
    cache: MetadataCache, issuer: str
) -> Generator[str, Fetched, ServerMetadata]:
    return (
        yield from _read(
            cache,
            server_metadata_urls(issuer),
            lambda document, _url: ServerMetadata.of_document(document, issuer=issuer),
            missing="The authorization server has no metadata at "
            "/.well-known/oauth-authorization-server (RFC 8414).",
        )
    )


def _read(
    cache: MetadataCache,
    urls: Sequence[str],
    check: Callable[[Mapping[str, Any], str], T],
    *,
    missing: str,
) -> Generator[str, Fetched, T]:
    """Return what *check* makes of the first document of *urls* that is there."""
    for url in urls:
        known = cache.get(url)
        if known is not None:
            return check(known, url)
    for url in urls:
        fetched = yield url
        if fetched.status != 200:
            continue
        try:
            document = parse_json_object(
                fetched.content, max_structural=_MAX_STRUCTURAL
            )
        except MalformedJOSEError as error:
            raise DiscoveryError("The metadata is no JSON object.") from error
        checked = check(document, url)
        cache.put(url, document, cache_control=fetched.cache_control)
        return checked
    raise DiscoveryError(missing)
