"""One server in this process."""

from __future__ import annotations

import dataclasses
import os

from demo_server import authorization_server, resource_server, tls
from demo_server.first_start import prepare, prepare_resource_server
from demo_server.http_server import HTTPServer
from demo_server.listener import Role, bind
from demo_server.process_environment import LISTENER_VARIABLE, PARENT_VARIABLE
from demo_server.settings import Settings


def serve(role: Role, settings: Settings) -> None:
    """Run the server *role* until a signal says stop.

    :raises SettingsError: an option cannot be used; the message names it.
    :raises StartError: as :func:`demo_server.first_start.prepare`.
    :raises SystemExit: the server has ended.
    """
    tls.server_context(settings)
    inherited = os.environ.get(LISTENER_VARIABLE)
    if inherited is not None:
        parent = os.environ.get(PARENT_VARIABLE)
        _run(role, settings, int(inherited), parent=int(parent) if parent else None)
    with bind(role, settings) as listener:
        port = {f"{role}_port": listener.getsockname()[1]}
        settings = dataclasses.replace(settings, **port)
        if role == "as":
            prepare(settings)
        else:
            prepare_resource_server(settings)
        _run(role, settings, listener.detach(), parent=None)


def _run(role: Role, settings: Settings, listener: int, *, parent: int | None) -> None:
    def ready() -> None:
        if parent is not None:
            return  # the supervisor says so
        if role == "as":
            print(f"authorization server  {settings.issuer_url}", flush=True)
        else:
            print(f"resource server       {settings.resource_url}", flush=True)

    module = authorization_server if role == "as" else resource_server
    HTTPServer(
        lambda: module.create_app(settings),
        listener=listener,
        ready=ready,
        workers=settings.workers,
        tls=tls.server_context(settings),
        parent=parent,
    ).run()
