"""Both servers and the page, until a signal says stop."""

from __future__ import annotations

import dataclasses
import shlex
import signal
from collections.abc import Callable

from sqlalchemy.engine import make_url

from demo_server import fapi_client
from demo_server.derivation_secrets import KEY_FILE
from demo_server.settings import Settings
from demo_server.supervisor import DemoServer


def serve_all(settings: Settings) -> None:
    """Run both servers, and the page unless it was not wanted.

    :raises SettingsError: an option cannot be used; the message names it.
    :raises ServerError: a server did not start, or ended by itself.
    """
    server = DemoServer(with_page(settings))
    _stop_on_signals(server.interrupt)
    with server:
        print(f"authorization server  {server.settings.issuer_url}")
        print(f"resource server       {server.settings.resource_url}", flush=True)
        if server.client_url is not None:
            print(f"client in the browser {server.client_url}/", flush=True)
        if settings.derives_keys:
            print(f"derivation secrets    dpop-ext secrets list {_options(settings)}")
        if settings.profile == "fapi2":
            path = settings.keys_directory / fapi_client.KEY_FILE
            print(f"key of {fapi_client.CLIENT_ID}      {path}", flush=True)
        server.wait()


def with_page(settings: Settings) -> Settings:
    """Add the page, unless a port was chosen for it or it would be out of place.

    That is behind a proxy, where nobody expects that scripts may use the servers, and
    with FAPI.
    """
    chosen = settings.client_port is not None
    proxied = settings.issuer is not None or settings.resource is not None
    if chosen or proxied or settings.profile == "fapi2":
        return settings
    ports = settings.as_port, settings.rs_port
    port = max(ports) + 1 if all(ports) and max(ports) < 65_535 else 0
    return dataclasses.replace(settings, client_port=port)


def _options(settings: Settings) -> str:
    """Return the options with which ``dpop-ext`` finds the secrets."""
    key = shlex.quote(str(settings.keys_directory / KEY_FILE))
    database = make_url(settings.database).render_as_string(hide_password=True)
    return f"--database {shlex.quote(database)} --key-file {key}"


def _stop_on_signals(stop: Callable[[], None]) -> None:
    """Call *stop* when this process is told to end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: stop())
