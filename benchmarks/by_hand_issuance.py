"""A bound token with a symmetric key, by hand for one client, in two functions.

As :mod:`benchmarks.by_hand`: the least that Python takes for one proof by ES256, one
audience, and a key for HS256 that is encrypted by ECDH-ES. Nobody should use it.
"""

from __future__ import annotations

import binascii
import hashlib
import re
import secrets
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from flask import g, request

from benchmarks.by_hand import RefusedError, import_key
from dpop_ext.authorization_server import AccessTokenGenerator
from dpop_ext.core.base64url import b64url_encode, b64url_segments
from dpop_ext.symmetric.derivation import symmetric_key

_CLAIMS = re.compile(
    rb'\{"dsk":\{"algs":\["HS256"\],"jwk":\{"crv":"X25519","x":"([A-Za-z0-9_-]{43})"'
    rb',"kty":"OKP"\},"kalgs":\["ECDH-ES"\],"encs":\["A256GCM"\]\}'
    rb',"jti":"([A-Za-z0-9_-]{1,256})","htm":"([A-Z]+)","htu":"([!#-~]+)"'
    rb',"iat":([1-9][0-9]{0,14})\}'
)
_ECDSA = ec.ECDSA(SHA256())
_URLSAFE = bytes.maketrans(b"-_", b"+/")
_PADDING = (b"", b"", b"==", b"=")
_OTHER_INFO = b"\0\0\0\7A256GCM" + bytes(8) + b"\0\0\1\0"


class ByHandGenerator(AccessTokenGenerator):
    """Makes tokens for requests with a proof that asks for a key; refuses all others.

    :param secret: that symmetric keys are derived from, its version 1.
    :param url: of the token endpoint.
    """

    def __init__(self, *args: Any, secret: bytes, url: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._secret, self._url = secret, url.encode()
        self._known_keys: dict[str, tuple[ec.EllipticCurvePublicKey, str]] = {}
        self._used: dict[bytes, bytes] = {}

    def get_extra_claims(
        self, client: Any, grant_type: str, user: Any, scope: str | None
    ) -> dict[str, Any]:
        """Verify the proof, and bind the token."""
        now, proof = int(self.clock()), request.environ["HTTP_DPOP"]
        if len(proof) > 8192:
            raise RefusedError
        signing_input, _, last = proof.rpartition(".")
        header, _, payload = signing_input.partition(".")
        matched = _CLAIMS.fullmatch(_decode(payload))
        if matched is None:
            raise RefusedError
        x, jti, htm, htu, digits = matched.groups()
        key, jkt = self._known_keys.get(header) or import_key(header)
        given, iat = _decode(last), int(digits)
        r, s = int.from_bytes(given[:32]), int.from_bytes(given[32:])
        if len(given) != 64:
            raise RefusedError
        try:
            key.verify(
                encode_dss_signature(r, s), signing_input.encode("ascii"), _ECDSA
            )
        except InvalidSignature as error:
            raise RefusedError from error
        self._known_keys[header] = key, jkt
        if htm != b"POST" or htu != self._url or not now - 65 <= iat <= now + 30:
            raise RefusedError
        name = hashlib.sha256(f"{jkt}\0".encode() + jti).digest()[:14]
        if self._used.setdefault(name, name) is not name:
            raise RefusedError
        g.random, g.jkt, g.x = secrets.token_bytes(32), jkt, x
        expires_at = now + self._get_expires_in(client, grant_type)
        dsk = {"alg": "HS256", "v": 1, "r": b64url_encode(g.random), "exp": expires_at}
        return {"cnf": {"jkt": jkt, "dsk": dsk}}

    def generate(self, *args: Any, **options: Any) -> dict[str, Any]:
        """Make the token response, with the key."""
        token = super().generate(*args, **options)
        jkt, client_id = g.jkt, args[1].client_id
        key = symmetric_key(
            self._secret,
            algorithm="HS256",
            issuer=self.issuer,
            audience=self.audience or "",
            client_id=client_id,
            jkt=jkt,
            version=1,
            r=g.random,
        )
        x = g.x.decode()
        kid = hashlib.sha256(f'{{"crv":"X25519","kty":"OKP","x":"{x}"}}'.encode())
        ath = hashlib.sha256(token["access_token"].encode())
        ephemeral = X25519PrivateKey.generate()
        epk = b64url_encode(ephemeral.public_key().public_bytes_raw())
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(_decode(x)))
        content_key = hashlib.sha256(b"\0\0\0\1" + shared + _OTHER_INFO).digest()
        protected = b64url_segments(
            (
                '{"typ":"dpop-sym+jwe","alg":"ECDH-ES","enc":"A256GCM","dsk":{"iss":"'
                f'{self.issuer}","aud":"{self.audience}"'
                f',"exp":{int(self.clock()) + token["expires_in"]}'
                f',"ath":"{b64url_encode(ath.digest())}","v":1}},"cty":"jwk+json"'
                f',"kid":"{b64url_encode(kid.digest())}"'
                f',"epk":{{"kty":"OKP","crv":"X25519","x":"{epk}"}}}}'
            ).encode()
        )
        iv = secrets.token_bytes(12)
        plaintext = (
            '{"kty":"oct","use":"sig","key_ops":["sign"],"alg":"HS256","k":"'
            f'{b64url_encode(key)}","kid":"1"}}'
        ).encode()
        sealed = AESGCM(content_key).encrypt(iv, plaintext, protected)
        rest = b64url_segments(b"", iv, sealed[:-16], sealed[-16:])
        token["cnf"] = {"jkt": jkt, "jwe": (protected + b"." + rest).decode()}
        token["token_type"] = "DPoP"
        return token


def _decode(segment: str) -> bytes:
    encoded = segment.encode("ascii").translate(_URLSAFE)
    return binascii.a2b_base64(encoded + _PADDING[len(encoded) & 3], strict_mode=True)
