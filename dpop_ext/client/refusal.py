"""How a server's refusal reads: :rfc:`9449`, sections 7.1, 8 and 9."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from dpop_ext.client.exchange import Reply
from dpop_ext.core.challenge import parse_challenges

#: Seconds to keep a symmetric key back when the server does not say how long.
DEFAULT_PAUSE = 30
#: Longest time to do so, in seconds, whatever the server says.
MAX_PAUSE = 3600

_SECONDS = re.compile("[0-9]{1,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The error codes of a 401 under the DPoP scheme; None where there are none."""

    error: str | None = None
    sym_error: str | None = None


def read_refusal(reply: Reply) -> Refusal:
    """Read the DPoP challenge of a resource server.

    An error counts under the DPoP scheme only: one that another mechanism reports is
    not about the proof.
    """
    if reply.status == 401:
        for challenge in parse_challenges(reply.challenges):
            error = challenge.get("error")
            if challenge.scheme.lower() == "dpop" and error is not None:
                return Refusal(error=error, sym_error=challenge.get("sym_error"))
    return Refusal()


def is_nonce_demand(reply: Reply) -> bool:
    """Tell whether an authorization server refuses for want of a nonce.

    Any other 400 has perhaps spent the code or the refresh token, so a nonce beside
    it is no reason to send them again.
    """
    return (
        reply.status == 400 and read_json(reply.body).get("error") == "use_dpop_nonce"
    )


def is_proof_refused(reply: Reply) -> bool:
    """Tell whether an authorization server refuses a proof for what it is."""
    return (
        reply.status == 400
        and read_json(reply.body).get("error") == "invalid_dpop_proof"
    )


def read_json(body: bytes) -> dict[str, Any]:
    """Parse the body of a token endpoint; one that is no JSON object is empty."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def pause_until(retry_after: str | None, *, now: int) -> int:
    """Turn ``Retry-After`` (:rfc:`9110#section-10.2.3`) into a time.

    :param now: seconds since the epoch.
    :returns: seconds since the epoch, an hour from now at most.
    """
    pause = DEFAULT_PAUSE
    if retry_after is not None and _SECONDS.fullmatch(retry_after):
        pause = int(retry_after)
    elif retry_after is not None:
        try:
            date = parsedate_to_datetime(retry_after)
            pause = int(date.replace(tzinfo=date.tzinfo or UTC).timestamp()) - now
        except (ValueError, OverflowError):
            pause = DEFAULT_PAUSE
    return now + min(max(pause, 0), MAX_PAUSE)
