"""The last step of a request, which uses its proof up (:rfc:`9449#section-11.1`)."""

from __future__ import annotations

from dpop_ext import telemetry
from dpop_ext.errors import DPoPError
from dpop_ext.resource_server.answer import AnswerSlot
from dpop_ext.resource_server.error_refusal import refused
from dpop_ext.verified_proof import VerifiedProof
from dpop_ext.verifier import ProofVerifier


def spend_proof(
    verified: VerifiedProof | None,
    *,
    verifier: ProofVerifier,
    spent: set[tuple[int, bytes]],
    answer: AnswerSlot | None,
    time: float | None = None,
    client_id: str | None = None,
) -> None:
    """Use the proof up: once for a request, however often it is decided.

    Layers of one application may each decide about a request, a middleware and a view
    for example. They check everything again, but the second sees no replay.

    :param verified: None for an unbound token under Bearer.
    :param spent: of the :class:`ResourceRequest`.
    :param answer: likewise.
    :param time: seconds since the epoch, to measure the age of the proof by, if the
        clock has been read for this request; None reads it.
    :param client_id: for logs: whose access token it is.
    :raises AccessRefusedError: it is used up, or cannot be.
    """
    if verified is None:
        telemetry.count_request("rs", outcome="accepted", reason="ok", kind="bearer")
        return
    # Of one store: another one may know of uses that this one does not.
    mark = (id(verifier.replay_store), verified.replay_key)
    if mark in spent:
        return
    try:
        # Before: nothing may fail once the proof is used up.
        if time is None:
            time = verifier.clock()
        if answer is None or answer.signer is None:
            # It reads the clock itself: key, nonce or log-out may have been waited for.
            verifier.spend(verified)
        else:
            with answer.withheld():
                verifier.spend(verified)
    except Exception as error:
        raise refused(
            error,
            DPoPError,
            one_proof_text=verified.kind == "symmetric",
            nonce=verified.next_nonce,
            client_id=client_id,
        ) from error
    spent.add(mark)
    telemetry.count_accepted(
        "rs", kind=verified.kind, age=time - verified.claims["iat"]
    )
