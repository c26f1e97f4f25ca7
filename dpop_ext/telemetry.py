"""What operators watch in numbers: OpenTelemetry instruments.

They come from the global meter provider, under the name ``dpop_ext``. Without
OpenTelemetry's API there are none, and before a provider is set there are none either.

Labels are names out of fixed lists: no client, token, key or path is one, so what a
sender makes up cannot fill the memory of a collector. Who it was stands in the log, see
:mod:`.log_events`.
"""

from __future__ import annotations

import importlib
import logging
import math
import threading
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Literal, Protocol

Role = Literal["as", "rs"]
Kind = Literal["asymmetric", "symmetric", "bearer", "none"]


class MeterProvider(Protocol):
    """The part of OpenTelemetry's interface that is used."""

    def get_meter(self, name: str) -> Any:
        """Return what makes instruments."""


class _Instruments:
    def __init__(self, meter: Any) -> None:
        self.requests = meter.create_counter(
            "dpop.requests", unit="{request}", description="Requests that were decided."
        )
        self.proof_age = meter.create_histogram(
            "dpop.proof.age",
            unit="s",
            description="From iat to now: network, waiting, and the skew of clocks.",
        )
        self.tokens = meter.create_counter(
            "dpop.tokens", unit="{token}", description="Access tokens that were issued."
        )
        self.store = meter.create_histogram(
            "dpop.store.duration",
            unit="s",
            description="How long a shared store took to answer.",
        )
        self.keyring_polls = meter.create_counter(
            "dpop.keyring.polls",
            unit="{poll}",
            description="Polls for derivation secrets.",
        )
        self.keyring_age = meter.create_histogram(
            "dpop.keyring.age",
            unit="s",
            description="Age of the keyring in use, at each poll.",
        )


#: Seconds after which the provider is looked for again, as long as there is none.
LOOK_AGAIN: float = 1
#: So many times as long after a failure, which OpenTelemetry writes a traceback about,
#: after it has looked through all installed packages.
_AFTER_FAILURE: Final = 60
#: There is nothing to look for.
_NEVER: Final = math.inf


class _Source:
    """Where the instruments come from.

    :param provider: None is the global one, which is looked for.
    """

    __slots__ = ("instruments", "look_at", "looking")

    def __init__(self, provider: MeterProvider | None = None) -> None:
        #: None while there is nothing to tell. What the API has in place of a provider
        #: would do nothing either, but takes a tenth of the time of a symmetric request
        #: for it.
        self.instruments: _Instruments | None = None
        #: By the clock of perf_counter.
        self.look_at: float = 0.0
        self.looking = threading.Lock()
        if provider is not None:
            self.instruments = _Instruments(provider.get_meter("dpop_ext"))
            self.look_at = _NEVER

    def look(self) -> None:
        """Take the instruments from the global provider, if it has been set."""
        # No request waits for another one's imports. A process that was forked during
        # them lacks the thread that would end them, and measures nothing: it would wait
        # for ever, if not for this lock then for that of the imported module.
        if not self.looking.acquire(blocking=False):
            return
        try:
            if perf_counter() < self.look_at:
                return
            self.look_at = perf_counter() + LOOK_AGAIN
            api = importlib.import_module("opentelemetry.metrics")
            provider = api.get_meter_provider()
            # The API's own, which it has until one is set.
            if type(provider).__module__.startswith(api.__name__):
                return
            self.instruments = _Instruments(provider.get_meter("dpop_ext"))
            self.look_at = _NEVER
        except ImportError:
            self.look_at = _NEVER
        except Exception as error:  # noqa: BLE001 - requests do not fail for it
            # Such as for a provider that the environment names, and that is not
            # installed.
            self.look_at = perf_counter() + _AFTER_FAILURE * LOOK_AGAIN
            _log.warning("nothing is measured: %s", type(error).__name__)
        finally:
            self.looking.release()


_source = _Source()

_log = logging.getLogger("dpop_ext")


def instrument(provider: MeterProvider | None = None) -> None:
    """Take the instruments from *provider* from now on.

    Needed only for one that is not the global one.

    :param provider: None is the global one of OpenTelemetry, if that is installed, and
        as soon as it is set.
    """
    global _source  # noqa: PLW0603 - global in OpenTelemetry, too
    # A new one: who still looks for the old one changes nothing, and is not waited for.
    _source = _Source(provider)


def count_request(
    role: Role,
    *,
    outcome: Literal["accepted", "refused", "observed"],
    reason: str,
    kind: Kind,
) -> None:
    """Count one decision.

    :param outcome: ``observed`` for one that would be refused if proofs were enforced.
    :param reason: error code or other stable name; ``ok`` for one that was accepted.
    :param kind: of the proof, as far as it is known.
    """
    if (instruments := _get()) is not None:
        instruments.requests.add(
            1, {"role": role, "outcome": outcome, "reason": reason, "kind": kind}
        )


def count_accepted(role: Role, *, kind: Kind, age: float) -> None:
    """Count one request whose proof was good, and record how old that was.

    A histogram takes no negative numbers, so the side is a label.

    :param age: seconds.
    """
    if _source.instruments is None and perf_counter() < _source.look_at:
        # Each request comes by here: one call less where nobody counts.
        return
    if (instruments := _get()) is not None:
        # New each time: an exporter may keep labels, and change or copy them.
        instruments.requests.add(
            1, {"role": role, "outcome": "accepted", "reason": "ok", "kind": kind}
        )
        dated = "past" if age >= 0 else "future"
        instruments.proof_age.record(abs(age), {"role": role, "dated": dated})


def count_token(*, bound: bool, symmetric: bool) -> None:
    """Count one token request that was accepted, and its access token.

    :param bound: to the key of a proof, and so no Bearer token.
    :param symmetric: a symmetric key was delivered with it.
    """
    if (instruments := _get()) is not None:
        kind: Kind = "asymmetric" if bound else "none"
        instruments.requests.add(
            1, {"role": "as", "outcome": "accepted", "reason": "ok", "kind": kind}
        )
        instruments.tokens.add(1, {"bound": bound, "symmetric": symmetric})


def record_keyring_poll(*, outcome: str, age: float | None) -> None:
    """Count one poll, and record the age of the keyring in use, in seconds."""
    if (instruments := _get()) is not None:
        instruments.keyring_polls.add(1, {"outcome": outcome})
        if age is not None:
            instruments.keyring_age.record(age)


def record_store(backend: str, begun: float, *, answered: bool) -> None:
    """Record how long a store took to answer, or to fail.

    :param backend: ``redis`` or ``sql``.
    :param begun: what :func:`time.perf_counter` returned then.
    """
    if _source.instruments is None and perf_counter() < _source.look_at:
        return
    if (instruments := _get()) is not None:
        outcome = "answered" if answered else "failed"
        instruments.store.record(
            perf_counter() - begun, {"backend": backend, "outcome": outcome}
        )


class timing_store:  # noqa: N801 - reads like contextlib.suppress
    """:func:`record_store` of what is done inside."""

    # No generator: each request with an SQL store comes by here.
    __slots__ = ("_backend", "_begun")

    def __init__(self, backend: str) -> None:
        self._backend = backend

    def __enter__(self) -> None:
        self._begun = perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        record_store(self._backend, self._begun, answered=kind is None)


def _get() -> _Instruments | None:
    source = _source
    if perf_counter() >= source.look_at:
        source.look()
    return source.instruments
