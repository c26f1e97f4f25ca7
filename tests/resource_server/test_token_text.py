"""What the text of a token can be made of, before anything in it was verified."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from joserfc import jws

from dpop_ext.core.base64url import b64url_encode
from tests.resource_server.world import (
    ADAPTERS,
    AUDIENCE,
    CLIENT,
    ISSUER,
    VERSION,
    R,
    Request,
    World,
    send,
)

Change = Callable[[str], str]

adapters = pytest.mark.parametrize("adapter", ADAPTERS)
both_kinds = pytest.mark.parametrize("kind", ["symmetric", "asymmetric"])


def with_member(member: str) -> Change:
    """Put *member*, which is JSON or nearly so, in front of the others."""
    return lambda claims: "{" + member + "," + claims[1:]


ODD_TEXTS: dict[str, Change] = {
    "17 levels": with_member('"x":' + "[" * 16 + "]" * 16),
    "over 256 structural characters": with_member('"x":[' + "0," * 230 + "0]"),
    "a repeated member": with_member('"scope":"admin"'),
    "a repeated member inside": with_member('"x":{"a":1,"a":2}'),
    "NaN": with_member('"x":NaN'),
    "an infinity": with_member('"x":-Infinity'),
    "a number beyond a double": with_member('"x":1e999'),
    "a lone surrogate": with_member('"x":"\\ud800"'),
    "NUL": with_member('"x":"\\u0000"'),
    "a byte order mark": lambda claims: "\ufeff" + claims,
    "something behind": lambda claims: claims + "{}",
}


def signed(world: World, change: Change = str) -> str:
    """Return a token of the issuer, whose claims are written in another way."""
    dsk = {"alg": "HS256", "v": VERSION, "r": b64url_encode(R)}
    claims = json.dumps(
        {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "alice",
            "client_id": CLIENT,
            "iat": world.clock.now,
            "exp": world.clock.now + 300,
            "jti": "token-1",
            "scope": "accounts",
            "cnf": {"jkt": world.jkt, "dsk": dsk},
        }
    )
    header = {"typ": "at+jwt", "alg": "ES256"}
    return jws.serialize_compact(
        header, change(claims).encode(), world.issuer_key, algorithms=["ES256"]
    )


def ask(world: World, adapter: str, kind: str, token: str) -> Any:
    proof = world.symmetric_proof if kind == "symmetric" else world.proof
    fields = [("Authorization", f"DPoP {token}"), ("DPoP", proof(token))]
    return send(world.app(adapter), Request(headers=fields).environ())


@adapters
@both_kinds
def test_white_space_and_order_of_the_claims_are_free(
    adapter: str, kind: str, world: World
) -> None:
    world = replace(world, symmetric=True)
    token = signed(world, with_member(' "x" : [ 1e2 , {"a":null} ] '))
    assert ask(world, adapter, kind, token).status == 200


@adapters
@both_kinds
@pytest.mark.requirement("R2092", "R2093", "R2094")
@pytest.mark.parametrize("name", ODD_TEXTS)
def test_odd_claims_are_refused_though_the_issuer_signed_them(
    adapter: str, kind: str, name: str, world: World
) -> None:
    world = replace(world, symmetric=True)
    response = ask(world, adapter, kind, signed(world, ODD_TEXTS[name]))
    assert response.status == 401
    assert response.challenges["DPoP"].get("error") == "invalid_token"
    usual = ask(world, adapter, kind, signed(world, with_member('"x":NaN')))
    assert response.body == usual.body
    assert world.served == 0
    assert not len(world.store)


@adapters
@pytest.mark.requirement("R2091", "R2094")
def test_long_claims_are_not_read_before_the_signature(
    adapter: str, world: World
) -> None:
    """A longer token is good all the same, with a proof that needs no peek at it."""
    world = replace(world, symmetric=True)
    token = signed(world, with_member('"x":"' + "x" * 4096 + '"'))
    refused = ask(world, adapter, "symmetric", token)
    assert refused.status == 401
    assert refused.challenges["DPoP"].get("error") == "invalid_token"
    assert ask(world, adapter, "asymmetric", token).status == 200
