"""The secrets of a resource server: how fresh they are, and what it does without."""

from __future__ import annotations

import logging
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.jws_signature import verify_signature
from dpop_ext.errors import StaleKeyError, UnknownKeyError
from dpop_ext.resource_server.keyring_request import KeyringRequest
from dpop_ext.resource_server.keyring_source import (
    JITTER,
    RETRY_INTERVAL,
    SYNC_INTERVAL,
    HTTPKeyringSource,
)
from dpop_ext.resource_server.transport import Answer
from dpop_ext.stores.base import SyncingKeyringSource
from dpop_ext.symmetric.keyring_floor import KeyringError
from tests.patience import PATIENCE
from tests.resource_server.keyring_issuer import ENDPOINT, KeyringIssuer
from tests.resource_server.world import AUDIENCE, ISSUER, VERSION, secret

#: Longer than a poll with its jitter.
LATER = 300 * (1 + JITTER) + 1
OLD = secret(VERSION, "verify_only")
NEW = VERSION + 1


@pytest.fixture
def issuer(clock: Any) -> KeyringIssuer:
    return KeyringIssuer(clock)


def finds(source: HTTPKeyringSource, version: int, clock: Any) -> bool:
    return source.load().find(version, now=clock.now).version == version


def test_the_secrets_come_with_the_first_request(
    issuer: KeyringIssuer, clock: Any
) -> None:
    source = issuer.source()
    assert issuer.requests == []
    assert finds(source, VERSION, clock)
    assert (source.load().issuer, source.load().audience) == (ISSUER, AUDIENCE)
    assert len(issuer.requests) == 1
    assert isinstance(source, SyncingKeyringSource)


@pytest.mark.requirement("R2034")
def test_the_request_is_signed_for_the_issuer_alone(
    issuer: KeyringIssuer, clock: Any
) -> None:
    issuer.source().load()
    (assertion,) = issuer.assertions
    verify_signature(assertion, issuer.client_key, algorithm="ES256")
    jti = assertion.payload.pop("jti")
    assert assertion.payload == {
        "iss": "api",
        "sub": "api",
        "aud": ISSUER,
        "iat": clock.now,
        "exp": clock.now + 60,
    }
    assert assertion.header["kid"] == "s"
    clock.advance(LATER)
    other = issuer.source()
    other.load()
    assert issuer.assertions[1].payload["jti"] != jti


@pytest.mark.requirement("R2242")
def test_it_is_polled_after_the_interval_and_the_jitter(
    issuer: KeyringIssuer, clock: Any
) -> None:
    source = issuer.source()
    source.load()
    clock.advance(299)
    source.load()
    assert len(issuer.requests) == 1
    clock.advance(LATER - 299)
    source.load()
    assert len(issuer.requests) == 2


@pytest.mark.requirement("R2242")
def test_the_jitter_differs(issuer: KeyringIssuer, clock: Any) -> None:
    delays = set()
    for _ in range(20):
        source = issuer.source()
        source.load()
        delays.add(source._next_at - clock.now)
    assert len(delays) > 1
    assert all(300 <= delay <= 300 * (1 + JITTER) for delay in delays)


@pytest.mark.requirement("R2024")
@pytest.mark.parametrize(("asked", "used"), [(1, 30), (100_000, 600)])
def test_the_issuer_chooses_the_interval_within_limits(
    issuer: KeyringIssuer, clock: Any, asked: int, used: int
) -> None:
    issuer.poll = asked
    source = issuer.source()
    source.load()
    assert used <= source._next_at - clock.now <= used * (1 + JITTER)


def test_the_operator_may_poll_more_often(issuer: KeyringIssuer, clock: Any) -> None:
    source = issuer.source(poll=2)
    source.load()
    clock.advance(3)
    source.load()
    assert len(issuer.requests) == 2
    with pytest.raises(ValueError, match="poll"):
        issuer.source(poll=0)


def test_a_clock_that_is_set_back_does_not_stop_the_polls(
    issuer: KeyringIssuer, clock: Any
) -> None:
    source = issuer.source()
    source.load()
    clock.advance(-1000)
    source.load()
    assert len(issuer.requests) == 2


def test_a_revocation_arrives_with_the_next_poll(
    issuer: KeyringIssuer, clock: Any
) -> None:
    source = issuer.source()
    assert finds(source, VERSION, clock)
    issuer.rotate(secret(VERSION, "revoked"), secret(NEW))
    clock.advance(LATER)
    source.load()
    assert finds(source, NEW, clock)
    with pytest.raises(StaleKeyError):
        finds(source, VERSION, clock)


# --- while the issuer does not answer

