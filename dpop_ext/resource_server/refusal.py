"""Why a request is refused, and the answer (:rfc:`9449#section-7.1`)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Literal

from dpop_ext import telemetry
from dpop_ext.errors import (
    AccessTokenError,
    AsymmetricRequiredError,
    BindingError,
    ContentTooLargeError,
    DPoPError,
    MalformedRequestError,
    NonceRequiredError,
    ProofError,
    StaleTicketError,
    StoreError,
    SymmetricKeyError,
    TargetMismatchError,
    TooManyRequestsError,
    UnknownKeyError,
)
from dpop_ext.verifier import ProofVerifier

Scheme = Literal["dpop", "bearer"]

#: The scheme could not be told, or there were several: every challenge has the error.
AMBIGUOUS: tuple[Scheme, ...] = ("bearer", "dpop")

#: The one refusal that a view may choose to overlook.
NO_CREDENTIALS = "no_credentials"

#: Seconds after which to try again when a store did not answer.
STORE_RETRY_AFTER = 5
#: Seconds after which a key that is newer than this server may be known here.
KEY_RETRY_AFTER = 30

#: Characters of a client identifier or a path that go into the log.
_LOGGED = 200

_logger = logging.getLogger("dpop_ext.resource_server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What is wrong with a request, in the terms of the answer.

    :class:`~dpop_ext.resource_server.challenges.Challenges` turns it into header
    fields and a body. Nothing in it repeats what the caller sent.
    """

    status: int
    #: Stable name of the cause, for logs.
    reason: str
    #: The error code on the wire; None when no credentials were sent.
    error: str | None = None
    description: str | None = None
    #: The schemes whose challenges name the error.
    schemes: tuple[Scheme, ...] = ("dpop",)
    #: The scope that would do, with ``insufficient_scope``.
    scope: str | None = None
    sym_error: str | None = None
    #: Value of the ``DPoP-Nonce`` field.
    nonce: str | None = None
    #: In seconds.
    retry_after: int | None = None
    #: For logs: the claim that is wrong, or the class of the exception behind it.
    cause: str | None = None


class AccessRefusedError(Exception):
    """The request is not served.

    :param refusal: what to answer.
    :param client_id: for logs: whose access token it came with, where that is known.
    """

    def __init__(self, refusal: Refusal, *, client_id: str | None = None) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal
        self.client_id = client_id


#: The status, the error code and the ``Retry-After`` of each error; the first class
#: that fits counts.
_ANSWERS: tuple[tuple[type[DPoPError], int, str, int | None], ...] = (
    (NonceRequiredError, 401, "use_dpop_nonce", None),
    (ProofError, 401, "invalid_dpop_proof", None),
    (BindingError, 401, "invalid_token", None),
    (AccessTokenError, 401, "invalid_token", None),
    (UnknownKeyError, 401, "use_dpop_asymmetric", KEY_RETRY_AFTER),
    (StaleTicketError, 401, "use_dpop_asymmetric", None),
    (AsymmetricRequiredError, 401, "use_dpop_asymmetric", None),
    (SymmetricKeyError, 401, "invalid_token", None),
    (MalformedRequestError, 400, "invalid_request", None),
    (TooManyRequestsError, 429, "temporarily_unavailable", STORE_RETRY_AFTER),
    (ContentTooLargeError, 413, "invalid_request", None),
    (StoreError, 503, "temporarily_unavailable", STORE_RETRY_AFTER),
    (DPoPError, 401, "invalid_token", None),
)


def refuse(error: DPoPError, *, schemes: tuple[Scheme, ...] = ("dpop",)) -> Refusal:
    """Return the answer of a resource server to *error*."""
    return _refusal(error, schemes)


def _refusal(
    error: DPoPError,
    schemes: tuple[Scheme, ...],
    *,
    description: str | None = None,
    nonce: str | None = None,
    cause: str | None = None,
) -> Refusal:
    """Return the answer to *error*.

    :param description: in place of that of *error*.
    :param nonce: unless *error* brings one.
    :param cause: in place of what *error* tells.
    """
    _, status, code, retry_after = next(
        answer for answer in _ANSWERS if isinstance(error, answer[0])
    )
    if cause is None and isinstance(error, AccessTokenError):
        cause = error.check
    if cause is None and error.__cause__ is not None:
        cause = type(error.__cause__).__name__
    return Refusal(
        status=status,
        reason=error.code,
        error=code,
        description=description or error.description,
        schemes=schemes,
        sym_error=error.code if isinstance(error, SymmetricKeyError) else None,
        nonce=error.nonce if isinstance(error, NonceRequiredError) else nonce,
        retry_after=retry_after,
        cause=cause,
    )


