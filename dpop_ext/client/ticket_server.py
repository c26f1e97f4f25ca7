"""The resource server that tickets are asked of (DPoP Symmetric Profile, R2138)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dpop_ext.client.destination import Destination

#: The member of :rfc:`9728` metadata, and its value, by which a server offers tickets.
_MODES = "dpop_symmetric_modes_supported"
_TICKET = "ticket"


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketServer:
    """A resource server with tickets, and whose tokens are sent to it.

    A ticket is good for all tokens of one issuer, one client and one key. So all tokens
    that a signer sends to this server have to be of this issuer and this client.

    :raises ValueError: one of *bases* is not a URL that DPoP may be used with.
    """

    #: Its identifier, as the tokens name it in ``aud``. A ticket of another is refused.
    resource: str
    #: Identifier of the authorization server of the tokens.
    issuer: str
    #: The client that the tokens were issued to.
    client_id: str
    #: URLs at or below which tickets are asked for and used, each origin with its own.
    bases: tuple[str, ...]

    @classmethod
    def of(
        cls, resource: str, *, issuer: str, client_id: str, bases: Sequence[str] = ()
    ) -> TicketServer:
        """Fill in the *bases* of a resource that is a URL."""
        return cls(
            resource=resource,
            issuer=issuer,
            client_id=client_id,
            bases=(*bases,) or (resource,),
        )

    @classmethod
    def of_metadata(
        cls, metadata: Mapping[str, Any], *, issuer: str, client_id: str
    ) -> TicketServer | None:
        """Read the :rfc:`9728` document of a resource server.

        Fetch it from where :rfc:`9728#section-3` has it: then it is known that the
        ``resource`` in it is the one that was asked (section 3.3).

        :returns: None if the server offers no tickets.
        :raises ValueError: it does, and its ``resource`` is not a URL that DPoP may be
            used with.
        """
        modes, resource = metadata.get(_MODES), metadata.get("resource")
        if not isinstance(modes, list) or _TICKET not in modes:
            return None
        if not isinstance(resource, str):
            raise ValueError("the metadata names no resource")  # noqa: TRY004
        return cls.of(resource, issuer=issuer, client_id=client_id)

    def __post_init__(self) -> None:
        for base in self.bases:
            Destination.of(base)
