"""What an attacker can do: read, forge, derive, send."""

from __future__ import annotations

import dataclasses
from typing import Any

from joserfc.jwk import ECKey
from sqlalchemy import NullPool, create_engine

from demo_server import resource_server
from demo_server.derivation_secrets import open_secrets
from demo_server.registration import register_resource_server
from demo_server.resource_server_keys import public_jwks
from dpop_ext.core.base64url import b64url_decode
from dpop_ext.core.jose import parse_compact_jws
from dpop_ext.integrations.sqla_secrets import SQLAudienceSecrets
from dpop_ext.symmetric.derivation import symmetric_key
from tests.demo.parties import CONFIDENTIAL, basic, code_form
from tests.fuzz.servers import Servers, joined, sign, written
from tests.fuzz.wire import Answer, send

CLIENT_CREDENTIALS = [("grant_type", b"client_credentials")]
AS_CONFIDENTIAL = [("Authorization", CONFIDENTIAL["Authorization"].encode())]
TWO = basic("two-audiences", "two-audiences-secret")
MUST = basic("must-use-dpop", "must-use-dpop-secret")


def key_of(servers: Servers) -> tuple[str, bytes]:
    """Return a token and its symmetric key."""
    token, delivered = servers.symmetric
    return token, delivered.key.reveal()


def claims_of(token: str) -> dict[str, Any]:
    """Return what is in a token; anybody can read it."""
    return dict(parse_compact_jws(token, max_length=16_384).payload)


def forge(token: str, key: ECKey, **changes: Any) -> str:
    """Return the token with other claims, signed with *key*."""
    jws = parse_compact_jws(token, max_length=16_384)
    header, claims = written(jws.header), written({**jws.payload, **changes})
    return sign(joined(header.items()), joined(claims.items()), key).decode()


def prove(
    servers: Servers, token: str, *, method: str = "GET", path: str = "/api/accounts"
) -> bytes:
    """Return a good proof of the client, by its own key."""
    return servers.good_proof(method, servers.settings.resource_url + path, token)


def prove_symmetrically(
    servers: Servers,
    key: bytes,
    token: str,
    *,
    method: str = "GET",
    url: str | None = None,
    header: dict[str, Any] | None = None,
    **changes: Any,
) -> bytes:
    """Return a proof with a MAC by *key*."""
    url = url or f"{servers.settings.resource_url}/api/accounts"
    _, claims = servers.members(method, url, token)
    members = header or {"typ": "dpop-sym+jwt", "alg": "HS256"}
    return sign(
        joined(written(members).items()),
        joined((claims | written(changes)).items()),
        key,
    )


def ask(
    servers: Servers,
    token: str,
    proof: bytes | None,
    *,
    app: Any = None,
    method: str = "GET",
    path: str = "/api/accounts",
    scheme: str = "DPoP",
) -> Answer:
    """Send a request with a token."""
    fields = [("Authorization", f"{scheme} {token}".encode())]
    if proof is not None:
        fields.append(("DPoP", proof))
    return send(app or servers.rs_app, method, path.encode(), fields)


def other_resource_server(servers: Servers, url: str) -> Any:
    """Start another resource server, which gets the secrets of its own audience."""
    settings = dataclasses.replace(servers.settings, resource=url)
    engine = create_engine(settings.database, poolclass=NullPool)
    # With the keys of the first one, which has asked for its secrets by now.
    jwks = public_jwks(settings.rs_keys_directory)
    register_resource_server(engine, jwks, resource=url)
    return resource_server.create_app(
        settings, fetch=servers.fetch, clock=servers.clock
    )


def derivation_secrets(servers: Servers) -> SQLAudienceSecrets:
    """Return the derivation secrets, as whoever has database and key file has them."""
    engine = create_engine(servers.settings.database, poolclass=NullPool)
    return open_secrets(servers.settings, engine, clock=servers.clock)


def derive(servers: Servers, token: str, *, audience: str | None = None) -> bytes:
    """Derive the key of a token from a stolen derivation secret."""
    audience = audience or servers.settings.resource_url
    claims = claims_of(token)
    dsk = claims["cnf"]["dsk"]
    ring = derivation_secrets(servers).load(audience)
    assert ring is not None
    secret = ring.find(dsk["v"], now=servers.now).secret
    assert secret is not None
    return symmetric_key(
        secret.reveal(),
        algorithm=dsk["alg"],
        issuer=servers.settings.issuer_url,
        audience=audience,
        client_id=claims["client_id"],
        jkt=claims["cnf"]["jkt"],
        version=dsk["v"],
        r=b64url_decode(dsk["r"]),
    )


def confidential_code(
    servers: Servers, client_id: str, **changes: Any
) -> dict[str, str]:
    """Return the form that redeems a code of a client that authenticates."""
    code = servers.code(client_id=client_id, dpop_jkt=None, **changes)
    form = code_form(code)
    del form["client_id"]
    return form
