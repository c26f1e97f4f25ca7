"""A nonce is a MAC over the minute: good for three of them, and for one purpose."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpop_ext.core.nonce import MAX_MADE, NonceIssuer
from dpop_ext.errors import NonceRequiredError

NOW = 1_790_000_000 - 1_790_000_000 % 60
SECRET = bytes(range(32))
NEWER = bytes(range(1, 33))
VECTORS = json.loads(
    (Path(__file__).parent.parent / "vectors" / "dpop-sym-1.json").read_text("utf-8")
)


@pytest.fixture
def issuer() -> NonceIssuer:
    return NonceIssuer([SECRET])


def refused(issuer: NonceIssuer, nonce: object, *, now: int = NOW) -> str:
    with pytest.raises(NonceRequiredError) as refusal:
        issuer.verify(nonce, purpose="rs", now=now)
    return refusal.value.nonce


def test_known_answer() -> None:
    issuer = NonceIssuer([bytes.fromhex(VECTORS["nonce_secret"])])

    nonce = issuer.issue(purpose="rs", now=VECTORS["nonce_time"])

    assert nonce == VECTORS["nonce_rs"]


@pytest.mark.requirement("C-10", "Q-5", "Q-7")
@pytest.mark.parametrize(
    ("elapsed", "age"), [(0, 0), (59, 0), (60, 1), (119, 1), (120, 2), (179, 2)]
)
def test_a_nonce_is_good_in_its_minute_and_the_two_after(
    issuer: NonceIssuer, elapsed: int, age: int
) -> None:
    nonce = issuer.issue(purpose="rs", now=NOW)

    assert issuer.verify(nonce, purpose="rs", now=NOW + elapsed) == age


@pytest.mark.requirement("C-10", "Q-2", "Q-5")
@pytest.mark.parametrize("elapsed", [180, 181, 3600, -1, -60])
def test_a_nonce_of_another_time_is_refused_with_a_fresh_one(
    issuer: NonceIssuer, elapsed: int
) -> None:
    nonce = issuer.issue(purpose="rs", now=NOW)
    later = NOW + elapsed

    fresh = refused(issuer, nonce, now=later)

    assert issuer.verify(fresh, purpose="rs", now=later) == 0


@pytest.mark.requirement("Q-19")
def test_a_nonce_serves_many_proofs(issuer: NonceIssuer) -> None:
    nonce = issuer.issue(purpose="as", now=NOW)

    assert [issuer.verify(nonce, purpose="as", now=NOW) for _ in range(3)] == [0] * 3
    assert issuer.issue(purpose="as", now=NOW + 59) == nonce
    assert issuer.issue(purpose="as", now=NOW + 60) != nonce


@pytest.mark.requirement("Q-20")
def test_a_nonce_of_the_one_server_is_not_good_at_the_other(
    issuer: NonceIssuer,
) -> None:
    with pytest.raises(NonceRequiredError):
        issuer.verify(issuer.issue(purpose="as", now=NOW), purpose="rs", now=NOW)
    with pytest.raises(NonceRequiredError):
        issuer.verify(issuer.issue(purpose="rs", now=NOW), purpose="as", now=NOW)


@pytest.mark.requirement("C-10", "Q-5", "Q-16")
@pytest.mark.parametrize(
    "nonce",
    [
        *(None, "", 0, 1, True, [], {}, b"x", 1.5, "x", "A" * 22, "A" * 8000),
        *("\u00e9" * 22, "\ud800", "\0" * 22, "\uff21" * 22),
    ],
)
def test_anything_else_is_refused_with_a_fresh_one(
    issuer: NonceIssuer, nonce: object
) -> None:
    assert refused(issuer, nonce) == issuer.issue(purpose="rs", now=NOW)


@pytest.mark.requirement("Q-5")
def test_nonces_of_old_steps_are_not_kept(issuer: NonceIssuer) -> None:
    first = issuer.issue(purpose="rs", now=NOW)
    for minute in range(1, 3 * MAX_MADE):
        issuer.issue(purpose="rs", now=NOW + 60 * minute)
        assert len(issuer._made) <= MAX_MADE
    assert issuer.issue(purpose="rs", now=NOW) == first


def test_a_nonce_is_compared_exactly(issuer: NonceIssuer) -> None:
    nonce = issuer.issue(purpose="rs", now=NOW)
    for other in (nonce[:-1], nonce + "=", nonce.swapcase(), " " + nonce, [nonce]):
        refused(issuer, other)


@pytest.mark.requirement("Q-3", "Q-8")
@given(st.binary(min_size=32, max_size=64), st.integers(0, 2**40))
def test_a_nonce_is_22_characters_that_a_header_can_carry(
    secret: bytes, now: int
) -> None:
    if len(set(secret)) == 1:
        return
    nonce = NonceIssuer([secret]).issue(purpose="as", now=now)

    assert re.fullmatch("[A-Za-z0-9_-]{22}", nonce)


@pytest.mark.requirement("Q-3")
def test_nonces_depend_on_the_secret_alone_and_not_on_the_clock_only() -> None:
    nonces = {
        NonceIssuer([secret]).issue(purpose="rs", now=NOW + 60 * step)
        for secret in (SECRET, NEWER)
        for step in range(100)
    }

    assert len(nonces) == 200


class TestRotation:
    def test_the_newest_secret_makes_nonces_and_all_recognise(self) -> None:
        old = NonceIssuer([SECRET]).issue(purpose="rs", now=NOW)
        rotated = NonceIssuer([SECRET, NEWER])

        new = rotated.issue(purpose="rs", now=NOW)

        assert new == NonceIssuer([NEWER]).issue(purpose="rs", now=NOW)
        assert rotated.verify(new, purpose="rs", now=NOW) == 0
        assert rotated.verify(old, purpose="rs", now=NOW)  # good, but not the newest
        assert rotated.verify(old, purpose="rs", now=NOW + 120) == 2

    def test_a_secret_that_is_gone_recognises_nothing(self) -> None:
        old = NonceIssuer([SECRET]).issue(purpose="rs", now=NOW)

        refused(NonceIssuer([NEWER]), old)


class TestSecrets:
    @pytest.mark.requirement("Q-3")
    @pytest.mark.parametrize(
        "secrets",
        [
            *([], [b""], [SECRET[:31]], [bytes(32)], [b"a" * 64], [SECRET, SECRET]),
            *([SECRET, NEWER, SECRET], [SECRET, b"short"]),
        ],
    )
    def test_weak_ones_are_refused(self, secrets: list[bytes]) -> None:
        with pytest.raises(ValueError, match="nonce secret"):
            NonceIssuer(secrets)

    def test_text_is_no_secret(self) -> None:
        secrets: Any = ["0123456789abcdef" * 2]
        with pytest.raises(TypeError):
            NonceIssuer(secrets)

    @pytest.mark.parametrize("kind", [bytearray, memoryview])
    def test_bytes_of_any_kind_are_one(self, kind: Any) -> None:
        nonce = NonceIssuer([kind(bytearray(SECRET))]).issue(purpose="rs", now=NOW)

        assert NonceIssuer([SECRET]).verify(nonce, purpose="rs", now=NOW) == 0
        with pytest.raises(ValueError, match="twice"):
            NonceIssuer([SECRET, kind(bytearray(SECRET))])

    def test_they_do_not_show(self) -> None:
        secret = b"this is a secret of thirty-two b"
        text = repr(NonceIssuer([secret]))

        assert "secret of" not in text
        assert secret.hex() not in text
