"""Content and query of a request, against its proof (DPoP Symmetric Profile 1.0)."""

from __future__ import annotations

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.request_digest import check_digests, content_digest
from dpop_ext.errors import (
    DigestMismatchError,
    MalformedProofError,
    MalformedRequestError,
)
from dpop_ext.resource_server.answer import AnswerSigner
from dpop_ext.resource_server.credentials import ResourceRequest
from dpop_ext.resource_server.decision import OpenedRequest
from dpop_ext.resource_server.refusal import (
    AccessRefusedError,
    bearer_refused,
    refusing,
)
from dpop_ext.resource_server.route_policy import RoutePolicy
from dpop_ext.symmetric.response import ASKS, AnsweredRequest
from dpop_ext.verified_proof import VerifiedProof
from dpop_ext.verifier import ProofVerifier

_CLAIMS = frozenset(("cd", "hq", ASKS))


def concerns_message(opened: OpenedRequest, route: RoutePolicy) -> bool:
    """Tell whether :func:`prepare_answer` and :func:`check_message` have work to do.

    Most proofs have none of these claims, and shall not pay for them.
    """
    proof = opened.proof
    if route.needs_proof or proof is None:
        return True
    return not _CLAIMS.isdisjoint(proof.proof.claims)


def prepare_answer(
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


def check_message(
    opened: OpenedRequest, verified: VerifiedProof | None, *, route: RoutePolicy
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
        one_proof_text=lambda: verified.kind == "symmetric",
        nonce=verified.next_nonce,
    ):
        if not isinstance(claims.get(ASKS, False), bool):
            raise MalformedProofError("A claim of the DPoP proof is malformed.")
        check_digests(
            claims,
            target=opened.request.raw_target,
            read_content=lambda: _read_content(opened.request, route),
            required=route.request_digest,
        )


def _read_content(request: ResourceRequest, route: RoutePolicy) -> bytes:
    if request.read_content is None:
        # Whoever decides cannot see the content, so nothing can be said of it.
        raise DigestMismatchError
    return request.read_content(route.max_content)
