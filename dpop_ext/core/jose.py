"""Strict JSON and compact JWS: :rfc:`7515#section-7.1`, :rfc:`8725`."""

from __future__ import annotations

import binascii
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import ECKey, Key
from joserfc.jws import JWSRegistry

from dpop_ext.errors import BadSignatureError, MalformedJOSEError

#: Levels of nested objects and arrays that a JSON text may have.
MAX_JSON_DEPTH = 16
#: Characters ``{}[]:,`` that a JSON text may have, inside strings or not.
MAX_STRUCTURAL = 256
#: Characters of a JWS header. The library's limit of 512 refuses every RSA proof.
MAX_HEADER_LENGTH = 2048
#: Digits of an integer. All of them fit a double, so that no arithmetic overflows.
MAX_INTEGER_DIGITS = 308

_STRUCTURAL = b"{}[]:,"
_WHITESPACE = " \t\n\r"
_REFUSED_HEADERS = frozenset(("crit", "b64", "zip", "enc"))
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
    text = binascii.b2a_base64(data, newline=False)
    return text.translate(_TO_URLSAFE).rstrip(b"=").decode("ascii")


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


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedJOSEError("duplicate member")
    return members


def _integer(digits: str) -> int:
    if len(digits) > MAX_INTEGER_DIGITS:
        raise MalformedJOSEError("integer out of range")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise MalformedJOSEError("number out of range")
    return number


def _refuse_constant(_name: str) -> NoReturn:
    raise MalformedJOSEError("not a JSON number")


_decoder = json.JSONDecoder(
    object_pairs_hook=_unique_members,
    parse_int=_integer,
    parse_float=_finite,
    parse_constant=_refuse_constant,
)


def _check_text(text: str) -> None:
    if "\0" in text:
        raise MalformedJOSEError("NUL in a string")
    text.encode("utf-8")  # A lone surrogate has no encoding.


def _check_tree(value: object, depth: int) -> None:
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict | list):
        if depth == MAX_JSON_DEPTH:
            raise MalformedJOSEError("nested too deeply")
        if isinstance(value, dict):
            for name in value:
                _check_text(name)
            value = list(value.values())
        for member in value:
            _check_tree(member, depth + 1)


def parse_json_object(
    raw: bytes, *, max_structural: int = MAX_STRUCTURAL
) -> dict[str, Any]:
    """Parse a JSON object that every conforming parser reads in the same way.

    Refuses what :rfc:`8259` allows or leaves open and what parsers disagree on:
    duplicate member names, ``NaN`` and infinities, numbers beyond a double, a byte
    order mark, encodings other than UTF-8, lone surrogates, NUL, deep nesting.

    :param raw: the text, in UTF-8.
    :param max_structural: how many of the characters ``{}[]:,`` it may have. They
        are counted before anything is built, so hostile input costs little.
    :raises MalformedJOSEError: the text is refused.
    """
    if len(raw) - len(raw.translate(None, _STRUCTURAL)) > max_structural:
        raise MalformedJOSEError("too many members")
    try:
        text = raw.decode("utf-8")
        if not text.startswith("{"):
            text = text.lstrip(_WHITESPACE)
        value, end = _decoder.raw_decode(text)
        if end != len(text) and text[end:].strip(_WHITESPACE):
            raise MalformedJOSEError("more than one value")
        # Surrogates and NUL can only be written as escapes, and depth takes brackets:
        # most texts have neither and need no second look.
        if b"\\u" in raw or raw.count(b"{") + raw.count(b"[") > MAX_JSON_DEPTH:
            _check_tree(value, 0)
    except (ValueError, RecursionError) as error:
        raise MalformedJOSEError("not strict JSON") from error
    if not isinstance(value, dict):
        raise MalformedJOSEError("not a JSON object")
    return value


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CompactJWS:
    """A JWS that is well-formed; its signature has not been looked at.

    It has no useful ``repr``: a header may hold the private key that its sender should
    have kept.
    """

    header: dict[str, Any]
    payload: dict[str, Any]
    #: The bytes that the signature covers.
    signing_input: bytes
    signature: bytes


