"""The body of a request, as requests has prepared it (:rfc:`9110#section-6.4`)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

from dpop_ext.core.base64url import b64url_encode

#: Bytes of a file that are hashed at a time.
_PIECE = 64 * 1024


def rewinder(body: Any) -> Callable[[], object] | None:
    """Return what takes a file back to where it stands now, if anything can."""
    try:
        return partial(body.seek, body.tell())
    except (AttributeError, OSError):
        return None


def body_digest(body: Any, rewind: Callable[[], object] | None) -> str:
    """Return the digest of a body that requests has prepared.

    :param rewind: takes a file back to where it stands now.
    :raises ValueError: the body can be read once only, so it cannot be hashed before it
        is sent.
    """
    digest = hashlib.sha256()
    if isinstance(body, bytes):
        digest.update(body)
    elif isinstance(body, str):
        digest.update(body.encode())
    elif body is not None:
        if rewind is None:
            raise ValueError(
                "A body that can be read once only has no digest: give bytes, or a "
                "file that can be rewound."
            )
        while piece := body.read(_PIECE):
            # urllib3 sends the text of a file in UTF-8.
            digest.update(piece.encode() if isinstance(piece, str) else piece)
        rewind()
    return b64url_encode(digest.digest())
