"""The request that most are, decided in one step (:rfc:`9449#section-7.1`).

The steps of :mod:`.decision` are written for any request. Most come with a token that
was verified a moment ago and a proof as the clients of this package write it, and
:class:`UsualRequests` makes the same checks of those with far fewer calls. What it does
not know has left no trace, and goes through the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.target import base_url, normalize_target
from dpop_ext.core.token_text import digest_token
from dpop_ext.errors import (
    BadSignatureError,
    MalformedProofError,
    TargetMismatchError,
    TokenMismatchError,
)
from dpop_ext.resource_server.error_refusal import BAD_MAC, refused
from dpop_ext.resource_server.failure_limit import FailureLimit
from dpop_ext.resource_server.refusal import AccessRefusedError
from dpop_ext.resource_server.spending import spend_proof
from dpop_ext.symmetric.proof_header import has_usual_header
from dpop_ext.usual_proof import UsualProofs
from dpop_ext.verified_proof import VerifiedProof
from dpop_ext.verifier import ProofVerifier


class UsualRequests:
    """Verifies the usual requests of one server.

    :param verifier: of the server.
    :param proofs: its quicker way.
    :param recall: returns a token that was verified a moment ago and is good now, by
        the SHA-256 of its text; None for any other.
    :param failures: what is counted of tokens that were not good.
    :param public_url: what clients call the server.
    """

    def __init__(
        self,
        verifier: ProofVerifier,
        proofs: UsualProofs,
        recall: Callable[[bytes], AccessToken | None],
        *,
        failures: FailureLimit,
        public_url: str,
    ) -> None:
        self._verifier = verifier
        self._proofs = proofs
        self._recall = recall
        self._failures = failures
        self._base = base_url(public_url)

    @classmethod
    def of(
        cls,
        verifier: ProofVerifier,
        find_token: object,
        *,
        failures: FailureLimit,
        public_url: str | None,
    ) -> Self | None:
        """Return them for a server with these parts, unless one is not known here.

        :param find_token: of the server. What a subclass of a validator of this package
            checks beside is not asked, so there is no quicker way with one.
        :param public_url: of the server, which has checked it.
        """
        recalling = vars(type(find_token)).get("recalling")
        recall = recalling(find_token) if recalling is not None else None
        if recall is None or verifier.usual_proofs is None or public_url is None:
            return None
        url = base_url(public_url) + "/"
        try:
            if normalize_target(url) != url:
                return None
        except ValueError:
            # No proof is for such a URL. Each is refused as it was.
            return None
        return cls(
            verifier,
            verifier.usual_proofs,
            recall,
            failures=failures,
            public_url=public_url,
        )

    def accept(
        self,
        *,
        method: str,
        raw_target: str,
        authorization: str,
        proof: str,
        scopes: Any,
        spent: set[tuple[int, bytes]] | None,
    ) -> tuple[AccessToken, VerifiedProof] | None:
        """Return the token and the proof of a request that may be served.

        :param method: as received.
        :param raw_target: as received.
        :param authorization: value of the one ``Authorization`` field.
        :param proof: value of the one ``DPoP`` field.
        :param scopes: alternatives, of which one is enough; an empty list or tuple asks
            nothing.
        :param spent: of the :class:`.ResourceRequest`; None does not use the proof up.
        :returns: None says nothing about the request.
        :raises AccessRefusedError: it may not. Nothing but the proof is wrong.
        """
        if not authorization.startswith("DPoP "):
            return None
        verifier, failures = self._verifier, self._failures
        try:
            name = digest_token(authorization[5:])
            token = self._recall(name)
            if (
                token is None
                or not _allows(token, scopes)
                # Most of the time nobody has failed.
                or (failures.clients and failures.concerns(token))
            ):
                return None
            time = verifier.clock()
            now = int(time)
        except Exception:  # noqa: BLE001 - of a clock; who decides next says what it means
            return None
        path = raw_target
        if "?" in path:
            path = path.partition("?")[0]
        # What normalising would leave alone.
        if not path.startswith("/") or "%" in path or "/." in path:
            return None
        try:
            verified = self._proofs.verify(
                proof,
                method=method,
                url=self._base + path,
                token=token,
                token_name=name,
                policy=verifier.policy,
                nonces=verifier.nonces,
                now=now,
            )
        except Exception as error:
            symmetric = has_usual_header(proof)
            if symmetric and isinstance(error, BadSignatureError):
                raise AccessRefusedError(BAD_MAC) from error
            # As the steps do, which find these out before they look at the token.
            opening = not symmetric and isinstance(
                error, BadSignatureError | TargetMismatchError | TokenMismatchError
            )
            # No name for it: it would be in its own traceback, and so in a cycle.
            raise refused(
                error,
                MalformedProofError,
                one_proof_text=symmetric,
                client_id=None if opening else token.client_id,
            ) from error
        if verified is None:
            return None
        if spent is not None:
            spend_proof(
                verified,
                verifier=verifier,
                spent=spent,
                # Such a proof asks for no signed answer.
                answer=None,
                time=time,
                client_id=token.client_id,
            )
        return token, verified


def _allows(token: AccessToken, scopes: Any) -> bool:
    """Tell whether *token* has one of *scopes*, as far as that is seen at once."""
    if not scopes:
        # None may be what a function returns that forgot something.
        return type(scopes) in (list, tuple)
    granted = token.scope.split()
    if type(scopes) is str:
        return scopes in granted
    # An iterator would be used up.
    if type(scopes) in (list, tuple):
        for alternative in scopes:
            if alternative in granted:
                return True
            if type(alternative) is not str:
                return False
    return False
