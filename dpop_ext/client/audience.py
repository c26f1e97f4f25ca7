"""The resource server that a symmetric key is for (DPoP Symmetric Profile, R1603)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dpop_ext.client.destination import Destination
from dpop_ext.client.key_material import KeyMaterial


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Who is expected to issue a symmetric key, for which resource server.

    :raises ValueError: one of *bases* is not a URL that DPoP may be used with.
    """

    #: Identifier of the authorization server.
    issuer: str
    #: Identifier of the resource server: the ``resource`` that is asked for
    #: (:rfc:`8707`), and the one ``aud`` of the token.
    resource: str
    #: URLs at or below which symmetric proofs may be sent. For a resource that is no
    #: URL they have to be named; for one that is, it is the only one.
    bases: tuple[str, ...]
    #: Contributes to keys that are encrypted for the resource server; None does not.
    key_material: KeyMaterial | None = None

    @classmethod
    def of(
        cls,
        issuer: str,
        resource: str,
        bases: Sequence[str] = (),
        *,
        key_material: KeyMaterial | None = None,
    ) -> Audience:
        """Fill in the *bases* of a resource that is a URL."""
        return cls(
            issuer=issuer,
            resource=resource,
            bases=(*bases,) or (resource,),
            key_material=key_material,
        )

    def __post_init__(self) -> None:
        for base in self.bases:
            Destination.of(base)
