"""DPoP for an authorization server of Authlib (RFC 9449 sections 5 to 8 and 10)."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from authlib.common.security import is_secure_transport
from authlib.consts import version as authlib_version
from authlib.oauth2.rfc6749 import BaseGrant

from dpop_ext.authorization_server.audience import AudienceSelection
from dpop_ext.authorization_server.authorization_request import (
    extend_authorization_grant,
)
from dpop_ext.authorization_server.binding import KeyBinding
from dpop_ext.authorization_server.http_request import (
    ReceivedProof,
    environ_of,
    full_url,
    is_sent_to_loopback,
    raw_target,
    read_form_proof,
    read_proof,
)
from dpop_ext.authorization_server.metadata import KEY_DERIVATIONS
from dpop_ext.authorization_server.refusal import PARSER_ERRORS, log, log_fault
from dpop_ext.authorization_server.server_methods import extend_server
from dpop_ext.authorization_server.symmetric_key import SymmetricKeys
from dpop_ext.authorization_server.token_request import TokenRequest
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.core.target import normalize_target
from dpop_ext.errors import DPoPError, MalformedProofError, TargetMismatchError
from dpop_ext.log_events import log_target_mismatch
from dpop_ext.symmetric.conformance import AUTHORIZATION_SERVER, claims
from dpop_ext.symmetric.derivation import MAC_ALGORITHMS
from dpop_ext.symmetric.key_jwe import ENCODINGS
from dpop_ext.verifier import ProofVerifier

#: Without nonces a stolen proof made ahead of time works for as long as the token.
LONG_LIFETIME = 3600  # seconds


class DPoP(KeyBinding, AudienceSelection):
    """Bind tokens to the key of the client's proofs.

    For every grant of the server::

        server.register_extension(DPoP(verifier))

    or for one, in the older way of Authlib; both at once are harmless::

        server.register_grant(AuthorizationCodeGrant, [DPoP(verifier)])

    The application stores ``request.dpop_jkt`` with an authorization code and
    :func:`dpop_columns` with a token. What it calls these columns, and which clients
    must use DPoP, is said by small methods that a subclass may re-implement. One that
    stores neither is told so by a :exc:`RuntimeError`, with the first code or token
    that would be bound to nothing.

    :param verifier: policy, nonces, replay store and clock.
    :param symmetric: issue symmetric keys too; None is plain :rfc:`9449`.
    :param public_url: base URL that clients use, such as ``https://as.example``. Set
        it: without it the ``Host`` field of a request decides what its proof must
        name. A path in it is put before the path that this server sees.
    :raises RuntimeError: this version of Authlib is not one that was tested.
    :raises TypeError: *verifier* or *symmetric* is something else.
    :raises ValueError: *public_url* is not an https URL, or has a query or a fragment.
    """

    def __init__(
        self,
        verifier: ProofVerifier,
        *,
        symmetric: SymmetricKeys | None = None,
        public_url: str | None = None,
    ) -> None:
        _check_authlib_version(authlib_version)
        if not isinstance(verifier, ProofVerifier):
            raise TypeError("verifier is a ProofVerifier")
        if symmetric is not None and not isinstance(symmetric, SymmetricKeys):
            raise TypeError("symmetric is SymmetricKeys(secrets, issuer=...)")
        if public_url is not None:
            try:
                normalize_target(public_url)
            except ValueError as error:
                raise ValueError("public_url is an absolute https URL") from error
            if not is_secure_transport(public_url):
                raise ValueError(
                    "public_url is an https URL, or http to a loopback address"
                )
            if "?" in public_url or "#" in public_url:
                raise ValueError("public_url has neither a query nor a fragment")
        self.verifier = verifier
        self.symmetric = symmetric
        self.public_url = public_url
        self._warned: set[str] = set()
        #: Types of grants of which a code was stored with the key that it is bound to.
        self.saves_bound_codes: set[str] = set()

    def __call__(self, target: Any) -> None:
        """Extend a server or a grant; called by Authlib."""
        if isinstance(target, BaseGrant):
            self.extend_grant(target)
        else:
            extend_server(self, target)

    def extend_grant(self, grant: Any) -> None:
        """Replace methods of a grant instance. A second extension does nothing."""
        if getattr(grant, "dpop_extension", None) is not None:
            return
        grant.dpop_extension = self
        if hasattr(grant, "check_token_endpoint"):
            TokenRequest(self, grant)
        if hasattr(grant, "check_authorization_endpoint"):
            extend_authorization_grant(self, grant)

    def get_metadata(self) -> dict[str, Any]:
        """Return the members for the metadata of the server (:rfc:`9449#section-5.1`).

        They are what is enforced.
        """
        metadata: dict[str, Any] = {
            "dpop_signing_alg_values_supported": list(self.verifier.policy.algorithms)
        }
        if self.takes_form_proofs:
            metadata["dpop_proof_parameter_supported"] = True
        if self.symmetric is not None:
            metadata |= {
                "dpop_symmetric_alg_values_supported": list(MAC_ALGORITHMS),
                "dpop_symmetric_key_encryption_alg_values_supported": list(
                    self.symmetric.key_algorithms
                ),
                "dpop_symmetric_key_encryption_enc_values_supported": list(ENCODINGS),
                "dpop_symmetric_same_key_allowed": self.symmetric.same_key,
                "dpop_sym_conformance": claims(AUTHORIZATION_SERVER),
            }
            if self.symmetric.derives:
                metadata["dpop_symmetric_kdf_values_supported"] = list(KEY_DERIVATIONS)
        return metadata

    def get_policy(self, request: Any) -> ProofPolicy:
        """Return times for the proof of a request, and whether it must have one.

        Developers MAY re-implement this method. The client is not authenticated yet
        when the proof is checked, so ``request.client`` may be None.
        """
        return self.verifier.policy

    def get_raw_target(self, request: Any) -> str | None:
        """Return the request target as received, or None if it is not known.

        Developers MAY re-implement this method for another framework than Flask.
        """
        return raw_target(request)

    @property
    def takes_form_proofs(self) -> bool:
        """Whether a proof may be the parameter ``dpop_proof`` of a token request.

        So where post-quantum algorithms are accepted, whose proofs are longer than the
        header fields that servers and proxies take.
        """
        return self.verifier.policy.has_ml_dsa

    def verify_proof(
        self, request: Any, *, is_token_request: bool = False
    ) -> ReceivedProof | None:
        """Verify the proof of a request, without using it up.

        :param is_token_request: the only one that may have its proof in the form.
        :returns: None when the request has no ``DPoP`` field, nor the parameter.
        :raises ProofError: the proof is at fault.
        :raises MalformedRequestError: the parameter is repeated.
        :raises NonceRequiredError: the proof lacks a current nonce.
        """
        proof = read_proof(request.headers)
        # To other servers it is one of the unknown parameters, which are ignored.
        parameter = read_form_proof(request) if self.takes_form_proofs else None
        if parameter is not None:
            if proof is not None:
                raise MalformedProofError("There is more than one DPoP proof.")
            if not is_token_request:
                raise MalformedProofError(
                    "The dpop_proof parameter is for the token endpoint."
                )
            proof = parameter
        if proof is None:
            return None
        try:
            return self._verify(proof, request)
        except TargetMismatchError as error:
            log_target_mismatch(log, error)
            raise
        except DPoPError:
            raise
        except _ApplicationError as error:
            raise error.fault from None
        except Exception as error:
            log_fault(error)
            raise MalformedProofError from error

    def _verify(self, proof: str, request: Any) -> ReceivedProof:
        verifier = self.verifier
        # As the client sent it; Flask turns it into upper case.
        method = environ_of(request).get("REQUEST_METHOD", request.method)
        url = self._url_of(request)
        if verifier.usual_proofs is not None:
            usual = verifier.usual_proofs.verify_without_token(
                proof,
                method=method,
                url=url,
                policy=verifier.policy,
                get_times=partial(self._get_times, request),
                nonces=verifier.nonces,
                clock=verifier.clock,
            )
            if usual is not None:
                return tuple.__new__(ReceivedProof, usual)
        opened = verifier.open(proof, method=method, url=url)
        verified = verifier.verify(opened, policy=self._get_times(request))
        # Without an access token there are no symmetric proofs: the private key stays
        # the root of every grant.
        signed: Any = opened.proof
        return ReceivedProof(verified, signed.jwk)

    def _get_times(self, request: Any) -> ProofPolicy:
        try:
            return self.get_policy(request)
        except (DPoPError, *PARSER_ERRORS):
            raise
        except Exception as error:
            raise _ApplicationError(error) from error

    def check_lifetime(self, token: dict[str, Any]) -> None:
        """Warn of long-lived tokens without nonces (:rfc:`9449#section-11.2`)."""
        if (
            self.verifier.nonces is None
            and (token.get("expires_in") or 0) > LONG_LIFETIME
        ):
            self._warn_once(
                "Access tokens live longer than an hour and nonces are off: set "
                "OAUTH2_TOKEN_EXPIRES_IN in Flask, or the expires_generator of the "
                "token generator, or give ProofVerifier nonces."
            )

    def _url_of(self, request: Any) -> str:
        if self.public_url is None and not is_sent_to_loopback(request):
            self._warn_once(
                "The Host field decides what a proof must name: set "
                "DPoP(public_url=...) to the base URL that clients use."
            )
        return full_url(
            request, target=self.get_raw_target(request), public_url=self.public_url
        )

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            log.warning(message)


class _ApplicationError(Exception):
    """What a method of the application raised, and no parser for what a client sent.

    :param fault: its exception.
    """

    def __init__(self, fault: Exception) -> None:
        super().__init__()
        self.fault = fault


def _check_authlib_version(version: str) -> None:
    """Refuse versions whose methods may not be what is wrapped here."""
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    found = tuple(map(int, numbers.groups())) if numbers else ()
    if not (1, 9, 9) <= found < (1, 10):
        raise RuntimeError(
            f"dpop_ext works with Authlib 1.9.9 to 1.9.x, not {version}: "
            'install "authlib>=1.9.9,<1.10", or a newer dpop_ext.'
        )
