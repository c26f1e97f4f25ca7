"""A private key in a file that only its owner can read: :rfc:`9449#section-11.4`."""

from __future__ import annotations

import json
from pathlib import Path

from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from dpop_ext.core import ml_dsa
from dpop_ext.core.akp import AKPKey, AnyKey
from dpop_ext.stores.private_file import read_private, write_private

#: Bytes of a key file. A 4096 bit RSA key takes 3.2 kB.
MAX_SIZE = 16384


_KEYS = ECKey | OKPKey | RSAKey | AKPKey


def save_key(path: Path | str, key: AnyKey) -> None:
    """Write a private key as a JWK, with mode 0600.

    The file appears at once and complete: a crash leaves the old one or the new one.

    :param path: where to write; a file there is replaced.
    :param key: the private key.
    :raises ValueError: the key is no private key.
    :raises PermissionError: *path* is a symbolic link.
    """
    if not isinstance(key, _KEYS) or not key.is_private:
        raise ValueError("Only a private key is worth a key file.")
    path = Path(path)
    if path.is_symlink():
        raise PermissionError("The key file must not be a symbolic link.")
    content = json.dumps(key.as_dict(private=True), indent=2).encode("ascii") + b"\n"
    write_private(path, content)


def load_key(path: Path | str) -> AnyKey:
    """Read the private key that :func:`save_key` wrote.

    :raises FileNotFoundError: there is no such file.
    :raises PermissionError: a symbolic link, no regular file, the file of another
        user, or one that group or others may read or write.
    :raises OSError: it is longer than 16 KiB, or cannot be read.
    :raises ValueError: the content is no private JWK.
    """
    content = read_private(Path(path), max_size=MAX_SIZE)
    try:
        jwk = json.loads(content)
        is_akp = jwk["kty"] == AKPKey.key_type
        key = ml_dsa.import_private(jwk) if is_akp else import_key(jwk)
        private = isinstance(key, _KEYS) and key.is_private
    except Exception:  # noqa: BLE001  joserfc lets KeyError, TypeError and others out
        private = False
    # Raised outside of the except clause: its cause could carry the key.
    if not private:
        raise ValueError("The key file does not hold a private JWK.")
    return key
