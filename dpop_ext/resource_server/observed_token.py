"""Requests that are served for their token alone, for the validators of Authlib."""

from __future__ import annotations

from functools import partial
from typing import Any

from dpop_ext.errors import AccessTokenError
from dpop_ext.resource_server.bound_token import read_access_token, read_confirmation
from dpop_ext.resource_server.observation import Observation, ObservedRequest
from dpop_ext.resource_server.observer import Observer
from dpop_ext.resource_server.refusal import AccessRefusedError, bearer_refused
from dpop_ext.resource_server.translation import translated
from dpop_ext.resource_server.validator import (
    DPoPTokenValidator,
    validate_without_scope,
)


def observe_token(
    dpop: DPoPTokenValidator,
    validator: Any,
    request: Any,
    scopes: Any,
    *,
    observer: Observer,
    **kwargs: Any,
) -> tuple[Any, ObservedRequest | None]:
    """Return the token of *request* and what was seen of its proof.

    The same as :meth:`.observing_gate.ObservingGate.observe`, with the validators of
    tokens that the application has.

    :param dpop: whose verifier and whose inner validator it is.
    :param validator: for the scheme of the request.
    :param request: of Authlib, with its ``resource_request``.
    :param scopes: alternatives, of which one is enough.
    :returns: None for what was seen if a good proof is demanded of this client: then
        nothing is decided yet.
    :raises AccessRefusedError: the token is not valid, or has not the scope.
    """
    seen = Observation(
        request.resource_request,
        verifier=dpop.verifier,
        sync=dpop.sync,
        public_url=dpop.public_url,
    )
    if seen.scheme == "dpop":
        validator = dpop.inner
    # Tells RejectBoundTokens that what it refuses is counted here.
    request.dpop_observation = seen
    try:
        proof = seen.open(partial(dpop.verify_token, request))
        validator.validate_request(request)
        dpop.failures.check(proof)
        try:
            token = validator.authenticate_token(seen.text)
        except Exception as error:
            dpop.failures.count(proof, error)
            raise
        if token is None:
            raise AccessTokenError
        validate_without_scope(validator, token, request)
        if seen.scheme == "dpop":
            access_token = dpop.get_access_token(token)
        else:
            read = getattr(validator, "get_confirmation", read_confirmation)
            issuer = dpop.verifier.issuer
            access_token = read_access_token(token, read(token), issuer=issuer)
        if observer.enforces(access_token):
            if seen.scheme == "bearer":
                raise AccessRefusedError(bearer_refused())
            return token, None
        seen.verify(access_token)
        validator.validate_token(token, scopes, request, **kwargs)
    except Exception as error:
        raise translated(error, scheme=seen.scheme, scopes=scopes) from error
    finally:
        del request.dpop_observation
    return token, seen.finish(access_token, observer=observer, tickets=dpop.tickets)
