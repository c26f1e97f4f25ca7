from __future__ import annotations

import pytest

from dpop_ext.client.nonces import MAX_NONCE_LENGTH, NonceCache, read_nonce


@pytest.mark.requirement("Q-14")
def test_a_nonce_is_kept_for_one_origin_and_one_role() -> None:
    cache = NonceCache()
    cache.put("https://a.example", "as", "one")
    cache.put("https://a.example", "rs", "two")
    assert cache.get("https://a.example", "as") == "one"
    assert cache.get("https://a.example", "rs") == "two"
    assert cache.get("https://b.example", "as") is None


@pytest.mark.requirement("Q-10")
def test_the_newest_nonce_wins() -> None:
    cache = NonceCache()
    cache.put("https://a.example", "rs", "old")
    cache.put("https://a.example", "rs", "new")
    assert cache.get("https://a.example", "rs") == "new"


def test_the_server_that_was_used_longest_ago_is_forgotten_first() -> None:
    cache = NonceCache(max_servers=2)
    cache.put("https://a.example", "rs", "a")
    cache.put("https://b.example", "rs", "b")
    cache.get("https://a.example", "rs")
    cache.put("https://c.example", "rs", "c")
    assert cache.get("https://a.example", "rs") == "a"
    assert cache.get("https://b.example", "rs") is None


def test_a_server_that_supplies_a_nonce_is_in_use() -> None:
    cache = NonceCache(max_servers=2)
    for host in "abac":
        cache.put(f"https://{host}.example", "rs", host)
    assert cache.get("https://a.example", "rs") == "a"
    assert cache.get("https://b.example", "rs") is None


@pytest.mark.parametrize(
    "nonce", ["a", "!#[]~", "eyJ7S_zG.eyJH0-Z.HX4w-7v", "x" * MAX_NONCE_LENGTH]
)
def test_a_nonce_is_read_as_it_is(nonce: str) -> None:
    assert read_nonce([nonce]) == nonce


@pytest.mark.requirement("Q-15")
@pytest.mark.parametrize(
    "fields",
    [
        [],
        ["a", "b"],
        ["a", "a"],
        [""],
        ["a b"],
        ["a, b"],
        ['"a"'],
        ["a\\b"],
        ["a\n"],
        ["\u00e9"],
        ["x" * (MAX_NONCE_LENGTH + 1)],
    ],
)
def test_none_several_and_illegal_nonces_are_no_nonce(fields: list[str]) -> None:
    assert read_nonce(fields) is None