DOWN = [
    ConnectionRefusedError(),
    TimeoutError(),
    RuntimeError(),
    Answer(500, None, b""),
    Answer(403, None, b""),
    Answer(304, None, b""),
    Answer(200, None, b""),
    Answer(200, None, b"\xff"),
    Answer(200, None, b"a.b.c.d.e"),
]


@pytest.mark.requirement("R2021", "R2022", "R2023")
@pytest.mark.parametrize("instead", DOWN, ids=repr)
def test_the_secrets_are_used_until_they_are_three_polls_old(
    issuer: KeyringIssuer, clock: Any, instead: Any
) -> None:
    source = issuer.source()
    source.load()
    issuer.instead = instead
    clock.advance(899)
    assert finds(source, VERSION, clock)
    clock.advance(1)
    with pytest.raises(UnknownKeyError):
        finds(source, VERSION, clock)
    issuer.instead = None
    clock.advance(RETRY_INTERVAL * 2)
    source.load()
    assert finds(source, VERSION, clock)


@pytest.mark.parametrize("instead", DOWN, ids=repr)
def test_without_any_secrets_symmetric_proofs_wait_and_asymmetric_ones_do_not(
    issuer: KeyringIssuer, clock: Any, instead: Any
) -> None:
    issuer.instead = instead
    source = issuer.source()
    for _ in range(3):
        with pytest.raises(UnknownKeyError):
            source.load().find(VERSION, now=0)
    assert len(issuer.requests) == 1
    issuer.instead = None
    clock.advance(RETRY_INTERVAL * 2)
    assert finds(source, VERSION, clock)


@pytest.mark.requirement("R2021", "R2022")
def test_an_answer_that_nothing_changed_makes_no_keyring_younger(
    issuer: KeyringIssuer, clock: Any
) -> None:
    source = issuer.source()
    source.load()
    clock.advance(LATER)
    source.load()
    assert "If-None-Match" in issuer.requests[-1]
    good_until = source.load().good_until
    assert good_until is not None
    assert good_until <= clock.now - LATER + 901
    # So the next poll asks for a whole one, in time.
    clock.advance(LATER)
    source.load()
    assert "If-None-Match" not in issuer.requests[-1]
    assert source.load().good_until == clock.now + 900


def test_it_is_an_error_in_the_log_when_two_polls_were_missed(
    issuer: KeyringIssuer, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    source = issuer.source()
    source.load()
    issuer.instead = Answer(403, None, b"")
    clock.advance(LATER)
    source.load()
    clock.advance(LATER)
    source.load()
    levels = [record.levelno for record in caplog.records]
    assert levels == [logging.WARNING, logging.ERROR]
    assert "gives no keyring to this client" in caplog.text


def test_no_secret_is_logged(
    issuer: KeyringIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    issuer.changes = {"keys": [{"v": 7, "k": b64url_encode(bytes(range(32)))}]}
    with pytest.raises(UnknownKeyError):
        issuer.source().load().find(VERSION, now=0)
    assert "malformed" in caplog.text
    assert b64url_encode(bytes(range(32)))[:12] not in caplog.text


# --- what is not accepted


@pytest.mark.requirement("T19", "R2042")
@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"},
        {"aud": "https://other.example"},
        {"nonce": "A" * 22},
        {"iat": 1_700_000_000},
    ],
)
def test_keyring_for_other_aud_refused(
    issuer: KeyringIssuer, changes: dict[str, Any]
) -> None:
    issuer.changes = changes
    with pytest.raises(UnknownKeyError):
        issuer.source().load().find(VERSION, now=0)


@pytest.mark.requirement("T19")
def test_a_keyring_by_another_key_is_refused(
    issuer: KeyringIssuer, other_ec_key: ECKey
) -> None:
    source = issuer.source()
    issuer.key = other_ec_key
    with pytest.raises(UnknownKeyError):
        source.load().find(VERSION, now=0)


@pytest.mark.requirement("T19", "R2041")
def test_an_answer_to_an_earlier_request_is_refused(issuer: KeyringIssuer) -> None:
    recorded = issuer.post(ENDPOINT, data=_form(issuer), headers={})
    issuer.instead = recorded
    with pytest.raises(UnknownKeyError):
        issuer.source().load().find(VERSION, now=0)


def _form(issuer: KeyringIssuer) -> bytes:
    sent: list[bytes] = []

    def post(url: str, *, data: bytes, headers: Any) -> Answer:
        sent.append(data)
        raise OSError

    request = KeyringRequest(
        ENDPOINT,
        issuer=ISSUER,
        client_id="api",
        signing_key=issuer.client_key,
        post=post,
        clock=issuer.clock,
    )
    with pytest.raises(OSError):  # noqa: PT011 - our own
        request.send(etag=None)
    return sent[0]


