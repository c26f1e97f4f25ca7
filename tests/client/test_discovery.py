from __future__ import annotations

import json
from typing import Any

import pytest

from dpop_ext.client.discovery import (
    Fetched,
    Lookup,
    find_challenged,
    find_servers,
)
from dpop_ext.client.metadata_cache import (
    DEFAULT_AGE,
    MAX_AGE,
    MAX_DOCUMENTS,
    MetadataCache,
)
from dpop_ext.client.resource_metadata import resource_metadata_url
from dpop_ext.client.server_metadata import server_metadata_urls
from dpop_ext.client.servers import Servers
from dpop_ext.errors import DiscoveryError, WrongServerError
from tests.client.driving import ISSUER, RESOURCE
from tests.client.metadata import as_metadata, rs_metadata
from tests.conftest import Clock

RS_URL = f"{RESOURCE}/.well-known/oauth-protected-resource"
AS_URL = f"{ISSUER}/.well-known/oauth-authorization-server"
DOCUMENTS = {RS_URL: rs_metadata(), AS_URL: as_metadata()}


def drive(
    lookup: Lookup, documents: dict[str, Any] | None = None, **answer: Any
) -> tuple[Servers, list[str]]:
    """Answer each request for a document; one that is not there is a 404."""
    documents = DOCUMENTS if documents is None else documents
    asked = []
    try:
        url = next(lookup)
        while True:
            asked.append(url)
            found = documents.get(url)
            content = found if isinstance(found, bytes) else json.dumps(found).encode()
            status = 404 if found is None else 200
            url = lookup.send(Fetched(status=status, content=content, **answer))
    except StopIteration as end:
        return end.value, asked


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("https://as.example", "/.well-known/oauth-authorization-server"),
        ("https://as.example/", "/.well-known/oauth-authorization-server"),
        ("https://as.example/a/b", "/.well-known/oauth-authorization-server/a/b"),
        ("https://as.example/a/", "/.well-known/oauth-authorization-server/a"),
    ],
)
def test_the_well_known_path_comes_before_the_one_of_the_issuer(
    issuer: str, url: str
) -> None:
    first, second = server_metadata_urls(issuer)
    assert first == f"https://as.example{url}"
    assert second == f"{issuer.rstrip('/')}/.well-known/openid-configuration"


@pytest.mark.parametrize(
    ("resource", "url"),
    [
        ("https://rs.example", "/.well-known/oauth-protected-resource"),
        ("https://rs.example/", "/.well-known/oauth-protected-resource"),
        ("https://rs.example/a/b", "/.well-known/oauth-protected-resource/a/b"),
        ("https://rs.example/a/", "/.well-known/oauth-protected-resource/a/"),
        ("https://rs.example/a?b=c", "/.well-known/oauth-protected-resource/a?b=c"),
    ],
)
def test_the_well_known_path_of_a_resource_keeps_its_query(
    resource: str, url: str
) -> None:
    assert resource_metadata_url(resource) == f"https://rs.example{url}"


@pytest.mark.parametrize(
    "identifier",
    [
        "http://as.example",
        "https://as.example#x",
        "https://as.example\n",
        "https://user@as.example",
        "ftp://as.example",
        "as.example",
        "https://",
    ],
)
def test_an_identifier_is_an_https_url(identifier: str) -> None:
    with pytest.raises(ValueError, match="https"):
        server_metadata_urls(identifier)
    with pytest.raises(ValueError, match="https"):
        resource_metadata_url(identifier)


def test_a_resource_leads_to_its_authorization_server() -> None:
    servers, asked = drive(find_servers(MetadataCache(), resource=RESOURCE))
    assert asked == [RS_URL, AS_URL]
    assert servers.authorization.issuer == ISSUER
    assert servers.authorization.token_endpoint == f"{ISSUER}/token"
    assert servers.resource is not None
    assert servers.resource.resource == RESOURCE


def test_the_openid_document_is_asked_for_where_there_is_no_other() -> None:
    url = f"{ISSUER}/.well-known/openid-configuration"
    servers, asked = drive(
        find_servers(MetadataCache(), issuer=ISSUER), {url: as_metadata()}
    )
    assert asked == [AS_URL, url]
    assert servers.resource is None


