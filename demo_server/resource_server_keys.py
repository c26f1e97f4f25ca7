"""The keys of the resource server, made at the first start: to sign, and to decrypt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from demo_server import private_file
from demo_server.private_file import PrivateFileError

#: Name of the file in the directory of the resource server: two private JWKs.
KEY_FILE = "resource-server.json"


def load_keys(directory: Path) -> tuple[ECKey, ECKey]:
    """Return the private key to sign with and the one to decrypt with.

    They are made if there are none.

    :raises PrivateFileError: the file cannot be read or trusted, or is no such file.
    """
    path = directory / KEY_FILE
    content = private_file.read_or_create(path, _new_file)
    try:
        signing, decryption = (ECKey.import_key(jwk) for jwk in json.loads(content))
    except (ValueError, TypeError, JoseError) as error:
        raise PrivateFileError(f"{path}: not two private JWKs") from error
    return signing, decryption


def public_jwks(directory: Path) -> dict[str, Any]:
    """Return the JWK Set that the operator registers at the authorization server.

    :raises PrivateFileError: as :func:`load_keys`.
    """
    return {"keys": [key.as_dict(private=False) for key in load_keys(directory)]}


def _new_file() -> bytes:
    keys = (
        ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}),
        ECKey.generate_key("P-256", {"use": "enc"}),
    )
    jwks = [{**key.as_dict(private=True), "kid": key.thumbprint()} for key in keys]
    return json.dumps(jwks, indent=1).encode()
