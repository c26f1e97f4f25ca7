"""Ticket keys at rest."""

from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from dpop_ext.errors import StoreError
from dpop_ext.symmetric.sealed_ticket_key import (
    open_ticket_key,
    seal_ticket_key,
    ticket_row_key,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.ticket_keys import random_ticket_key

AUDIENCE = "https://api.example"
PERIOD = 1_790_000_000 // 3600
KEY = SecretBytes(os.urandom(32))
ROW_KEY = ticket_row_key(KEY, audience=AUDIENCE)
TICKET_KEY = random_ticket_key(PERIOD, lifetime=300)


def test_what_an_earlier_release_sealed_is_opened() -> None:
    name = b"\0\x13https://api.example"
    expand = HKDFExpand(SHA256(), 32, b"dpop-sym/1 ticket row key\0" + name)
    assert ROW_KEY.reveal() == expand.derive(KEY.reveal())
    row = seal_ticket_key(TICKET_KEY, audience=AUDIENCE, row_key=ROW_KEY)
    # The first bytes can be read: the name of the key, and how long its tickets live.
    clear = TICKET_KEY.key_id + (300).to_bytes(2, "big")
    assert row.startswith(clear)
    sealed = row[len(clear) :]
    context = b"dpop-sym/1 ticket row\0" + name + PERIOD.to_bytes(8, "big") + clear
    opened = AESGCM(ROW_KEY.reveal()).decrypt(sealed[:12], sealed[12:], context)
    assert opened == TICKET_KEY.secret.reveal()


def test_a_key_is_opened_for_its_audience_and_its_hour_alone() -> None:
    row = seal_ticket_key(TICKET_KEY, audience=AUDIENCE, row_key=ROW_KEY)
    good = {"period": PERIOD, "audience": AUDIENCE, "row_key": ROW_KEY}
    assert open_ticket_key(row, **good) == TICKET_KEY  # type: ignore[arg-type]
    for changes in (
        {"period": PERIOD + 1},
        {"period": -1},
        {"audience": "https://b.example"},
        {"row_key": KEY},
    ):
        with pytest.raises(StoreError) as caught:
            open_ticket_key(row, **(good | changes))  # type: ignore[arg-type]
        assert caught.value.__suppress_context__
    changed = bytes([row[0] ^ 1]) + row[1:]
    for odd in (b"", row[:20], changed, None, 7, "text"):
        with pytest.raises(StoreError):
            open_ticket_key(odd, **good)  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_for_rows_has_32_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        ticket_row_key(SecretBytes(bytes(length)), audience=AUDIENCE)
