"""What libraries take of an operation, whoever calls them: none is quicker than that.

Each part is one thing that cannot be left out, as the standard library or cryptography
does it, called with its arguments at hand, and nothing around it.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import OKPKey

from benchmarks.world import (
    AUDIENCE,
    EC_KEY,
    ISSUER,
    NOW,
    access_token,
    asymmetric_proof,
    delivered_key,
    symmetric_proof,
)
from dpop_ext.symmetric.key_request import key_request_claim

#: Keys that have not been used for anything, made before the clock runs.
NEW_KEYS = 3_000
_STANDARD = bytes.maketrans(b"-_", b"+/")

_TOKEN = "SHA-256 of the access token"
_MAC = "MAC, key prepared"
_HMAC = "HMAC-SHA256"
_PROOF = "base64 of a proof, a regular expression for its claims"
_HEADER = "base64 of the header of a proof, a regular expression for it"
_NAME = "SHA-256 that names a proof"
_DICT = "one setdefault of a dict"
_JWT = "base64 of the access token, JSON of its claims"
_DER = "DER of a signature"
_NEW_KEY = "P-256 key: import and first verification"
_JTI = "96 random bits in base64"
_WRITE = "text and base64 of the claims of a proof"
_SEAL = "AES-256-GCM of a key"
_NEW_X25519 = "X25519 key pair"
_RECIPIENT = "X25519 key of a request: import"
_CLAIM = "JSON of a request for a key"
_JWE = "JSON and base64 of a JWE"
_TWO = "SHA-256 of a key agreement and of a thumbprint"

#: What every check of a proof consists of, beside what makes it one or the other.
_ANY = (_TOKEN, _PROOF, _NAME, _DICT)
_FIRST = ("RS256 verify", _JWT)
#: Each operation, as what libraries have to do for it.
PARTS: dict[str, tuple[str, ...]] = {
    "symmetric": (*_ANY, _MAC),
    "symmetric, with a ticket": (*_ANY, _MAC),
    "symmetric, token not seen before": (*_ANY, *_FIRST, _HMAC, _MAC),
    "ES256, key and token seen before": (*_ANY, "ES256 verify", _DER),
    "Ed25519, key and token seen before": (*_ANY, "Ed25519 verify"),
    "ES256, nothing seen before": (*_ANY, *_FIRST, _HEADER, _NEW_KEY, _DER),
    "make a symmetric proof": (_JTI, _WRITE, _MAC),
    "make an ES256 proof": (_JTI, _WRITE, "ES256 sign", _DER),
    "issuance: added by DPoP and a symmetric key": (
        *(_HEADER, _PROOF, "ES256 verify", _DER, _NAME, _DICT),
        *(_CLAIM, _RECIPIENT, _HMAC, _TOKEN, _TWO),
        *(_NEW_X25519, "X25519", _SEAL, _JWE),
    ),
    # What libraries have to do at least before a refusal can be right.
    **{
        f"refuse: {what}": ()
        for what in (
            *("no proof", "8 KiB of dots", "8 KiB of brackets"),
            *(
                f"{kind}, {what}"
                for kind in ("symmetric", "ES256")
                for what in ("old", "elsewhere", "of another token")
            ),
        )
    },
    "refuse: symmetric, bad MAC": (_TOKEN, _MAC),
    "refuse: whole decision, bad MAC": (_TOKEN, _MAC),
    "refuse: symmetric, bad MAC, forged token": (_TOKEN, _JWT, _HMAC, _MAC),
    "refuse: symmetric, used": (*_ANY, _MAC),
    "refuse: ES256, bad signature": ("ES256 verify", _DER),
    "refuse: ES256, by another key": (),
    "refuse: ES256, forged token": ("RS256 verify",),
}


def parts() -> dict[str, Callable[[], object]]:
    """Return the parts that are not primitives already, by name."""
    text, key = access_token(EC_KEY), delivered_key(EC_KEY)
    _, claims, tag = symmetric_proof(key, text).encode().split(b".")
    header, _, signature = asymmetric_proof(EC_KEY, "ES256", text).encode().split(b".")
    _, token_claims, token_signature = text.encode().split(b".")
    raw = _decode(signature)
    r, s = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
    der = encode_dss_signature(r, s)
    inner, outer = hashlib.sha256(bytes(64)), hashlib.sha256(bytes(64))
    values = json.loads(_decode(claims))
    form = json.dumps(dict.fromkeys(values, "%s")).encode()
    texts = tuple(str(value).encode() for value in values.values())
    # Of as many groups as there are claims.
    member = rb'"[a-z]+":(?:"([^"]+)"|([0-9]+))'
    pattern = re.compile(rb"\{" + rb",".join([member] * len(values)) + rb"\}")
    words = re.compile(rb'"([^"]+)"')
    names: dict[bytes, bytes] = {}
    secret = key.reveal()
    x25519_key = OKPKey.generate_key("X25519")
    request = json.dumps(
        key_request_claim(algorithms=("HS256",), encryption_key=x25519_key)
    )
    jwe_header = {
        "typ": "dpop-sym+jwe",
        "alg": "ECDH-ES",
        "enc": "A256GCM",
        "cty": "jwk+json",
        "kid": x25519_key.thumbprint(),
        "dsk": {"iss": ISSUER, "aud": AUDIENCE, "exp": NOW, "ath": "a" * 43, "v": 1},
        "epk": x25519_key.as_dict(private=False),
    }

    def mac() -> bytes:
        one, other = inner.copy(), outer.copy()
        one.update(claims)
        other.update(one.digest())
        return other.digest()

    def read_proof() -> None:
        _decode(tag)
        matched = pattern.fullmatch(_decode(claims))
        if matched is None:
            raise AssertionError("no proof of this package")
        matched.groups()

    def read_token() -> None:
        json.loads(_decode(token_claims).decode())
        _decode(token_signature)

    def add() -> None:
        name = secret[:14]
        names.setdefault(name, name)

    return {
        _TOKEN: lambda: hashlib.sha256(text.encode()).digest(),
        _MAC: mac,
        _PROOF: read_proof,
        _HEADER: lambda: words.findall(_decode(header)),
        _NAME: lambda: hashlib.sha256(claims[:66]).digest(),
        _DICT: add,
        _JWT: read_token,
        _DER: lambda: (encode_dss_signature(r, s), decode_dss_signature(der)),
        _NEW_KEY: _first_verification(),
        _JTI: lambda: binascii.b2a_base64(secrets.token_bytes(12)),
        _WRITE: lambda: binascii.b2a_base64(form % texts),
        _SEAL: lambda: AESGCM(secret).encrypt(bytes(12), secret, claims),
        _NEW_X25519: X25519PrivateKey.generate,
        _RECIPIENT: lambda: X25519PublicKey.from_public_bytes(secret),
        _CLAIM: lambda: json.loads(request),
        _JWE: lambda: (
            binascii.b2a_base64(json.dumps(jwe_header).encode()),
            binascii.b2a_base64(claims),
            binascii.b2a_base64(tag),
        ),
        _TWO: lambda: (
            hashlib.sha256(claims[:80]).digest(),
            hashlib.sha256(claims[:90]).digest(),
        ),
    }


def library_work() -> Callable[[], object]:
    """Return a call of all that libraries do for a symmetric proof."""
    calls = parts() | {_HMAC: lambda: hmac.digest(b"key", b"message", "sha256")}
    return in_turn(calls, PARTS["symmetric"])


def in_turn(
    calls: Mapping[str, Callable[[], object]], names: Iterable[str]
) -> Callable[[], object]:
    """Return one call of all of *names*, one after the other."""
    wanted = [calls[name] for name in names]

    def call() -> None:
        for each in wanted:
            each()

    return call


def shares(
    medians: Mapping[str, float], names: Iterable[str] = tuple(PARTS)
) -> dict[str, dict[str, float]]:
    """Return what each part takes of each operation, in microseconds.

    :param medians: of the parts, by name; what was not measured is left out.
    """
    return {
        name: {part: round(medians[part], 2) for part in PARTS[name]}
        for name in names
        if all(part in medians for part in PARTS[name])
    }


def _decode(segment: bytes) -> bytes:
    return binascii.a2b_base64(segment.translate(_STANDARD) + b"==")


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
