"""Metadata of servers and clients (RFC 9449 sections 5.1 and 5.2, RFC 9126 5, 6)."""

from __future__ import annotations

from collections.abc import Container
from typing import Any
from urllib.parse import urlsplit

from authlib.common.security import is_secure_transport
from authlib.oauth2.claims import BaseClaims
from joserfc.errors import InvalidClaimError

from dpop_ext.authorization_server.key_recipient import (
    ENCAPSULATION_ALG,
    ENCAPSULATION_ENC,
)
from dpop_ext.core.key import ALGORITHMS
from dpop_ext.core.ml_dsa import ML_DSA
from dpop_ext.symmetric.conformance import TARGETS, claims
from dpop_ext.symmetric.delivery import KEY_ALGORITHMS, OPTIONAL_KEY_ALGORITHMS
from dpop_ext.symmetric.derivation import MAC_ALGORITHMS
from dpop_ext.symmetric.key_jwe import ENCODINGS

#: The one key derivation of the DPoP Symmetric Profile 1.0.
KEY_DERIVATIONS = ("dpop-sym/1",)
#: When a client gets a symmetric key with its access token.
KEY_CHOICES = ("never", "on_request", "always")


def metadata_path(issuer: str) -> str:
    """Return the path at which clients look for the document.

    The path of *issuer* comes after the well-known one, and not before it, so behind a
    proxy this path is outside of the prefix of the server.

    :param issuer: issuer identifier, with a path or without.
    """
    path = urlsplit(issuer).path
    # Without the final slash (RFC 8414 section 3.1), which Authlib would keep.
    return f"/.well-known/oauth-authorization-server{path.removesuffix('/')}"


class AuthorizationServerMetadata(dict[str, Any]):
    """Members of the authorization server metadata for DPoP (:rfc:`9449#section-5.1`).

    And those for pushed requests (:rfc:`9126#section-5`). Usage, as with Authlib's own
    extensions::

        metadata = rfc8414.AuthorizationServerMetadata(data)
        metadata.validate(metadata_classes=[AuthorizationServerMetadata])

    :meth:`dpop_ext.authorization_server.DPoP.get_metadata` has the values.
    """

    REGISTRY_KEYS = (
        "dpop_proof_parameter_supported",
        "dpop_signing_alg_values_supported",
        "dpop_symmetric_alg_values_supported",
        "dpop_symmetric_key_encryption_alg_values_supported",
        "dpop_symmetric_key_encryption_enc_values_supported",
        "dpop_symmetric_kdf_values_supported",
        "dpop_symmetric_keyring_endpoint",
        "dpop_symmetric_same_key_allowed",
        "dpop_sym_conformance",
        "pushed_authorization_request_endpoint",
        "require_pushed_authorization_requests",
    )

    def validate_dpop_signing_alg_values_supported(self) -> None:
        """Signature algorithms accepted in proofs: asymmetric, and never ``none``."""
        known = (*ALGORITHMS, *ML_DSA)
        self._validate_names("dpop_signing_alg_values_supported", known)

    def validate_dpop_proof_parameter_supported(self) -> None:
        """Whether a token request may have its proof in the form. False when absent."""
        self._validate_boolean("dpop_proof_parameter_supported")

    def validate_dpop_symmetric_alg_values_supported(self) -> None:
        """MAC algorithms that symmetric keys are issued for."""
        self._validate_names("dpop_symmetric_alg_values_supported", MAC_ALGORITHMS)

    def validate_dpop_symmetric_key_encryption_alg_values_supported(self) -> None:
        """JWE ``alg`` values that symmetric keys are delivered with."""
        known = (*KEY_ALGORITHMS, *OPTIONAL_KEY_ALGORITHMS)
        self._validate_names(
            "dpop_symmetric_key_encryption_alg_values_supported", known
        )

    def validate_dpop_symmetric_key_encryption_enc_values_supported(self) -> None:
        """JWE ``enc`` values that symmetric keys are delivered with."""
        self._validate_names(
            "dpop_symmetric_key_encryption_enc_values_supported", ENCODINGS
        )

    def validate_dpop_symmetric_kdf_values_supported(self) -> None:
        """Key derivations shared with resource servers."""
        self._validate_names("dpop_symmetric_kdf_values_supported", KEY_DERIVATIONS)

    def validate_dpop_symmetric_keyring_endpoint(self) -> None:
        """Where resource servers get their derivation secrets: an https URL."""
        self._validate_url("dpop_symmetric_keyring_endpoint")

    def validate_dpop_symmetric_same_key_allowed(self) -> None:
        """Whether a symmetric key may be encrypted for the key that signs proofs."""
        self._validate_boolean("dpop_symmetric_same_key_allowed")

    def validate_dpop_sym_conformance(self) -> None:
        """URIs of the profile's targets to which conformance is claimed."""
        self._validate_names("dpop_sym_conformance", claims(TARGETS))

    def validate_pushed_authorization_request_endpoint(self) -> None:
        """Where clients push authorization requests to: an https URL."""
        self._validate_url("pushed_authorization_request_endpoint")

    def validate_require_pushed_authorization_requests(self) -> None:
        """Whether there is no other way. False when absent."""
        self._validate_boolean("require_pushed_authorization_requests")

    def _validate_url(self, key: str) -> None:
        if key not in self:
            return
        if not isinstance(self[key], str) or not is_secure_transport(self[key]):
            raise ValueError(f'"{key}" MUST use "https" scheme')

    def _validate_boolean(self, key: str) -> None:
        if key in self and not isinstance(self[key], bool):
            raise ValueError(f'"{key}" MUST be boolean')

    def _validate_names(self, key: str, known: Any) -> None:
        if key not in self:
            return
        values = self[key]
        if not isinstance(values, list) or not values:
            raise ValueError(f'"{key}" MUST be a JSON array')
        if not all(isinstance(value, str) and value in known for value in values):
            raise ValueError(f'"{key}" has an unknown value')


