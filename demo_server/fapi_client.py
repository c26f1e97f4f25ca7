"""The built-in client of the FAPI profile, whose key is made at the first start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from demo_server import demo_data, private_file
from demo_server.private_file import PrivateFileError

CLIENT_ID = "demo-fapi"

#: Name of the file in the directory of the keys: a private JWK, for whoever plays the
#: client.
KEY_FILE = "fapi-client.json"


def load_key(keys_directory: Path) -> ECKey:
    """Return the private key of the client, made if there is none.

    :raises PrivateFileError: the file cannot be read or trusted, or is no key.
    """
    path = keys_directory / KEY_FILE
    content = private_file.read_or_create(path, _new_file)
    try:
        return ECKey.import_key(json.loads(content))
    except (ValueError, TypeError, JoseError) as error:
        raise PrivateFileError(f"{path}: not a private JWK") from error


def metadata(keys_directory: Path, *, resource: str) -> dict[str, Any]:
    """Return the metadata of the client (:rfc:`7591#section-2`).

    :param resource: the one audience of the demo.
    :raises PrivateFileError: as :func:`load_key`.
    """
    return {
        "client_id": CLIENT_ID,
        "client_name": "Demo bank client",
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": {"keys": [load_key(keys_directory).as_dict(private=False)]},
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
        "response_types": ["code"],
        "redirect_uris": demo_data.LOOPBACK_CALLBACKS,
        "scope": " ".join(demo_data.SCOPES),
        "audiences": [resource],
    }


def _new_file() -> bytes:
    key = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"})
    jwk = {**key.as_dict(private=True), "kid": key.thumbprint()}
    return json.dumps(jwk, indent=1).encode()
