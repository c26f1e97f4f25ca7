"""Why a request is refused, in the terms of the answer (:rfc:`9449#section-7.1`)."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal, NamedTuple

from dpop_ext.errors import StoreError
from dpop_ext.verifier import ProofVerifier

Scheme = Literal["dpop", "bearer"]

#: The one refusal that a view may choose to overlook.
NO_CREDENTIALS = "no_credentials"


class Refusal(NamedTuple):
    """What is wrong with a request, in the terms of the answer.

    :class:`~dpop_ext.resource_server.challenges.Challenges` turns it into header
    fields and a body. Nothing in it repeats what the caller sent.

    A tuple, because to make a frozen dataclass of so many fields takes a tenth of the
    time that a bad MAC does.
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

    # Each refusal raises one, and this takes half as long as super().__init__().
    __slots__ = ("client_id", "refusal")

    def __init__(self, refusal: Refusal, client_id: str | None = None) -> None:
        self.args = (refusal.reason,)
        self.refusal = refusal
        self.client_id = client_id


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
    scope: str | None, *, scheme: Scheme, nonce: str | None
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
