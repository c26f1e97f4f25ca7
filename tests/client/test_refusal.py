from __future__ import annotations

import pytest

from dpop_ext.client.exchange import Reply
from dpop_ext.client.refusal import (
    DEFAULT_PAUSE,
    MAX_PAUSE,
    Refusal,
    pause_until,
    read_refusal,
)

NOW = 1_790_000_000  # Mon, 21 Sep 2026 14:13:20 GMT


@pytest.mark.parametrize(
    ("retry_after", "pause"),
    [
        (None, DEFAULT_PAUSE),
        ("0", 0),
        ("7", 7),
        ("999999999", MAX_PAUSE),
        ("Mon, 21 Sep 2026 14:14:20 GMT", 60),
        ("Mon, 21 Sep 2026 14:14:20", 60),
        ("Mon, 21 Sep 2026 14:00:00 GMT", 0),
        ("Mon, 21 Sep 2099 14:00:00 GMT", MAX_PAUSE),
        ("soon", DEFAULT_PAUSE),
        ("-1", DEFAULT_PAUSE),
        ("1.5", DEFAULT_PAUSE),
        ("9" * 5000, DEFAULT_PAUSE),
        ("Mon, 99 Sep 2026 14:14:20 GMT", DEFAULT_PAUSE),
        ("", DEFAULT_PAUSE),
    ],
)
def test_a_pause_lasts_as_long_as_the_server_says_within_bounds(
    retry_after: str | None, pause: int
) -> None:
    assert pause_until(retry_after, now=NOW) == NOW + pause


@pytest.mark.requirement("P-13")
def test_the_first_dpop_challenge_with_an_error_counts() -> None:
    reply = Reply(
        status=401,
        challenges=(
            'Bearer error="invalid_token", sym_error="policy"',
            "DPoP algs=ES256",
            'DPoP sym_error="stale_key", error=invalid_token, extra="1"',
            'DPoP error="use_dpop_nonce"',
        ),
    )
    assert read_refusal(reply) == Refusal(error="invalid_token", sym_error="stale_key")


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=401),
        Reply(status=401, challenges=("DPoP",)),
        Reply(status=401, challenges=("\x00\xff,,,=",)),
        Reply(status=200, challenges=('DPoP error="invalid_token"',)),
        Reply(status=403, challenges=('DPoP error="invalid_token"',)),
    ],
)
def test_without_such_a_challenge_nothing_was_refused(reply: Reply) -> None:
    assert read_refusal(reply) == Refusal()
