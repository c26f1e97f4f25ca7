"""The operations that are measured: primitives, and what a request costs on top."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import ECKey

from dpop_ext.core.confirmation import AccessToken, Confirmation, DerivedKeyReference
from dpop_ext.core.jose import b64url_encode, sign_compact
from dpop_ext.core.proof import make_proof
from dpop_ext.stores.base import NoReplayProtection
from dpop_ext.stores.memory import MemoryKeyring, MemoryReplayStore
from dpop_ext.symmetric.derivation import symmetric_key
from dpop_ext.symmetric.proof import make_symmetric_proof
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing
from dpop_ext.verifier import ProofVerifier

NOW = 1_790_000_000
URL = "https://api.example.com/accounts/42"
ISSUER, AUDIENCE, CLIENT = "https://as.example.com", "https://api.example.com", "app"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One operation, and the primitive that it is compared with."""

    name: str
    call: Callable[[], object]
    base: str


def rows() -> list[Row]:
    """Return all operations; the first ones are the primitives."""
    key = ECKey.generate_key("P-256")
    jkt = key.thumbprint()
    value = secrets.token_bytes(32)
    secret, r = SecretBytes(value), secrets.token_bytes(32)
    derived = SecretBytes(
        symmetric_key(
            value,
            algorithm="HS256",
            issuer=ISSUER,
            audience=AUDIENCE,
            client_id=CLIENT,
            jkt=jkt,
            version=1,
            r=r,
        )
    )
    access_token = _access_token(key, jkt, r)
    confirmation = Confirmation(
        jkt=jkt,
        dsk=DerivedKeyReference(algorithm="HS256", version=1, r=r, expires_at=None),
    )
    token = AccessToken(
        issuer=ISSUER,
        audience=(AUDIENCE,),
        client_id=CLIENT,
        expires_at=NOW + 300,
        token_id="t",
        confirmation=confirmation,
        scope="accounts",
        claims={},
    )
    verifier = ProofVerifier(
        NoReplayProtection(),
        keyring=MemoryKeyring(_ring(secret)),
        issuer=ISSUER,
        audience=AUDIENCE,
        clock=lambda: NOW,
    )

    def make_asymmetric() -> str:
        return make_proof(
            key,
            algorithm="ES256",
            method="GET",
            url=URL,
            now=NOW,
            access_token=access_token,
        )

    def make_symmetric() -> str:
        return make_symmetric_proof(
            derived,
            algorithm="HS256",
            method="GET",
            url=URL,
            now=NOW,
            access_token=access_token,
        )

    def verify(proof: str) -> Callable[[], object]:
        def call() -> None:
            opened = verifier.open(
                proof, method="GET", url=URL, access_token=access_token
            )
            verifier.spend(verifier.verify(opened, token=token))

        return call

    return [
        *_primitives(),
        Row(name="make an ES256 proof", call=make_asymmetric, base="ES256 sign"),
        Row(name="make an HS256 proof", call=make_symmetric, base="HMAC-SHA256"),
        Row(
            name="verify an ES256 proof",
            call=verify(make_asymmetric()),
            base="ES256 verify",
        ),
        Row(
            name="verify an HS256 proof",
            call=verify(make_symmetric()),
            base="ES256 verify",
        ),
        Row(name="memory store, one add", call=_store_add(), base="HMAC-SHA256"),
    ]


def _primitives() -> list[Row]:
    message, mac_key = secrets.token_bytes(300), secrets.token_bytes(32)
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key()
    algorithm = ec.ECDSA(SHA256())
    signature = private.sign(message, algorithm)
    operations: dict[str, Callable[[], object]] = {
        "ES256 sign": lambda: private.sign(message, algorithm),
        "ES256 verify": lambda: public.verify(signature, message, algorithm),
        "HMAC-SHA256": lambda: hmac.digest(mac_key, message, "sha256"),
    }
    return [Row(name=name, call=call, base=name) for name, call in operations.items()]


def _access_token(key: ECKey, jkt: str, r: bytes) -> str:
    dsk = {"alg": "HS256", "v": 1, "r": b64url_encode(r)}
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "exp": NOW + 300,
        "client_id": CLIENT,
        "cnf": {"jkt": jkt, "dsk": dsk},
    }
    return sign_compact({"typ": "at+jwt", "alg": "ES256"}, claims, key)


def _ring(secret: SecretBytes) -> SecretRing:
    entry = AudienceSecret(
        version=1,
        state="active",
        not_before=0,
        expires_at=NOW + 3600,
        secret=secret,
    )
    return SecretRing([entry], issuer=ISSUER, audience=AUDIENCE)


def _store_add() -> Callable[[], object]:
    store = MemoryReplayStore(10_000_000)
    counter = iter(range(1 << 62))

    def add() -> bool:
        number = next(counter)
        key = number.to_bytes(16, "little")
        # As if 10,000 requests came in a second.
        now = NOW + number // 10_000
        return store.add(key, expires_at=now + 66, now=now)

    return add
