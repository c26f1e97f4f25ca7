"""What is read of a request of Django, and left for the view (:rfc:`9449#section-7`).

It came under WSGI or under ASGI.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest

from dpop_ext.errors import ContentTooLargeError, MalformedRequestError
from dpop_ext.integrations import asgi_request, wsgi_request
from dpop_ext.integrations.client_certificate import ClientCertificate
from dpop_ext.integrations.form_content import FORM, form_length
from dpop_ext.integrations.wsgi_request import SPENT
from dpop_ext.resource_server.credentials import ResourceRequest, names_access_token


def resource_request(
    request: Any, client_certificate: ClientCertificate | None
) -> ResourceRequest:
    """Return what the decision needs of a request."""
    read = partial(_read_content, request)
    in_form = _has_token_in_form(request)
    scope = getattr(request, "scope", None)
    if scope is None:
        return wsgi_request.resource_request(
            _environ(request),
            token_in_form=in_form,
            client_certificate=client_certificate,
            content=read,
        )
    certificate = client_certificate(request.META) if client_certificate else None
    scope.setdefault(SPENT, set())
    # The request factory of Django has text there, where servers have bytes.
    query = request.META.get("QUERY_STRING", "").encode("latin-1")
    scope = {**scope, "query_string": query}
    return asgi_request.resource_request(
        scope, token_in_form=in_form, certificate=certificate, read_content=read
    )


def _environ(request: Any) -> dict[str, Any]:
    """Return the environ, in which Django has decoded the path."""
    environ: dict[str, Any] = request.META
    environ.setdefault(SPENT, set())
    if "RAW_URI" in environ or "REQUEST_URI" in environ:
        return environ
    path = request.path.encode("utf-8", "surrogateescape").decode("latin-1")
    return {**environ, "SCRIPT_NAME": "", "PATH_INFO": path}


def _has_token_in_form(request: HttpRequest) -> bool:
    if request.content_type != FORM:
        return False
    if not form_length(request.META.get("CONTENT_LENGTH") or ""):
        return False
    return names_access_token(request.body.decode("latin-1"))


def _read_content(request: HttpRequest, limit: int) -> bytes:
    """Return the content, which Django keeps for the view.

    :raises ContentTooLargeError: it has more than *limit* bytes, or more than
        ``DATA_UPLOAD_MAX_MEMORY_SIZE``.
    :raises MalformedRequestError: a middleware has taken it apart.
    """
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length.isdecimal() and (len(length) > len(str(limit)) or int(length) > limit):
        raise ContentTooLargeError
    try:
        content: bytes = request.body
    except RequestDataTooBig as error:
        raise ContentTooLargeError from error
    except Exception as error:
        raise MalformedRequestError("The content cannot be read.") from error
    if len(content) > limit:
        raise ContentTooLargeError
    if len(content) < int(length if length.isdecimal() else "0"):
        raise MalformedRequestError("The content is incomplete.")
    return content
