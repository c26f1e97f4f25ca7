"""Whether a replay store does what proofs need of it (:rfc:`9449#section-11.1`)."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from dpop_ext.cli.checkup.finding import Finding, bad, good, look
from dpop_ext.cli.checkup.place import check_place
from dpop_ext.cli.limited_answer import TIMEOUT
from dpop_ext.cli.parameters import lacks_file, sqlite_file
from dpop_ext.errors import StoreError
from dpop_ext.stores.base import CLOCK_TOLERANCE, REPLAY_KEY_LENGTH, ReplayStore
from dpop_ext.stores.redis import RedisReplayStore
from dpop_ext.stores.server_clock import MAX_AHEAD
from dpop_ext.stores.sql import SQLReplayStore

_REACHABLE = "replay store"
_PLACE = "replay store's file"
_ATOMIC = "replay store is atomic"
_EVICTION = "replay store keeps all"
_CLOCK = "replay store's clock"

_ADVICE = (
    "redis://, rediss:// or unix:// for Redis; sqlite:///FILE or "
    "postgresql+psycopg:// for a database. %-encode what is special."
)

#: Threads that add one key at the same time, and how often.
RACERS, RACES = 8, 20
#: Seconds that an entry of this check lives.
LIFETIME = 30
#: Seconds after which a store slows every request down.
SLOW = 0.02


def open_store(url: str, prefix: str) -> RedisReplayStore | SQLReplayStore:
    """Return the store at *url*: of Redis by its scheme, else of SQLAlchemy."""
    if _is_redis(url):
        # Its clock is compared with ours in a check of its own.
        return RedisReplayStore.from_url(url, prefix=prefix.encode(), clock_check=None)
    return SQLReplayStore.from_url(url)


def _is_redis(url: str) -> bool:
    return url.partition("://")[0] in {"redis", "rediss", "unix"}


def check_store(
    url: str, *, prefix: str = "", clock: Callable[[], float]
) -> Iterator[Finding]:
    """Add keys of our own, and see that each is added once.

    :param prefix: what the keys begin with, in Redis.
    """
    try:
        if not _is_redis(url) and lacks_file(url):
            # Or an empty one would be made.
            yield bad(_REACHABLE, "no URL of a store: there is no such file", _ADVICE)
            return
        store = open_store(url, prefix)
    except ModuleNotFoundError:
        raise
    except Exception as error:  # noqa: BLE001 - libraries refuse URLs in many ways
        # Its text can hold a part of the password.
        yield bad(
            _REACHABLE,
            f"no URL of a store ({type(error).__name__})",
            _ADVICE,
        )
        return
    with closing(store):
        file = sqlite_file(url)
        if file is not None:
            yield from check_place(_PLACE, file)
        yield from _try_out(store, url, clock)


def _try_out(
    store: ReplayStore, url: str, clock: Callable[[], float]
) -> Iterator[Finding]:
    try:
        begun = time.monotonic()
        _add(store, secrets.token_bytes(REPLAY_KEY_LENGTH), clock)
        taken = time.monotonic() - begun
    except StoreError as error:
        cause = type(error.__cause__).__name__ if error.__cause__ else error.description
        yield bad(
            _REACHABLE,
            f"no answer ({cause})",
            "Requests are refused with 503 until it answers: check URL, network, "
            "password, and that its tables exist.",
        )
        return
    seen = f"answers in {taken * 1000:.1f} ms"
    if taken > SLOW:
        yield look(_REACHABLE, seen, "Put it nearer: every request waits for it.")
    else:
        yield good(_REACHABLE, seen)
    yield _race(store, clock)
    if isinstance(store, RedisReplayStore):
        yield from _check_redis(url, clock)


def _race(store: ReplayStore, clock: Callable[[], float]) -> Finding:
    winners: list[int] = []
    failed: list[bool] = []
    for _ in range(RACES):
        key = secrets.token_bytes(REPLAY_KEY_LENGTH)
        barrier = threading.Barrier(RACERS)
        won: list[bool] = []

        def race(key: bytes = key, barrier: Any = barrier, won: Any = won) -> None:
            barrier.wait(10)
            try:
                won.append(_add(store, key, clock))
            except StoreError:
                failed.append(True)

        threads = [threading.Thread(target=race) for _ in range(RACERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        winners.append(sum(won))
    if failed and max(winners) <= 1:
        return bad(
            _ATOMIC,
            f"{len(failed)} of {RACES * RACERS} calls had no answer",
            "The store does not bear several calls at once: look at its log, and at "
            "the number of connections that it allows.",
        )
    if set(winners) == {1}:
        return good(_ATOMIC, f"{RACES} races of {RACERS}: one winner each")
    return bad(
        _ATOMIC,
        f"up to {max(winners)} of {RACERS} added one key",
        "A proof can be used more than once: it must be one database, not replicas "
        "that accept writes.",
    )


def _check_redis(url: str, clock: Callable[[], float]) -> Iterator[Finding]:
    import redis  # noqa: PLC0415

    with redis.Redis.from_url(
        url, socket_connect_timeout=TIMEOUT, socket_timeout=TIMEOUT
    ) as client:
        try:
            policy = client.info("memory").get("maxmemory_policy", "noeviction")
        except redis.RedisError as error:
            # A user who may do no more than the stores do may not ask.
            yield look(
                _EVICTION,
                f"INFO is not answered ({type(error).__name__})",
                "See yourself that maxmemory-policy is noeviction, or check as a user "
                "with +info.",
            )
        else:
            yield _judge_eviction(policy)
        try:
            seconds, microseconds = client.time()
        except redis.RedisError as error:
            yield bad(
                _CLOCK,
                f"TIME is not answered ({type(error).__name__})",
                "The store asks for it, and refuses requests (503) without: +time.",
            )
        else:
            yield _judge_clock(seconds + microseconds / 1e6 - clock())


def _judge_eviction(policy: str) -> Finding:
    if policy == "noeviction":
        return good(_EVICTION, "maxmemory-policy is noeviction")
    return bad(
        _EVICTION,
        f"maxmemory-policy is {policy}",
        "A full store may forget proofs that are still good: set noeviction.",
    )


def _judge_clock(offset: float) -> Finding:
    seen = f"{offset:+.1f} s from this machine"
    if abs(offset) <= 1:
        return good(_CLOCK, seen)
    if -MAX_AHEAD <= offset <= CLOCK_TOLERANCE:
        return look(_CLOCK, seen, "Synchronise the clocks (NTP).")
    return bad(
        _CLOCK,
        seen,
        f"Servers that are over {CLOCK_TOLERANCE} s behind, or a day ahead, refuse "
        "requests (503): synchronise the clocks (NTP).",
    )


def _add(store: ReplayStore, key: bytes, clock: Callable[[], float]) -> bool:
    now = int(clock())
    return store.add(key, expires_at=now + LIFETIME, now=now)
