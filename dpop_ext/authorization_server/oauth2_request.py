"""What Authlib keeps of a request to Flask, without its detours (:rfc:`6749`).

Authlib hands on Flask's proxy, which looks the request up anew, through four functions,
whenever somebody asks for something; it counts the header fields, in order to see if
there are any; and it asks for the URL, which Werkzeug quotes and unquotes again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MethodType
from typing import Any, Final

from authlib.oauth2.rfc6749 import OAuth2Request

#: Where the method is that Authlib has for Flask.
_AUTHLIB_FOR_FLASK: Final = "authlib.integrations.flask_oauth2.authorization_server"
#: What nobody quotes: lower case, no port, no internationalised name, no escapes.
_PLAIN_URL: Final = re.compile(r"https?://(?![^/]*xn--)[a-z0-9.-]+/[A-Za-z0-9._~/-]*")


def making_requests(server: Any) -> Callable[[Any], Any]:
    """Return what *server* is to make its request objects with.

    It makes the same as the method of *server*; one that is re-implemented is called.
    """
    create_request: Callable[[Any], Any] = server.create_oauth2_request
    if _is_of_authlib(create_request):
        return _making_flask_requests()

    def create_oauth2_request(request: Any) -> Any:
        created = create_request(request)
        try:
            found = created._request._get_current_object()  # noqa: SLF001
        except AttributeError:  # of another framework
            return created
        created._request = created.payload._request = found  # noqa: SLF001
        return created

    return create_oauth2_request


def _is_of_authlib(create_request: Callable[[Any], Any]) -> bool:
    # Where its code stands: what is wrapped around it may have its __module__, too.
    function = create_request.__func__ if type(create_request) is MethodType else None
    written_in = getattr(function, "__globals__", {})
    return written_in.get("__name__") == _AUTHLIB_FOR_FLASK


def _making_flask_requests() -> Callable[[Any], Any]:
    # Authlib has loaded all of them, since the server is one for Flask.
    from authlib.integrations.flask_oauth2.requests import (  # noqa: PLC0415
        FlaskOAuth2Payload,
        FlaskOAuth2Request,
    )
    from flask import Request  # noqa: PLC0415
    from flask import request as proxy  # noqa: PLC0415

    find_request = proxy._get_current_object  # type: ignore[attr-defined] # noqa: SLF001

    def create_oauth2_request(_request: Any) -> Any:
        request = find_request()
        created = FlaskOAuth2Request.__new__(FlaskOAuth2Request)
        # A class of the application's own may have another URL.
        uri = _plain_url(request) if type(request) is Request else None
        OAuth2Request.__init__(created, method=request.method, uri=uri or request.url)
        created.headers, created._request = request.headers, request  # noqa: SLF001
        created.payload = FlaskOAuth2Payload(request)
        return created

    return create_oauth2_request


def _plain_url(request: Any) -> str | None:
    """Return the ``url`` of Flask's request, if nothing in it needs a closer look."""
    if request.query_string or request.root_path:
        return None
    url = f"{request.scheme}://{request.host}{request.path}"
    return url if _PLAIN_URL.fullmatch(url) else None
