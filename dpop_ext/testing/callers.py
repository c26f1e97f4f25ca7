"""The test clients of the frameworks, behind one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Fields = list[tuple[str, str]]


class Answer(NamedTuple):
    """What came back, whatever client asked."""

    status: int
    #: With lower-case names; values of one name are joined with a comma.
    fields: Mapping[str, str]


#: Sends a request: method, path and query, header field lines.
Call = Callable[[str, str, Fields], Answer]


def caller(client: Any) -> Call:
    """Return what sends requests with *client*.

    :param client: a test client of Flask, Werkzeug, Django, Starlette or FastAPI; a
        ``Client`` of httpx or httpx2 with a ``base_url``; or a function like
        :data:`Call`.
    :raises TypeError: something else.
    """
    if hasattr(client, "generic"):
        return _django(client)
    if hasattr(client, "open"):
        return _werkzeug(client)
    if hasattr(client, "request"):
        return _httpx(client)
    if callable(client):
        return client  # type: ignore[no-any-return]
    raise TypeError("the client must be a test client, or a function")


def _werkzeug(client: Any) -> Call:
    def call(method: str, path: str, fields: Fields) -> Answer:
        response = client.open(path, method=method, headers=fields)
        try:
            return Answer(response.status_code, _joined(response.headers.items()))
        finally:
            response.close()

    return call


def _django(client: Any) -> Call:
    def call(method: str, path: str, fields: Fields) -> Answer:
        response = client.generic(method, path, headers=dict(fields))
        return Answer(response.status_code, _joined(response.items()))

    return call


def _httpx(client: Any) -> Call:
    def call(method: str, path: str, fields: Fields) -> Answer:
        response = client.request(method, path, headers=fields)
        headers = response.headers
        items = headers.multi_items() if hasattr(headers, "multi_items") else headers
        pairs = items.items() if hasattr(items, "items") else items
        return Answer(response.status_code, _joined(pairs))

    return call


def _joined(items: Any) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in items:
        key = name.lower()
        fields[key] = f"{fields[key]}, {value}" if key in fields else value
    return fields
