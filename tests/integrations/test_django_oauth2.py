"""What Django has and the others have not: a middleware, coroutines, CSRF, ASGI."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.template.response import SimpleTemplateResponse
from django.test import AsyncRequestFactory, Client, RequestFactory
from django.utils.decorators import method_decorator
from django.views import View
from joserfc.jwk import ECKey

from dpop_ext.core.request_digest import content_digest
from dpop_ext.integrations import wsgi_answers
from dpop_ext.integrations.asgi_answers import SignedAnswers
from dpop_ext.integrations.django_oauth2 import DPoPProtector
from dpop_ext.resource_server.route_policy import RoutePolicy
from dpop_ext.symmetric.response import ASKS
from dpop_ext.testing import assert_rejects_dpop_attacks
from tests.resource_server.django_project import configure, django_application
from tests.resource_server.under_wsgi import under_wsgi
from tests.resource_server.world import AUDIENCE, Request, World, send

configure()


@pytest.fixture
def protector(world: World) -> DPoPProtector:
    return DPoPProtector(
        verifier=world.verifier, find_token=world.validator, public_url=AUDIENCE
    )


def credentials(world: World, **changes: Any) -> dict[str, str]:
    token = world.token()
    return {
        "Authorization": f"DPoP {token}",
        "DPoP": world.proof(token, **changes),
    }


def view(request: Any) -> HttpResponse:
    return JsonResponse({"client": request.dpop.token.client_id})


async def coroutine(request: Any) -> HttpResponse:
    return view(request)


def test_a_middleware_protects_every_view(
    world: World, protector: DPoPProtector
) -> None:
    protected = protector.middleware(view, "accounts")
    request = RequestFactory().get("/accounts", headers=credentials(world))
    assert protected(request).status_code == 200
    refused = protected(RequestFactory().get("/accounts"))
    assert (refused.status_code, refused.content) == (401, b"{}")
    assert refused["WWW-Authenticate"].startswith("DPoP ")


def test_a_coroutine_is_protected_as_one(
    world: World, protector: DPoPProtector
) -> None:
    for protected in (
        protector("accounts")(coroutine),
        protector.middleware(coroutine, "accounts"),
    ):
        assert iscoroutinefunction(protected)
        factory = AsyncRequestFactory()
        request = factory.get("/accounts", headers=credentials(world))
        assert asyncio.run(protected(request)).status_code == 200
        assert asyncio.run(protected(factory.get("/accounts"))).status_code == 401


def test_a_class_of_coroutines_is_protected_as_one(
    world: World, protector: DPoPProtector
) -> None:
    @method_decorator(protector("accounts"), name="dispatch")
    class Accounts(View):
        async def get(self, request: Any) -> HttpResponse:
            return view(request)

    async def call() -> list[int]:
        make, fields = AsyncRequestFactory(), credentials(world)
        requests = [
            make.get("/accounts", headers=fields),
            make.post("/accounts", headers=credentials(world, method="POST")),
            make.get("/accounts", headers=fields),
        ]
        return [(await Accounts.as_view()(request)).status_code for request in requests]

    assert asyncio.run(call()) == [200, 405, 401]


def test_an_asgi_application_has_the_same_tables(
    world: World, protector: DPoPProtector
) -> None:
    app = under_wsgi(
        django_application(protector("accounts")(coroutine), asynchronous=True)
    )
    headers = list(credentials(world, url=f"{AUDIENCE}/a%2Fb").items())
    assert send(app, Request(headers=headers, target="/a%2Fb").environ()).status == 200
    assert send(app, Request(headers=headers, target="/a%2Fb").environ()).status == 401


def test_a_post_needs_no_token_against_forgery(
    world: World, protector: DPoPProtector
) -> None:
    app = django_application(protector("accounts")(view))
    headers = list(credentials(world, method="POST").items())
    request = Request(headers=headers, method="POST", body=b"x")
    assert send(app, request.environ()).status == 200
    plain = django_application(lambda request: HttpResponse())
    assert send(plain, request.environ()).status == 403


def test_the_view_can_read_what_has_a_digest(
    world: World, protector: DPoPProtector
) -> None:
    def echo(request: Any) -> HttpResponse:
        return HttpResponse(request.body)

    protected = protector(route=RoutePolicy(request_digest=True))(echo)
    claims = {"cd": content_digest(b"body"), "hq": content_digest(b"")}
    for sent, status in ((b"body", 200), (b"other", 401)):
        headers = credentials(world, method="POST", claims=claims)
        request = RequestFactory().post(
            "/accounts", sent, content_type="text/plain", headers=headers
        )
        response = protected(request)
        assert response.status_code == status
    assert protected(request).content != b"other"


def test_content_that_django_does_not_take_is_refused(
    world: World, protector: DPoPProtector
) -> None:
    protected = protector(route=RoutePolicy(request_digest=True, max_content=10**9))(
        view
    )
    content = b"x" * (3 * 1024 * 1024)
    claims = {"cd": content_digest(content), "hq": content_digest(b"")}
    headers = credentials(world, method="POST", claims=claims)
    request = RequestFactory().post(
        "/accounts", content, content_type="text/plain", headers=headers
    )
    assert protected(request).status_code == 413


def test_content_that_was_taken_apart_has_no_digest(
    world: World, protector: DPoPProtector
) -> None:
    claims = {"cd": content_digest(b""), "hq": content_digest(b"")}
    headers = credentials(world, method="POST", claims=claims)
    request = RequestFactory().post("/accounts", {"a": "b"}, headers=headers)
    request.read(1)
    assert protector()(view)(request).status_code == 400


@pytest.mark.requirement("U-32")
def test_a_stream_stays_one(world: World, protector: DPoPProtector) -> None:
    def stream(request: Any) -> StreamingHttpResponse:
        return StreamingHttpResponse(iter([b"a", b"b"]))

    request = RequestFactory().get("/accounts", headers=credentials(world))
    response = protector()(stream)(request)
    assert response.streaming
    assert "Content-Length" not in response


def test_the_length_that_a_view_says_itself_stays(
    world: World, protector: DPoPProtector
) -> None:
    def head(request: Any) -> HttpResponse:
        return HttpResponse(headers={"Content-Length": "1000"})

    headers = credentials(world, method="HEAD")
    response = protector()(head)(RequestFactory().head("/accounts", headers=headers))
    assert response["Content-Length"] == "1000"


class Later(SimpleTemplateResponse):
    """What Django renders after the view, as Django REST framework answers, too."""

    def __init__(self) -> None:
        super().__init__("")

    @property
    def rendered_content(self) -> str:
        return "content"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_answer_that_is_rendered_after_the_view_is_signed(
    world: World, *, asynchronous: bool
) -> None:
    world = dataclasses.replace(world, symmetric=True)
    protect = DPoPProtector(
        verifier=world.verifier, find_token=world.validator, public_url=AUDIENCE
    )("accounts")

    def answer(request: Any) -> Later:
        return Later()

    async def answer_async(request: Any) -> Later:
        return Later()

    inner = django_application(
        protect(answer_async if asynchronous else answer), asynchronous=asynchronous
    )
    app = (
        under_wsgi(SignedAnswers(inner))
        if asynchronous
        else wsgi_answers.SignedAnswers(inner)
    )
    token = world.symmetric_token()
    proof = world.symmetric_proof(token, claims={ASKS: True})
    fields = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
    response = send(app, Request(headers=fields).environ())
    assert (response.status, response.body) == (200, b"content")
    assert response.values("Content-Length") == ["7"]
    assert len(response.values("DPoP-Response")) == 1


@pytest.mark.requirement("R1901")
def test_answers_of_an_asgi_application_are_signed(world: World) -> None:
    world = dataclasses.replace(world, symmetric=True)
    protector = DPoPProtector(
        verifier=world.verifier, find_token=world.validator, public_url=AUDIENCE
    )
    inner = django_application(protector("accounts")(coroutine), asynchronous=True)
    app = under_wsgi(SignedAnswers(inner))
    token = world.symmetric_token()
    for claims, signed in (({ASKS: True}, 1), ({}, 0)):
        proof = world.symmetric_proof(token, claims=claims)
        fields = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
        response = send(app, Request(headers=fields).environ())
        assert response.status == 200
        assert len(response.values("DPoP-Response")) == signed


def test_attacks_are_refused(
    world: World, protector: DPoPProtector, ec_key: ECKey
) -> None:
    class ViewClient(Client):
        handler: Any = None

    client = ViewClient()
    client.handler = lambda environ: _answer(environ, protector("accounts")(view))
    assert_rejects_dpop_attacks(
        client,
        "/accounts",
        access_token=world.token(),
        key=ec_key,
        public_url=AUDIENCE,
        clock=world.clock,
    )


def _answer(environ: Any, protected: Any) -> Any:
    from django.core.handlers.wsgi import WSGIRequest

    response = protected(WSGIRequest(environ))
    response.wsgi_request = response.request = None
    return response
