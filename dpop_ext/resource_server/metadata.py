"""Protected resource metadata: :rfc:`9728#section-2`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dpop_ext.symmetric.conformance import RESOURCE_SERVER, claims
from dpop_ext.verifier import ProofVerifier


def protected_resource_metadata(
    verifier: ProofVerifier,
    *,
    resource: str,
    authorization_servers: Iterable[str] = (),
    scopes: Iterable[str] = (),
    accept_bearer: bool = False,
    asymmetric_paths: Iterable[str] = (),
    signs_answers: bool = False,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the document that tells clients what this resource server accepts.

    Serve it as JSON at ``/.well-known/oauth-protected-resource``, without
    authentication. What it says about proofs is what *verifier* enforces.

    :param resource: this resource server's own identifier, an https URL.
    :param authorization_servers: issuer identifiers of those that it trusts.
    :param scopes: the scope values that it knows.
    :param accept_bearer: as given to the gate: unbound tokens are accepted too.
    :param asymmetric_paths: paths of routes that take asymmetric proofs only: a hint,
        for a client finds out with its first request.
    :param signs_answers: answers are signed for clients that ask for it.
    :param extra: further members of the document.
    """
    document: dict[str, Any] = {
        **(extra or {}),
        "resource": resource,
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": list(verifier.policy.algorithms),
        "dpop_bound_access_tokens_required": not accept_bearer,
    }
    if servers := list(authorization_servers):
        document["authorization_servers"] = servers
    if known := list(scopes):
        document["scopes_supported"] = known
    if verifier.symmetric_algorithms:
        document["dpop_symmetric_alg_values_supported"] = list(
            verifier.symmetric_algorithms
        )
        document["dpop_symmetric_modes_supported"] = list(verifier.symmetric_modes)
        document["dpop_response_signing_supported"] = signs_answers
        if paths := list(asymmetric_paths):
            document["dpop_asymmetric_required_paths"] = paths
        document["dpop_sym_conformance"] = claims(RESOURCE_SERVER)
    return document
