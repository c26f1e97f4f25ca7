"""What each error is refused with: :rfc:`9449#section-7.1`, :rfc:`6750#section-3.1`."""

from __future__ import annotations

import logging
from typing import Final

from dpop_ext.errors import (
    AccessTokenError,
    AsymmetricRequiredError,
    BadSignatureError,
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
from dpop_ext.log_events import log_target_mismatch
from dpop_ext.resource_server.refusal import AccessRefusedError, Refusal, Scheme

#: The scheme could not be told, or there were several: every challenge has the error.
AMBIGUOUS: tuple[Scheme, ...] = ("bearer", "dpop")

#: Seconds after which to try again when a store did not answer.
STORE_RETRY_AFTER = 5
#: Seconds after which a key that is newer than this server may be known here.
KEY_RETRY_AFTER = 30

_logger = logging.getLogger("dpop_ext.resource_server")

#: The status, the error code and the ``Retry-After`` of each error; the first class
#: that fits counts.
_ANSWERS: tuple[tuple[type[DPoPError], int, str, int | None], ...] = (
    (ProofError, 401, "invalid_dpop_proof", None),
    (NonceRequiredError, 401, "use_dpop_nonce", None),
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
    description: str | None = None,
    nonce: str | None = None,
    cause: str | None = None,
) -> Refusal:
    """Return the answer to *error*.

    :param description: in place of that of *error*.
    :param nonce: unless *error* brings one.
    :param cause: in place of what *error* tells.
    """
    # Not by next() of a generator: each request that is refused comes by here.
    for kind, status, code, retry_after in _ANSWERS:  # noqa: B007 - needed below
        if isinstance(error, kind):
            break
    sym_error = None
    # Most are faults of the proof, and those are none of these.
    if kind is not ProofError:
        if isinstance(error, NonceRequiredError):
            nonce = error.nonce
        elif isinstance(error, SymmetricKeyError):
            sym_error = error.code
        elif isinstance(error, AccessTokenError) and cause is None:
            cause = error.check
    if cause is None and error.__cause__ is not None:
        cause = type(error.__cause__).__name__
    values = (
        status,
        error.code,
        code,
        description or error.description,
        schemes,
        None,  # scope
        sym_error,
        nonce,
        retry_after,
        cause,
    )
    # To call the class takes twice as long.
    return tuple.__new__(Refusal, values)


#: The answer to a bad MAC, the same each time: what a flood of made-up proofs gets. To
#: make it anew takes a twentieth of the time that deciding about one does.
BAD_MAC: Final = _refusal(BadSignatureError(), ("dpop",), ProofError.description)


def malformed_request(
    description: str, *, schemes: tuple[Scheme, ...] = AMBIGUOUS
) -> Refusal:
    """Return the answer to credentials that are malformed or contradict themselves."""
    return refuse(MalformedRequestError(description), schemes=schemes)


def refused(
    error: Exception,
    unexpected: type[DPoPError],
    *,
    scheme: Scheme = "dpop",
    one_proof_text: bool = False,
    nonce: str | None = None,
    client_id: str | None = None,
) -> AccessRefusedError:
    """Return what to raise for *error*, whatever it is; a refusal stays what it is.

    The steps that every request passes have an ``except`` for it in place of
    :class:`refusing`, which takes longer than some of the checks inside.

    :param unexpected: what an exception counts as that no layer below announces: bad
        input must be answered, never become a 500 and never pass.
    :param one_proof_text: every fault of the proof is described with the same text, so
        that a forger does not learn which check he passed.
    :param nonce: goes out with the answer, unless the error brings one.
    :param client_id: for logs: whose access token it is, if that was verified.
    """
    cause = description = None
    if not isinstance(error, DPoPError):
        if isinstance(error, AccessRefusedError):
            return AccessRefusedError(error.refusal)
        error, cause = unexpected(), type(error).__name__
    if isinstance(error, ProofError):
        if isinstance(error, TargetMismatchError):
            log_target_mismatch(_logger, error)
        if one_proof_text:
            description = ProofError.description
    return AccessRefusedError(
        _refusal(error, (scheme,), description, nonce, cause),
        client_id,
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
        one_proof_text: bool = False,
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
