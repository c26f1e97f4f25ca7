"""Private keys to decrypt with, in a file: a JWK or a JWK Set (RFC 7517)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from dpop_ext.core.key import thumbprint
from dpop_ext.core.strict_json import parse_json_object
from dpop_ext.stores.private_file import read_private
from dpop_ext.symmetric.encryption_key import import_recipient

#: Keys in one file.
MAX_KEYS = 16
#: Longest file, in bytes. A private RSA key with 4096 bits has about 3200.
MAX_FILE = 64 * 1024
#: Characters ``{}[]:,`` in it.
_MAX_STRUCTURAL = 1024

_TYPES: dict[str, type[ECKey | OKPKey | RSAKey]] = {
    "EC": ECKey,
    "OKP": OKPKey,
    "RSA": RSAKey,
}

_logger = logging.getLogger("dpop_ext.stores")


class PrivateKeyFile:
    """The private keys that a server decrypts with, the published one first.

    To rotate, put a new key first and keep the others until nothing is left that was
    encrypted for them: access tokens, of a resource server. Replace the file by
    renaming. It must belong to the user of the process, with mode 0600, and be no
    symbolic link. When it cannot be read again, the keys that were read last count.

    :param path: of the file.
    :param poll: seconds between two readings.
    :param clock: seconds since the epoch.
    :raises OSError: it cannot be read or trusted.
    :raises ValueError: it is no JWK Set of 1 to 16 private keys that can decrypt. The
        text says nothing of what is in it.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        poll: float = 30,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = Path(path)
        self._poll = poll
        self._clock = clock
        self._reading = threading.Lock()
        self._keys = self._read()
        self._read_at = clock()

    def __call__(self) -> Sequence[Key]:
        """Return the keys; called on every request."""
        # A clock that was set back must not stop the reading.
        if not 0 <= self._clock() - self._read_at < self._poll:
            self._read_again()
        return self._keys

    def public_jwk(self) -> dict[str, Any]:
        """Return the public half of the first key, to publish or to register."""
        key = self()[0]
        return {**key.as_dict(private=False), "use": "enc", "kid": thumbprint(key)}

    def _read_again(self) -> None:
        # One thread reads; the others go on with what they have.
        if not self._reading.acquire(blocking=False):
            return
        try:
            self._read_at = self._clock()
            self._keys = self._read()
        except (OSError, ValueError) as error:
            # What an OSError says is of the file; a parser may say what it parsed.
            reason = error if isinstance(error, OSError) else type(error).__name__
            _logger.error("no new keys to decrypt with: %s", reason)
        finally:
            self._reading.release()

    def _read(self) -> Sequence[Key]:
        content = read_private(self._path, max_size=MAX_FILE)
        keys = _parse(content)
        if keys is None:
            # No cause: the exception of a parser holds what it parsed.
            raise ValueError("not a file of private keys")
        return keys


def _parse(content: bytes) -> Sequence[Key] | None:
    try:
        document = parse_json_object(content, max_structural=_MAX_STRUCTURAL)
        jwks = document.get("keys", [document])
        keys = tuple(_import(jwk) for jwk in jwks)
    except Exception:  # noqa: BLE001 - whatever a malformed key makes Python raise
        return None
    return keys if 0 < len(keys) <= MAX_KEYS else None


def _import(jwk: dict[str, Any]) -> Key:
    key = _TYPES[jwk["kty"]].import_key(jwk)
    if not key.is_private:
        raise ValueError("not a private key")
    # As strict as whoever will encrypt for it.
    import_recipient(dict(key.as_dict(private=False)))
    return key
