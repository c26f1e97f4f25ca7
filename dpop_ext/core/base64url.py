"""base64url as JOSE has it, in one spelling (:rfc:`7515#section-2`)."""

from __future__ import annotations

import binascii

from dpop_ext.errors import MalformedJOSEError

_URLSAFE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_TO_URLSAFE = bytes.maketrans(b"+/", b"-_")
#: Every other character becomes one that the decoder refuses.
_FROM_URLSAFE = bytes(b if b in _URLSAFE else 0 for b in range(256)).translate(
    bytes.maketrans(b"-_", b"+/")
)
#: By the length modulo 4, of which 1 is impossible: what pads the text.
_PADDING = (b"", b"=", b"==", b"=")
#: And the characters that it may end in: their bits that stand for no byte are zero.
_LAST = (_URLSAFE, b"", _URLSAFE[::16], _URLSAFE[::4])


def b64url_encode(data: bytes) -> str:
    """Encode bytes as base64url without padding (:rfc:`7515#section-2`)."""
    return binascii.b2a_base64(data).translate(_TO_URLSAFE, b"=\n").decode()


def b64url_segments(*parts: bytes) -> bytes:
    """Encode the parts of a compact JWS or JWE, and put dots between them."""
    # A dot stays a dot, so all of them are translated at once.
    text = b".".join(map(binascii.b2a_base64, parts))
    return text.translate(_TO_URLSAFE, b"=\n")


def b64url_decode(text: str) -> bytes:
    """Decode base64url without padding; only the canonical text of the bytes passes.

    :raises MalformedJOSEError: padding, a foreign character, an impossible length,
        or bits after the last byte that are not zero.
    """
    try:
        data = text.encode("ascii")
        rest = len(data) & 3
        # Two texts of one value would get around whatever compares or remembers the
        # text, and the decoder ignores the bits after the last byte.
        if rest and data[-1] not in _LAST[rest]:
            raise MalformedJOSEError("not canonical base64url")
        return binascii.a2b_base64(
            data.translate(_FROM_URLSAFE) + _PADDING[rest], strict_mode=True
        )
    except ValueError as error:
        raise MalformedJOSEError("not base64url") from error
