"""Derivation secrets at rest."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from dpop_ext.errors import StoreError
from dpop_ext.symmetric.sealed_row import (
    SealedRow,
    audience_row_key,
    open_root,
    open_rows,
    seal_root,
    seal_row,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret

ISSUER = "https://as.example"
AUDIENCE = "https://api.example"
KEY = SecretBytes(os.urandom(32))
SECRET = SecretBytes(os.urandom(32))
ENTRY = AudienceSecret(
    version=7,
    state="active",
    not_before=1_790_000_000,
    expires_at=1_790_086_400,
    secret=SECRET,
)


def sealed(entry: AudienceSecret = ENTRY, **changes: Any) -> SealedRow:
    values = {"issuer": ISSUER, "audience": AUDIENCE, "sequence": 5, "key": KEY}
    return seal_row(entry, **(values | changes))  # type: ignore[arg-type]


def test_a_row_opens_to_what_was_sealed() -> None:
    assert sealed().open(KEY) == ENTRY
    assert SECRET.reveal() not in sealed().sealed
    assert sealed().sealed != sealed().sealed


@pytest.mark.requirement("R2051")
def test_what_is_authenticated_is_every_column_in_order() -> None:
    row = sealed()
    context = (
        b"dpop-sym/1 row\0"
        b"\0\x12https://as.example\0\x13https://api.example"
        + (7).to_bytes(8, "big")
        + b"\0\x06active"
        + (1_790_000_000).to_bytes(8, "big")
        + (1_790_086_400).to_bytes(8, "big")
        + (5).to_bytes(8, "big")
    )
    opened = AESGCM(KEY.reveal()).decrypt(row.sealed[:12], row.sealed[12:], context)
    assert opened == SECRET.reveal()


@pytest.mark.requirement("R2052")
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("issuer", "https://other.example"),
        ("audience", "https://other.example"),
        ("version", 8),
        ("version", -1),
        ("version", "7"),
        ("version", None),
        ("state", "verify_only"),
        ("state", "\ud800"),
        ("state", None),
        ("not_before", 0),
        ("expires_at", 1_900_000_000),
        ("expires_at", 2**64),
        ("sequence", 4),
        ("sealed", b""),
        ("sealed", b"short"),
        ("sealed", bytes(60)),
        ("sealed", None),
    ],
)
def test_a_changed_row_does_not_open(column: str, value: Any) -> None:
    row = dataclasses.replace(sealed(), **{column: value})
    with pytest.raises(StoreError) as caught:
        row.open(KEY)
    assert caught.value.__cause__ is None


def test_every_bit_of_the_sealed_secret_counts() -> None:
    row = sealed()
    for position in range(len(row.sealed)):
        changed = bytearray(row.sealed)
        changed[position] ^= 1
        with pytest.raises(StoreError):
            dataclasses.replace(row, sealed=bytes(changed)).open(KEY)


def test_a_version_that_has_ended_holds_an_encrypted_nothing() -> None:
    ended = dataclasses.replace(ENTRY, state="revoked", secret=None)
    row = sealed(ended)
    assert len(row.sealed) == 12 + 16
    assert row.open(KEY) == ended


@pytest.mark.requirement("T3")
def test_the_key_of_one_audience_opens_no_row_of_another_and_no_root() -> None:
    mine = audience_row_key(KEY, issuer=ISSUER, audience=AUDIENCE)
    others = [
        audience_row_key(KEY, issuer=ISSUER, audience="https://other.example"),
        audience_row_key(KEY, issuer="https://two.example", audience=AUDIENCE),
        KEY,
    ]
    row = sealed(key=mine)
    assert row.open(mine) == ENTRY
    for key in others:
        with pytest.raises(StoreError):
            row.open(key)
    root = seal_root(SECRET, issuer=ISSUER, root_id=b"r" * 16, key=KEY)
    with pytest.raises(StoreError):
        open_root(root, issuer=ISSUER, root_id=b"r" * 16, key=mine)


def test_a_root_is_sealed_for_its_issuer_and_under_its_name() -> None:
    root = seal_root(SECRET, issuer=ISSUER, root_id=b"r" * 16, key=KEY)
    assert open_root(root, issuer=ISSUER, root_id=b"r" * 16, key=KEY) == SECRET
    for issuer, name, key in (
        ("https://two.example", b"r" * 16, KEY),
        (ISSUER, b"s" * 16, KEY),
        (ISSUER, b"r" * 16, SECRET),
    ):
        with pytest.raises(StoreError):
            open_root(root, issuer=issuer, root_id=name, key=key)


def test_a_root_of_another_length_is_refused() -> None:
    short = seal_root(SecretBytes(b"x" * 31), issuer=ISSUER, root_id=b"r", key=KEY)
    with pytest.raises(StoreError, match="length"):
        open_root(short, issuer=ISSUER, root_id=b"r", key=KEY)


def test_rows_make_a_ring_of_one_audience() -> None:
    older = dataclasses.replace(
        ENTRY, version=6, state="verify_only", secret=SecretBytes(os.urandom(32))
    )
    rows = [sealed(), sealed(older, sequence=6)]
    ring = open_rows(rows, issuer=ISSUER, audience=AUDIENCE, key=KEY)
    assert [entry.version for entry in ring] == [6, 7]
    with pytest.raises(StoreError, match="another audience"):
        open_rows(rows, issuer=ISSUER, audience="https://other.example", key=KEY)


def test_rows_that_contradict_each_other_are_refused() -> None:
    twice = dataclasses.replace(ENTRY, version=8)
    with pytest.raises(StoreError, match="contradict"):
        open_rows([sealed(), sealed(twice)], issuer=ISSUER, audience=AUDIENCE, key=KEY)


def test_a_key_has_32_bytes() -> None:
    short = SecretBytes(b"k" * 31)
    with pytest.raises(ValueError, match="32 bytes"):
        sealed(key=short)
    with pytest.raises(ValueError, match="32 bytes"):
        audience_row_key(short, issuer=ISSUER, audience=AUDIENCE)


@pytest.mark.requirement("R2051")
def test_what_an_earlier_release_sealed_is_opened() -> None:
    names = b"\0\x12https://as.example\0\x13https://api.example"
    expand = HKDFExpand(SHA256(), 32, b"dpop-sym/1 row key\0" + names)
    key = audience_row_key(KEY, issuer=ISSUER, audience=AUDIENCE)
    assert key.reveal() == expand.derive(KEY.reveal())
    root = seal_root(SECRET, issuer=ISSUER, root_id=b"id", key=KEY)
    context = b"dpop-sym/1 root\0\0\x12https://as.example\0\x02id"
    opened = AESGCM(KEY.reveal()).decrypt(root[:12], root[12:], context)
    assert opened == SECRET.reveal()
