"""The JWE that brings the key of a ticket to the client (RFC 7516, Symmetric Profile).

It is as genuine as the connection on which the answer came: nothing in it is signed.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from dpop_ext.core.akp import AnyKey
from dpop_ext.errors import KeyDeliveryError
from dpop_ext.symmetric.content_jwe import to_json
from dpop_ext.symmetric.delivery import delivered_header
from dpop_ext.symmetric.encryption_key import Recipient
from dpop_ext.symmetric.key_jwe import (
    KEY_JWE_TYPE,
    decrypt,
    encrypt_key,
    read_key,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.ticket import Ticket, parse_ticket
from dpop_ext.symmetric.ticket_keys import CLOCK_SKEW, MAX_LIFETIME


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveredTicket:
    """A ticket of one resource server, and the key that goes with it."""

    #: As it is sent in proofs.
    ticket: str
    key: SecretBytes
    #: MAC algorithm, the only one to use the key with.
    algorithm: str
    #: In seconds since the epoch.
    expires_at: int
    #: The answer that brought it was authenticated, by a key that came from the
    #: authorization server. Else it may come from whoever answers there.
    proved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketBinding:
    """What ties a ticket to the request that it answers; both sides know it."""

    #: Identifier of the resource server.
    audience: str
    #: Thumbprint of the key that the request was signed with.
    jkt: str
    #: 32 random bytes of the client, base64url.
    n: str
    #: SHA-256 of the proof of the request, base64url.
    proof_hash: str

    def claims(self) -> dict[str, str]:
        """Return it as members of ``dsk``."""
        return {
            "rs": self.audience,
            "jkt": self.jkt,
            "n": self.n,
            "rph": self.proof_hash,
        }


def wrap_ticket(
    key: SecretBytes,
    *,
    recipient: Recipient,
    algorithm: str,
    encoding: str,
    mac_algorithm: str,
    ticket: Ticket,
    binding: TicketBinding,
) -> str:
    """Encrypt the key of a ticket for the client.

    :param recipient: a key that :func:`.encryption_key.import_encryption_key` passed.
    :param algorithm: JWE ``alg``, from :func:`.delivery.choose`.
    :param encoding: JWE ``enc``, likewise.
    :param mac_algorithm: what *key* was derived for.
    :param ticket: that *key* was derived from.
    :param binding: of the request.
    :returns: a compact JWE.
    :raises ValueError: *key* does not fit *mac_algorithm*, or *recipient* does not fit
        *algorithm*.
    """
    dsk = {**binding.claims(), "tkt": ticket.text, "exp": ticket.expires_at}
    return encrypt_key(
        key,
        to_json(dsk),
        typ=KEY_JWE_TYPE,
        algorithm=algorithm,
        encoding=encoding,
        recipient=recipient,
        mac_algorithm=mac_algorithm,
        operation="sign",
        version=None,
    )


def unwrap_ticket(
    field: Mapping[str, str | int],
    *,
    private_key: AnyKey,
    algorithms: Collection[str],
    key_algorithms: Collection[str],
    encodings: Collection[str],
    binding: TicketBinding,
    now: int,
) -> DeliveredTicket:
    """Decrypt the key of a ticket and check that it is what was asked for.

    :param field: the members of ``DPoP-Ticket``.
    :param private_key: of the encryption key in the request.
    :param algorithms: the MAC algorithms that were offered.
    :param key_algorithms: the JWE ``alg`` values that were offered.
    :param encodings: the JWE ``enc`` values that were offered.
    :param binding: of the request.
    :param now: seconds since the epoch.
    :raises KeyDeliveryError: anything at all is wrong. The cause is for debugging at
        the client: told to a peer, it would be an oracle.
    """
    try:
        text, encrypted = field["tkt"], field["key"]
        if not isinstance(encrypted, str):
            raise TypeError("the key is not a string")
        ticket = parse_ticket(text)
        header = delivered_header(
            encrypted,
            private_key=private_key,
            key_algorithms=key_algorithms,
            encodings=encodings,
        )
        _check_claims(header["dsk"], ticket, binding, now=now)
        if field["exp"] != ticket.expires_at:
            raise ValueError("the field names another expiry")
        plaintext = decrypt(encrypted, header=header, private_key=private_key)
    except Exception as error:
        raise KeyDeliveryError from error
    key = read_key(plaintext, algorithms=algorithms, operation="sign", version=None)
    # No cause: the exception of a parser holds what it parsed.
    if key is None or field.get("alg") != key[0]:
        raise KeyDeliveryError
    return DeliveredTicket(
        ticket=ticket.text, key=key[1], algorithm=key[0], expires_at=ticket.expires_at
    )


def _check_claims(
    dsk: Mapping[str, Any], ticket: Ticket, binding: TicketBinding, *, now: int
) -> None:
    for name, expected in binding.claims().items():
        if not hmac.compare_digest(dsk[name].encode(), expected.encode()):
            raise ValueError("answers another request")
    # A bool is an int in Python; the ticket has the same time as bytes.
    if type(dsk["exp"]) is not int or dsk["exp"] != ticket.expires_at:
        raise ValueError("the times differ")
    if dsk["tkt"] != ticket.text:
        raise ValueError("for another ticket")
    # What lives longer than a ticket may is none, whoever made it.
    if not now < ticket.expires_at <= now + MAX_LIFETIME + CLOCK_SKEW:
        raise ValueError("expired, or good for too long")
