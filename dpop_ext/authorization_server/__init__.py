"""DPoP for authorization servers that are built with Authlib (RFC 9449)."""

from dpop_ext.authorization_server.client_assertion import ClientAssertion
from dpop_ext.authorization_server.code_challenge import S256CodeChallenge
from dpop_ext.authorization_server.delegation import TokenExchange
from dpop_ext.authorization_server.errors import (
    InvalidDPoPProofError,
    InvalidTargetError,
    SymmetricKeyUnavailableError,
    TemporarilyUnavailableError,
    UseDPoPNonceError,
)
from dpop_ext.authorization_server.extension import DPoP
from dpop_ext.authorization_server.fapi2 import FAPI2SecurityProfile
from dpop_ext.authorization_server.introspection import IntrospectionConfirmation
from dpop_ext.authorization_server.issuance import dpop_columns
from dpop_ext.authorization_server.issuer_parameter import IssuerIdentification
from dpop_ext.authorization_server.key_recipient import registered_recipient
from dpop_ext.authorization_server.keyring_endpoint import SymmetricKeyringEndpoint
from dpop_ext.authorization_server.metadata import (
    AuthorizationServerMetadata,
    ClientMetadataClaims,
)
from dpop_ext.authorization_server.request_uri import PushedAuthorizationRequests
from dpop_ext.authorization_server.signed_introspection import SignedIntrospection
from dpop_ext.authorization_server.symmetric_key import SymmetricKeys
from dpop_ext.authorization_server.token_exchange import TokenExchangeGrant
from dpop_ext.authorization_server.token_generator import (
    AccessTokenGenerator,
    ConfirmationClaim,
)

__all__ = [
    "AccessTokenGenerator",
    "AuthorizationServerMetadata",
    "ClientAssertion",
    "ClientMetadataClaims",
    "ConfirmationClaim",
    "DPoP",
    "FAPI2SecurityProfile",
    "IntrospectionConfirmation",
    "InvalidDPoPProofError",
    "InvalidTargetError",
    "IssuerIdentification",
    "PushedAuthorizationRequests",
    "S256CodeChallenge",
    "SignedIntrospection",
    "SymmetricKeyUnavailableError",
    "SymmetricKeyringEndpoint",
    "SymmetricKeys",
    "TemporarilyUnavailableError",
    "TokenExchange",
    "TokenExchangeGrant",
    "UseDPoPNonceError",
    "dpop_columns",
    "registered_recipient",
]