@pytest.mark.parametrize(
    "documents",
    [
        {**DOCUMENTS, AS_URL: as_metadata(issuer="https://evil.example")},
        {**DOCUMENTS, AS_URL: as_metadata(issuer=f"{ISSUER}/")},
        {**DOCUMENTS, AS_URL: as_metadata(issuer=None)},
        {**DOCUMENTS, RS_URL: rs_metadata(resource="https://evil.example")},
        {**DOCUMENTS, RS_URL: rs_metadata(resource=f"{RESOURCE}/")},
    ],
)
def test_the_metadata_of_another_server_is_refused(documents: dict[str, Any]) -> None:
    cache = MetadataCache()
    with pytest.raises(WrongServerError):
        drive(find_servers(cache, resource=RESOURCE), documents)
    # And is not kept: the next one asks again.
    servers, _ = drive(find_servers(cache, resource=RESOURCE))
    assert servers.authorization.issuer == ISSUER


def test_an_issuer_is_one_that_the_resource_server_names() -> None:
    servers, _ = drive(
        find_servers(MetadataCache(), resource=RESOURCE, issuer=ISSUER),
        {**DOCUMENTS, RS_URL: rs_metadata(authorization_servers=["https://b", ISSUER])},
    )
    assert servers.authorization.issuer == ISSUER
    with pytest.raises(WrongServerError):
        drive(
            find_servers(
                MetadataCache(), resource=RESOURCE, issuer="https://evil.example"
            )
        )


@pytest.mark.parametrize("named", [None, [], [ISSUER, "https://other.example"]])
def test_which_of_several_issuers_is_not_guessed(named: list[str] | None) -> None:
    documents = {**DOCUMENTS, RS_URL: rs_metadata(authorization_servers=named)}
    with pytest.raises(DiscoveryError, match="name the issuer"):
        drive(find_servers(MetadataCache(), resource=RESOURCE), documents)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"<html>",
        b'{"issuer": 1, "issuer": 2}',
        as_metadata(token_endpoint=None),
        as_metadata(token_endpoint="http://as.example/token"),
        as_metadata(authorization_endpoint="https://as.example/a#b"),
        as_metadata(token_endpoint=["https://as.example/token"]),
        as_metadata(dpop_signing_alg_values_supported="ES256"),
        as_metadata(dpop_signing_alg_values_supported=[1]),
        as_metadata(require_pushed_authorization_requests="true"),
    ],
)
def test_malformed_metadata_is_refused(document: Any) -> None:
    with pytest.raises(DiscoveryError):
        drive(find_servers(MetadataCache(), issuer=ISSUER), {AS_URL: document})


def test_without_a_document_there_is_no_server() -> None:
    with pytest.raises(DiscoveryError):
        drive(find_servers(MetadataCache(), issuer=ISSUER), {})
    with pytest.raises(ValueError, match="name an issuer"):
        drive(find_servers(MetadataCache()))


def challenge(url: str) -> str:
    return f'DPoP algs="ES256", resource_metadata="{url}"'


def challenged(url: str, *challenges: str, **documents: Any) -> Servers:
    lookup = find_challenged(MetadataCache(), url=url, challenges=challenges)
    return drive(lookup, {AS_URL: as_metadata(), **documents})[0]


def test_a_challenge_leads_to_the_servers() -> None:
    place = f"{RESOURCE}/meta"
    url = f"{RESOURCE}/accounts"
    servers = challenged(url, challenge(place), **{place: rs_metadata(resource=url)})
    assert servers.resource is not None
    assert servers.resource.resource == url
    # Or above it, where asking for the resource itself would have led.
    servers = challenged(url, challenge(RS_URL), **{RS_URL: rs_metadata()})
    assert servers.resource is not None
    assert servers.resource.resource == RESOURCE


