"""Which resource servers get symmetric keys encrypted, by their registration.

DPoP Symmetric Profile 1.0.
"""

from __future__ import annotations

from typing import Any

from dpop_ext.authorization_server.client_metadata import (
    encryption_keys_of,
    metadata_of,
)
from dpop_ext.errors import DPoPError
from dpop_ext.symmetric.encapsulation import KeyRecipient
from dpop_ext.symmetric.encryption_key import import_recipient

#: Members of the client metadata of a resource server, named like those for the
#: answers of an introspection endpoint (:rfc:`9701#section-6`).
ENCAPSULATION_ALG = "dpop_symmetric_encapsulation_alg"
ENCAPSULATION_ENC = "dpop_symmetric_encapsulation_enc"


def registered_recipient(client: Any) -> KeyRecipient | None:
    """Return whom symmetric keys for this resource server are encrypted for.

    For the *recipients* of :class:`.SymmetricKeys`, which know the client of an
    audience. It reads ``dpop_symmetric_encapsulation_alg`` and ``_enc``, by default
    ``A256GCM``, and the newest key with ``use`` ``enc`` in ``jwks`` of its metadata.

    :param client: as which the resource server is registered.
    :returns: None without the first of them: it derives its keys.
    :raises ValueError: there is no such key, or it is not for this algorithm.
    """
    metadata = metadata_of(client)
    algorithm = metadata.get(ENCAPSULATION_ALG)
    if algorithm is None:
        return None
    keys = encryption_keys_of(client)
    if not keys:
        raise ValueError("no encryption key is registered")
    try:
        key = import_recipient(keys[-1])
    except DPoPError as error:
        raise ValueError("the registered encryption key cannot be used") from error
    return KeyRecipient(
        key=key,
        algorithm=algorithm,
        encoding=metadata.get(ENCAPSULATION_ENC, "A256GCM"),
    )
