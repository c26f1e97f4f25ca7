"""Where the time of a request goes: what libraries do, and what is left for Python."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from benchmarks.world import (
    AUDIENCE,
    EC_KEY,
    ISSUER,
    NOW,
    SECRET,
    access_token,
    delivered_key,
    symmetric_proof,
)
from dpop_ext.core.base64url import b64url_decode
from dpop_ext.core.usual_claims import read_usual_claims
from dpop_ext.stores.base import REPLAY_KEY_LENGTH
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.symmetric.derivation import symmetric_key
from dpop_ext.symmetric.mac_key import MacKey

#: Keys that have not been used for anything, made before the clock runs.
NEW_KEYS = 3_000

#: What each request consists of, beside the Python between these parts.
PARTS: dict[str, tuple[str, ...]] = {
    "symmetric": (
        "SHA-256 of the access token",
        "MAC of a proof, key prepared",
        "base64url of a proof",
        "claims of a proof",
        "replay store, one add",
    ),
    "symmetric, token not seen before": (
        "RS256 verify",
        "SHA-256 of the access token",
        "base64url and JSON of the access token",
        "derivation of a key",
        "MAC of a proof, key prepared",
        "base64url of a proof",
        "claims of a proof",
        "replay store, one add",
    ),
    "ES256, key and token seen before": (
        "ES256 verify",
        "SHA-256 of the access token",
        "base64url of a proof",
        "claims of a proof",
        "replay store, one add",
    ),
    "ES256, nothing seen before": (
        "RS256 verify",
        "P-256 key: import and first verification",
        "SHA-256 of the access token",
        "base64url and JSON of the access token",
        "base64url of a proof",
        "claims of a proof",
        "replay store, one add",
    ),
}


def parts() -> dict[str, Callable[[], object]]:
    """Return the parts that are not primitives already, by name."""
    text, key = access_token(EC_KEY), delivered_key(EC_KEY)
    proof = symmetric_proof(key, text)
    _, claims, tag = proof.split(".")
    raw = b64url_decode(claims)
    mac_key, signing_input = MacKey("HS256", key.reveal()), proof.encode()[:250]
    header, payload, signature = text.split(".")
    jkt, secret = EC_KEY.thumbprint(), SECRET.reveal()
    store, counter = MemoryReplayStore(10_000_000), iter(range(1 << 62))

    def read_token() -> None:
        json.loads(b64url_decode(header))
        json.loads(b64url_decode(payload))
        b64url_decode(signature)

    return {
        "SHA-256 of the access token": lambda: hashlib.sha256(text.encode()).digest(),
        "MAC of a proof, key prepared": lambda: mac_key.tag(signing_input),
        "base64url of a proof": lambda: (b64url_decode(claims), b64url_decode(tag)),
        "claims of a proof": lambda: read_usual_claims(raw),
        "replay store, one add": lambda: store.add(
            next(counter).to_bytes(REPLAY_KEY_LENGTH, "little"),
            expires_at=NOW + 66,
            now=NOW,
        ),
        "base64url and JSON of the access token": read_token,
        "derivation of a key": lambda: symmetric_key(
            secret,
            algorithm="HS256",
            issuer=ISSUER,
            audience=AUDIENCE,
            client_id="app",
            jkt=jkt,
            version=1,
            r=secret,
        ),
        "P-256 key: import and first verification": _first_verification(),
    }


def _first_verification() -> Callable[[], object]:
    """Return a call that imports the next of many keys and uses it once."""
    ecdsa = ec.ECDSA(SHA256())
    made = []
    for _ in range(NEW_KEYS):
        key = ec.generate_private_key(ec.SECP256R1())
        numbers = key.public_key().public_numbers()
        made.append((numbers.x, numbers.y, key.sign(b"message", ecdsa)))
    upcoming = iter(made)

    def call() -> None:
        nonlocal upcoming
        found = next(upcoming, None)
        if found is None:
            upcoming = iter(made)
            found = next(upcoming)
        x, y, signature = found
        numbers = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1())
        numbers.public_key().verify(signature, b"message", ecdsa)

    return call


def shares(times: dict[str, float]) -> dict[str, dict[str, float]]:
    """Return what each part takes of each request, in microseconds.

    :param times: medians, by name.
    """
    found = {}
    for name, names in PARTS.items():
        each = {part: round(times[part], 2) for part in names}
        each["the rest: Python"] = round(times[name] - sum(each.values()), 2)
        found[name] = each
    return found
