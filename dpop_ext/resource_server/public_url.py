"""The URL of a request, as its client knows it (:rfc:`9449#section-4.3`, item 9)."""

from __future__ import annotations

from dpop_ext.core.target import is_secure, request_url
from dpop_ext.errors import MalformedRequestError
from dpop_ext.resource_server.credentials import ResourceRequest
from dpop_ext.resource_server.refusal_log import warn_about_host
from dpop_ext.resource_server.transport import require_secure_url


def check_public_url(public_url: str | None) -> str | None:
    """Return the configured *public_url*, if it can be one.

    :raises ValueError: it is not https, loopback excepted, or has a user name, a query
        or a fragment in it.
    """
    if public_url is not None:
        require_secure_url(public_url, "public_url")
        if "?" in public_url or "#" in public_url:
            raise ValueError("public_url has neither a query nor a fragment")
        request_url(scheme="", host="", raw_target="/", public_url=public_url)
    return public_url


def requested_url(request: ResourceRequest, public_url: str | None) -> str:
    """Return the absolute URL of *request*, without its query.

    :param public_url: what clients call this server; None believes the request.
    :raises MalformedRequestError: there is none, or it is plain http beyond this
        machine.
    """
    try:
        url = request_url(
            scheme=request.scheme,
            host=request.host,
            raw_target=request.raw_target,
            public_url=public_url,
        )
    except ValueError as error:
        raise MalformedRequestError("The request target is malformed.") from error
    # Plain http is secure to a loopback host only.
    if public_url is None and not is_secure(f"http://{request.host}"):
        warn_about_host()
    if is_secure(url):
        return url
    # It may be no URL at all: the path has a character that is in none.
    if is_secure(url.replace("http:", "https:", 1)):
        raise MalformedRequestError("An access token must not be sent without TLS.")
    raise MalformedRequestError("The request target is malformed.")
