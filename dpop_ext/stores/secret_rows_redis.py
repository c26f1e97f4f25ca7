"""Where a resource server reads its derivation secrets, sealed: in Redis or Valkey.

DPoP Symmetric Profile 1.0.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Self

from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.strict_json import parse_json_object
from dpop_ext.errors import StoreError
from dpop_ext.stores.redis_client import RedisClient, check_settings, connect
from dpop_ext.stores.secret_tables import MAX_VERSIONS
from dpop_ext.symmetric.derivation import lp
from dpop_ext.symmetric.keyring_claims import MAX_STALE
from dpop_ext.symmetric.sealed_row import SealedRow

#: Longest text of an audience, in bytes.
MAX_TEXT = 16_384
#: Seconds that a copy is there: as long as a keyring may be old. A server that reads
#: one when the copying has stopped would never hear of a revocation.
COPY_LIFETIME = MAX_STALE
#: Characters ``{}[]:,`` that it may have.
MAX_STRUCTURAL = 16 * MAX_VERSIONS + 16

# An older copy does not replace a newer one, whoever is late.
_SCRIPT = """
local held = redis.call('GET', KEYS[1])
if held and cjson.decode(held).seq > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""


class RedisSecretRows:
    """The rows of one audience: one key, read and replaced as a whole.

    Who writes them needs no key to open them: it copies what the authorization server
    has, see ``dpop-ext secrets publish``.

    :param client: a ``redis.Redis`` or ``redis.RedisCluster``, with time-outs of its
        own; :meth:`from_url` makes one. A resource server may read its key only.
    :param issuer: identifier of the authorization server, as in its tokens.
    :param audience: the resource server.
    :param prefix: what the key begins with; after it comes SHA-256 of both names in
        hexadecimal digits.
    """

    def __init__(
        self,
        client: RedisClient,
        *,
        issuer: str,
        audience: str,
        prefix: bytes = b"dpop-secrets:",
    ) -> None:
        check_settings(client, prefix)
        self._client = client
        self._issuer = issuer
        self._audience = audience
        names = lp(issuer.encode()) + lp(audience.encode())
        self.key = prefix + hashlib.sha256(names).hexdigest().encode()

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        issuer: str,
        audience: str,
        prefix: bytes = b"dpop-secrets:",
        connect_timeout: float = 0.5,
        timeout: float = 0.5,
    ) -> Self:
        """Connect to one server; as :meth:`.stores.redis.RedisReplayStore.from_url`.

        :param connect_timeout: seconds.
        :param timeout: seconds for an answer.
        """
        client = connect(url, connect_timeout=connect_timeout, timeout=timeout)
        return cls(client, issuer=issuer, audience=audience, prefix=prefix)

    def read(self) -> Sequence[SealedRow]:
        """Return the newest versions, as :class:`.secret_rows.SecretRows`."""
        text = self._send("GET", self.key)
        if text is None:
            return []
        try:
            if len(text) > MAX_TEXT:
                raise ValueError("too long")
            values = parse_json_object(text, max_structural=MAX_STRUCTURAL)
            return [self._row(entry) for entry in values["rows"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError("The derivation secrets are malformed.") from error

    def write(self, rows: Sequence[SealedRow]) -> bool:
        """Store the rows of this audience; tell whether they were not older than held.

        They are gone after :data:`COPY_LIFETIME` seconds, unless written again.

        :param rows: at least one.
        :raises ValueError: there is none, or one is of another audience.
        :raises StoreError: Redis did not answer. They may be stored or not.
        """
        names = {(row.issuer, row.audience) for row in rows}
        if names != {(self._issuer, self._audience)}:
            raise ValueError("rows of this one audience are needed")
        sequence = max(row.sequence for row in rows)
        text = json.dumps({"seq": sequence, "rows": [_member(row) for row in rows]})
        return bool(
            self._send("EVAL", _SCRIPT, 1, self.key, sequence, text, COPY_LIFETIME)
        )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _send(self, *command: Any) -> Any:
        try:
            return self._client.execute_command(*command)
        except Exception as error:
            raise StoreError from error

    def _row(self, entry: dict[str, Any]) -> SealedRow:
        return SealedRow(
            issuer=self._issuer,
            audience=self._audience,
            version=entry["v"],
            state=entry["state"],
            not_before=entry["nbf"],
            expires_at=entry["exp"],
            sequence=entry["seq"],
            sealed=b64url_decode(entry["sealed"]),
        )


def _member(row: SealedRow) -> dict[str, Any]:
    return {
        "v": row.version,
        "state": row.state,
        "nbf": row.not_before,
        "exp": row.expires_at,
        "seq": row.sequence,
        "sealed": b64url_encode(row.sealed),
    }
