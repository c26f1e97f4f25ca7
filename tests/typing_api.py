"""The public API as a user writes it: checked by mypy, never run.

An ignored error is a mistake that the types must catch: mypy reports an ignore that
nothing needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, assert_type

import requests
from joserfc.jwk import ECKey, KeySet
from requests.auth import AuthBase

from dpop_ext import (
    FAPI2,
    RFC9449,
    DPoPError,
    NonceIssuer,
    NonceRequiredError,
    ProofPolicy,
    ProofSigner,
    ProofVerifier,
    VerifiedProof,
)
from dpop_ext.authorization_server import (
    AccessTokenGenerator,
    ClientAssertion,
    DPoP,
    FAPI2SecurityProfile,
    PushedAuthorizationRequests,
    SymmetricKeys,
    dpop_columns,
)
from dpop_ext.client.keyfile import load_key, save_key
from dpop_ext.core.confirmation import AccessToken
from dpop_ext.integrations.flask_oauth2 import ResourceProtector, current_proof
from dpop_ext.integrations.requests_client import DPoPAuth, OAuth2Session
from dpop_ext.integrations.wsgi import DPoPMiddleware
from dpop_ext.resource_server import (
    AccessTokenValidator,
    DPoPTokenValidator,
    Gate,
    IntrospectionTokenValidator,
    RejectBoundTokens,
    RemoteKeys,
    ResourceRequest,
    VerifiedRequest,
    protected_resource_metadata,
)
from dpop_ext.stores.base import (
    AudienceSecrets,
    KeyringSource,
    NoReplayProtection,
    ReplayStore,
)
from dpop_ext.stores.memory import MemoryKeyring, MemoryReplayStore
from dpop_ext.stores.pushed_requests import (
    MemoryPushedRequestStore,
    PushedRequestStore,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing

ISSUER = "https://as.example"
API = "https://api.example"


class OwnReplayStore:
    """A store needs no base class."""

    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        return bool(key) and expires_at >= now


class ForgetfulStore:
    """Not a store: it cannot tell whether it has seen the key."""

    def add(self, key: bytes, *, expires_at: int, now: int) -> None: ...


class OwnSecrets:
    def __init__(self, ring: SecretRing) -> None:
        self._rings = {ring.audience: ring}

    def load(self, audience: str) -> SecretRing | None:
        return self._rings.get(audience)


def verifiers(secrets: list[bytes], keyring: KeyringSource) -> None:
    ProofVerifier(MemoryReplayStore(max_entries=1000), nonces=NonceIssuer(secrets))
    ProofVerifier(OwnReplayStore(), policy=FAPI2, clock=lambda: 1_790_000_000)
    ProofVerifier(NoReplayProtection(), policy=ProofPolicy(max_age=30, required=True))
    ProofVerifier(
        OwnReplayStore(),
        keyring=keyring,
        issuer=ISSUER,
        audience=API,
        token_form="opaque",
    )
    ProofVerifier(ForgetfulStore())  # type: ignore[arg-type]
    ProofVerifier()  # type: ignore[call-arg]
    ProofVerifier(OwnReplayStore(), token_form="saml")  # type: ignore[arg-type]
    ProofPolicy(("ES256",))  # type: ignore[call-arg]
    NonceIssuer("secret")  # type: ignore[arg-type]


def each_step(verifier: ProofVerifier, proof: str, token: AccessToken) -> str:
    assert_type(verifier.policy, ProofPolicy)
    try:
        opened = verifier.open(proof, method="GET", url=API, access_token="text")
        verified = verifier.verify(opened, token=token, policy=RFC9449)
        verifier.spend(verified)
    except NonceRequiredError as error:
        return error.nonce
    except DPoPError as error:
        return assert_type(error.code, str)
    assert_type(verified, VerifiedProof)
    assert_type(verified.kind, Literal["asymmetric", "symmetric"])
    assert_type(verified.next_nonce, str | None)
    # A proof that was only opened grants nothing and cannot be spent.
    verifier.spend(opened)  # type: ignore[arg-type]
    verifier.open(proof, "GET", API)  # type: ignore[call-arg]
    verified.jkt = "another"  # type: ignore[misc]
    return verified.jkt


def authorization_server(verifier: ProofVerifier, keys: KeySet, request: Any) -> None:
    ring = SecretRing(
        [
            AudienceSecret(
                version=1,
                state="active",
                not_before=1_790_000_000,
                expires_at=1_800_000_000,
                secret=SecretBytes(bytes(range(32))),
            )
        ],
        issuer=ISSUER,
        audience=API,
    )
    secrets: AudienceSecrets = OwnSecrets(ring)
    keyring: KeyringSource = MemoryKeyring(ring)
    assert_type(keyring.load(), SecretRing)
    symmetric = SymmetricKeys(
        secrets, issuer=ISSUER, policy=lambda _client, _audience: "force", max_age=300
    )
    SymmetricKeys(
        secrets,
        issuer=ISSUER,
        policy=lambda _client, _audience: "perhaps",  # type: ignore[arg-type, return-value]
    )
    extension = DPoP(verifier, symmetric=symmetric, public_url=ISSUER)
    pushed: PushedRequestStore = MemoryPushedRequestStore()
    PushedAuthorizationRequests(pushed, dpop=extension, required=True, lifetime=90)
    PushedAuthorizationRequests(pushed, extension)  # type: ignore[call-arg]
    replays: ReplayStore = MemoryReplayStore()
    ClientAssertion(ISSUER, replays, algorithms=["ES256"], max_lifetime=60)
    profile = FAPI2SecurityProfile(
        ISSUER, dpop=extension, replay_store=replays, pushed_requests=pushed
    )
    assert_type(profile.get_metadata(), dict[str, Any])
    assert_type(extension.get_metadata(), dict[str, Any])
    assert_type(dpop_columns(request), dict[str, str | None])
    AccessTokenGenerator(ISSUER, lambda: keys, alg="ES256", audience=API)
    DPoP(symmetric=symmetric)  # type: ignore[call-arg]


class Accounts(RejectBoundTokens, AccessTokenValidator):
    """A validator for Bearer tokens that refuses the bound ones."""


def resource_server(verifier: ProofVerifier, jwks: Mapping[str, Any]) -> None:
    tokens = AccessTokenValidator(ISSUER, API, jwks_uri=f"{ISSUER}/jwks")
    AccessTokenValidator(ISSUER, API, jwks=jwks, algorithms=["PS256"])
    AccessTokenValidator(ISSUER, API, jwks=RemoteKeys(f"{ISSUER}/jwks", max_age=60))
    IntrospectionTokenValidator(
        f"{ISSUER}/introspect",
        client_id="api",
        client_secret="kept elsewhere",
        issuer=ISSUER,
        audience=API,
    )
    require_oauth = ResourceProtector()
    require_oauth.register_token_validator(DPoPTokenValidator(tokens, verifier))
    require_oauth.register_token_validator(Accounts(ISSUER, API, jwks=jwks))
    assert_type(current_proof, VerifiedProof | None)
    assert_type(protected_resource_metadata(verifier, resource=API), dict[str, Any])


def without_authlib(verifier: ProofVerifier, request: ResourceRequest) -> None:
    def find_token(text: str) -> AccessToken | None:
        raise NotImplementedError(text)

    gate = Gate(verifier, find_token, accept_bearer=True)
    verified = gate.check(request, scopes=["accounts"])
    assert_type(verified, VerifiedRequest)
    assert_type(verified.proof, VerifiedProof | None)
    assert_type(verified.token, AccessToken)

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("204 No Content", [])
        return []

    DPoPMiddleware(app, verifier=verifier, find_token=find_token, public_url=API)
    DPoPMiddleware(app, verifier, find_token)  # type: ignore[call-arg]
    Gate(verifier, lambda _text: True)  # type: ignore[arg-type, return-value]


def client(path: Path) -> None:
    signer = ProofSigner.generate("Ed25519", symmetric="must")
    ProofSigner.generate(symmetric="sometimes")  # type: ignore[arg-type]
    assert_type(signer.jkt, str)
    save_key(path, ECKey.generate_key("P-256"))
    signer = ProofSigner(load_key(path))

    auth: AuthBase = DPoPAuth(signer, "access token")
    requests.get(API, auth=auth, timeout=10)
    session = OAuth2Session(
        "client", "secret", dpop=signer, token_endpoint=f"{ISSUER}/token", resource=API
    )
    session.fetch_token()
    OAuth2Session("client", bundle="session.json")  # type: ignore[arg-type]
    OAuth2Session("client", dpop=signer, refresh="never")  # type: ignore[arg-type]