def parse_header(
    segment: str, *, max_structural: int = MAX_STRUCTURAL
) -> dict[str, Any]:
    """Parse the header of a compact JWS, on whose text alone the result depends.

    :param segment: what stands before the first dot.
    :param max_structural: limit of :func:`parse_json_object`.
    :raises MalformedJOSEError: no JSON object, or with a member that is refused.
    """
    header = parse_json_object(b64url_decode(segment), max_structural=max_structural)
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
    read_payload: Callable[[bytes], dict[str, Any] | None] | None = None,
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
    :param read_payload: a quicker way than the parser, for payloads of the form that is
        expected; it returns None for all others.
    :raises MalformedJOSEError: not one compact JWS of two JSON objects.
    """
    if len(text) > max_length:
        raise MalformedJOSEError("too long")
    # No more parts than that: a text of dots alone would be taken apart first.
    parts = text.split(".", 3)
    if len(parts) != 3 or "" in parts:
        raise MalformedJOSEError("not three parts")
    if len(parts[0]) > max_header_length:
        raise MalformedJOSEError("header too long")
    if header is None:
        header = parse_header(parts[0], max_structural=max_structural)
    raw = b64url_decode(parts[1])
    payload = read_payload(raw) if read_payload is not None else None
    if payload is None:
        payload = parse_json_object(raw, max_structural=max_structural)
    return CompactJWS(
        header=header,
        payload=payload,
        signing_input=text[: -1 - len(parts[2])].encode("ascii"),
        signature=b64url_decode(parts[2]),
    )


#: Takes a message and its signature, and returns True if it is good; else it returns
#: False or raises any exception.
SignatureCheck = Callable[[bytes, bytes], bool]

_SHA256 = SHA256()
_ES256 = ec.ECDSA(_SHA256)
_PKCS1 = padding.PKCS1v15()


def _algorithm(name: str) -> JWSAlgModel:
    # From the table: to ask a registry for the deprecated name EdDSA gives a warning,
    # and warnings cannot be silenced for one thread.
    model = JWSRegistry.algorithms.get(name)
    # The models of "none" and of the MACs say "oct", and "none" verifies.
    if model is None or model.key_type == "oct":
        raise UnsupportedAlgorithmError("Not an asymmetric signature algorithm")
    return model


def verify_signature(jws: CompactJWS, key: Key, *, algorithm: str) -> None:
    """Verify the signature of a parsed JWS; nothing is parsed a second time.

    :param key: the public key, and the only one that is tried.
    :param algorithm: the one algorithm that the caller accepts for this key.
    :raises BadSignatureError: the signature is not by *key* with *algorithm*.
    """
    if jws.header.get("alg") != algorithm:
        raise BadSignatureError
    check_signature(jws, signature_check(key, algorithm=algorithm))


def check_signature(jws: CompactJWS, check: SignatureCheck) -> None:
    """Verify the signature of a parsed JWS, whose ``alg`` is that of *check*.

    :raises BadSignatureError: *check* says no, or fails.
    """
    try:
        good = check(jws.signing_input, jws.signature)
    except Exception as error:
        # Not InvalidSignature alone: the models and the layers under them also raise
        # ValueError, TypeError, KeyError and binascii.Error.
        raise BadSignatureError from error
    if good is not True:
        raise BadSignatureError


def signature_check(key: Key, *, algorithm: str) -> SignatureCheck:
    """Prepare *key* for the verification of many signatures.

    :param algorithm: the one algorithm that the caller accepts for this key.
    :returns: takes a message and its signature, and returns True if it is good.
    :raises BadSignatureError: the key is not for this algorithm.
    """
    try:
        model = _algorithm(algorithm)
        model.check_key(key)
        public = key.get_op_key("verify")
    except Exception as error:
        raise BadSignatureError from error
    return usual_signature_check(public, algorithm=algorithm) or (
        lambda message, signature: model.verify(message, signature, key)
    )


def usual_signature_check(public: object, *, algorithm: str) -> SignatureCheck | None:
    """Prepare a key of ``cryptography`` that is known to be for *algorithm*.

    Does what the models of joserfc do, without asking the key the same questions again.

    :returns: None for all but the three algorithms that are in use.
    """
    if algorithm == "ES256" and isinstance(public, ec.EllipticCurvePublicKey):
        return partial(_verify_es256, public)
    if isinstance(public, ed25519.Ed25519PublicKey):
        return partial(_verify_ed25519, public)
    if algorithm == "RS256" and isinstance(public, rsa.RSAPublicKey):
        return partial(_verify_rs256, public)
    return None


def _verify_es256(
    key: ec.EllipticCurvePublicKey, message: bytes, signature: bytes
) -> bool:
    if len(signature) != 64:
        return False
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    key.verify(encode_dss_signature(r, s), message, _ES256)
    return True


def _verify_rs256(key: rsa.RSAPublicKey, message: bytes, signature: bytes) -> bool:
    key.verify(signature, message, _PKCS1, _SHA256)
    return True


def _verify_ed25519(
    key: ed25519.Ed25519PublicKey, message: bytes, signature: bytes
) -> bool:
    key.verify(signature, message)
    return True


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def json_segment(members: Mapping[str, Any]) -> str:
    """Return one part of a JWS: *members* as JSON, in base64url.

    :raises ValueError: a number is not finite.
    """
    return b64url_encode(_encode(dict(members)).encode("ascii"))


def sign_compact(
    header: Mapping[str, Any], payload: Mapping[str, Any], key: Key
) -> str:
    """Make a compact JWS.

    :param header: protected header; its ``alg`` is an asymmetric algorithm.
    :param payload: what is signed, as a JSON object.
    :param key: the private key.
    :raises ValueError: the key does not fit the algorithm.
    """
    signing_input = f"{json_segment(header)}.{json_segment(payload)}"
    return sign_segments(signing_input, key, algorithm=header["alg"])


def sign_segments(signing_input: str, key: Key, *, algorithm: str) -> str:
    """Make a compact JWS of a header and a payload that are encoded already.

    :param signing_input: both, with the dot between them.
    :param algorithm: the ``alg`` in the header, an asymmetric one.
    :param key: the private key.
    :raises ValueError: the key does not fit the algorithm.
    """
    try:
        model = _algorithm(algorithm)
        model.check_key(key)
        message = signing_input.encode("ascii")
        if algorithm == "ES256" and isinstance(key, ECKey):
            signature = _sign_es256(key.get_op_key("sign"), message)
        else:
            signature = model.sign(message, key)
    except JoseError as error:
        raise ValueError("the key does not fit the algorithm") from error
    return f"{signing_input}.{b64url_encode(signature)}"


def _sign_es256(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(message, _ES256))
    return r.to_bytes(32) + s.to_bytes(32)
