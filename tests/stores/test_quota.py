"""The share of one key in the replay store."""

from __future__ import annotations

import pickle

import pytest

from dpop_ext.errors import TooManyRequestsError
from dpop_ext.stores.quota import GROUP, KeyQuota

NOW = 1_790_000_000 - 1_790_000_000 % GROUP


def fill(quota: KeyQuota, jkt: str, number: int, *, expires_at: int = NOW + 66) -> None:
    for _ in range(number):
        quota.check(jkt, now=NOW)
        quota.count(jkt, expires_at=expires_at)


def test_the_share_is_used_up_by_live_proofs_alone() -> None:
    quota = KeyQuota(3)
    fill(quota, "a", 2, expires_at=NOW + 7)
    fill(quota, "a", 1, expires_at=NOW + 8)
    for now in (NOW, NOW + 7):
        with pytest.raises(TooManyRequestsError):
            quota.check("a", now=now)
    quota.check("a", now=NOW + 8)
    quota.count("a", expires_at=NOW + 80)
    quota.count("a", expires_at=NOW + 80)
    with pytest.raises(TooManyRequestsError):
        quota.check("a", now=NOW + 15)
    quota.check("a", now=NOW + 16)


def test_a_check_counts_nothing() -> None:
    quota = KeyQuota(1)
    for _ in range(3):
        quota.check("a", now=NOW)
    quota.count("a", expires_at=NOW)
    with pytest.raises(TooManyRequestsError):
        quota.check("a", now=NOW)


def test_a_client_that_stays_below_its_share_takes_no_more_memory_over_time() -> None:
    def size_after(seconds: int) -> int:
        quota = KeyQuota(10_000)
        for now in range(NOW, NOW + seconds):
            quota.check("a", now=now)
            quota.count("a", expires_at=now + 66)
        return len(pickle.dumps(quota._counts))

    assert size_after(3600) < 1.5 * size_after(120)


@pytest.mark.requirement("U-19")
def test_keys_have_a_share_each() -> None:
    quota = KeyQuota(1)
    fill(quota, "a", 1)
    quota.check("b", now=NOW)


def test_the_key_that_was_used_longest_ago_is_forgotten() -> None:
    quota = KeyQuota(2, max_keys=2)
    for jkt in ("a", "b", "a", "c"):
        quota.count(jkt, expires_at=NOW + 66)
    with pytest.raises(TooManyRequestsError):
        quota.check("a", now=NOW)
    quota.count("b", expires_at=NOW + 66)
    quota.check("b", now=NOW)


@pytest.mark.parametrize(("proofs", "keys"), [(0, 1), (1, 0), (-1, 1)])
def test_no_share_at_all_is_refused(proofs: int, keys: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        KeyQuota(proofs, max_keys=keys)
