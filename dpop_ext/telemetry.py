"""What operators watch: log events with stable names, and OpenTelemetry instruments.

Instruments come from the global meter provider, under the name ``dpop_ext``. Without
OpenTelemetry's API there are none, and before a provider is set there are none either.

Labels are names out of fixed lists: no client, token, key or path is one, so what a
sender makes up cannot fill the memory of a collector. Who it was stands in the log.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Mapping
from time import perf_counter
from types import MappingProxyType, TracebackType
from typing import Any, Final, Literal, Protocol

from dpop_ext.errors import TargetMismatchError

#: Events by name. A log record has the name as ``event`` and what is known about it as
#: ``fields``; the text of the message may change, these do not.
EVENTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "request_refused": "A request was refused; fields.reason says why.",
        "unexpected_error": "A parser raised what it should not: please report it.",
        "target_mismatch": "A proof is for another URL: what was expected and found.",
        "not_enforced": "Proofs are observed: a bad one is counted and not refused.",
        "client_observed": "What one client sent since the last such event.",
        "observations_not_kept": "The file of observations could not be written.",
        "host_believed": "No public_url is set, so the Host field is believed.",
        "keys_unavailable": "The issuer's public keys could not be fetched.",
        "introspection_failed": "The issuer was asked about a token, and did not say.",
        "keyring_unavailable": "A poll for derivation secrets brought none.",
        "keyring_not_kept": "A keyring is in use, but was not written to its cache.",
        "nonce_secrets_unavailable": "The file of nonce secrets could not be read.",
        "clock_refused": "Our clock and that of Redis differ: requests are refused.",
        "sweep_failed": "Expired rows of a store were not deleted; the next one tries.",
        "symmetric_key_refused": "A client did not accept the key that was delivered.",
        "symmetric_key_stale": "A client got a key of a version that is stale already.",
        "bundle_not_saved": "A client closed its session and could not save nonces.",
        "clock_skew_learned": "A client dates its proofs by the clock of a server.",
        "ticket_keys_unavailable": "The table of ticket keys could not be read.",
        "ticket_not_issued": "A client that asked for a ticket got none: a store.",
        "ticket_refused": "A client did not accept the ticket that was delivered.",
        "response_refused": "A client did not accept an answer that is to be proved.",
        "renewal_failed": "A client could not refresh after its key became stale.",
    }
)

#: Characters of a URL that go into the log.
_LOGGED: Final = 200

#: The loggers that have warned of a proof for another URL.
mismatch_warned: Final[set[str]] = set()

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

#: None while there is nothing to tell. What the API has in place of a provider would do
#: nothing either, but takes a tenth of the time of a symmetric request for it.
_instruments: _Instruments | None = None
#: By the clock of perf_counter; None if there is nothing to look for.
_look_at: float | None = 0
_looking = threading.Lock()


def instrument(provider: MeterProvider | None = None) -> None:
    """Take the instruments from *provider* from now on.

    Needed only for one that is not the global one.

    :param provider: None is the global one of OpenTelemetry, if that is installed, and
        as soon as it is set.
    """
    global _instruments, _look_at  # noqa: PLW0603 - global in OpenTelemetry, too
    with _looking:
        _instruments = None
        _look_at = 0
        if provider is not None:
            _instruments = _Instruments(provider.get_meter("dpop_ext"))
            _look_at = None


def _look() -> None:
    """Take the instruments from the global provider, if it has been set."""
    global _instruments, _look_at  # noqa: PLW0603 - as above
    with _looking:
        if _look_at is None or perf_counter() < _look_at:
            return
        try:
            api = importlib.import_module("opentelemetry.metrics")
        except ImportError:
            _look_at = None
            return
        provider = api.get_meter_provider()
        # The API's own, which it has until one is set.
        if type(provider).__module__.startswith(api.__name__):
            _look_at = perf_counter() + LOOK_AGAIN
            return
        _instruments = _Instruments(provider.get_meter("dpop_ext"))
        _look_at = None


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


class timing_store:  # noqa: N801 - reads like contextlib.suppress
    """Record how long the store takes to answer inside, and whether it does.

    :param backend: ``redis`` or ``sql``.
    """

    # No generator: each request with a shared store comes by here.
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
        if (instruments := _get()) is not None:
            outcome = "answered" if kind is None else "failed"
            instruments.store.record(
                perf_counter() - self._begun,
                {"backend": self._backend, "outcome": outcome},
            )


def log_event(
    logger: logging.Logger,
    level: int,
    event: str,
    message: str,
    *args: object,
    **fields: object,
) -> None:
    """Log *message*, and give handlers that write structured logs the parts of it.

    :param event: one of :data:`EVENTS`.
    :param fields: what is known; nothing secret, and nothing unbounded.
    """
    logger.log(level, message, *args, extra={"event": event, "fields": fields})


def log_target_mismatch(logger: logging.Logger, error: TargetMismatchError) -> None:
    """Log what a proof was made for: once so that it is seen, then for who looks.

    Most servers that refuse every client have a wrong ``public_url``. Everyone can send
    such a proof, so there is one warning for each logger.
    """
    level = logging.DEBUG if logger.name in mismatch_warned else logging.WARNING
    if not logger.isEnabledFor(level):
        return
    mismatch_warned.add(logger.name)
    expected, found = (
        # ascii() leaves no character that could forge a line of the log.
        ascii(text.partition("?")[0][:_LOGGED])
        for text in (error.expected, error.found)
    )
    log_event(
        logger,
        level,
        "target_mismatch",
        "the proof is for %s, the request for %s; what clients call this server is its "
        "public_url",
        found,
        expected,
        expected=expected,
        found=found,
    )


def _get() -> _Instruments | None:
    if _look_at is not None and perf_counter() >= _look_at:
        _look()
    return _instruments
