"""The keys of an authorization server: one key for a token, fetched within bounds."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey

from dpop_ext.core.key_set import MAX_KEYS, StaticKeys
from dpop_ext.errors import AccessTokenError, StoreError
from dpop_ext.resource_server.jwks import RETRY_INTERVAL, RemoteKeys
from tests.patience import PATIENCE

URI = "https://as.example.com/jwks"


def public(key: Any, **members: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), **members}


class Issuer:
    """Publishes keys, and counts how often it is asked."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)
        self.asked = 0
        self.failure: Exception | None = None

    def __call__(self, url: str) -> bytes:
        assert url == URI
        self.asked += 1
        if self.failure:
            raise self.failure
        return json.dumps({"keys": self.keys}).encode()


@pytest.fixture
def issuer(ec_key: ECKey) -> Issuer:
    return Issuer(public(ec_key, kid="a"))


@pytest.fixture
def remote(issuer: Issuer, clock: Callable[[], float]) -> RemoteKeys:
    return RemoteKeys(URI, fetch=issuer, clock=clock)


@pytest.mark.requirement("J-13")
def test_a_key_is_found_by_its_identifier(ec_key: ECKey, other_ec_key: ECKey) -> None:
    keys = StaticKeys(
        {"keys": [public(ec_key, kid="a"), public(other_ec_key, kid="b")]}
    )
    found = keys.find("b", algorithm="ES256")
    assert found.thumbprint() == other_ec_key.thumbprint()
    with pytest.raises(AccessTokenError):
        keys.find("c", algorithm="ES256")


@pytest.mark.requirement("J-13")
def test_an_identifier_that_two_keys_have_names_none(
    ec_key: ECKey, other_ec_key: ECKey, ed_key: OKPKey
) -> None:
    for other in (other_ec_key, ed_key):
        keys = StaticKeys({"keys": [public(ec_key, kid="a"), public(other, kid="a")]})
        with pytest.raises(AccessTokenError):
            keys.find("a", algorithm="ES256")


def test_without_an_identifier_the_only_key_that_fits_is_used(
    ec_key: ECKey, other_ec_key: ECKey, ed_key: OKPKey
) -> None:
    one = StaticKeys({"keys": [public(ec_key), public(ed_key)]})
    assert one.find(None, algorithm="ES256").thumbprint() == ec_key.thumbprint()
    two = StaticKeys({"keys": [public(ec_key), public(other_ec_key)]})
    with pytest.raises(AccessTokenError):
        two.find(None, algorithm="ES256")


@pytest.mark.requirement("J-13", "J-10")
@pytest.mark.parametrize(
    "members", [{"use": "enc"}, {"alg": "ES384"}, {"key_ops": ["sign"]}, {"x": "AA"}]
)
def test_a_key_that_is_not_for_the_algorithm_is_not_used(
    ec_key: ECKey, members: dict[str, Any]
) -> None:
    keys = StaticKeys({"keys": [public(ec_key, kid="a", **members)]})
    with pytest.raises(AccessTokenError):
        keys.find("a", algorithm="ES256")


def test_a_key_set_is_public_and_has_keys(ec_key: ECKey) -> None:
    oct_key = OctKey.generate_key(256).as_dict(private=True)
    odd: tuple[Any, ...] = (
        None,
        [],
        {},
        "x",
        ["x"],
        [ec_key.as_dict(private=True)],
        [oct_key],
        [public(ec_key)] * (MAX_KEYS + 1),
    )
    for keys in odd:
        with pytest.raises(ValueError, match="JWK Set"):
            StaticKeys({"keys": keys})
    assert StaticKeys({"keys": [public(ec_key, kid="a")] * MAX_KEYS}).has("a")


def test_keys_are_fetched_once(remote: RemoteKeys, issuer: Issuer) -> None:
    assert issuer.asked == 0
    for _ in range(3):
        remote.find("a", algorithm="ES256")
    assert issuer.asked == 1


def test_keys_are_fetched_again_when_they_are_old(
    remote: RemoteKeys, issuer: Issuer, clock: Any, other_ec_key: ECKey
) -> None:
    remote.find("a", algorithm="ES256")
    issuer.keys = [public(other_ec_key, kid="b")]
    clock.advance(599)
    remote.find("a", algorithm="ES256")
    clock.advance(1)
    with pytest.raises(AccessTokenError):
        remote.find("a", algorithm="ES256")
    assert issuer.asked == 2


def test_an_unknown_key_is_looked_for_once(
    remote: RemoteKeys, issuer: Issuer, clock: Any, other_ec_key: ECKey
) -> None:
    remote.find("a", algorithm="ES256")
    clock.advance(30)
    issuer.keys.append(public(other_ec_key, kid="b"))
    assert remote.find("b", algorithm="ES256").thumbprint() == other_ec_key.thumbprint()
    assert issuer.asked == 2


@pytest.mark.requirement("T17")
def test_made_up_identifiers_do_not_flood_the_issuer(
    remote: RemoteKeys, issuer: Issuer, clock: Any
) -> None:
    for number in range(60):
        with pytest.raises(AccessTokenError):
            remote.find(f"made-up-{number}", algorithm="ES256")
        clock.advance(1)
    assert issuer.asked == 2


