"""Two layers of one application decide about one request, each with its verifier."""

from __future__ import annotations

from typing import Any

import pytest

from dpop_ext.integrations import asgi, wsgi
from dpop_ext.integrations.django_oauth2 import DPoPProtector
from dpop_ext.stores.base import NoReplayProtection
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.verifier import ProofVerifier
from tests.resource_server.cases import with_proof
from tests.resource_server.django_project import django_application
from tests.resource_server.under_wsgi import under_wsgi
from tests.resource_server.world import AUDIENCE, World, send


def outer(world: World, store: Any) -> dict[str, Any]:
    """Return the arguments of an outer layer, which knows nothing of the inner one."""
    return {
        "verifier": ProofVerifier(store, clock=world.clock),
        "find_token": world.validator,
        "public_url": AUDIENCE,
    }


def wsgi_and_flask(world: World, store: Any) -> Any:
    return wsgi.DPoPMiddleware(world.flask_app(), **outer(world, store))


def wsgi_and_django(world: World, store: Any) -> Any:
    return wsgi.DPoPMiddleware(world.django_app(), **outer(world, store))


def asgi_and_fastapi(world: World, store: Any) -> Any:
    return under_wsgi(asgi.DPoPMiddleware(world.fastapi_app(), **outer(world, store)))


def asgi_and_asgi(world: World, store: Any) -> Any:
    return under_wsgi(asgi.DPoPMiddleware(world.asgi_app(), **outer(world, store)))


def django_middleware_and_decorator(
    world: World, store: Any, *, asynchronous: bool = False
) -> Any:
    inner = DPoPProtector(
        verifier=world.verifier, find_token=world.validator, public_url=AUDIENCE
    )
    protector = DPoPProtector(**outer(world, store))

    def count(request: Any) -> Any:
        from django.http import HttpResponse

        world.served += 1
        return HttpResponse()

    async def count_async(request: Any) -> Any:
        return count(request)

    view = inner("accounts")(count_async if asynchronous else count)
    return django_application(protector.middleware(view), asynchronous=asynchronous)


def asgi_and_django(world: World, store: Any) -> Any:
    app = django_middleware_and_decorator(world, store, asynchronous=True)
    return under_wsgi(asgi.DPoPMiddleware(app, **outer(world, store)))


LAYERS = [
    wsgi_and_flask,
    wsgi_and_django,
    asgi_and_fastapi,
    asgi_and_asgi,
    django_middleware_and_decorator,
    asgi_and_django,
]


@pytest.mark.parametrize("make", LAYERS, ids=[make.__name__ for make in LAYERS])
@pytest.mark.requirement("X-15", "U-17")
def test_layers_that_share_a_store_use_a_proof_once(make: Any, world: World) -> None:
    app = make(world, world.store)
    request = with_proof(World.token)(world)

    assert send(app, request.environ()).status == 200
    assert (world.served, len(world.store)) == (1, 1)
    assert send(app, request.environ()).status == 401
    assert world.served == 1


@pytest.mark.requirement("X-15", "U-17")
@pytest.mark.parametrize("other", [MemoryReplayStore(), NoReplayProtection()])
def test_a_layer_does_not_rely_on_the_store_of_another(
    world: World, other: Any
) -> None:
    """What the outer layer has not seen, the inner one may have."""
    request = with_proof(World.token)(world)
    assert send(world.wsgi_app(), request.environ()).status == 200

    app = wsgi.DPoPMiddleware(world.wsgi_app(), **outer(world, other))
    assert send(app, request.environ()).status == 401
    assert world.served == 1
