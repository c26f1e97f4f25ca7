"""The content of a compact JWE, encrypted and put together (:rfc:`7516`)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dpop_ext.core.base64url import b64url_encode

#: Bytes of the key of each content encryption.
CONTENT_KEYS: Final = {"A256GCM": 32, "A128GCM": 16}
IV_LENGTH: Final = 12
TAG_LENGTH: Final = 16

_encode = json.JSONEncoder(separators=(",", ":")).encode


def seal(
    header: Mapping[str, Any],
    plaintext: bytes,
    *,
    content_key: bytes,
    encrypted_key: bytes = b"",
) -> str:
    """Make a compact JWE.

    :param header: the protected header, complete; its ``enc`` is one of
        :data:`CONTENT_KEYS`.
    :param content_key: used for nothing else, and of the length that ``enc`` demands.
    :param encrypted_key: for the recipient; empty if the key was agreed upon.
    :raises ValueError: *content_key* has another length.
    """
    if len(content_key) != CONTENT_KEYS[header["enc"]]:
        raise ValueError("the key does not fit the algorithm")
    protected = b64url_encode(_encode(header).encode("ascii"))
    iv = secrets.token_bytes(IV_LENGTH)
    sealed = AESGCM(content_key).encrypt(iv, plaintext, protected.encode("ascii"))
    ciphertext, tag = sealed[:-TAG_LENGTH], sealed[-TAG_LENGTH:]
    return (
        f"{protected}.{b64url_encode(encrypted_key) if encrypted_key else ''}."
        f"{b64url_encode(iv)}.{b64url_encode(ciphertext)}.{b64url_encode(tag)}"
    )
