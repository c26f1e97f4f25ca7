from __future__ import annotations

import base64
import binascii
import os
from dataclasses import replace
from typing import Any, get_args

import pytest

from dpop_ext.errors import (
    AccessTokenError,
    StaleKeyError,
    SymmetricUnavailableError,
    UnknownKeyError,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing, SecretState
from tests.symmetric.vectors import PUBLISHED

NOW = 1_790_000_000


def entry(
    version: int, state: SecretState = "active", **changes: Any
) -> AudienceSecret:
    ended = state in ("retired", "revoked")
    values: dict[str, Any] = {
        "version": version,
        "state": state,
        "not_before": NOW - 100,
        "expires_at": NOW + 100,
        "secret": None if ended else SecretBytes(os.urandom(32)),
        **changes,
    }
    return AudienceSecret(**values)


def ring(*entries: AudienceSecret) -> SecretRing:
    return SecretRing(
        entries, issuer="https://as.example.com", audience="https://api.example.com"
    )


FULL = ring(
    entry(4, "retired"),
    entry(5, "revoked"),
    entry(6, "verify_only"),
    entry(7, "active"),
    entry(8, "pending", not_before=NOW + 50),
)


@pytest.mark.parametrize("version", [6, 7, 8])
def test_verify_only_active_and_pending_versions_are_found(version: int) -> None:
    found = FULL.find(version, now=NOW)
    assert found.version == version
    assert found.secret is not None


@pytest.mark.requirement("R1506")
@pytest.mark.parametrize("version", [1, 3, 4, 5])
def test_retired_revoked_and_forgotten_versions_are_stale(version: int) -> None:
    with pytest.raises(StaleKeyError):
        FULL.find(version, now=NOW)


def test_a_version_that_was_skipped_is_stale() -> None:
    with pytest.raises(StaleKeyError):
        ring(entry(5, "verify_only"), entry(7)).find(6, now=NOW)


def test_a_version_is_good_until_just_before_it_expires() -> None:
    one = ring(entry(7, expires_at=NOW + 10))
    assert one.find(7, now=NOW + 9).version == 7
    with pytest.raises(StaleKeyError):
        one.find(7, now=NOW + 10)


@pytest.mark.requirement("R1507")
@pytest.mark.parametrize("version", [9, 10])
def test_one_or_two_versions_ahead_are_unknown(version: int) -> None:
    with pytest.raises(UnknownKeyError):
        FULL.find(version, now=NOW)


@pytest.mark.parametrize("version", [11, 12, 2**53 - 1])
def test_three_versions_ahead_is_no_version(version: int) -> None:
    with pytest.raises(AccessTokenError):
        FULL.find(version, now=NOW)


def test_tombstones_count_for_the_highest_version() -> None:
    only = ring(entry(7, "retired"))
    assert only.highest_version == 7
    with pytest.raises(StaleKeyError):
        only.find(7, now=NOW)
    with pytest.raises(UnknownKeyError):
        only.find(9, now=NOW)


def test_an_empty_ring_knows_nothing() -> None:
    empty = ring()
    assert empty.highest_version == 0
    with pytest.raises(UnknownKeyError):
        empty.find(1, now=NOW)
    with pytest.raises(AccessTokenError):
        empty.find(3, now=NOW)
    with pytest.raises(SymmetricUnavailableError):
        empty.active(now=NOW)


def test_the_active_version_issues() -> None:
    assert FULL.active(now=NOW).version == 7


@pytest.mark.parametrize("now", [NOW - 101, NOW + 100])
def test_the_active_version_issues_within_its_times_only(now: int) -> None:
    with pytest.raises(SymmetricUnavailableError):
        FULL.active(now=now)


def test_pending_and_verify_only_versions_do_not_issue() -> None:
    with pytest.raises(SymmetricUnavailableError):
        ring(entry(6, "verify_only"), entry(8, "pending")).active(now=NOW)


def test_the_ring_is_ordered_by_version() -> None:
    mixed = ring(entry(8, "pending"), entry(6, "verify_only"), entry(7))
    assert [e.version for e in mixed] == [6, 7, 8]


def test_two_active_versions_are_refused() -> None:
    with pytest.raises(ValueError, match="more than one version is active"):
        ring(entry(6), entry(7))


def test_a_version_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="in the ring twice"):
        ring(entry(7), entry(7, "revoked"))


