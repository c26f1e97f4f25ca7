"""Claims of conformance to the DPoP Symmetric Profile 1.0 (requirement R1707)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

PROFILE: Final = "https://dpop-ext.example/profiles/dpop-sym/1.0"
#: The targets of each party: itself, and what it makes.
AUTHORIZATION_SERVER: Final = (
    *("AS", "TOKEN_RESPONSE", "KEY_JWE", "ACCESS_TOKEN", "KEYRING", "AS_METADATA"),
)
RESOURCE_SERVER: Final = ("RS", "CHALLENGE", "RES_PROOF", "TICKET", "RS_METADATA")
CLIENT: Final = ("CLIENT", "TOKEN_REQUEST", "SYM_PROOF")

TARGETS: Final = (*AUTHORIZATION_SERVER, *RESOURCE_SERVER, *CLIENT)


def claims(targets: Iterable[str]) -> list[str]:
    """Return the URIs that claim conformance, for ``dpop_sym_conformance``.

    :param targets: names in :data:`TARGETS`.
    :raises ValueError: there is no such target.
    """
    listed = list(targets)
    if not set(listed) <= set(TARGETS):
        raise ValueError("not a target of the profile")
    return [f"{PROFILE}#{name.lower().replace('_', '-')}" for name in listed]
