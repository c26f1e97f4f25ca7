"""Write responses.json: answers with their response proofs, good and bad.

Computed with the standard library alone, without this package. Everything is fixed, so
a second run writes the same file::

    python -m tests.vectors.generate_responses
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent
NOW: Final = 1_790_000_000
PROTECTED: Final = (
    *("content-type", "content-encoding", "content-range", "location", "etag"),
    *("www-authenticate", "dpop-ticket", "retry-after"),
)

#: What each vector is made from: a request with its answer.
REQUEST: Final[dict[str, str]] = {"target": "/a?b=c%2Fd", "content": "amount=10"}
ANSWER: Final[dict[str, Any]] = {
    "method": "POST",
    "status": 201,
    "fields": [
        ["Content-Type", "application/json"],
        ["ETag", '"1"'],
        ["Date", "not protected"],
    ],
    "content": '{"id":1}',
}
CHALLENGES: Final = [
    ["WWW-Authenticate", "Bearer"],
    ["WWW-Authenticate", 'DPoP error="use_dpop_nonce"'],
]
#: Good ones: name, changes of the request, changes of the answer.
GOOD: Final[list[tuple[str, dict[str, str], dict[str, Any]]]] = [
    ("a usual answer", {}, {}),
    ("no query and no content", {"target": "/a", "content": ""}, {}),
    ("an empty query", {"target": "/a?"}, {}),
    ("a second question mark", {"target": "/a?b?c"}, {}),
    ("no protected field", {}, {"fields": []}),
    ("an empty protected field", {}, {"fields": [["ETag", ""]]}),
    ("two lines of one field", {}, {"status": 401, "fields": CHALLENGES}),
    ("white space around a value", {}, {"fields": [["etag", ' "1"\t']]}),
    ("HEAD has no content", {}, {"method": "HEAD", "status": 200, "content": ""}),
    ("204 has no content", {}, {"status": 204, "content": "", "fields": []}),
    ("304 has no content", {}, {"status": 304, "content": ""}),
    ("bytes beyond ASCII", {}, {"content": "\u00e9", "fields": [["ETag", '"\u00e9"']]}),
]
#: Bad ones: name, what the receiver sees in place of what was proved.
BAD: Final[list[tuple[str, dict[str, Any]]]] = [
    ("another request", {"proof": "a.b.c"}),
    ("another query", {"target": "/a?b=c/d"}),
    ("a query that was taken away", {"target": "/a"}),
    ("another request content", {"request_content": "amount=99"}),
    ("another status", {"status": 200}),
    ("another content", {"content": '{"id":2}'}),
    ("no content", {"content": ""}),
    ("another content type", {"fields": [["Content-Type", "text/html"]]}),
    ("a field that was added", {"more": [["Location", "/b"]]}),
    ("an empty field that was added", {"more": [["Location", ""]]}),
    ("a field that was doubled", {"more": [["ETag", '"1"']]}),
    ("a time long past", {"now": NOW + 301}),
    ("a time to come", {"now": NOW - 301}),
    ("another key", {"K_res": "00" * 32}),
    ("a request's proof", {"header": {"typ": "dpop-sym+jwt", "alg": "HS256"}}),
    ("an unprotected proof", {"header": {"typ": "dpop-sym-res+jwt", "alg": "none"}}),
    ("status as a string", {"claims": {"status": "201"}}),
    ("status as a boolean", {"claims": {"status": True}}),
    ("time as a boolean", {"claims": {"iat": True}}),
    ("time as a string", {"claims": {"iat": str(NOW)}}),
    *(
        (f"no {name}", {"claims": {name: None}})
        for name in ("rph", "rhq", "rcd", "iat", "status", "cd", "hd")
    ),
]


#: What a vector shows, by words of its name; the others show R1901.
REQUIREMENTS: Final = {
    "R2161": ("request", "query", "question mark", "rph", "rhq", "rcd"),
    "R2162": ("status", "content", "HEAD", "204", "304", "bytes", "no cd"),
    "R2163": ("field", "white space", "content type", "no hd"),
}


def requirements(name: str) -> list[str]:
    """Return the entries of docs/requirements.toml that a vector is there for."""
    if "proof" in name:
        return ["R1901"]
    shown = [
        requirement
        for requirement, words in REQUIREMENTS.items()
        if any(word in name for word in words)
    ]
    if "content type" in name:
        shown.remove("R2162")
    if "request content" in name:
        shown.remove("R2162")
    return shown or ["R1901"]


def generate() -> dict[str, Any]:
    """Return the content of the file."""
    published = json.loads((FOLDER / "dpop-sym-1.json").read_text("utf-8"))
    proof = published["proof"]
    keys = {
        alg: expand_once(bytes.fromhex(published[f"SK_{alg}"]))
        for alg in ("HS256", "HS512")
    }
    vectors = []
    for name, request, answer in GOOD:
        seen = see(REQUEST | request, ANSWER | answer, proof=proof)
        text = respond(keys["HS256"], seen)
        named = {"name": name, "requirements": requirements(name)}
        vectors.append({**named, "result": "accepted", **seen, "response": text})
    for name, change in BAD:
        vectors.append(bad(name, change, keys["HS256"], proof))
    return {
        "SK": {alg: published[f"SK_{alg}"] for alg in keys},
        "K_res": {alg: key.hex() for alg, key in keys.items()},
        "now": NOW,
        "vectors": vectors,
    }


def bad(name: str, change: dict[str, Any], key: bytes, proof: str) -> dict[str, Any]:
    """Make a vector whose answer is not the one that was proved."""
    change = dict(change)
    seen = see(REQUEST, ANSWER, proof=proof)
    text = respond(key, seen, change.pop("header", None), change.pop("claims", {}))
    more = change.pop("more", [])
    seen = seen | change
    seen["fields"] = [*seen["fields"], *more]
    named = {"name": name, "requirements": requirements(name)}
    return {**named, "result": "refused", **seen, "response": text}


def see(
    request: dict[str, str], answer: dict[str, Any], *, proof: str
) -> dict[str, Any]:
    """Put together what both sides see; text stands for its bytes in Latin-1."""
    return {
        "proof": proof,
        "target": request["target"],
        "request_content": request["content"],
        **answer,
    }


def respond(
    key: bytes,
    seen: dict[str, Any],
    header: dict[str, str] | None = None,
    changes: dict[str, Any] | None = None,
) -> str:
    """Make a response proof."""
    claims = {
        "rph": digest(seen["proof"]),
        "rhq": digest(seen["target"].partition("?")[2]),
        "rcd": digest(seen["request_content"]),
        "iat": NOW,
        "status": seen["status"],
        "cd": digest(seen["content"]),
        "hd": b64url(hashlib.sha256(encode_fields(seen["fields"])).digest()),
    } | (changes or {})
    header = header or {"typ": "dpop-sym-res+jwt", "alg": "HS256"}
    present = {name: value for name, value in claims.items() if value is not None}
    signing_input = f"{b64url(compact(header))}.{b64url(compact(present))}"
    return (
        f"{signing_input}.{b64url(hmac.digest(key, signing_input.encode(), 'sha256'))}"
    )


def encode_fields(fields: list[list[str]]) -> bytes:
    """Return what ``hd`` is the digest of."""
    text = b""
    for name in PROTECTED:
        lines = [value.strip(" \t") for other, value in fields if other.lower() == name]
        text += lp(name.encode())
        text += b"\1" + lp(", ".join(lines).encode("latin-1")) if lines else b"\0"
    return text


def expand_once(key: bytes) -> bytes:
    """Return the key of response proofs: HKDF-Expand with SHA-256, one block."""
    return hmac.digest(key, b"dpop-sym/1 res\0\1", "sha256")


def lp(value: bytes) -> bytes:
    """Return *value* behind its length in two bytes."""
    return len(value).to_bytes(2, "big") + value


def digest(text: str) -> str:
    """Return the SHA-256 of a text in Latin-1, base64url."""
    return b64url(hashlib.sha256(text.encode("latin-1")).digest())


def compact(value: dict[str, Any]) -> bytes:
    """Return compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def b64url(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


if __name__ == "__main__":
    text = json.dumps(generate(), indent=1) + "\n"
    (FOLDER / "responses.json").write_text(text, "utf-8")