def test_one_secret_under_two_versions_is_refused() -> None:
    first = entry(7)
    with pytest.raises(ValueError, match="the same secret"):
        ring(first, replace(first, version=8, state="pending"))


@pytest.mark.requirement("R1702")
@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_secret_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="must be 32 bytes"):
        entry(7, secret=SecretBytes(os.urandom(length)))


@pytest.mark.parametrize(
    "secret",
    [
        bytes(32),
        b"\xff" * 32,
        b"changeme" * 4,  # seven different bytes
        bytes(range(7)) * 4 + bytes(4),
    ],
    ids=bytes.hex,
)
def test_a_secret_that_no_generator_makes_is_refused(secret: bytes) -> None:
    with pytest.raises(ValueError, match="must be random"):
        entry(7, secret=SecretBytes(secret))


def test_eight_different_bytes_are_enough() -> None:
    assert entry(7, secret=SecretBytes(bytes(range(200, 208)) * 4)).secret is not None


def decode_base64url(text: str) -> bytes:
    # From Python 3.15 on the decoder warns of what is of the other alphabet.
    if "/" in text or "+" in text:
        raise ValueError(text)
    return base64.urlsafe_b64decode(text + "=")


def published_values() -> dict[str, bytes]:
    values = {}
    for name, text in PUBLISHED.items():
        if name == "jkt" or not isinstance(text, str):
            continue
        for decode in (bytes.fromhex, decode_base64url):
            try:
                value = decode(text)
            except (ValueError, binascii.Error):
                continue
            if len(value) == 32:
                values[name] = value
    return values


@pytest.mark.parametrize("name", published_values())
def test_a_published_secret_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="published"):
        entry(7, secret=SecretBytes(published_values()[name]))


def test_the_secrets_of_the_vectors_are_among_the_published_values() -> None:
    assert {"K_root", "S", "SK_HS256", "NK", "nonce_secret"} <= set(published_values())


@pytest.mark.parametrize("state", ["retired", "revoked"])
def test_a_version_that_has_ended_keeps_no_secret(state: SecretState) -> None:
    with pytest.raises(ValueError, match="must not keep its secret"):
        entry(7, state, secret=SecretBytes(os.urandom(32)))


@pytest.mark.parametrize("state", ["pending", "active", "verify_only"])
def test_a_live_version_needs_a_secret(state: SecretState) -> None:
    with pytest.raises(ValueError, match="needs its secret"):
        entry(7, state, secret=None)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"version": 0}, ValueError),
        ({"version": 2**53}, ValueError),
        ({"version": True}, TypeError),
        ({"version": "7"}, TypeError),
        ({"not_before": 1.5}, TypeError),
        ({"expires_at": None}, TypeError),
        ({"not_before": -1}, ValueError),
        ({"expires_at": NOW - 100}, ValueError),
        ({"state": "ACTIVE"}, ValueError),
        ({"secret": bytes(32)}, TypeError),
    ],
    ids=repr,
)
def test_a_value_outside_its_limits_is_refused(
    changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        entry(**{"version": 7, **changes})


@pytest.mark.requirement("T20")
def test_repr_shows_no_secret() -> None:
    live = entry(7)
    assert live.secret is not None
    for text in (repr(live), repr(ring(live))):
        assert live.secret.reveal().hex() not in text
        assert repr(live.secret.reveal())[2:-1] not in text
    assert repr(FULL) == (
        "<SecretRing of 'https://api.example.com': 4 retired, 5 revoked,"
        " 6 verify_only, 7 active, 8 pending>"
    )


@pytest.mark.parametrize("name", ["", "n" * 257, "a\0", "\ud800"])
def test_an_identifier_that_cannot_be_derived_with_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="identifier"):
        SecretRing([], issuer=name, audience="https://api.example.com")
    with pytest.raises(ValueError, match="identifier"):
        SecretRing([], issuer="https://as.example.com", audience=name)


def test_every_state_is_covered_here() -> None:
    assert {e.state for e in FULL} == set(get_args(SecretState))