@pytest.mark.parametrize(
    "failure", [OSError(), TimeoutError(), ValueError(), KeyError()]
)
@pytest.mark.requirement("X-15")
def test_without_any_keys_nothing_is_decided(
    remote: RemoteKeys, issuer: Issuer, clock: Any, failure: Exception
) -> None:
    issuer.failure = failure
    for _ in range(3):
        with pytest.raises(StoreError):
            remote.find("a", algorithm="ES256")
    assert issuer.asked == 1
    issuer.failure = None
    clock.advance(2)
    assert isinstance(remote.find("a", algorithm="ES256"), ECKey)


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"{}", b'{"keys":[]}', b"\xff", b"x" * 9]
)
def test_an_answer_that_is_no_key_set_is_none(clock: Any, answer: bytes) -> None:
    remote = RemoteKeys(URI, fetch=lambda url: answer, clock=clock)
    with pytest.raises(StoreError):
        remote.find("a", algorithm="ES256")


def test_known_keys_outlive_an_outage_but_not_for_long(
    remote: RemoteKeys, issuer: Issuer, clock: Any
) -> None:
    remote.find("a", algorithm="ES256")
    issuer.failure = OSError()
    clock.advance(3599)
    assert isinstance(remote.find("a", algorithm="ES256"), ECKey)
    clock.advance(1)
    with pytest.raises(StoreError):
        remote.find("a", algorithm="ES256")


def test_in_an_outage_an_unknown_key_cannot_be_decided_upon(
    remote: RemoteKeys, issuer: Issuer, clock: Any
) -> None:
    remote.find("a", algorithm="ES256")
    issuer.failure = OSError()
    clock.advance(30)
    with pytest.raises(StoreError):
        remote.find("b", algorithm="ES256")
    assert isinstance(remote.find("a", algorithm="ES256"), ECKey)


def test_a_clock_that_is_set_back_does_not_keep_old_keys(
    remote: RemoteKeys, issuer: Issuer, clock: Any
) -> None:
    remote.find("a", algorithm="ES256")
    clock.advance(-100_000)
    remote.find("a", algorithm="ES256")
    assert issuer.asked == 2


def test_many_threads_cause_one_fetch(clock: Any, ec_key: ECKey) -> None:
    issuer = Issuer(public(ec_key, kid="a"))
    started, go_on = threading.Event(), threading.Event()

    def fetch(url: str) -> bytes:
        started.set()
        assert go_on.wait(PATIENCE)
        return issuer(url)

    remote = RemoteKeys(URI, fetch=fetch, clock=clock)
    found: list[Any] = []
    threads = [
        threading.Thread(
            target=lambda: found.append(remote.find("a", algorithm="ES256"))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    assert started.wait(PATIENCE)
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert issuer.asked == 1


def test_a_slow_issuer_does_not_hold_up_requests_with_known_keys(
    clock: Any, ec_key: ECKey
) -> None:
    issuer = Issuer(public(ec_key, kid="a"))
    slow, started, go_on = [False], threading.Event(), threading.Event()

    def fetch(url: str) -> bytes:
        if slow[0]:
            started.set()
            assert go_on.wait(PATIENCE)
        return issuer(url)

    remote = RemoteKeys(URI, fetch=fetch, clock=clock)
    remote.find("a", algorithm="ES256")
    clock.advance(600)
    slow[0] = True
    thread = threading.Thread(target=lambda: remote.find("a", algorithm="ES256"))
    thread.start()
    assert started.wait(PATIENCE)
    assert isinstance(
        remote.find("a", algorithm="ES256"), ECKey
    )  # while the other thread waits
    go_on.set()
    thread.join()
    assert issuer.asked == 2


def test_in_an_outage_nobody_waits_for_the_keys_of_made_up_tokens(
    clock: Any, ec_key: ECKey
) -> None:
    asking, answer, down = threading.Event(), threading.Event(), False

    def fetch(url: str) -> bytes:
        if not down:
            return json.dumps({"keys": [public(ec_key, kid="a")]}).encode()
        asking.set()
        answer.wait(PATIENCE)
        raise OSError

    keys = RemoteKeys(URI, fetch=fetch, clock=clock)

    def look_for_another() -> None:
        with pytest.raises(StoreError):
            keys.find("b", algorithm="ES256")

    keys.find("a", algorithm="ES256")
    down = True
    clock.advance(60)
    answer.set()
    look_for_another()
    clock.advance(RETRY_INTERVAL)
    asking.clear()
    answer.clear()
    first, second = (threading.Thread(target=look_for_another) for _ in range(2))
    first.start()
    assert asking.wait(PATIENCE)
    second.start()
    second.join(PATIENCE)
    held_up = second.is_alive()
    answer.set()
    first.join()
    second.join()
    assert not held_up


@pytest.mark.parametrize(
    "uri", ["http://as.example.com/jwks", "file:///etc/passwd", "/jwks", "https://", ""]
)
def test_keys_are_fetched_over_https_only(uri: str) -> None:
    with pytest.raises(ValueError, match="https"):
        RemoteKeys(uri)


def test_a_failure_is_logged_by_its_class(
    remote: RemoteKeys, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.failure = OSError("something secret")
    with pytest.raises(StoreError):
        remote.find("a", algorithm="ES256")
    assert "OSError" in caplog.text
    assert "secret" not in caplog.text
