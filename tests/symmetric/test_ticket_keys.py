"""The keys behind tickets: from where they are, until when, and which are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.ticket_keys import (
    TicketKey,
    TicketKeys,
    derive_ticket_key,
    derived_ticket_key,
    key_for_period,
    period_of,
    random_ticket_key,
)
from tests.symmetric.vectors import PUBLISHED

HOUR = 497_222
START = HOUR * 3600
NEVER = 2**40


def key(period: int = HOUR, lifetime: int = 300) -> TicketKey:
    return random_ticket_key(period, lifetime=lifetime)


@pytest.mark.requirement("R2122")
def test_the_published_key_of_an_hour_and_its_name() -> None:
    secret = bytes.fromhex(PUBLISHED["S"])

    key_id, value = derive_ticket_key(secret, HOUR)

    assert value.hex() == PUBLISHED["TK_from_S_hour"]
    assert key_id.hex() == PUBLISHED["tkid_from_S_hour"]
    assert PUBLISHED["hour"] == period_of(START + 3599) == HOUR


@pytest.mark.requirement("R2122")
@pytest.mark.parametrize(
    ("good_until", "times"),
    [
        (START + 2, (START + 1, START + 2)),
        (START + 60, (START + 59, START + 60)),
        (START + 3700, (START + 3600, START + 3700)),
        (NEVER, (START + 3600, START + 3905)),
    ],
)
def test_a_derived_key_ends_with_its_secret(
    good_until: int, times: tuple[int, int]
) -> None:
    derived = derived_ticket_key(
        bytes(range(32, 64)), HOUR, lifetime=300, good_until=good_until
    )

    assert derived is not None
    assert derived.key_id == derive_ticket_key(bytes(range(32, 64)), HOUR)[0]
    assert derived.issue_from == START
    assert (derived.issue_until, derived.expires_at) == times


def test_a_secret_that_ends_before_the_hour_has_no_key_for_it() -> None:
    secret = bytes(range(32, 64))

    for good_until in (0, START, START + 1):
        assert not derived_ticket_key(secret, HOUR, lifetime=300, good_until=good_until)


@pytest.mark.requirement("R1805")
@pytest.mark.parametrize("lifetime", [1, 300, 3600])
def test_a_key_outlives_its_last_ticket_and_no_more(lifetime: int) -> None:
    made = key(lifetime=lifetime)
    keys = TicketKeys([made])

    # The last ticket, of a server whose clock is 5 seconds ahead.
    last = START + 3600 + lifetime + 5
    assert keys.find(made.key_id, now=last - 1) is made
    assert keys.find(made.key_id, now=last) is None
    assert keys.find(bytes(4), now=START) is None


@pytest.mark.requirement("R2121")
def test_each_hour_has_its_key_which_is_good_a_little_before() -> None:
    first, second = key(), key(HOUR + 1)
    keys = TicketKeys([first, second])

    assert keys.current(now=START - 1) is None
    assert keys.current(now=START) is first
    assert keys.current(now=START + 3599) is first
    assert keys.current(now=START + 3600) is second
    assert keys.current(now=START + 7200) is None
    assert keys.find(second.key_id, now=START) is second
    assert list(keys) == [first, second]


@pytest.mark.requirement("R2121")
def test_random_keys_have_names_that_no_other_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [b"aaaa", b"aaaa", b"bbbb"]
    value = bytes(range(100, 132))
    monkeypatch.setattr(
        "dpop_ext.symmetric.ticket_keys.secrets.token_bytes",
        lambda length: names.pop(0) if length == 4 else value,
    )

    assert random_ticket_key(1, lifetime=300, taken=[b"aaaa"]).key_id == b"bbbb"


def test_random_keys_differ() -> None:
    keys = [key() for _ in range(20)]

    assert len({each.secret.reveal() for each in keys}) == 20
    assert len({each.key_id for each in keys}) == 20


@pytest.mark.requirement("R2123", "T11")
def test_two_keys_of_one_name_or_one_secret_are_refused() -> None:
    first, second = key(), key(HOUR + 1)

    with pytest.raises(ValueError, match="name"):
        TicketKeys([first, replace(second, key_id=first.key_id)])
    with pytest.raises(ValueError, match="secret"):
        TicketKeys([first, replace(second, secret=first.secret)])
    TicketKeys([first, second])


@pytest.mark.requirement("T11")
@pytest.mark.parametrize(
    "secret",
    [bytes(32), b"\xff" * 32, b"abcdefg" * 4 + b"abcd", bytes(range(31)), b""],
)
def test_zero_ticket_key_refused(secret: bytes) -> None:
    with pytest.raises(ValueError, match="a derivation secret must be"):
        key_for_period(HOUR, key_id=bytes(4), secret=secret, lifetime=300)


@pytest.mark.requirement("R1801")
@pytest.mark.parametrize("lifetime", [0, -1, 3601, 10**9])
def test_no_ticket_lives_longer_than_an_hour(lifetime: int) -> None:
    with pytest.raises(ValueError, match="3600"):
        key(lifetime=lifetime)
    key(lifetime=3600)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"key_id": bytes(3)}, ValueError),
        ({"secret": bytes(range(32))}, TypeError),
        ({"lifetime": True}, TypeError),
        ({"issue_from": 1.5}, TypeError),
        ({"issue_until": START - 1}, ValueError),
        ({"expires_at": START + 3600}, ValueError),
        ({"issue_from": -1}, ValueError),
    ],
)
def test_a_malformed_key_is_refused(
    change: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        replace(key(), **change)


def test_what_is_shown_of_keys_is_their_names() -> None:
    made = key()

    assert repr(TicketKeys([made])) == f"<TicketKeys {made.key_id.hex()}>"
    assert repr(TicketKeys()) == "<TicketKeys empty>"
    assert made.secret == SecretBytes(made.secret.reveal())
