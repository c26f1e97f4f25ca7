"""What the log and the instruments learn of a request that is refused."""

from __future__ import annotations

import logging
from functools import cache

from dpop_ext import telemetry
from dpop_ext.log_events import log_event
from dpop_ext.resource_server.refusal import Refusal

#: Characters of a client identifier or a path that go into the log.
_LOGGED = 200

_logger = logging.getLogger("dpop_ext.resource_server")


@cache
def warn_about_host() -> None:
    """Say once that a setting is missing on which the safety of ``htu`` depends."""
    log_event(
        _logger,
        logging.WARNING,
        "host_believed",
        "The Host field decides what a proof must name: set public_url to the base URL "
        "that clients use.",
    )


def log_refusal(refusal: Refusal, *, endpoint: str, client_id: str | None) -> None:
    """Log one line: why, who, where. Neither token nor proof nor key is in it.

    :param endpoint: the request target, of which the path is logged.
    :param client_id: the client, once the access token was verified.
    """
    telemetry.count_request("rs", outcome="refused", reason=refusal.reason, kind="none")
    level = logging.WARNING if refusal.status == 503 else logging.INFO
    if not _logger.isEnabledFor(level):
        return
    path = endpoint.partition("?")[0].partition("#")[0]
    if not path.startswith("/"):
        path = "/" + path.partition("://")[2].partition("/")[2]
    shown = ascii(client_id[:_LOGGED]) if client_id else "-"
    # ascii() leaves no character that could forge a line of the log.
    path = ascii(path[:_LOGGED])
    log_event(
        _logger,
        level,
        "request_refused",
        "refused: status=%d reason=%s cause=%s client=%s endpoint=%s",
        refusal.status,
        refusal.reason,
        refusal.cause or "-",
        shown,
        path,
        role="rs",
        status=refusal.status,
        reason=refusal.reason,
        cause=refusal.cause,
        client=shown,
        endpoint=path,
    )
