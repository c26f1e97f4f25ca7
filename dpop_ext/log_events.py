"""What operators read: log events with stable names."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

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
        "symmetric_key_not_issued": "A client that wants a key got none; and why.",
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
    such a proof, so there is one warning for each logger, and none for a method: that
    is never the fault of the server, and would use the warning up.
    """
    is_url = "://" in error.expected
    level = logging.WARNING
    if not is_url or logger.name in mismatch_warned:
        level = logging.DEBUG
    if not logger.isEnabledFor(level):
        return
    if is_url:
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
        "the proof is for %s, the request for %s%s",
        found,
        expected,
        "; what clients call this server is its public_url" if is_url else "",
        expected=expected,
        found=found,
    )
