"""Tickets: the published vectors, and what any change of one leads to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.errors import MalformedProofError, StaleTicketError
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.ticket import (
    check_life,
    check_logout,
    make_ticket,
    parse_ticket,
    ticket_mac_key,
)
from dpop_ext.symmetric.ticket_keys import TicketKey, key_for_period, random_ticket_key
from tests.conftest import Clock
from tests.symmetric.vectors import PUBLISHED

TK = bytes.fromhex(PUBLISHED["TK"])
TEXT = PUBLISHED["ticket"]


def derive(**changes: Any) -> bytes:
    values: dict[str, Any] = {
        "secret": TK,
        "ticket": b64url_decode(TEXT),
        "algorithm": "HS256",
        "audience": PUBLISHED["aud"],
        "issuer": PUBLISHED["iss"],
        "client_id": PUBLISHED["client_id"],
        "jkt": PUBLISHED["jkt"],
    }
    values |= changes
    return ticket_mac_key(values.pop("secret"), values.pop("ticket"), **values)


def test_the_published_ticket_and_its_key() -> None:
    ticket = parse_ticket(TEXT)

    assert ticket.key_id == bytes.fromhex("00000005")
    assert ticket.expires_at == 1_790_000_600
    assert ticket.raw[11:] == bytes(range(16))
    assert ticket.text == TEXT
    assert derive().hex() == PUBLISHED["SK2"]


@pytest.mark.requirement("T12", "T4")
@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": "HS512"},
        {"audience": PUBLISHED["aud"] + "/"},
        {"issuer": PUBLISHED["iss"] + "/"},
        {"client_id": "another"},
        {"jkt": PUBLISHED["jkt"][:-1] + "Q"},
        {"secret": bytes(range(65, 97))},
        # Boundaries of the fields: the same characters, cut elsewhere.
        {"audience": PUBLISHED["aud"] + "h", "issuer": PUBLISHED["iss"][1:]},
    ],
)
def test_another_identity_gives_another_key(change: dict[str, Any]) -> None:
    assert derive(**change)[:32] != derive()


@pytest.mark.requirement("T12")
@given(st.integers(min_value=0, max_value=27 * 8 - 1))
def test_bitflip_every_byte_of_ticket(bit: int) -> None:
    raw = bytearray(b64url_decode(TEXT))
    raw[bit // 8] ^= 1 << bit % 8

    assert derive(ticket=bytes(raw)) != derive()


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": "HS384"},
        {"jkt": ""},
        {"ticket": bytes(26)},
        {"audience": ""},
        {"issuer": "a" * 257},
        {"client_id": "a\0b"},
    ],
)
def test_what_is_outside_its_limits_derives_nothing(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        derive(**change)


@pytest.mark.requirement("R2134")
@pytest.mark.parametrize(
    "text",
    [
        *("", TEXT[:-1], TEXT + "A", TEXT + "=", " " + TEXT[1:], "+" * 36, "é" * 36),
        *(b64url_encode(bytes([kind]) + bytes(26)) for kind in (0, 1, 3, 255)),
        *(None, 2, True, [TEXT], {}, "\ud800" * 36),
    ],
)
def test_what_is_no_ticket_of_this_type(text: object) -> None:
    with pytest.raises(MalformedProofError):
        parse_ticket(text)


@pytest.fixture
def key(clock: Clock) -> TicketKey:
    return random_ticket_key(clock.now // 3600, lifetime=300)


@pytest.mark.requirement("R1801", "R2134")
def test_a_ticket_lives_as_long_as_its_key_says(key: TicketKey, clock: Clock) -> None:
    ticket = make_ticket(key, now=clock.now)

    assert parse_ticket(ticket.text) == ticket
    assert (len(ticket.raw), len(ticket.text)) == (27, 36)
    assert ticket.expires_at == clock.now + 300
    assert make_ticket(key, now=clock.now).raw != ticket.raw


@pytest.mark.requirement("R2131")
@pytest.mark.parametrize(
    ("wait", "is_good"),
    [(-6, False), (-5, True), (0, True), (299, True), (300, False), (10**6, False)],
)
def test_a_ticket_is_good_from_when_it_can_have_been_made_to_its_end(
    key: TicketKey, clock: Clock, wait: int, is_good: bool
) -> None:
    ticket = make_ticket(key, now=clock.now)

    outcome(is_good, lambda: check_life(ticket, key, now=clock.now + wait))


@pytest.mark.requirement("R2132")
@pytest.mark.parametrize(("after", "is_good"), [(-1, True), (0, False), (1, False)])
def test_a_ticket_of_the_second_of_the_logout_is_not_good(
    key: TicketKey, clock: Clock, after: int, is_good: bool
) -> None:
    ticket = make_ticket(key, now=clock.now)

    check_logout(ticket, key, not_before=None)
    outcome(is_good, lambda: check_logout(ticket, key, not_before=clock.now + after))


def outcome(is_good: bool, check: Callable[[], None]) -> None:
    if is_good:
        check()
        return
    with pytest.raises(StaleTicketError):
        check()


def test_the_secret_is_not_shown(key: TicketKey) -> None:
    shown = repr(key) + repr(make_ticket(key, now=1))

    assert key.secret.reveal().hex() not in shown
    assert b64url_encode(key.secret.reveal()) not in shown
    assert str(key.secret.reveal())[2:-1] not in shown


def test_the_published_ticket_key_is_nobody_s_secret() -> None:
    with pytest.raises(ValueError, match="published"):
        key_for_period(1, key_id=bytes(4), secret=TK, lifetime=300)
    assert SecretBytes(TK) == SecretBytes(bytes.fromhex(PUBLISHED["TK"]))
