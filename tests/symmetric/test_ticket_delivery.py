"""The key of a ticket, as the client gets it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc.jwk import OKPKey

from dpop_ext.errors import KeyDeliveryError
from dpop_ext.symmetric.key_jwe import KEY_JWE_TYPE, encrypt_key
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.ticket import make_ticket
from dpop_ext.symmetric.ticket_delivery import (
    DeliveredTicket,
    TicketBinding,
    unwrap_ticket,
    wrap_ticket,
)
from dpop_ext.symmetric.ticket_keys import (
    CLOCK_SKEW,
    MAX_LIFETIME,
    random_ticket_key,
)

NOW = 1_790_000_000
KEY = SecretBytes(bytes(range(32)))
CLIENT = OKPKey.generate_key("X25519")
BINDING = TicketBinding(
    audience="https://api.example", jkt="jkt", n="n", proof_hash="hash"
)
TICKET = make_ticket(random_ticket_key(NOW // 3600, lifetime=300), now=NOW)
OTHER = make_ticket(random_ticket_key(NOW // 3600, lifetime=300), now=NOW)
DSK = {**BINDING.claims(), "tkt": TICKET.text, "exp": TICKET.expires_at}
WRAPPED: dict[str, Any] = {
    "recipient": OKPKey.import_key(CLIENT.as_dict(private=False)),
    "algorithm": "ECDH-ES",
    "encoding": "A256GCM",
    "mac_algorithm": "HS256",
}


def sealed(**changes: Any) -> str:
    """A JWE that says something else of the ticket, and is good otherwise."""
    return encrypt_key(
        KEY,
        json.dumps(DSK | changes),
        typ=KEY_JWE_TYPE,
        operation="sign",
        version=None,
        **WRAPPED,
    )


def opened(
    encrypted: object = None, *, now: int = NOW, **changes: Any
) -> DeliveredTicket:
    field: dict[str, Any] = {
        "tkt": TICKET.text,
        "exp": TICKET.expires_at,
        "alg": "HS256",
    }
    return unwrap_ticket(
        field | {"key": encrypted or sealed()} | changes,
        private_key=CLIENT,
        algorithms=["HS256"],
        key_algorithms=["ECDH-ES"],
        encodings=["A256GCM"],
        binding=BINDING,
        now=now,
    )


def test_a_ticket_is_tied_to_the_request_by_the_names_of_the_profile() -> None:
    expected = {"rs": "https://api.example", "jkt": "jkt", "n": "n", "rph": "hash"}
    assert BINDING.claims() == expected


def test_the_key_of_a_ticket_comes_with_it() -> None:
    wrapped = wrap_ticket(KEY, ticket=TICKET, binding=BINDING, **WRAPPED)
    for encrypted in (wrapped, sealed()):
        ticket = opened(encrypted)
        assert (ticket.ticket, ticket.key) == (TICKET.text, KEY)
        assert (ticket.algorithm, ticket.expires_at) == ("HS256", NOW + 300)


@pytest.mark.requirement("R2136", "R2137", "R2138")
@pytest.mark.parametrize(
    "changes",
    [
        {"rs": "https://b.example"},
        {"jkt": "x"},
        {"n": "x"},
        {"rph": "x"},
        {"rph": None},
        {"exp": TICKET.expires_at + 1},
        {"exp": float(TICKET.expires_at)},
        {"exp": str(TICKET.expires_at)},
        pytest.param({"tkt": OTHER.text}, id="another ticket"),
    ],
    ids=str,
)
def test_a_key_for_anything_else_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(KeyDeliveryError):
        opened(sealed(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": TICKET.expires_at + 1},
        {"alg": "HS512"},
        {"alg": None},
        pytest.param({"tkt": OTHER.text}, id="another ticket"),
        {"tkt": 7},
        {"key": 7},
    ],
    ids=str,
)
def test_a_field_that_says_something_else_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(KeyDeliveryError):
        opened(**changes)


def test_a_ticket_is_good_until_it_ends_and_for_no_longer_than_one_may() -> None:
    end = TICKET.expires_at
    longest = MAX_LIFETIME + CLOCK_SKEW
    for now in (end - 1, end - longest):
        assert opened(now=now).ticket == TICKET.text
    for now in (end, end - longest - 1):
        with pytest.raises(KeyDeliveryError):
            opened(now=now)
