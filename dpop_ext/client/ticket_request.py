"""One request for a ticket, and the answer to it (DPoP Symmetric Profile 1.0)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.request_digest import content_digest
from dpop_ext.core.structured_field import parse_dictionary
from dpop_ext.errors import KeyDeliveryError
from dpop_ext.symmetric.encryption_key import generate_encryption_key
from dpop_ext.symmetric.key_request import key_request_claim
from dpop_ext.symmetric.ticket_delivery import (
    DeliveredTicket,
    TicketBinding,
    unwrap_ticket,
)

TICKET_FIELD: Final = "DPoP-Ticket"

_ALGORITHMS: Final = ("HS256",)
_ENCODINGS: Final = ("A256GCM",)


class TicketRequest:
    """What one proof asks for: a ticket, encrypted for a key of its own.

    The key is lost with this object: who gets hold of the proof key later cannot read
    what was delivered.

    :param resource: identifier of the resource server.
    :param jkt: thumbprint of the key of the proof.
    :param key_algorithm: JWE ``alg`` for the key of the ticket: ``ECDH-ES`` or
        ``HPKE-9-KE``.
    """

    def __init__(
        self, *, resource: str, jkt: str, key_algorithm: str = "ECDH-ES"
    ) -> None:
        self._resource = resource
        self._jkt = jkt
        self._key_algorithm = key_algorithm
        self._private_key = generate_encryption_key(key_algorithm)
        self._n = secrets.token_bytes(32)

    def claims(self) -> Mapping[str, Any]:
        """Return the claim that goes into the proof."""
        claim = key_request_claim(
            algorithms=_ALGORITHMS,
            encryption_key=self._private_key,
            key_algorithms=(self._key_algorithm,),
            encodings=_ENCODINGS,
            n=self._n,
        )
        return {"dsk": {**claim, "mode": "wrap"}}

    def read(
        self, fields: Sequence[str], *, proof: str, now: int
    ) -> DeliveredTicket | None:
        """Return the ticket of an answer.

        :param fields: the values of ``DPoP-Ticket``, one for each header field line.
        :param proof: that asked for it.
        :param now: seconds since the epoch.
        :returns: None if there is no such field.
        :raises KeyDeliveryError: there is, and it is not the answer to this request.
        """
        if not fields:
            return None
        try:
            members = parse_dictionary(fields)
        except ValueError as error:
            raise KeyDeliveryError from error
        return unwrap_ticket(
            members,
            private_key=self._private_key,
            algorithms=_ALGORITHMS,
            key_algorithms=(self._key_algorithm,),
            encodings=_ENCODINGS,
            binding=TicketBinding(
                audience=self._resource,
                jkt=self._jkt,
                n=b64url_encode(self._n),
                proof_hash=content_digest(proof.encode("ascii")),
            ),
            now=now,
        )
