"""The content of a compact JWE, encrypted and put together (:rfc:`7516`)."""

from __future__ import annotations

import json
import secrets
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dpop_ext.core.base64url import b64url_segments

#: Bytes of the key of each content encryption.
CONTENT_KEYS: Final = {"A256GCM": 32, "A128GCM": 16}
IV_LENGTH: Final = 12
TAG_LENGTH: Final = 16

#: Return an object, or a string, as compact JSON in ASCII.
to_json = json.JSONEncoder(separators=(",", ":")).encode


def seal(
    header: str,
    plaintext: bytes,
    *,
    encoding: str,
    content_key: bytes,
    encrypted_key: bytes = b"",
) -> str:
    """Make a compact JWE.

    :param header: the protected header, complete, as JSON in ASCII.
    :param encoding: its ``enc``, one of :data:`CONTENT_KEYS`.
    :param content_key: used for nothing else, and of the length that ``enc`` demands.
    :param encrypted_key: for the recipient; empty if the key was agreed upon.
    :raises ValueError: *content_key* has another length.
    """
    if len(content_key) != CONTENT_KEYS[encoding]:
        raise ValueError("the key does not fit the algorithm")
    protected = b64url_segments(header.encode("ascii"))
    iv = secrets.token_bytes(IV_LENGTH)
    sealed = AESGCM(content_key).encrypt(iv, plaintext, protected)
    ciphertext, tag = sealed[:-TAG_LENGTH], sealed[-TAG_LENGTH:]
    rest = b64url_segments(encrypted_key, iv, ciphertext, tag)
    return (protected + b"." + rest).decode()
