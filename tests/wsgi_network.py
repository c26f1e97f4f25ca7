"""A network of WSGI applications, by host, for requests and for urllib."""

from __future__ import annotations

import io
import urllib.request
from collections.abc import Iterable
from email.message import Message
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.response import addinfourl

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3._collections import HTTPHeaderDict
from werkzeug.test import Client, TestResponse


class WSGINetwork(urllib.request.HTTPSHandler):
    """Reaches each host over https, by a call of its application."""

    def __init__(self) -> None:
        super().__init__()
        self.hosts: dict[str, Any] = {}

    def request(
        self, method: str, url: str, headers: Iterable[tuple[str, str]], body: Any
    ) -> TestResponse | None:
        """Make one request; None when nobody is there."""
        parts = urlsplit(url)
        if parts.scheme != "https" or parts.netloc not in self.hosts:
            return None
        client = Client(self.hosts[parts.netloc], use_cookies=False)
        return client.open(
            path=parts.path or "/",
            query_string=parts.query,
            method=method,
            base_url=f"https://{parts.netloc}",
            headers=list(headers),
            data=body,
        )

    def https_open(self, request: urllib.request.Request) -> Any:
        """Stand in for urllib's own connection."""
        answer = self.request(
            request.get_method(),
            request.full_url,
            request.header_items(),
            request.data,
        )
        if answer is None:
            raise URLError("nobody is there")
        headers = Message()
        for name, value in answer.headers.items():
            headers[name] = value
        response: Any = addinfourl(
            io.BytesIO(answer.data), headers, request.full_url, answer.status_code
        )
        # Read by urllib, and not set by the class.
        response.msg = answer.status
        return response


def send_over(
    adapter: HTTPAdapter,
    network: WSGINetwork,
    request: requests.PreparedRequest,
    **_kwargs: Any,
) -> requests.Response:
    """Stand in for :meth:`HTTPAdapter.send`."""
    # As urllib3 does: once for each request that is written.
    headers = list(request.headers.items())
    answer = network.request(
        str(request.method), str(request.url), headers, request.body
    )
    if answer is None:
        raise requests.ConnectionError(request=request)
    raw = urllib3.HTTPResponse(
        body=io.BytesIO(answer.data),
        headers=HTTPHeaderDict(answer.headers.items()),
        status=answer.status_code,
        preload_content=False,
    )
    return adapter.build_response(request, raw)
