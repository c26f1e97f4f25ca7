"""What a resource server says about itself: :rfc:`9728`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dpop_ext.client.destination import Destination
from dpop_ext.client.server_metadata import (
    is_as_secure,
    read_names,
    split_identifier,
)
from dpop_ext.core.challenge import parse_challenges
from dpop_ext.errors import DiscoveryError, WrongServerError


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceMetadata:
    """The metadata of a resource server, as far as a client goes by it."""

    #: Its identifier: the ``resource`` of requests for tokens (:rfc:`8707`).
    resource: str
    #: Issuer identifiers of the authorization servers whose tokens it takes.
    authorization_servers: tuple[str, ...] = ()
    #: Signature algorithms for proofs; None if the server does not say.
    dpop_algorithms: tuple[str, ...] | None = None
    #: MAC algorithms of symmetric proofs; empty where there are none.
    symmetric_algorithms: tuple[str, ...] = ()
    #: How it gets at symmetric keys.
    symmetric_modes: tuple[str, ...] = ()
    #: The whole document.
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of_document(
        cls, document: Mapping[str, Any], *, resource: str
    ) -> ResourceMetadata:
        """Read the document that was fetched for *resource*.

        :raises WrongServerError: it names another one (:rfc:`9728#section-3.3`).
        :raises DiscoveryError: a member is malformed.
        """
        if document.get("resource") != resource:
            raise WrongServerError
        return cls(
            resource=resource,
            authorization_servers=read_names(document, "authorization_servers") or (),
            dpop_algorithms=read_names(document, "dpop_signing_alg_values_supported"),
            symmetric_algorithms=read_names(
                document, "dpop_symmetric_alg_values_supported"
            )
            or (),
            symmetric_modes=read_names(document, "dpop_symmetric_modes_supported")
            or (),
            document=document,
        )

    @classmethod
    def of_challenge(
        cls, document: Mapping[str, Any], *, fetched_from: str, request_url: str
    ) -> ResourceMetadata:
        """Read the document whose place an answer of the server named.

        Its ``resource`` is the URL of that request (:rfc:`9728#section-3.3`), or stands
        above it on the same origin and has its document right there: then it is what
        asking for the resource itself would have found.

        :raises WrongServerError: it is another one: anybody could have had tokens for
            it sent to a server of theirs.
        :raises DiscoveryError: a member is malformed.
        """
        resource = document.get("resource")
        if not isinstance(resource, str):
            raise WrongServerError
        if resource != request_url:
            try:
                url = resource_metadata_url(resource)
                is_above = Destination.of(request_url).is_within([resource])
            except ValueError as error:
                raise WrongServerError from error
            if url != fetched_from or not is_above:
                raise WrongServerError
        return cls.of_document(document, resource=resource)


def resource_metadata_url(resource: str) -> str:
    """Return where the document of a resource server is (:rfc:`9728#section-3.1`).

    :raises ValueError: *resource* is no https URL, or has a fragment.
    """
    base, path, query = split_identifier(resource)
    path = "" if path == "/" else path
    return f"{base}/.well-known/oauth-protected-resource{path}{query}"


def named_metadata_url(challenges: Sequence[str], *, request_url: str) -> str:
    """Return the place of the document that an answer names (section 5.1).

    :param challenges: values of ``WWW-Authenticate``, one for each field line.
    :param request_url: of the request that was answered.
    :raises DiscoveryError: it names none, two, or one that is no https URL; or one of
        this machine, which was not asked.
    """
    found = {
        url
        for challenge in parse_challenges(challenges)
        if (url := challenge.get("resource_metadata")) is not None
    }
    if len(found) != 1:
        raise DiscoveryError("The answer does not say where the metadata is.")
    (url,) = found
    try:
        split_identifier(url)
    except ValueError as error:
        raise DiscoveryError("The metadata is said to be at no https URL.") from error
    if not is_as_secure(url, request_url):
        raise DiscoveryError("The metadata is said to be at no https URL.")
    return url
