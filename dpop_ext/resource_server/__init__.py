"""DPoP at a resource server: :rfc:`9449#section-7`, with Authlib or without."""

from __future__ import annotations

from dpop_ext.core.key_set import StaticKeys
from dpop_ext.resource_server.access_token import AccessTokenValidator
from dpop_ext.resource_server.bearer_validator import RejectBoundTokens
from dpop_ext.resource_server.challenges import Challenges
from dpop_ext.resource_server.credentials import ResourceRequest
from dpop_ext.resource_server.environment_keyring import EnvironmentKeyring
from dpop_ext.resource_server.file_keyring import FileKeyring
from dpop_ext.resource_server.gate import FindToken, Gate, VerifiedRequest
from dpop_ext.resource_server.gateway import GatewayCheck
from dpop_ext.resource_server.introspection import IntrospectionTokenValidator
from dpop_ext.resource_server.jwks import KeySource, RemoteKeys
from dpop_ext.resource_server.keyring_nonces import KeyringNonces
from dpop_ext.resource_server.keyring_request import KeyringRequest
from dpop_ext.resource_server.keyring_source import HTTPKeyringSource
from dpop_ext.resource_server.metadata import protected_resource_metadata
from dpop_ext.resource_server.refusal import AccessRefusedError, Refusal
from dpop_ext.resource_server.route_policy import RoutePolicy
from dpop_ext.resource_server.row_keyring import RowKeyring
from dpop_ext.resource_server.ticket_issuer import TicketOffer
from dpop_ext.resource_server.trusted_hop import (
    ForwardedFields,
    PathPrefix,
    TrustedHop,
)
from dpop_ext.resource_server.validator import DPoPTokenValidator

__all__ = [
    "AccessRefusedError",
    "AccessTokenValidator",
    "Challenges",
    "DPoPTokenValidator",
    "EnvironmentKeyring",
    "FileKeyring",
    "FindToken",
    "ForwardedFields",
    "Gate",
    "GatewayCheck",
    "HTTPKeyringSource",
    "IntrospectionTokenValidator",
    "KeySource",
    "KeyringNonces",
    "KeyringRequest",
    "PathPrefix",
    "Refusal",
    "RejectBoundTokens",
    "RemoteKeys",
    "ResourceRequest",
    "RoutePolicy",
    "RowKeyring",
    "StaticKeys",
    "TicketOffer",
    "TrustedHop",
    "VerifiedRequest",
    "protected_resource_metadata",
]
