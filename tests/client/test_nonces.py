from __future__ import annotations

import pytest

from dpop_ext.client.nonces import (
    FIRST_ANSWER_WAIT,
    MAX_NONCE_LENGTH,
    NonceCache,
    read_nonce,
)
from tests.conftest import Clock

ORIGIN = "https://a.example"


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


@pytest.mark.parametrize("nonce", [None, "n1"])
def test_requests_wait_for_the_first_answer_of_a_server(nonce: str | None) -> None:
    cache = NonceCache()
    assert cache.claim(ORIGIN, "rs") is None
    following = [cache.claim(ORIGIN, "rs") for _ in range(2)]
    assert all(first is not None and not first.done() for first in following)
    if nonce is not None:
        cache.put(ORIGIN, "rs", nonce)
    cache.settle(ORIGIN, "rs", answered=True)
    assert all(first is not None and first.done() for first in following)
    assert cache.get(ORIGIN, "rs") == nonce
    assert cache.claim(ORIGIN, "rs") is None
    assert cache.claim(ORIGIN, "rs") is None


def test_servers_do_not_wait_for_each_other() -> None:
    cache = NonceCache()
    cache.claim(ORIGIN, "rs")
    assert cache.claim(ORIGIN, "as") is None
    assert cache.claim("https://b.example", "rs") is None


def test_nobody_waits_for_an_answer_that_did_not_come() -> None:
    cache = NonceCache()
    cache.claim(ORIGIN, "rs")
    following = cache.claim(ORIGIN, "rs")
    assert following is not None
    cache.settle(ORIGIN, "rs", answered=False)
    assert following.done()
    # The next one is a first one again.
    assert cache.claim(ORIGIN, "rs") is None
    assert cache.claim(ORIGIN, "rs") is not None


def test_nobody_waits_long() -> None:
    clock = Clock()
    cache = NonceCache(clock=clock)
    cache.claim(ORIGIN, "rs")
    clock.advance(FIRST_ANSWER_WAIT)
    assert cache.claim(ORIGIN, "rs") is None
    assert cache.claim(ORIGIN, "rs") is not None


def test_who_waits_cannot_end_the_wait_of_others() -> None:
    cache = NonceCache()
    cache.claim(ORIGIN, "rs")
    following = cache.claim(ORIGIN, "rs")
    assert following is not None
    assert not following.cancel()
    cache.settle(ORIGIN, "rs", answered=True)
