"""The gate of a server that observes proofs before it enforces them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.errors import StoreError
from dpop_ext.resource_server.credentials import ResourceRequest
from dpop_ext.resource_server.decision import require_scope
from dpop_ext.resource_server.error_refusal import refusing
from dpop_ext.resource_server.gate import FindToken, Gate, VerifiedRequest
from dpop_ext.resource_server.observation import Observation, ObservedRequest
from dpop_ext.resource_server.observer import Observer, require_observer
from dpop_ext.resource_server.refusal import AccessRefusedError, bearer_refused
from dpop_ext.resource_server.refusal_log import log_refusal
from dpop_ext.resource_server.route_policy import ANY_PROOF, RoutePolicy
from dpop_ext.verifier import ProofVerifier


class ObservingGate(Gate):
    """A gate that can let requests pass whose proof is missing or bad.

    :meth:`Gate.check` is as strict as ever; :meth:`observe` is not.

    :param observer: what is counted, and of whom proofs are demanded already.
    :raises TypeError: *observer* is something else.
    :raises ValueError: Bearer is not accepted: whoever enforces that much has nothing
        to observe.

    The other arguments are those of :class:`Gate`.
    """

    def __init__(
        self,
        verifier: ProofVerifier,
        find_token: FindToken,
        *,
        observer: Observer,
        **options: Any,
    ) -> None:
        require_observer(observer)
        if not options.get("accept_bearer"):
            raise ValueError("only who accepts Bearer tokens can observe proofs")
        super().__init__(verifier, find_token, **options)
        self._observer = observer

    def observe(
        self,
        request: ResourceRequest,
        *,
        scopes: Iterable[str] = (),
        route: RoutePolicy = ANY_PROOF,
    ) -> VerifiedRequest | ObservedRequest:
        """Return what is known of *request*, which may be served.

        A :class:`VerifiedRequest` comes of a route that demands something of a proof,
        and of a client of which proofs are demanded: they are checked, not observed.

        :param scopes: as for :meth:`Gate.check`.
        :param route: likewise.
        :raises AccessRefusedError: as :meth:`Gate.check` for those; else no valid
            token, its scope, or its certificate.
        """
        if route.needs_proof:
            return self.check(request, scopes=scopes, route=route)
        token: AccessToken | None = None
        try:
            seen = Observation(
                request,
                verifier=self._verifier,
                sync=self._sync,
                public_url=self._public_url,
            )
            proof = seen.open(self._verify_token)
            token = self._find(seen.scheme, seen.text, proof)
            with refusing(StoreError, scheme=seen.scheme):
                is_observed = not self._observer.enforces(token)
            if is_observed:
                seen.verify(token)
                require_scope(token, scopes, scheme=seen.scheme, verified=seen.verified)
            elif seen.scheme == "bearer":
                raise AccessRefusedError(bearer_refused())
        except AccessRefusedError as error:
            log_refusal(
                error.refusal,
                endpoint=request.raw_target,
                client_id=token.client_id if token is not None else None,
            )
            raise
        if not is_observed:
            return self.check(request, scopes=scopes)
        return seen.finish(token, observer=self._observer, tickets=self._tickets)


def gate_of(
    verifier: ProofVerifier,
    find_token: FindToken,
    *,
    observer: Observer | None,
    **options: Any,
) -> tuple[Gate, Callable[..., VerifiedRequest | ObservedRequest]]:
    """Return a gate, and the one of its decisions that an adapter runs.

    :param observer: None demands good proofs.

    The other arguments are those of :class:`Gate`.
    """
    if observer is None:
        gate = Gate(verifier, find_token, **options)
        return gate, gate.check
    observing = ObservingGate(verifier, find_token, observer=observer, **options)
    return observing, observing.observe
