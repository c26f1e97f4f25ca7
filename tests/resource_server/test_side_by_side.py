"""A server that has seen requests answers as one does that has seen nothing.

Whole requests, through each adapter: what a server remembers of tokens, keys, headers
and targets, and each short way, must change no answer.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dpop_ext.stores.memory import MemoryReplayStore
from tests.resource_server.world import Request, Response, World, send
from tests.test_side_by_side import changed, the_long_way

TARGETS: Final = (
    *("/accounts", "/accounts?a=b", "/accounts/", "/Accounts", "//accounts"),
    *("/%61ccounts", "/accounts%2F", "/./accounts", "/a/../accounts", "/accounts%"),
    *("https://api.example.com/accounts", "http://other.example.com/accounts", "/"),
    *("/accounts?access_token=x", "/accounts?access_token", "/accounts?%61ccess_token"),
)
HOSTS: Final = (
    *("api.example.com", "API.example.com", "api.example.com:443", "api.example.com."),
    *("other.example.com", "api.example.com:80", "api.example.com:", "[::1]", ""),
)


class Servers:
    """One server for all requests, and a new one for each."""

    def __init__(self, world: World, adapter: str) -> None:
        self.world, self.adapter = world, adapter
        self.app = world.app(adapter)
        for _ in range(3):
            for kind in ("symmetric", "asymmetric"):
                token, proof = self.make(kind)
                headers = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
                assert self.same(Request(headers=headers)).status == 200

    def make(self, kind: str, **changes: Any) -> tuple[str, str]:
        token = self.world.symmetric_token()
        changes["jti"] = secrets.token_urlsafe(12)
        if kind == "symmetric":
            return token, self.world.symmetric_proof(token, **changes)
        return token, self.world.proof(token, **changes)

    def same(self, request: Request) -> Response:
        answer = send(self.app, request.environ())
        with the_long_way():
            new = replace(self.world, store=MemoryReplayStore())
            assert send(new.app(self.adapter), request.environ()) == answer
        return answer


@pytest.fixture(params=["flask", "wsgi", "asgi"])
def servers(request: Any, world: World) -> list[Servers]:
    worlds = (
        {"symmetric": True},
        {"symmetric": True, "public_url": None, "accept_bearer": True},
        {"symmetric": True, "use_nonces": True},
    )
    return [Servers(replace(world, **each), request.param) for each in worlds]


@pytest.mark.requirement("P-17", "C-2", "C-12b", "J-8")
@given(data=st.data())
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_every_request_gets_one_answer(
    servers: list[Servers], data: st.DataObject
) -> None:
    both = data.draw(st.sampled_from(servers))
    kind = data.draw(st.sampled_from(["symmetric", "asymmetric"]))
    age = data.draw(st.sampled_from([0, 0, 0, 64, 65, 66, -30, -31, 600]))
    token, proof = both.make(kind, now=both.world.clock.now - age)
    odd = data.draw(
        st.sets(st.sampled_from(["token", "proof", "target", "host", "fields"]))
    )
    token = changed(token, data) if "token" in odd else token
    proof = changed(proof, data) if "proof" in odd else proof
    scheme, fields = "DPoP", 1
    if "fields" in odd:
        scheme = data.draw(st.sampled_from(["dpop", "Bearer", "Basic", "DPoP ", ""]))
        fields = data.draw(st.integers(0, 2))
    headers = [("Authorization", f"{scheme} {token}"), *[("DPoP", proof)] * fields]
    answer = both.same(
        Request(
            headers=headers,
            method=data.draw(st.sampled_from(["GET", "GET", "GET", "POST", "HEAD"])),
            target=data.draw(st.sampled_from(TARGETS))
            if "target" in odd
            else TARGETS[0],
            host=data.draw(st.sampled_from(HOSTS)) if "host" in odd else HOSTS[0],
        )
    )
    assert answer.status in {200, 308, 400, 401, 404, 405}
