"""The WSGI middleware beyond the table of answers."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.integrations.form_content import MAX_FORM
from dpop_ext.integrations.wsgi import DPoPMiddleware
from dpop_ext.integrations.wsgi_request import raw_target
from dpop_ext.verified_proof import VerifiedProof
from tests.resource_server.cases import FORM, proof_with, with_proof
from tests.resource_server.world import AUDIENCE, Request, World, send

Start = Any


@pytest.fixture
def world(world: World) -> World:
    return replace(world, use_nonces=True)


def protect(world: World, app: Any, **options: Any) -> DPoPMiddleware:
    return DPoPMiddleware(
        app,
        verifier=world.verifier,
        find_token=world.validator,
        public_url=AUDIENCE,
        **options,
    )


def empty(environ: dict[str, Any], start_response: Start) -> list[bytes]:
    start_response("204 No Content", [])
    return []


def test_the_application_finds_what_was_verified(world: World) -> None:
    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        seen.update(environ)
        return empty(environ, start_response)

    answer = send(protect(world, app), with_proof(World.token)(world).environ())
    assert answer.status == 204
    assert isinstance(seen["dpop_ext.token"], AccessToken)
    assert isinstance(seen["dpop_ext.proof"], VerifiedProof)


@pytest.mark.requirement("P-8")
@pytest.mark.parametrize("length", [10, MAX_FORM, MAX_FORM + 1, 200_000])
def test_the_application_can_still_read_the_body(world: World, length: int) -> None:
    body = b"a" * length
    read: list[bytes] = []

    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        read.append(environ["wsgi.input"].read())
        return empty(environ, start_response)

    request = with_proof(
        World.token,
        proof=proof_with(method="POST"),
        more=(FORM,),
        method="POST",
        body=body,
    )
    assert send(protect(world, app), request(world).environ()).status == 204
    assert read == [body]


@pytest.mark.requirement("P-17")
@pytest.mark.parametrize("length", [None, "", "-1", "x", "1" * 5000, "\xb2", "0"])
def test_an_odd_content_length_does_no_harm(world: World, length: str | None) -> None:
    request = with_proof(
        World.token, proof=proof_with(method="POST"), more=(FORM,), method="POST"
    )
    # Content of which nobody says how long it is has none.
    changes = {} if length is None else {"CONTENT_LENGTH": length}
    environ = request(world).environ(**changes)
    assert send(protect(world, empty), environ).status == 204


@pytest.mark.requirement("P-8")
def test_a_body_of_another_type_is_not_searched(world: World) -> None:
    request = with_proof(
        World.token,
        proof=proof_with(method="POST"),
        more=(("Content-Type", "text/plain"),),
        method="POST",
        body=b"access_token=x",
    )
    assert send(protect(world, empty), request(world).environ()).status == 204


def test_a_refusal_of_head_has_no_body(world: World) -> None:
    app = protect(world, empty)
    answer = send(app, Request(headers=[], method="HEAD").environ())
    assert answer.status == 401
    assert answer.body == b""
    full = send(app, Request(headers=[]).environ())
    assert answer.headers == full.headers
    assert full.only("Content-Length") == str(len(full.body))


@pytest.mark.requirement("P-16", "J-14")
@pytest.mark.parametrize(
    ("scopes", "status"),
    [
        ((), 204),
        ("accounts", 204),
        (["accounts"], 204),
        (["accounts transfers"], 204),
        (["admin", "transfers"], 204),
        ("admin", 403),
        (["accounts admin"], 403),
        (["admin", "accounts admin"], 403),
        (lambda environ: ["accounts"], 204),
        (lambda environ: [environ["REQUEST_METHOD"]], 403),
        (iter(()), 204),
    ],
)
def test_one_of_the_scopes_is_enough(world: World, scopes: Any, status: int) -> None:
    app = protect(world, empty, scopes=scopes)
    answer = send(app, with_proof(World.token)(world).environ())
    assert answer.status == status
    if status == 403:
        scope = answer.challenges["DPoP"].get("scope")
        assert scope == answer.json["scope"]
        assert scope in ("admin", "accounts admin", "GET")


def test_the_scopes_hold_for_every_request(world: World) -> None:
    app = protect(world, empty, scopes=iter(["admin"]))
    for _ in range(2):
        answer = send(app, with_proof(World.token)(world).environ())
        assert answer.status == 403


@pytest.mark.requirement("Q-4", "Q-9")
def test_an_error_page_of_the_application_carries_the_nonce_once(world: World) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        try:
            raise KeyError
        except KeyError:
            write = start_response("500 Internal Server Error", [], sys.exc_info())
        write(b"sorry")
        return []

    started: list[Any] = []
    written: list[bytes] = []

    def start(*arguments: Any) -> Any:
        started.append(arguments)
        return written.append

    request = with_proof(
        World.token, proof=lambda w, t: w.proof(t, nonce=w.nonce(age=1))
    )
    protect(world, app)(request(world).environ(), start)
    ((status, headers, exc_info),) = started
    assert status.startswith("500")
    assert ("DPoP-Nonce", world.nonce()) in headers
    assert exc_info[0] is KeyError
    assert written == [b"sorry"]


@pytest.mark.requirement("N-18")
@pytest.mark.parametrize(
    ("environ", "target"),
    [
        ({"RAW_URI": "/a%2Fb?c", "PATH_INFO": "/a/b"}, "/a%2Fb?c"),
        ({"REQUEST_URI": "/a%2Fb?c", "PATH_INFO": "/a/b"}, "/a%2Fb?c"),
        ({"RAW_URI": "", "PATH_INFO": "/a"}, "/a"),
        ({"PATH_INFO": "/a", "QUERY_STRING": "b=%20"}, "/a?b=%20"),
        ({"PATH_INFO": "/a", "QUERY_STRING": ""}, "/a"),
        ({"PATH_INFO": "/a b"}, "/a%20b"),
        ({"SCRIPT_NAME": "/api", "PATH_INFO": "/caf\xc3\xa9"}, "/api/caf%C3%A9"),
        ({"PATH_INFO": "/a?b#c%d"}, "/a%3Fb%23c%25d"),
        ({"PATH_INFO": '/\\"<>^`{|}\x00'}, "/%5C%22%3C%3E%5E%60%7B%7C%7D%00"),
        ({"PATH_INFO": "/:@!$&'()*+,;=-._~"}, "/:@!$&'()*+,;=-._~"),
        ({}, "/"),
    ],
)
def test_the_target_is_raw_or_quoted_anew(environ: dict[str, Any], target: str) -> None:
    assert raw_target(environ) == target


def test_without_a_host_field_the_address_of_the_server_is_the_host(
    world: World,
) -> None:
    app = DPoPMiddleware(empty, verifier=world.verifier, find_token=world.validator)
    for name, host in [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")]:
        request = with_proof(
            World.token, proof=proof_with(url=f"http://{host}:8000/accounts")
        )
        environ = request(world).environ(
            **{"SERVER_NAME": name, "wsgi.url_scheme": "http"}
        )
        assert send(app, environ | {"HTTP_HOST": ""}).status == 400
        del environ["HTTP_HOST"]
        assert send(app, environ).status == 204


@pytest.mark.requirement("P-17")
@pytest.mark.parametrize("found", [None, "token", {"active": True}, 1])
def test_a_finder_that_finds_no_access_token_lets_nobody_in(
    world: World, found: Any
) -> None:
    app = DPoPMiddleware(
        empty,
        verifier=world.verifier,
        find_token=lambda text: found,
        public_url=AUDIENCE,
    )
    answer = send(app, with_proof(World.token)(world).environ())
    assert answer.status == 401
    assert answer.challenges["DPoP"].get("error") == "invalid_token"
