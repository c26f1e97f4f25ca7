"""One log line for what a client does not get: who, where and why, nothing secret."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Error

from dpop_ext import telemetry
from dpop_ext.authorization_server.errors import to_response
from dpop_ext.authorization_server.http_request import claimed_client_id
from dpop_ext.errors import DPoPError
from dpop_ext.log_events import log_event

log = logging.getLogger("dpop_ext.authorization_server")

#: What the parsers underneath raise for hostile input, beside their own errors. Other
#: exceptions are the fault of the application or of its database, and stay one.
PARSER_ERRORS = (ArithmeticError, LookupError, RecursionError, TypeError, ValueError)

#: Reasons that someone should look at: they do not come of a clock or of a restart.
_ALARMING = {"key_mismatch": logging.WARNING, "store_unavailable": logging.ERROR}


def log_refusal(
    request: Any, endpoint: str, reason: str, *, cause: BaseException | None = None
) -> bool:
    """Log that a request was refused.

    :param cause: the exception behind it, of which the class is logged.
    :returns: whether there is a line; False leaves it to somebody else.
    """
    # A pushed request is validated as one of the authorization endpoint would be. Its
    # own endpoint has the line.
    if endpoint == "authorization" and getattr(request, "is_being_pushed", False):
        return False
    client = claimed_client_id(request)
    caused_by = type(cause).__name__ if cause is not None else None
    telemetry.count_request("as", outcome="refused", reason=reason, kind="none")
    log_event(
        log,
        _ALARMING.get(reason, logging.INFO),
        "request_refused",
        "refused: %s, client %s, %s endpoint%s",
        reason,
        client,
        endpoint,
        f", cause {caused_by}" if caused_by else "",
        role="as",
        reason=reason,
        cause=caused_by,
        client=client,
        endpoint=endpoint,
    )
    return True


def refused(error: DPoPError, request: Any, endpoint: str) -> OAuth2Error:
    """Log that a request was refused with *error*, and return the answer to it."""
    answer = to_response(error, request)
    answer.is_logged = log_refusal(request, endpoint, error.code, cause=error.__cause__)
    return answer


def log_error(request: Any, endpoint: str, error: OAuth2Error) -> None:
    """Log that a request was refused with *error*, unless somebody has already.

    Extensions wrap each other in the order in which they were registered.
    """
    if not getattr(error, "is_logged", False):
        error.is_logged = log_refusal(request, endpoint, error.error)


def log_no_key(client: Any, audience: str | None, lacks: str | None) -> None:
    """Log that a client which wants a symmetric key gets none, and what it lacks.

    :param audience: of the token, or None if it is not known.
    """
    name = ascii(client.get_client_id())
    log_event(
        log,
        logging.INFO,
        "symmetric_key_not_issued",
        "no symmetric key: %s, client %s, audience %s",
        lacks,
        name,
        ascii(audience) if audience is not None else "-",
        reason=lacks,
        client=name,
        audience=audience,
    )


def log_fault(error: Exception) -> None:
    """Log an exception that a parser should not have raised.

    By its class and place: its message may repeat what the caller sent.
    """
    frame = traceback.extract_tb(error.__traceback__)[-1]
    log_event(
        log,
        logging.ERROR,
        "unexpected_error",
        "unexpected %s at %s:%d",
        type(error).__name__,
        frame.filename,
        frame.lineno,
        cause=type(error).__name__,
    )


def run_grant_validation(validate: Callable[[], Any]) -> Any:
    """Call a validation of Authlib's, which must end in a result or an OAuth2Error.

    :raises InvalidRequestError: a parser fell over credentials, an assertion or a
        parameter that is not what it should be.
    """
    try:
        return validate()
    except PARSER_ERRORS as error:
        log_fault(error)
        raise InvalidRequestError("The request is malformed.") from error