@pytest.mark.parametrize(
    ("resource", "place"),
    [
        ("https://evil.example", RS_URL),
        (RESOURCE, f"{RESOURCE}/meta"),
        (RESOURCE, "https://evil.example/.well-known/oauth-protected-resource"),
        (f"{RESOURCE}/other", f"{RS_URL}/other"),
        ("urn:x", RS_URL),
        (None, RS_URL),
    ],
)
def test_a_challenge_names_no_other_resource(resource: str | None, place: str) -> None:
    document = {place: rs_metadata(resource=resource)}
    with pytest.raises(WrongServerError):
        challenged(f"{RESOURCE}/accounts", challenge(place), **document)


@pytest.mark.parametrize(
    "challenges",
    [
        (),
        ("DPoP",),
        (challenge("http://api.example/m"),),
        (challenge(RS_URL), challenge(f"{RS_URL}/2")),
    ],
)
def test_a_challenge_that_leads_nowhere_is_refused(challenges: tuple[str]) -> None:
    with pytest.raises(DiscoveryError):
        challenged(f"{RESOURCE}/accounts", *challenges, **{RS_URL: rs_metadata()})


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        ("", DEFAULT_AGE),
        ("max-age=60", 60),
        ("public, max-age=999999", MAX_AGE),
        ("max-age=0", 0),
        ("no-store", 0),
        ("no-cache, max-age=60", 0),
        ("max-age=junk", DEFAULT_AGE),
    ],
)
def test_metadata_is_kept_for_a_while(
    clock: Clock, cache_control: str, seconds: int
) -> None:
    cache = MetadataCache(clock=clock)

    def asks() -> int:
        lookup = find_servers(cache, resource=RESOURCE)
        return len(drive(lookup, cache_control=cache_control)[1])

    assert asks() == 2
    if seconds:
        clock.advance(seconds - 1)
        assert asks() == 0
        clock.advance(1)
    assert asks() == 2


def test_a_cache_has_a_limit(clock: Clock) -> None:
    cache = MetadataCache(clock=clock)
    for number in range(MAX_DOCUMENTS + 1):
        cache.put(f"https://{number}.example", {}, cache_control="")
    assert cache.get("https://0.example") is None
    assert cache.get("https://1.example") == {}


def test_what_is_cached_is_checked_again() -> None:
    cache: MetadataCache = MetadataCache()
    drive(find_servers(cache, issuer=f"{ISSUER}"))
    slashed = f"{ISSUER}/"
    with pytest.raises(WrongServerError):
        drive(find_servers(cache, issuer=slashed))


@pytest.mark.parametrize(
    "documents",
    [
        {**DOCUMENTS, AS_URL: as_metadata(token_endpoint="http://127.0.0.1:8500/x")},
        {**DOCUMENTS, AS_URL: as_metadata(revocation_endpoint="http://localhost/x")},
        {
            RS_URL: rs_metadata(authorization_servers=["http://[::1]:8500"]),
            "http://[::1]:8500/.well-known/oauth-authorization-server": as_metadata(
                issuer="http://[::1]:8500"
            ),
        },
    ],
)
def test_a_server_elsewhere_does_not_have_this_machine_asked(
    documents: dict[str, Any],
) -> None:
    with pytest.raises(DiscoveryError, match="no https URL"):
        drive(find_servers(MetadataCache(), resource=RESOURCE), documents)
    place = "http://127.0.0.1:8500/v1/agent"
    with pytest.raises(DiscoveryError, match="no https URL"):
        challenged(f"{RESOURCE}/accounts", challenge(place))


def test_servers_of_this_machine_lead_to_each_other() -> None:
    issuer, resource = "http://localhost:5000", "http://127.0.0.1:5001"
    endpoints = {
        name: f"{issuer}/{name}" for name in as_metadata() if name.endswith("_endpoint")
    }
    servers, _ = drive(
        find_servers(MetadataCache(), resource=resource),
        {
            f"{resource}/.well-known/oauth-protected-resource": rs_metadata(
                resource=resource, authorization_servers=[issuer]
            ),
            f"{issuer}/.well-known/oauth-authorization-server": as_metadata(
                issuer=issuer, **endpoints
            ),
        },
    )
    assert servers.authorization.token_endpoint == f"{issuer}/token_endpoint"
