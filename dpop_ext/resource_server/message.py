"""Content and query of a request, against its proof (DPoP Symmetric Profile 1.0)."""

from __future__ import annotations

from contextlib import suppress

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.request_digest import check_digests, content_digest
from dpop_ext.errors import (
    DigestMismatchError,
    DPoPError,
    MalformedProofError,
    MalformedRequestError,
)
from dpop_ext.resource_server.answer import AnswerSigner
from dpop_ext.resource_server.credentials import ResourceRequest
from dpop_ext.resource_server.decision import OpenedRequest, verify_request
from dpop_ext.resource_server.error_refusal import refusing
from dpop_ext.resource_server.keyring_sync import KeyringSync
from dpop_ext.resource_server.refusal import AccessRefusedError, bearer_refused
from dpop_ext.resource_server.route_policy import RoutePolicy
from dpop_ext.symmetric.response import ASKS, AnsweredRequest
from dpop_ext.verified_proof import VerifiedProof
from dpop_ext.verifier import ProofVerifier

_CLAIMS = frozenset(("cd", "hq", ASKS))


def verify_message(
    opened: OpenedRequest,
    token: AccessToken,
    *,
    verifier: ProofVerifier,
    sync: KeyringSync,
    route: RoutePolicy,
    has_content: bool = True,
) -> VerifiedProof | None:
    """Do :func:`.decision.verify_request`, and what else a proof and a route ask for.

    :param token: verified.
    :param sync: as for :func:`.decision.verify_request`.
    :param has_content: whether the content of the request comes here. To a gateway's
        question it does not, and the server behind the gateway compares it.
    :returns: None for an unbound token under Bearer.
    """
    proof = opened.proof
    if proof is None or route.needs_proof:
        concerned = True
    else:
        # Most proofs have none of these claims, and shall not pay for them.
        concerned = not _CLAIMS.isdisjoint(proof.proof.claims)
    if concerned:
        _prepare_answer(opened, token, verifier=verifier, route=route)
    try:
        verified = verify_request(
            opened, token, verifier=verifier, sync=sync, route=route
        )
    except AccessRefusedError as error:
        if concerned and error.refusal.error == "use_dpop_nonce":
            _withhold_if_used(opened, token, verifier=verifier)
        raise
    if concerned:
        _check_message(opened, verified, route=route, has_content=has_content)
    return verified


def _prepare_answer(
    opened: OpenedRequest,
    token: AccessToken,
    *,
    verifier: ProofVerifier,
    route: RoutePolicy,
) -> None:
    """Leave the signer of the answer, if the request asks for it and may.

    From here on every answer has a response proof, refusals too.

    :param token: verified.
    """
    slot, proof = opened.request.answer, opened.proof
    if slot is None or proof is None or proof.proof.claims.get(ASKS) is not True:
        return
    with refusing(MalformedRequestError):
        key = verifier.response_key(proof, token)
        if key is None:
            return
        slot.signer = AnswerSigner(
            key=key,
            request=AnsweredRequest.of(
                opened.request.proofs[0],
                target=opened.request.raw_target,
                content=content_digest(_read_content(opened.request, route)),
            ),
            clock=verifier.clock,
        )


def _check_message(
    opened: OpenedRequest,
    verified: VerifiedProof | None,
    *,
    route: RoutePolicy,
    has_content: bool,
) -> None:
    """Compare the digests in the proof with the request, and refuse those that lack.

    :param verified: None for an unbound token under Bearer.
    """
    if verified is None:
        if route.needs_proof:
            raise AccessRefusedError(bearer_refused())
        return
    claims = verified.claims
    with refusing(
        MalformedRequestError,
        one_proof_text=verified.kind == "symmetric",
        nonce=verified.next_nonce,
    ):
        if not isinstance(claims.get(ASKS, False), bool):
            raise MalformedProofError("A claim of the DPoP proof is malformed.")
        check_digests(
            claims,
            target=opened.request.raw_target,
            read_content=(
                (lambda: _read_content(opened.request, route)) if has_content else None
            ),
            required=route.request_digest,
        )


def _withhold_if_used(
    opened: OpenedRequest, token: AccessToken, *, verifier: ProofVerifier
) -> None:
    """Keep the demand for a nonce from being proved if it is the refusal of a replay.

    After it, a client sends its request again. Whoever holds back the answer to that
    request could get the demand by sending it once more when its nonce is too old.
    """
    slot, proof = opened.request.answer, opened.proof
    # Without a nonce it cannot have been accepted before.
    if slot is None or slot.signer is None or proof is None or not proof.proof.nonce:
        return
    with suppress(DPoPError), slot.withheld():
        verifier.spend_refused(proof, token)


def _read_content(request: ResourceRequest, route: RoutePolicy) -> bytes:
    if request.read_content is None:
        # Whoever decides cannot see the content, so nothing can be said of it.
        raise DigestMismatchError
    return request.read_content(route.max_content)
