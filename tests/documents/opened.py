"""A vector as the JSON documents that are in it, to be shown and compared."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.vectors.generate_symmetric import concat_kdf
from tests.vectors.profile.parts import sha256

#: The documents of a vector by what they are called: an object, or what is no object
#: or not written as one usually is.
Documents = dict[str, dict[str, Any] | str]

_VERDICT: Final = {"name", "requirements", "error", "sym_error", "result"}


def open_derivation(vector: dict[str, Any], _: Any) -> Documents:
    """Return arguments and result of a derivation."""
    hidden = _VERDICT | {"info"}
    return {"derivation": {n: v for n, v in vector.items() if n not in hidden}}


def open_request(vector: dict[str, Any], _: Any) -> Documents:
    """Return claim and parameter of a request."""
    dsk = "absent" if vector["dsk"] is None else vector["dsk"]
    parameter = vector["dpop_sym"]
    form = {} if parameter is None else {"dpop_sym": parameter}
    return {"dsk": dsk, "form": form}


def open_proof(vector: dict[str, Any], _: Any) -> Documents:
    """Return what a proof and its token say."""
    token, proof = vector["access_token"], vector["proof"]
    documents = _jws("proof", proof) | _jws("token", token)
    claims = documents["proof claims"]
    if isinstance(claims, dict):
        # What differs from proof to proof and from token to token is nothing special.
        usual = {"jti": claims.get("jti"), "ath": sha256(token)}
        same = {name: "..." for name, text in usual.items() if claims.get(name) == text}
        documents["proof claims"] = claims | {
            n: v for n, v in same.items() if n in claims
        }
    return documents


def open_key_jwe(vector: dict[str, Any], content: dict[str, Any]) -> Documents:
    """Return header and plaintext of a JWE."""
    header, plaintext = _decrypted(vector["jwe"], content["private_key"])
    documents: Documents = {"header": header, "text": _shape(vector["jwe"])}
    if "n" in vector:
        documents["request"] = {"n": vector["n"]}
    if plaintext is not None:
        documents["plaintext"] = _parsed(plaintext)
    return documents


def open_ticket_field(vector: dict[str, Any], content: dict[str, Any]) -> Documents:
    """Return the field, and header and plaintext of the JWE in it."""
    found = re.search(r'key="([^"]*)"', vector["field"])
    if found is None:
        return {"field": vector["field"]}
    header, plaintext = _decrypted(found[1], content["private_key"])
    field = vector["field"].replace(found[1], "...")
    documents: Documents = {"field": field, "header": header}
    if plaintext is not None:
        documents["plaintext"] = _parsed(plaintext)
    return documents


def open_key_material(vector: dict[str, Any], content: dict[str, Any]) -> Documents:
    """Return header and plaintext of a JWE with key material."""
    header, plaintext = _decrypted(vector["k_jwe"], content["private_key"])
    return {"header": header, "plaintext": f"{len(plaintext or b'')} bytes"}


def open_response(vector: dict[str, Any], content: dict[str, Any]) -> Documents:
    """Return a request, its answer, and what the response proof says."""
    asked = ("proof", "target", "request_content")
    answered = ("method", "status", "fields", "content")
    received = {"now": vector.get("now", content["now"])}
    return {
        "request": {name: vector[name] for name in asked},
        "answer": {name: vector[name] for name in answered} | received,
        **_jws("response proof", vector["response"]),
    }


def open_keyring(vector: dict[str, Any], content: dict[str, Any]) -> Documents:
    """Return what a keyring says, and how it is wrapped."""
    if vector["keyring"].count(".") == 2:
        return _jws("keyring", vector["keyring"])
    header, plaintext = _decrypted(vector["keyring"], content["private_key"])
    documents: Documents = {"header of the JWE": header}
    if plaintext is not None:
        documents |= _jws("keyring", plaintext.decode())
    return documents


OPENED: Final[dict[str, Callable[[dict[str, Any], dict[str, Any]], Documents]]] = {
    "symmetric-proofs": open_proof,
    "key-requests": open_request,
    "key-jwes": open_key_jwe,
    "encapsulated-keys": open_key_jwe,
    "key-material": open_key_material,
    "tickets": open_proof,
    "ticket-fields": open_ticket_field,
    "keyrings": open_keyring,
    "derivations": open_derivation,
    "../responses": open_response,
}


def _jws(name: str, text: str) -> Documents:
    header, payload, *rest = text.split(".")
    return {
        f"{name} header": _parsed(_decode(header)),
        f"{name} claims": _parsed(_decode(payload)),
        f"{name} behind the claims": _shape(".".join(["", *rest])),
    }


def _shape(text: str) -> str:
    """Return how long the parts are: their letters say nothing to people."""
    lengths = [f"{len(part)} characters" for part in text.split(".")]
    padding = ", with padding" if "=" in text else ""
    return f"{lengths[-1]} in the last of {len(lengths)} parts{padding}"


def _decrypted(text: str, jwk: dict[str, str]) -> tuple[dict[str, Any], bytes | None]:
    parts = text.split(".")
    header: dict[str, Any] = json.loads(_decode(parts[0]))
    try:
        x, y = (int.from_bytes(_decode(header["epk"][name])) for name in "xy")
        public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        private = ec.derive_private_key(
            int.from_bytes(_decode(jwk["d"])), ec.SECP256R1()
        )
        key = concat_kdf(private.exchange(ec.ECDH(), public), "A256GCM", 256)
        iv, ciphertext, tag = (_decode(part) for part in parts[2:])
        return header, AESGCM(key).decrypt(iv, ciphertext + tag, parts[0].encode())
    except Exception:  # noqa: BLE001 - a bad one that nobody can read
        return header, None


def _parsed(raw: bytes) -> dict[str, Any] | str:
    text = raw.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except ValueError:
        return text
    # What does not survive the round trip is special: a repeated member, an infinity.
    survives = json.dumps(value, separators=(",", ":")) == text
    return value if survives and isinstance(value, dict) else text


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")
