"""What the tokens of a session are for (:rfc:`8707`), and a symmetric key with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dpop_ext.client.audience import Audience
from dpop_ext.client.key_material import KeyMaterial


class Resource(NamedTuple):
    """Whom a symmetric key would come from, and what it would be for."""

    #: Identifier of the authorization server.
    issuer: str | None
    #: Identifier of the resource server.
    name: str | None
    #: URLs at or below which symmetric proofs may be sent, if not the name itself.
    bases: Sequence[str]
    #: Contributes to keys that are encrypted for the resource server; None does not.
    key_material: KeyMaterial | None = None

    def audience(self, requested: object) -> Audience | None:
        """Return what one token request may ask a symmetric key for.

        :param requested: the ``resource`` of this request (:rfc:`8707`).
        """
        if self.issuer is None or not isinstance(requested, str):
            return None
        bases = self.bases if requested == self.name else ()
        try:
            return Audience.of(
                self.issuer, requested, bases, key_material=self.key_material
            )
        except ValueError:
            # Another resource for this one request, and no URL: no place is known
            # where a symmetric proof might be sent.
            return None