def no_credentials(verifier: ProofVerifier) -> Refusal:
    """Return the answer to a request without credentials: no challenge has an error.

    :param verifier: supplies the nonce that it would demand, if it demands any
        (:rfc:`9449#section-9`): a client can ask for one without showing its token.
    """
    nonce = None
    if verifier.nonces is not None:
        # Secrets that did not arrive are no reason to answer anything else.
        with suppress(StoreError):
            nonce = verifier.nonces.issue(purpose="rs", now=int(verifier.clock()))
    return Refusal(status=401, reason=NO_CREDENTIALS, schemes=(), nonce=nonce)


def unsupported_scheme() -> Refusal:
    """Return the answer to a scheme that is neither DPoP nor Bearer."""
    return Refusal(status=401, reason="unsupported_scheme", schemes=())


def malformed_request(
    description: str, *, schemes: tuple[Scheme, ...] = AMBIGUOUS
) -> Refusal:
    """Return the answer to credentials that are malformed or contradict themselves."""
    return refuse(MalformedRequestError(description), schemes=schemes)


def bearer_refused() -> Refusal:
    """Return the answer to a Bearer token where only DPoP is accepted."""
    return Refusal(
        status=401,
        reason="bearer_refused",
        error="invalid_token",
        description="An access token is accepted with a DPoP proof only.",
        schemes=("bearer",),
    )


def bound_token_as_bearer() -> Refusal:
    """Return the answer to a bound token under Bearer (:rfc:`9449#section-7.2`)."""
    return Refusal(
        status=401,
        reason="bound_token_as_bearer",
        error="invalid_token",
        description="The access token is bound to a DPoP key.",
        schemes=("bearer",),
    )


def insufficient_scope(
    scope: str | None, *, scheme: Scheme, nonce: str | None = None
) -> Refusal:
    """Return the answer to a good token that may not do this (:rfc:`6750#section-3.1`).

    :param scope: the scope that would do.
    :param nonce: for the next proof.
    """
    return Refusal(
        status=403,
        reason="insufficient_scope",
        error="insufficient_scope",
        description="The access token does not have the scope that this needs.",
        schemes=(scheme,),
        scope=scope,
        nonce=nonce,
    )


def refused(
    error: Exception,
    unexpected: type[DPoPError],
    *,
    scheme: Scheme = "dpop",
    one_proof_text: Callable[[], bool] = lambda: False,
    nonce: str | None = None,
    client_id: str | None = None,
) -> AccessRefusedError:
    """Return what to raise for *error*, whatever it is; a refusal stays what it is.

    The steps that every request passes have an ``except`` for it in place of
    :class:`refusing`, which takes longer than some of the checks inside.

    :param unexpected: what an exception counts as that no layer below announces: bad
        input must be answered, never become a 500 and never pass.
    :param one_proof_text: tells, after a fault of the proof, whether every such fault
        is described with the same text, so that a forger does not learn which check he
        passed.
    :param nonce: goes out with the answer, unless the error brings one.
    :param client_id: for logs: whose access token it is, if that was verified.
    """
    if isinstance(error, AccessRefusedError):
        return AccessRefusedError(error.refusal)
    if isinstance(error, TargetMismatchError):
        telemetry.log_target_mismatch(_logger, error)
    cause = description = None
    if not isinstance(error, DPoPError):
        error, cause = unexpected(), type(error).__name__
    if isinstance(error, ProofError) and one_proof_text():
        description = ProofError.description
    return AccessRefusedError(
        _refusal(error, (scheme,), description=description, nonce=nonce, cause=cause),
        client_id=client_id,
    )


class refusing:  # noqa: N801 - reads like contextlib.suppress
    """Turn whatever goes wrong inside into :class:`AccessRefusedError`.

    The arguments are those of :func:`refused`.
    """

    __slots__ = ("_nonce", "_one_proof_text", "_scheme", "_unexpected")

    def __init__(
        self,
        unexpected: type[DPoPError],
        *,
        scheme: Scheme = "dpop",
        one_proof_text: Callable[[], bool] = lambda: False,
        nonce: str | None = None,
    ) -> None:
        self._unexpected = unexpected
        self._scheme: Scheme = scheme
        self._one_proof_text = one_proof_text
        self._nonce = nonce

    def __enter__(self) -> None:
        """Do nothing yet."""

    def __exit__(
        self, kind: object, error: BaseException | None, traceback: object
    ) -> None:
        if error is None or isinstance(error, AccessRefusedError):
            return
        if isinstance(error, Exception):
            raise refused(
                error,
                self._unexpected,
                scheme=self._scheme,
                one_proof_text=self._one_proof_text,
                nonce=self._nonce,
            ) from error


@cache
def warn_about_host() -> None:
    """Say once that a setting is missing on which the safety of ``htu`` depends."""
    telemetry.log_event(
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
    telemetry.log_event(
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
