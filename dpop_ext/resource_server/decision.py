"""The steps of the decision about a request, in order (:rfc:`9449#section-7.1`).

:class:`~dpop_ext.resource_server.gate.Gate` runs them in one call, and
:class:`~dpop_ext.resource_server.validator.DPoPTokenValidator` in the three calls of
Authlib. Each step raises :class:`AccessRefusedError` or lets the request pass on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from dpop_ext.core.confirmation import AccessToken, Confirmation, check_certificate
from dpop_ext.errors import (
    AccessTokenError,
    DPoPError,
    KeyMismatchError,
    MalformedProofError,
    MalformedRequestError,
    ProofError,
    UnknownKeyError,
)
from dpop_ext.resource_server.credentials import (
    Credentials,
    ResourceRequest,
    parse_credentials,
)
from dpop_ext.resource_server.error_refusal import refused, refusing
from dpop_ext.resource_server.keyring_sync import KeyringSync
from dpop_ext.resource_server.proof_kind import is_symmetric
from dpop_ext.resource_server.public_url import requested_url
from dpop_ext.resource_server.refusal import (
    AccessRefusedError,
    Scheme,
    bound_token_as_bearer,
    insufficient_scope,
    no_credentials,
)
from dpop_ext.resource_server.route_policy import RoutePolicy
from dpop_ext.verified_proof import OpenedProof, VerifiedProof
from dpop_ext.verifier import ProofVerifier


class OpenedRequest(NamedTuple):
    """A request whose proof was opened. It grants nothing."""

    request: ResourceRequest
    credentials: Credentials
    #: None under the Bearer scheme.
    proof: OpenedProof | None


def open_request(
    request: ResourceRequest,
    *,
    verifier: ProofVerifier,
    public_url: str | None,
    sync: KeyringSync,
    verify_token: Callable[[str], object],
    credentials: Credentials | None = None,
) -> OpenedRequest:
    """Parse the credentials and check the proof as far as possible without the token.

    :param public_url: what clients call this server; None believes the request.
    :param sync: what is done about secrets that are newer than the keyring.
    :param verify_token: raises unless the text is a token of the issuer.
    :param credentials: of *request*, if they were parsed before.
    """
    credentials = credentials or parse_credentials(request)
    if credentials is None:
        raise AccessRefusedError(no_credentials(verifier))
    try:
        url = requested_url(request, public_url)
    except Exception as error:
        raise refused(
            error, MalformedRequestError, scheme=credentials.scheme
        ) from error
    text, proof = credentials.token, credentials.proof
    if proof is None:
        return OpenedRequest(request, credentials, None)
    try:
        try:
            opened = verifier.open(
                proof, method=request.method, url=url, access_token=text
            )
        except UnknownKeyError:
            if not sync.catch_up(partial(verify_token, text)):
                raise
            opened = verifier.open(
                proof, method=request.method, url=url, access_token=text
            )
    except Exception as error:
        # Of any other error it makes no difference, and to find out takes a while.
        of_proof = isinstance(error, ProofError) or not isinstance(error, DPoPError)
        raise refused(
            error,
            MalformedProofError,
            one_proof_text=of_proof and is_symmetric(proof, verifier),
        ) from error
    # To call the class takes twice as long.
    return tuple.__new__(OpenedRequest, (request, credentials, opened))


def verify_request(
    opened: OpenedRequest,
    token: AccessToken,
    *,
    verifier: ProofVerifier,
    sync: KeyringSync,
    route: RoutePolicy,
) -> VerifiedProof | None:
    """Check that *token*, which is valid, was sent by whom it is bound to.

    :param sync: as for :func:`open_request`; the key of an opaque token is known here.
    :param route: what kind of proof it takes.
    :returns: None for an unbound token under Bearer.
    """
    certificate = opened.request.certificate
    if opened.proof is None:
        check_bearer(token.confirmation, certificate=certificate)
        with refusing(AccessTokenError, scheme="bearer"):
            verifier.check_denied(token)
        return None
    proof, asymmetric_only = opened.proof, route.asymmetric
    try:
        try:
            return verifier.verify(
                proof,
                token=token,
                certificate=certificate,
                asymmetric_only=asymmetric_only,
            )
        except UnknownKeyError:
            if not sync.catch_up(lambda: None):
                raise
            return verifier.verify(
                proof,
                token=token,
                certificate=certificate,
                asymmetric_only=asymmetric_only,
            )
    except Exception as error:
        raise refused(
            error,
            MalformedProofError,
            one_proof_text=proof.kind == "symmetric",
        ) from error


def check_bearer(confirmation: Confirmation | None, *, certificate: str | None) -> None:
    """Check the binding of a token that was sent as Bearer (:rfc:`9449#section-7.2`).

    :param confirmation: None for an unbound token.
    :param certificate: of the client, see :class:`ResourceRequest`. With it a token is
        good that is bound to it alone, for such a token has no scheme of its own.
    """
    if confirmation is None:
        return
    if confirmation.jkt is not None:
        raise AccessRefusedError(bound_token_as_bearer())
    with refusing(KeyMismatchError, scheme="bearer"):
        check_certificate(confirmation, certificate)


def require_scope(
    token: AccessToken,
    scopes: Iterable[str],
    *,
    scheme: Scheme,
    verified: VerifiedProof | None,
) -> None:
    """Check what the token may do, once it is known to be in the right hands.

    :param scopes: alternatives, of which one is enough; each is one or more scope
        values, separated by spaces, all of which are needed. None at all asks nothing.
    """
    # A string is an iterable of strings too, and its letters are no scopes.
    alternatives = [scopes] if isinstance(scopes, str) else list(scopes)
    if not alternatives:
        return
    granted = set(token.scope.split())
    for alternative in alternatives:
        if granted.issuperset(alternative.split()):
            return
    raise AccessRefusedError(
        insufficient_scope(
            # One that would do; which of them the caller wants is not known.
            alternatives[0],
            scheme=scheme,
            nonce=next_nonce(verified),
        )
    )


def next_nonce(verified: VerifiedProof | None) -> str | None:
    """Return the nonce that goes out with the answer, now that the proof is good."""
    return verified.next_nonce if verified is not None else None