@pytest.mark.requirement("R1701", "T19", "R2044")
def test_an_older_keyring_is_refused_and_the_newer_one_kept(
    issuer: KeyringIssuer, clock: Any
) -> None:
    before = issuer.ring
    source = issuer.source()
    issuer.rotate(OLD, secret(NEW))
    source.load()
    issuer.ring, issuer.sequence = before, 1
    clock.advance(LATER)
    source.load()
    assert finds(source, NEW, clock)
    issuer.sequence = 2  # the same number for something else
    clock.advance(LATER)
    source.load()
    assert finds(source, NEW, clock)


# --- syncing


@pytest.mark.requirement("T17", "R2242")
def test_a_sync_brings_a_new_version_at_once_and_not_often(
    issuer: KeyringIssuer, clock: Any
) -> None:
    source = issuer.source()
    source.load()
    issuer.rotate(OLD, secret(NEW))
    source.sync()
    assert len(issuer.requests) == 1
    clock.advance(SYNC_INTERVAL)
    for _ in range(10):
        source.sync()
    assert len(issuer.requests) == 2
    assert finds(source, NEW, clock)


@pytest.mark.requirement("T17")
def test_there_is_one_poll_at_a_time(issuer: KeyringIssuer, clock: Any) -> None:
    tasks: list[Any] = []
    source = issuer.source(run=tasks.append)
    source._first.set()  # nobody runs it, so nobody waits
    for _ in range(5):
        with pytest.raises(UnknownKeyError):
            source.load().find(VERSION, now=0)
    assert len(tasks) == 1
    tasks.pop()()
    assert finds(source, VERSION, clock)
    clock.advance(LATER)
    assert finds(source, VERSION, clock)
    assert finds(source, VERSION, clock)
    assert len(tasks) == 1


def test_the_first_requests_of_all_wait_for_the_first_keyring(
    issuer: KeyringIssuer, clock: Any
) -> None:
    go = threading.Event()

    def late(task: Any) -> None:
        thread = threading.Thread(target=lambda: go.wait(PATIENCE) and task())
        thread.start()
        threads.append(thread)

    threads: list[threading.Thread] = []
    source = issuer.source(run=late)
    found: list[bool] = []
    waiting = [
        threading.Thread(target=lambda: found.append(finds(source, VERSION, clock)))
        for _ in range(3)
    ]
    for thread in waiting:
        thread.start()
    go.set()
    for thread in [*waiting, *threads]:
        thread.join()
    assert found == [True] * 3
    assert len(issuer.requests) == 1


def test_a_thread_that_cannot_be_started_does_not_stop_the_polls(
    issuer: KeyringIssuer,
) -> None:
    def fail(task: Any) -> None:
        raise RuntimeError

    source = issuer.source(run=fail)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            source.load()


@pytest.mark.requirement("R2242")
def test_polls_run_in_a_thread_of_their_own(issuer: KeyringIssuer, clock: Any) -> None:
    names: list[str] = []
    polled = threading.Event()
    post = issuer.post

    def noting(*args: Any, **kwargs: Any) -> Answer:
        names.append(threading.current_thread().name)
        if len(names) == 2:
            polled.set()
        return post(*args, **kwargs)

    issuer.post = noting  # type: ignore[method-assign]
    source = issuer.source(run=None)
    assert finds(source, VERSION, clock)
    # And again, without any request.
    clock.advance(LATER)
    assert polled.wait(PATIENCE)
    assert names == ["dpop-keyring"] * 2


# --- what is kept


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "keyring.jwe"


def test_what_is_kept_is_encrypted_and_private(
    issuer: KeyringIssuer, cache: Path
) -> None:
    issuer.source(cache=cache).load()
    files = sorted(cache.parent.iterdir())
    assert [file.name for file in files] == ["keyring.jwe", "keyring.jwe.floor"]
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert cache.read_text().count(".") == 4
    key = secret(VERSION).secret.reveal()
    for file in files:
        assert b64url_encode(key).encode() not in file.read_bytes()


@pytest.mark.requirement("R2046")
def test_a_start_without_the_issuer_uses_what_was_kept(
    issuer: KeyringIssuer, clock: Any, cache: Path
) -> None:
    issuer.source(cache=cache).load()
    issuer.instead = ConnectionRefusedError()
    clock.advance(899)
    source = issuer.source(cache=cache)
    assert finds(source, VERSION, clock)
    clock.advance(1)
    with pytest.raises(UnknownKeyError):
        finds(source, VERSION, clock)
    with pytest.raises(UnknownKeyError):
        issuer.source(cache=cache).load().find(VERSION, now=0)


@pytest.mark.requirement("R2046")
@pytest.mark.parametrize(
    "instead", [Answer(403, None, b""), Answer(200, None, b"a.b.c.d.e")], ids=repr
)
def test_what_was_kept_is_not_used_when_the_issuer_answers(
    issuer: KeyringIssuer, cache: Path, instead: Any
) -> None:
    issuer.source(cache=cache).load()
    issuer.instead = instead
    with pytest.raises(UnknownKeyError):
        issuer.source(cache=cache).load().find(VERSION, now=0)


