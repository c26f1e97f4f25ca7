"""An ASGI request, as it is decided upon: :rfc:`9449#section-4.3`."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from dpop_ext.integrations.asgi_answers import ANSWER
from dpop_ext.integrations.asgi_content import Content
from dpop_ext.integrations.asgi_types import Scope
from dpop_ext.integrations.form_content import MAX_FORM, form_length, is_form
from dpop_ext.resource_server.credentials import ResourceRequest, names_access_token

_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
#: What a decision needs of the header.
_FIELDS = frozenset((b"host", b"authorization", b"dpop"))
#: What may stand in a path as it is: RFC 3986 section 3.3, and the slash.
_PATH = "/:@!$&'()*+,;=-._~"


def resource_request(
    scope: Scope,
    *,
    token_in_form: bool,
    certificate: str | None,
    read_content: Callable[[int], bytes] | None = None,
) -> ResourceRequest:
    """Return what the decision needs of a request.

    :param token_in_form: the body is a form with an access token.
    :param certificate: thumbprint of the client's certificate, if it showed one.
    :param read_content: how to read the content.
    """
    query = scope.get("query_string", b"").decode("latin-1")
    # In one pass: a request has a dozen fields, or a hundred.
    fields: dict[bytes, list[str]] = {}
    for name, value in scope["headers"]:
        if name in _FIELDS:
            fields.setdefault(name, []).append(value.decode("latin-1"))
    return ResourceRequest(
        method=scope.get("method", "GET"),
        # It may be left out, and is not encrypted then.
        scheme=_SCHEMES[scope.get("scheme", "http")],
        # More than one is no host, and makes the target malformed.
        host=",".join(fields[b"host"]) if b"host" in fields else _own_host(scope),
        raw_target=raw_target(scope),
        authorization=tuple(fields.get(b"authorization", ())),
        proofs=tuple(fields.get(b"dpop", ())),
        token_elsewhere=token_in_form or names_access_token(query),
        certificate=certificate,
        spent=scope.setdefault("dpop_ext.spent", set()),
        read_content=read_content,
        answer=scope.get(ANSWER),
    )


def raw_target(scope: Scope) -> str:
    """Return the request target as it was sent, or the decoded path, quoted anew."""
    path = scope.get("raw_path")
    if path:
        target = path.decode("latin-1")
    else:
        target = quote(scope["path"], safe=_PATH, errors="surrogateescape") or "/"
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{target}?{query}" if query else target


def field(scope: Scope, name: bytes) -> tuple[str, ...]:
    """Return the values of a field, one for each line.

    :param name: in lower case, as ASGI has it.
    """
    return tuple(
        value.decode("latin-1") for other, value in scope["headers"] if other == name
    )


def _own_host(scope: Scope) -> str:
    """Return what the server calls itself, where a request has no ``Host``."""
    name, port = scope.get("server") or ("", None)
    name = f"[{name}]" if ":" in name else name
    return name if port is None else f"{name}:{port}"


async def has_token_in_form(scope: Scope, content: Content) -> bool:
    """Tell whether a form names an access token; the application can still read it.

    :raises ContentTooLargeError: it is longer than it said.
    :raises MalformedRequestError: the client has gone.
    """
    kind = field(scope, b"content-type")
    if not kind or not is_form("".join(kind)) or scope["type"] != "http":
        return False
    if not form_length("".join(field(scope, b"content-length"))):
        return False
    return names_access_token((await content.read(MAX_FORM)).decode("latin-1"))
