"""A Django project of one view: its settings are global, the view is not."""

from __future__ import annotations

import types
from typing import Any

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.urls import re_path


def configure() -> None:
    """Configure Django, once in a process."""
    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["*"],
            APPEND_SLASH=False,
            MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
            ROOT_URLCONF=None,
            SECRET_KEY="of a test",
        )
        django.setup()


def django_application(view: Any, *, asynchronous: bool = False) -> Any:
    """Return an application that calls *view* for every path."""
    configure()
    urls = types.ModuleType("urls")
    urls.urlpatterns = [re_path("", view)]  # type: ignore[attr-defined]

    handler: Any = ASGIHandler() if asynchronous else WSGIHandler()
    inner = handler._middleware_chain

    if asynchronous:

        async def chain_async(request: Any) -> Any:
            request.urlconf = urls
            return await inner(request)

        handler._middleware_chain = chain_async
    else:

        def chain(request: Any) -> Any:
            request.urlconf = urls
            return inner(request)

        handler._middleware_chain = chain
    return handler
