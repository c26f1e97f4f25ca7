"""A request of Authlib as the decision needs it (:rfc:`9449#section-4.3`)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from dpop_ext.resource_server.credentials import ResourceRequest, names_access_token


def resource_request(request: Any) -> ResourceRequest:
    """Return what the decision needs of *request*.

    Our protector leaves it in ``request.resource_request``, with the raw target, and
    nothing has to be made. Under a protector of Authlib the URL of the framework has
    to do: it was decoded and quoted anew, so a claim with an escape that decoding
    loses, such as ``%2F``, does not match and is refused.

    :param request: JsonRequest or OAuth2Request of Authlib.
    """
    seen = urlsplit(request.uri)
    return ResourceRequest(
        method=request.method,
        scheme=seen.scheme,
        host=seen.netloc,
        # Quotes what is not ASCII and nothing else.
        raw_target=quote(seen.path, safe="".join(map(chr, range(0x21, 0x7F)))),
        authorization=_field_values(request.headers, "Authorization"),
        proofs=_field_values(request.headers, "DPoP"),
        token_elsewhere=names_access_token(seen.query),
    )


def _field_values(headers: Any, name: str) -> tuple[str, ...]:
    if hasattr(headers, "getlist"):
        return tuple(headers.getlist(name))
    return tuple(value for key, value in headers.items() if key.lower() == name.lower())
