"""The Flask protector beyond the table of answers: views, registration, the body."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from authlib.integrations.flask_oauth2 import AuthorizationServer, current_token
from authlib.oauth2.rfc6749 import TokenValidator
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oidc.core import UserInfoEndpoint
from flask import Flask, request

from dpop_ext.integrations.flask_oauth2 import ResourceProtector, current_proof
from dpop_ext.resource_server import DPoPTokenValidator, RejectBoundTokens
from tests.resource_server.cases import FORM, proof_with, with_proof
from tests.resource_server.world import AUDIENCE, Request, Rows, World, send


def app_with(view: Callable[[], Any], decorator: Any) -> Flask:
    app = Flask("resource-server")
    app.add_url_rule(
        "/accounts",
        view_func=decorator(view),
        methods=["GET", "POST", "OPTIONS"],
        provide_automatic_options=False,
    )
    return app


def test_the_view_knows_the_token_and_the_proof(world: World) -> None:
    def view() -> Any:
        assert current_proof
        return {
            "jkt": current_proof.jkt,
            "kind": current_proof.kind,
            "client": current_token.client_id,
        }

    app = app_with(view, world.protector()("accounts"))
    answer = send(app, with_proof(World.token)(world).environ()).json
    assert answer == {"jkt": world.jkt, "kind": "asymmetric", "client": "client-1"}


@pytest.mark.requirement("D-8")
def test_an_unbound_bearer_token_comes_without_a_proof(world: World) -> None:
    world = replace(world, accept_bearer=True)

    def view() -> Any:
        return {"proof": bool(current_proof)}

    app = app_with(view, world.protector()())
    headers = [("Authorization", f"Bearer {world.unbound_token()}")]
    assert send(app, Request(headers=headers).environ()).json == {"proof": False}


@pytest.mark.requirement("P-3", "P-6", "H-4")
def test_optional_lets_only_requests_without_credentials_pass(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dpop_ext")

    def view() -> Any:
        return {"proof": bool(current_proof), "token": bool(current_token)}

    app = app_with(view, world.protector()(optional=True))
    anonymous = {"proof": False, "token": False}
    assert send(app, Request(headers=[]).environ()).json == anonymous
    assert not caplog.records
    good = send(app, with_proof(World.token)(world).environ())
    assert good.json == {"proof": True, "token": True}
    for headers in (
        [("Authorization", "")],
        [("Authorization", "DPoP")],
        [("Authorization", "Basic YTpi")],
        [("Authorization", f"DPoP {world.token()}")],
        [("Authorization", f"DPoP {world.token()}"), ("DPoP", "")],
        [("Authorization", f"Bearer {world.unbound_token()}")],
    ):
        answer = send(app, Request(headers=headers).environ())
        assert answer.status in {400, 401}, headers


@pytest.mark.parametrize("decorated", ["plain", "called", "optional"])
def test_a_coroutine_function_is_a_view_too(world: World, decorated: str) -> None:
    ran: list[str] = []

    async def view() -> Any:
        await asyncio.sleep(0)
        ran.append(current_token.client_id)
        return {"jkt": current_proof.jkt if current_proof else None}

    protector = world.protector()
    decorator = {
        "plain": protector,
        "called": protector("accounts"),
        "optional": protector(optional=True),
    }[decorated]
    app = app_with(view, decorator)
    stranger = with_proof(World.token)(world).headers[:1]
    assert send(app, Request(headers=stranger).environ()).status == 401
    assert not ran
    answer = send(app, with_proof(World.token)(world).environ())
    assert (answer.status, answer.json, ran) == (200, {"jkt": world.jkt}, ["client-1"])


def test_a_with_statement_protects_too(world: World) -> None:
    protector = world.protector()

    def view() -> Any:
        with protector.acquire("accounts") as token:
            return {"client": token.client_id}

    app = app_with(view, lambda f: f)
    assert send(app, with_proof(World.token)(world).environ()).json["client"]
    refused = send(app, Request(headers=[]).environ())
    assert refused.status == 401
    assert "DPoP" in refused.challenges


@pytest.mark.requirement("X-15")
def test_a_view_that_calls_a_protected_view_uses_one_proof(world: World) -> None:
    protector = world.protector()

    @protector("transfers")  # type: ignore[untyped-decorator]
    def inner() -> Any:
        return {"inner": current_proof is not None}

    app = app_with(inner, protector("accounts"))
    environ = with_proof(World.token)(world).environ
    assert send(app, environ()).status == 200
    assert len(world.store) == 1


@pytest.mark.requirement("P-8")
def test_the_view_can_still_read_a_form_and_its_body(world: World) -> None:
    bodies: list[Any] = []

    def view() -> Any:
        bodies.extend((request.get_data(), request.form["amount"]))
        return {}

    app = app_with(view, world.protector()())
    sent = with_proof(
        World.token,
        proof=proof_with(method="POST"),
        more=(FORM,),
        method="POST",
        body=b"amount=10&to=bob",
    )
    assert send(app, sent(world).environ()).status == 200
    assert bodies == [b"amount=10&to=bob", "10"]


@pytest.mark.requirement("C-8")
def test_options_of_a_protected_view_needs_a_proof_for_options(world: World) -> None:
    app = app_with(dict, world.protector()())
    wrong = with_proof(World.token, method="OPTIONS")
    assert send(app, wrong(world).environ()).status == 401
    right = with_proof(
        World.token, proof=proof_with(method="OPTIONS"), method="OPTIONS"
    )
    assert send(app, right(world).environ()).status == 200


@pytest.mark.requirement("C-8")
def test_head_is_not_get(world: World) -> None:
    app = app_with(dict, world.protector()())
    assert (
        send(app, with_proof(World.token, method="HEAD")(world).environ()).status == 401
    )
    right = with_proof(World.token, proof=proof_with(method="HEAD"), method="HEAD")
    assert send(app, right(world).environ()).status == 200


@pytest.mark.requirement("P-5")
def test_authlib_looks_validators_up_in_lower_case_and_so_do_we(world: World) -> None:
    validator = DPoPTokenValidator(Rows(world.validator), world.verifier)
    assert validator.TOKEN_TYPE == "dpop"
    protector = ResourceProtector()
    protector.register_token_validator(validator)
    with pytest.raises(ValueError, match="one validator"):
        protector.register_token_validator(validator)
    protector.register_token_validator(Rows(world.validator))
    with pytest.raises(ValueError, match="one validator"):
        protector.register_token_validator(Rows(world.validator))


@pytest.mark.parametrize("token_type", ["DPoP", "Bearer", "mac", ""])
def test_a_validator_that_authlib_would_never_call_is_refused(token_type: str) -> None:
    class Odd(TokenValidator):
        TOKEN_TYPE = token_type

    with pytest.raises(ValueError, match="one validator"):
        ResourceProtector().register_token_validator(Odd())


def test_a_validator_for_dpop_that_checks_no_proof_is_refused() -> None:
    class Fake(BearerTokenValidator):
        TOKEN_TYPE = "dpop"

    with pytest.raises(TypeError):
        ResourceProtector().register_token_validator(Fake())


def test_a_protector_without_a_dpop_validator_is_a_mistake(world: World) -> None:
    protector = ResourceProtector()
    protector.register_token_validator(Rows(world.validator))
    app = app_with(dict, protector())
    with app.test_request_context("/accounts"), pytest.raises(RuntimeError):
        protector.acquire_token()


@pytest.mark.requirement("D-1", "D-3")
def test_with_this_protector_no_bearer_validator_accepts_a_bound_token(
    world: World,
) -> None:
    class Strict(RejectBoundTokens, Rows):
        pass

    for bearer in (Rows, Strict):
        protector = ResourceProtector()
        protector.register_token_validator(
            DPoPTokenValidator(world.validator, world.verifier, public_url=AUDIENCE)
        )
        protector.register_token_validator(bearer(world.validator))
        app = app_with(dict, protector("accounts"))
        token = world.token()
        headers = [("Authorization", f"Bearer {token}"), ("DPoP", world.proof(token))]
        refused = send(app, Request(headers=headers).environ())
        assert refused.status == 401
        assert refused.challenges["Bearer"].get("error") == "invalid_token"
        assert refused.challenges["DPoP"].get("error") is None
        headers = [("Authorization", f"Bearer {world.unbound_token()}")]
        assert send(app, Request(headers=headers).environ()).status == 200


@pytest.mark.requirement("B-1")
def test_a_bearer_token_of_which_nothing_is_known_is_refused(world: World) -> None:
    class Opaque:
        scope = "accounts"

    protector = world.protector()
    protector.register_token_validator(Rows(lambda text: Opaque()))
    app = app_with(dict, protector())
    refused = send(app, Request(headers=[("Authorization", "Bearer x")]).environ())
    assert refused.challenges["Bearer"].get("error") == "invalid_token"
    protector = world.protector()
    protector.register_token_validator(Rows(lambda text: None))
    app = app_with(dict, protector())
    refused = send(app, Request(headers=[("Authorization", "Bearer x")]).environ())
    assert refused.challenges["Bearer"].get("error") == "invalid_token"


@pytest.mark.requirement("Q-4", "Q-9")
def test_an_error_of_the_view_carries_the_nonce_once(world: World) -> None:
    world = replace(world, use_nonces=True)
    app = app_with(lambda: ({}, 404), world.protector()())
    old = with_proof(World.token, proof=lambda w, t: w.proof(t, nonce=w.nonce(age=2)))
    answer = send(app, old(world).environ())
    assert answer.status == 404
    assert answer.only("DPoP-Nonce") == world.nonce()


@pytest.mark.requirement("Q-13", "P-9", "P-3")
def test_userinfo_is_a_resource_server(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dpop_ext")
    world = replace(world, use_nonces=True)

    class User:
        scope = "openid"
        client_metadata: ClassVar[dict[str, Any]] = {}

        def get_client(self) -> Any:
            return self

        get_user = get_client

    class Tokens(DPoPTokenValidator):
        def authenticate_token(self, token_string: str) -> Any:
            super().authenticate_token(token_string)
            return User()

        def get_access_token(self, token: Any) -> Any:
            return world.validator(world.token())

    class UserInfo(UserInfoEndpoint):
        def generate_user_info(self, user: Any, scope: str) -> Any:
            return {"sub": "alice"}

    protector = ResourceProtector()
    protector.register_token_validator(
        Tokens(Rows(world.validator), world.verifier, public_url=AUDIENCE)
    )
    app = Flask("userinfo")
    server = AuthorizationServer(app, query_client=None, save_token=None)
    server.register_endpoint(UserInfo(resource_protector=protector))
    app.add_url_rule(
        "/accounts", view_func=lambda: server.create_endpoint_response("userinfo")
    )
    assert send(app, with_proof(World.token)(world).environ()).json["sub"] == "alice"
    assert not caplog.records
    for sent, error in [
        (Request(headers=[]), None),
        (
            with_proof(World.token, proof=proof_with(nonce=None))(world),
            "use_dpop_nonce",
        ),
    ]:
        caplog.clear()
        refused = send(app, sent.environ())
        assert refused.status == 401
        assert refused.challenges["DPoP"].get("error") == error
        assert len(refused.values("DPoP-Nonce")) == 1
        assert len(caplog.records) == 1


@pytest.mark.requirement("P-2")
def test_with_flasks_own_test_client(world: World) -> None:
    app = app_with(dict, world.protector()())
    token = world.token()
    headers = {"Authorization": f"DPoP {token}", "DPoP": world.proof(token)}
    assert app.test_client().get("/accounts", headers=headers).status_code == 200
    assert app.test_client().get("/accounts").status_code == 401
