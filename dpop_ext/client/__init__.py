"""The client's side of DPoP, :rfc:`9449`, without an HTTP library."""

from __future__ import annotations

from dpop_ext.client.audience import Audience
from dpop_ext.client.authorization_request import AuthorizationRequest
from dpop_ext.client.bundle_store import BundleStore
from dpop_ext.client.external_key import ExternalKey
from dpop_ext.client.key_material import KeyMaterial
from dpop_ext.client.keyfile import load_key, save_key
from dpop_ext.client.metadata_cache import MetadataCache
from dpop_ext.client.protection import AuthenticatedResponse, Protection
from dpop_ext.client.renewal import in_background, in_foreground
from dpop_ext.client.resource_metadata import ResourceMetadata
from dpop_ext.client.server_metadata import ServerMetadata
from dpop_ext.client.servers import Servers
from dpop_ext.client.session_bundle import SessionBundle
from dpop_ext.client.signer import ProofSigner
from dpop_ext.client.ticket_server import TicketServer

__all__ = [
    "Audience",
    "AuthenticatedResponse",
    "AuthorizationRequest",
    "BundleStore",
    "ExternalKey",
    "KeyMaterial",
    "MetadataCache",
    "ProofSigner",
    "Protection",
    "ResourceMetadata",
    "ServerMetadata",
    "Servers",
    "SessionBundle",
    "TicketServer",
    "in_background",
    "in_foreground",
    "load_key",
    "save_key",
]
