"""Odd values: fragments of JSON for claims, and octets for fields and parameters."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

#: Is in most of the values below, and must never be in an answer.
MARK = "zQ9markZ7q"

_LONG = MARK * 300
_TOO_LONG = MARK * 900
_TRICKS = {
    "mark": MARK,
    "padded with spaces": f" {MARK} ",
    "quotes and backslash": f'{MARK}"\\"',
    "header injection": f"{MARK}\r\nSet-Cookie: {MARK}=1\r\n\r\n",
    "other controls": f"{MARK}\t\x0b\x1b[31m\x7f\x85",
    "not ASCII": f"{MARK}é\u2028€\U0001f600",
    "written from right to left": f"{MARK}\u202egnp",
    "byte order mark": f"\ufeff{MARK}",
    "full width": "\uff24\uff30\uff4f\uff30" + MARK,
    "combining": f"{MARK}e\u0301",
    "percent tricks": f"{MARK}%2e%2e%2f%00%zz%u0041%25252F",
    "joined by a comma": f"{MARK},{MARK}",
    "markup": f"<script>{MARK}</script>",
    "template": "{{7*7}}${jndi:ldap://" + MARK + "}",
    "SQL": f"' OR 1=1; --{MARK}",
    "format": "%s%n{0.__class__}" + MARK,
    "path": f"../../{MARK}",
    "url": f"https://{MARK}.example/",
    "email": f"x@{MARK}",
    "three parts": f"{MARK}.{MARK}.{MARK}",
    "padding": f"{MARK}==",
    "long": _LONG,
}

#: A member of JSON, as it is written; not all of it is JSON.
JSON_VALUES: dict[str, bytes] = {
    **{kind: json.dumps(text).encode() for kind, text in _TRICKS.items()},
    "too long": json.dumps(_TOO_LONG).encode(),
    "null": b"null",
    "true": b"true",
    "false": b"false",
    "zero": b"0",
    "negative": b"-1",
    "negative zero": b"-0.0",
    "fraction": b"1790000000.5",
    "tiny": b"1e-400",
    "huge": b"1e308",
    "beyond a double": b"1e400",
    "beyond exact": b"9007199254740993",
    "beyond 64 bits": b"-170141183460469231731687303715884105728",
    "400 digits": b"1" * 400,
    "5000 digits": b"1" * 5000,
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "-Infinity": b"-Infinity",
    "number as text": b'"1790000000"',
    "true as text": b'"true"',
    "empty text": b'""',
    "NUL": b'"%b\\u0000"' % MARK.encode(),
    "raw NUL": b'"%b\0"' % MARK.encode(),
    "raw newline": b'"%b\n"' % MARK.encode(),
    "lone surrogate": b'"%b\\ud800"' % MARK.encode(),
    "swapped surrogates": b'"\\udc00\\ud800%b"' % MARK.encode(),
    "not UTF-8": b'"%b\xff\xfe"' % MARK.encode(),
    "overlong UTF-8": b'"%b\xc0\xaf\xe0\x80\xaf"' % MARK.encode(),
    "surrogate in UTF-8": b'"%b\xed\xa0\x80"' % MARK.encode(),
    "UTF-16": f'"{MARK}"'.encode("utf-16"),
    "empty array": b"[]",
    "array": b'["%b"]' % MARK.encode(),
    "array of null": b"[null]",
    "array of arrays": b"[[[]]]",
    "array, 300 members": b"[" + b",".join([b"1"] * 300) + b"]",
    "array, 20 levels": b"[" * 20 + b"]" * 20,
    "array, 2000 levels": b"[" * 2000 + b"]" * 2000,
    "array without an end": b"[",
    "empty object": b"{}",
    "object": b'{"%b":"%b"}' % (MARK.encode(), MARK.encode()),
    "object with a member twice": b'{"a":1,"a":2}',
    "object with an empty name": b'{"":""}',
    "object of a private key": b'{"kty":"oct","k":"AAAA","d":"AAAA"}',
    "object, 20 levels": b'{"a":' * 20 + b"1" + b"}" * 20,
    "nothing": b"",
    "two values": b"1 2",
    "comment": b"/* %b */ 1" % MARK.encode(),
    "single quotes": b"'%b'" % MARK.encode(),
}

#: What may come in a field, a parameter or a request target.
OCTETS: dict[str, bytes] = {
    **{kind: text.encode() for kind, text in _TRICKS.items()},
    "empty": b"",
    "space": b" ",
    "comma": b",",
    "NUL": b"%b\0" % MARK.encode(),
    "newline": b"%b\n" % MARK.encode(),
    "all octets": bytes(range(256)) + MARK.encode(),
    "not UTF-8": b"%b\xff\xfe" % MARK.encode(),
    "overlong UTF-8": b"%b\xc0\xaf\xe0\x80\xaf" % MARK.encode(),
    "surrogate in UTF-8": b"%b\xed\xa0\x80" % MARK.encode(),
    "UTF-16": MARK.encode("utf-16"),
    "null": b"null",
    "undefined": b"undefined",
    "zero": b"0",
    "negative": b"-1",
    "huge number": b"9" * 400,
    "NaN": b"NaN",
    "JSON array": b'["%b"]' % MARK.encode(),
    "JSON object": b'{"$ne":"%b"}' % MARK.encode(),
    "nested": b"[" * 1000,
    "too long": _TOO_LONG.encode(),
    "none": b"none",
    "a dot": b".",
    "asterisk": b"*",
    "key and value": b"%b=%b&a[]=1" % (MARK.encode(), MARK.encode()),
}

_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.just(MARK),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def _written(value: Any) -> bytes:
    return json.dumps(value).encode()


def json_values() -> st.SearchStrategy[bytes]:
    """Members of JSON: made-up ones, and what is no JSON at all."""
    return _json.map(_written) | st.binary(max_size=20)


def octets() -> st.SearchStrategy[bytes]:
    """Whatever can come over the wire."""
    marked = st.tuples(st.binary(max_size=30), st.just(MARK.encode()))
    return (
        st.binary(max_size=60)
        | st.text(max_size=30).map(str.encode)
        | marked.map(b"".join)
    )
