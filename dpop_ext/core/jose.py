"""The compact form of JWS, parsed strictly and once (:rfc:`7515#section-7.1`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.strict_json import MAX_STRUCTURAL, parse_json_object
from dpop_ext.errors import MalformedJOSEError

#: Characters of a JWS header. The library's limit of 512 refuses every RSA proof.
MAX_HEADER_LENGTH = 2048
#: Returns what the strict parser would, or None for what it does not know how to read.
QuickReader = Callable[[bytes], dict[str, Any] | None]
_REFUSED_HEADERS = frozenset(("crit", "b64", "zip", "enc"))


class CompactJWS(NamedTuple):
    """A JWS that is well-formed; its signature has not been looked at.

    It has no useful ``repr``: a header may hold the private key that its sender should
    have kept.
    """

    header: dict[str, Any]
    payload: dict[str, Any]
    #: The bytes that the signature covers.
    signing_input: bytes
    signature: bytes

    def __repr__(self) -> str:
        return f"<CompactJWS of {len(self.signing_input)} bytes>"


def parse_header(
    segment: str,
    *,
    max_structural: int = MAX_STRUCTURAL,
    read: QuickReader | None = None,
) -> dict[str, Any]:
    """Parse the header of a compact JWS, on whose text alone the result depends.

    :param segment: what stands before the first dot.
    :param max_structural: limit of :func:`parse_json_object`.
    :param read: a quicker way than the parser.
    :raises MalformedJOSEError: no JSON object, or with a member that is refused.
    """
    raw = b64url_decode(segment)
    header = read(raw) if read is not None else None
    if header is None:
        header = parse_json_object(raw, max_structural=max_structural)
    if not _REFUSED_HEADERS.isdisjoint(header):
        raise MalformedJOSEError("unsupported header member")
    return header


def parse_compact_jws(
    text: str,
    *,
    max_length: int,
    max_header_length: int = MAX_HEADER_LENGTH,
    max_structural: int = MAX_STRUCTURAL,
    header: dict[str, Any] | None = None,
    read_header: QuickReader | None = None,
    read_payload: QuickReader | None = None,
) -> CompactJWS:
    """Split and parse a compact JWS whose payload is a JSON object.

    Nothing is verified. ``crit`` is refused, because no extension is understood
    (:rfc:`7515#section-4.1.11`), and so are ``b64``, ``zip`` and ``enc``, which change
    what the payload is.

    :param max_length: characters that *text* may have.
    :param max_header_length: characters that its header may have.
    :param max_structural: limit of :func:`parse_json_object`, for header and payload
        each.
    :param header: what the same header gave when it was parsed before; None if it was
        not.
    :param read_header: a quicker way than the parser, for headers of the form that is
        expected.
    :param read_payload: the same for payloads.
    :raises MalformedJOSEError: not one compact JWS of two JSON objects.
    """
    if len(text) > max_length:
        raise MalformedJOSEError("too long")
    # Not by split(): a text of dots alone would be taken apart first.
    signing_input, _, signature = text.rpartition(".")
    first, _, second = signing_input.partition(".")
    if not (first and second and signature) or "." in second:
        raise MalformedJOSEError("not three parts")
    if len(first) > max_header_length:
        raise MalformedJOSEError("header too long")
    if header is None:
        header = parse_header(first, max_structural=max_structural, read=read_header)
    raw = b64url_decode(second)
    payload = read_payload(raw) if read_payload is not None else None
    if payload is None:
        payload = parse_json_object(raw, max_structural=max_structural)
    values = (
        header,
        payload,
        signing_input.encode("ascii"),
        b64url_decode(signature),
    )
    # Half as long as by the constructor, which passes all of them on once more.
    return tuple.__new__(CompactJWS, values)


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def json_segment(members: Mapping[str, Any]) -> str:
    """Return one part of a JWS: *members* as JSON, in base64url.

    :raises ValueError: a number is not finite.
    """
    return b64url_encode(_encode(dict(members)).encode("ascii"))
