"""The types of ASGI 3, and header fields in both forms."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

from dpop_ext.integrations.answer_fields import Headers

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


def as_text(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return fields of ASGI as text."""
    return [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in headers
    ]


def as_bytes(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return fields as ASGI has them, with names in lower case."""
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in headers
    ]
