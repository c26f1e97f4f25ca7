"""The check of a proof, written by hand for one server, in one function.

No layers, options, errors that tell what is wrong, other algorithms or tokens, and no
longer way for what is written otherwise: the least that Python takes for what is
checked of a request whose token and key are known. Nobody should use it.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import json
import re
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import ECKey

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.confirmation import AccessToken
from dpop_ext.resource_server import AccessTokenValidator
from dpop_ext.stores.base import ReplayStore
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.symmetric.derivation import symmetric_key

_HEADER = b64url_encode(b'{"typ":"dpop-sym+jwt","alg":"HS256"}')
_CLAIMS = re.compile(
    rb'\{"jti":"([A-Za-z0-9_-]{1,256})","htm":"([A-Z]+)","htu":"([!#-~]+)"'
    rb',"iat":([1-9][0-9]{0,14}),"ath":"([A-Za-z0-9_-]{43})"\}'
)
_ECDSA = ec.ECDSA(SHA256())
_URLSAFE = bytes.maketrans(b"-_", b"+/")
_PADDING = (b"", b"", b"==", b"=")
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


class RefusedError(Exception):
    """Something is wrong with the request."""


class BareRedis:
    """Used proofs in Redis, by the least that a socket takes.

    No time-out, no new connection after one has broken, none after a fork, no look at
    the clock of Redis, no error that is told from a replay.

    :param url: ``unix://`` and a path.
    """

    def __init__(self, url: str) -> None:
        self._path = url.removeprefix("unix://")
        self._idle: list[socket.socket] = []

    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        """Insert *key*, of 14 bytes, if it is absent."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(self._path)
        seconds = b"%d" % (expires_at - now + 11)
        connection.sendall(
            b"*6\r\n$3\r\nSET\r\n$14\r\n%b\r\n$1\r\n1\r\n$2\r\nNX\r\n$2\r\nEX\r\n$%d\r\n%b\r\n"
            % (key, len(seconds), seconds)
        )
        answer = connection.recv(4096)
        self._idle.append(connection)
        return answer == b"+OK\r\n"


class _Known(NamedTuple):
    """What is remembered of a token."""

    token: AccessToken
    until: float
    ath: bytes
    #: The states of the MAC.
    inner: Any
    outer: Any


def checking(  # noqa: C901, PLR0915 - one function, on purpose
    settings: Mapping[str, Any],
    *,
    store: ReplayStore | None = None,
    clock: Callable[[], float] = time.time,
) -> Callable[[str, str, str, str], AccessToken]:
    """Return the check: of method, raw target, ``Authorization`` field and proof.

    :param settings: as of the route that is measured.
    :param store: of used proofs; a new one in memory by default.
    """
    issuer, audience = settings["issuer"], settings["audience"]
    validator = AccessTokenValidator(
        issuer, audience, jwks={"keys": [settings["issuer_key"]]}, clock=clock
    )
    secret = bytes.fromhex(settings["secret"])
    usable = {1: settings["expires_at"]}
    store = store or MemoryReplayStore(10_000_000)
    #: Public keys and their thumbprints, by the header of a proof.
    known_keys: dict[str, tuple[ec.EllipticCurvePublicKey, str]] = {}
    known_tokens: dict[bytes, _Known] = {}

    def remember(digest: bytes, text: str, now: float) -> _Known:
        token = validator(text)
        confirmation, client_id = token.confirmation, token.client_id
        if not confirmation or not confirmation.dsk or not confirmation.jkt:
            raise RefusedError
        if not client_id:
            raise RefusedError
        key = symmetric_key(
            secret,
            algorithm="HS256",
            issuer=issuer,
            audience=audience,
            client_id=client_id,
            jkt=confirmation.jkt,
            version=confirmation.dsk.version,
            r=confirmation.dsk.r,
        ).ljust(64, b"\0")
        known = known_tokens[digest] = _Known(
            token=token,
            until=min(now + 60, token.expires_at or 0),
            ath=b64url_encode(digest).encode(),
            inner=hashlib.sha256(key.translate(_INNER)),
            outer=hashlib.sha256(key.translate(_OUTER)),
        )
        return known

    def check(method: str, target: str, authorization: str, proof: str) -> AccessToken:
        scheme, _, text = authorization.partition(" ")
        if scheme != "DPoP" or "," in text or len(text) > 16384 or len(proof) > 4096:
            raise RefusedError
        signing_input, _, tag = proof.rpartition(".")
        header, _, payload = signing_input.partition(".")
        encoded = payload.encode("ascii").translate(_URLSAFE)
        matched = _CLAIMS.fullmatch(
            binascii.a2b_base64(encoded + _PADDING[len(encoded) & 3], strict_mode=True)
        )
        if matched is None:
            raise RefusedError
        jti, htm, htu, digits, ath = matched.groups()
        now = clock()
        digest = hashlib.sha256(text.encode("ascii")).digest()
        known = known_tokens.get(digest)
        if known is None or now >= known.until:
            known = remember(digest, text, now)
        token = known.token
        confirmation = token.confirmation
        if confirmation is None or confirmation.dsk is None:
            raise RefusedError
        encoded = tag.encode("ascii").translate(_URLSAFE)
        given = binascii.a2b_base64(encoded + _PADDING[len(encoded) & 3])
        if header == _HEADER:
            inner, outer = known.inner.copy(), known.outer.copy()
            inner.update(signing_input.encode("ascii"))
            outer.update(inner.digest())
            if not usable.get(
                confirmation.dsk.version, 0
            ) > now or not hmac.compare_digest(outer.digest(), given):
                raise RefusedError
        else:
            key, jkt = known_keys.get(header) or import_key(header)
            r, s = int.from_bytes(given[:32]), int.from_bytes(given[32:])
            if jkt != confirmation.jkt or len(given) != 64:
                raise RefusedError
            try:
                key.verify(
                    encode_dss_signature(r, s), signing_input.encode("ascii"), _ECDSA
                )
            except InvalidSignature as error:
                raise RefusedError from error
            known_keys[header] = key, jkt
        iat = int(digits)
        if (
            not hmac.compare_digest(ath, known.ath)
            or htm != method.encode("ascii")
            or htu != (audience + target.partition("?")[0]).encode("ascii")
            or not now - 65 <= iat <= now + 5
            or "accounts" not in token.scope.split()
        ):
            raise RefusedError
        name = hashlib.sha256(f"{confirmation.jkt}\0".encode() + jti).digest()[:14]
        if not store.add(name, expires_at=iat + 66, now=int(now)):
            raise RefusedError
        return token

    return check


def import_key(header: str) -> tuple[ec.EllipticCurvePublicKey, str]:
    """Return the key of a header, and its thumbprint."""
    encoded = header.encode("ascii").translate(_URLSAFE)
    members = json.loads(binascii.a2b_base64(encoded + b"=="))
    if (members["typ"], members["alg"]) != ("dpop+jwt", "ES256"):
        raise RefusedError
    key = ECKey.import_key(members["jwk"])
    return key.public_key, key.thumbprint()