def test_what_was_kept_is_verified(issuer: KeyringIssuer, cache: Path) -> None:
    other = KeyringIssuer(issuer.clock)
    other.private_key = issuer.private_key
    other.source(cache=cache).load()
    issuer.instead = TimeoutError()
    with pytest.raises(UnknownKeyError):
        issuer.source(cache=cache).load().find(VERSION, now=0)


@pytest.mark.requirement("R1701", "T19", "R2047", "R2048")
def test_an_older_keyring_is_refused_after_a_restart_too(
    issuer: KeyringIssuer, cache: Path
) -> None:
    issuer.source(cache=cache).load()
    kept = cache.read_bytes()
    issuer.rotate(secret(VERSION, "revoked"), secret(NEW))
    issuer.source(cache=cache).load()
    # Someone puts the old one back, and keeps the issuer from answering.
    cache.write_bytes(kept)
    issuer.instead = TimeoutError()
    with pytest.raises(UnknownKeyError):
        issuer.source(cache=cache).load().find(VERSION, now=0)
    issuer.instead = None
    issuer.sequence = 1
    with pytest.raises(UnknownKeyError):
        issuer.source(cache=cache).load().find(VERSION, now=0)


@pytest.mark.requirement("R1701")
def test_processes_that_share_the_file_do_not_fall_behind_each_other(
    issuer: KeyringIssuer, clock: Any, cache: Path
) -> None:
    slow, fast = issuer.source(cache=cache), issuer.source(cache=cache)
    slow.load()
    before = issuer.ring
    issuer.rotate(OLD, secret(NEW))
    fast.load()
    issuer.ring, issuer.sequence = before, 1
    clock.advance(2 * LATER)
    slow.load()
    assert slow.load().good_until < clock.now + 900


def test_files_that_others_can_change_are_not_believed(
    issuer: KeyringIssuer, cache: Path
) -> None:
    issuer.source(cache=cache).load()
    floor = cache.with_name("keyring.jwe.floor")
    floor.chmod(0o660)
    with pytest.raises(PermissionError):
        issuer.source(cache=cache)
    floor.chmod(0o600)
    floor.write_bytes(b"{}")
    with pytest.raises(KeyringError):
        issuer.source(cache=cache)


def test_a_keyring_that_cannot_be_kept_is_used_all_the_same(
    issuer: KeyringIssuer,
    clock: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = issuer.source(cache=tmp_path / "missing" / "keyring.jwe")
    assert finds(source, VERSION, clock)
    assert "keyring not kept: FileNotFoundError" in caplog.text


def test_the_endpoint_is_https(issuer: KeyringIssuer) -> None:
    values: Any = {"issuer": ISSUER, "client_id": "api"}
    with pytest.raises(ValueError, match="https"):
        KeyringRequest(
            "http://as.example.com/", signing_key=issuer.client_key, **values
        )
    public = ECKey.import_key(issuer.client_key.as_dict(private=False))
    for more in ({"signing_key": public}, {"algorithm": "HS256"}):
        options: Any = {"signing_key": issuer.client_key} | more
        with pytest.raises(ValueError, match="private"):
            KeyringRequest(ENDPOINT, **options, **values)


def test_the_algorithm_of_a_request_is_one_for_its_key() -> None:
    values: Any = {"issuer": ISSUER, "client_id": "api"}
    for key in OKPKey.generate_key("Ed25519"), ECKey.generate_key("P-384"):
        with pytest.raises(ValueError, match="not one for the signing key"):
            KeyringRequest(ENDPOINT, signing_key=key, **values)


def test_keys_that_decrypt_nothing_are_found_at_the_start(
    issuer: KeyringIssuer,
) -> None:
    with pytest.raises(TypeError, match="list"):
        issuer.source(private_keys=issuer.private_key)
    public = ECKey.import_key(issuer.private_key.as_dict(private=False))
    for keys in [], [public]:
        with pytest.raises(ValueError, match="private half"):
            issuer.source(private_keys=keys)
    with pytest.raises(TypeError, match="RemoteKeys"):
        issuer.source(jwks="https://as.example.com/jwks")


def test_a_process_that_was_forked_polls_for_itself(issuer: KeyringIssuer) -> None:
    tasks: list[Any] = []
    source = issuer.source(run=tasks.append)
    source._first.set()
    with pytest.raises(UnknownKeyError):
        source.load().find(VERSION, now=0)
    source._pid = os.getpid() + 1  # as in the child
    with pytest.raises(UnknownKeyError):
        source.load().find(VERSION, now=0)
    assert len(tasks) == 2