class ClientMetadataClaims(BaseClaims):
    """Members of the client metadata for DPoP (:rfc:`9449#section-5.2`, :rfc:`7591`).

    And the one for pushed requests (:rfc:`9126#section-6`).
    Pass it beside Authlib's own to ``ClientRegistrationEndpoint(claims_classes=...)``.
    The audiences that a client may ask for are not among them: the server assigns
    those, a client does not choose them for itself.
    """

    REGISTERED_CLAIMS = (
        "dpop_bound_access_tokens",
        "dpop_symmetric_key",
        "dpop_symmetric_alg_values",
        ENCAPSULATION_ALG,
        ENCAPSULATION_ENC,
        "dpop_sym_conformance",
        "require_pushed_authorization_requests",
    )

    def validate(self, now: int | None = None, leeway: int = 0) -> None:
        """Check every member; a faulty one is ``invalid_client_metadata``."""
        super().validate(now, leeway)
        self.validate_dpop_bound_access_tokens()
        self.validate_dpop_symmetric_key()
        self.validate_dpop_symmetric_alg_values()
        self.validate_dpop_symmetric_encapsulation()
        self.validate_dpop_sym_conformance()
        self.validate_require_pushed_authorization_requests()

    def validate_dpop_bound_access_tokens(self) -> None:
        """Whether the client always uses DPoP. A JSON boolean, false when absent."""
        self._validate_boolean("dpop_bound_access_tokens")

    def validate_require_pushed_authorization_requests(self) -> None:
        """Whether the client pushes all its requests. False when absent."""
        self._validate_boolean("require_pushed_authorization_requests")

    def validate_dpop_symmetric_key(self) -> None:
        """When the client gets a symmetric key; ``on_request`` when absent."""
        key = "dpop_symmetric_key"
        if key in self and self[key] not in KEY_CHOICES:
            raise InvalidClaimError(key)

    def validate_dpop_symmetric_alg_values(self) -> None:
        """MAC algorithms for a client that does not name them in its requests."""
        self._validate_names("dpop_symmetric_alg_values", MAC_ALGORITHMS)

    def validate_dpop_sym_conformance(self) -> None:
        """URIs of the profile's targets to which the client claims conformance."""
        self._validate_names("dpop_sym_conformance", claims(TARGETS))

    def validate_dpop_symmetric_encapsulation(self) -> None:
        """JWE ``alg`` and ``enc`` of the keys that a resource server decrypts."""
        for key, known in (
            (ENCAPSULATION_ALG, KEY_ALGORITHMS),
            (ENCAPSULATION_ENC, ENCODINGS),
        ):
            if key in self and self[key] not in known:
                raise InvalidClaimError(key)

    def _validate_names(self, key: str, known: Container[str]) -> None:
        if key not in self:
            return
        values = self[key]
        if not isinstance(values, list) or not values:
            raise InvalidClaimError(key)
        if not all(isinstance(v, str) and v in known for v in values):
            raise InvalidClaimError(key)

    def _validate_boolean(self, key: str) -> None:
        # isinstance(1, bool) is False, and so is it for "true" and null.
        if key in self and not isinstance(self[key], bool):
            raise InvalidClaimError(key)
