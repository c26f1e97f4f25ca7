"""Both servers at once: two processes that start, answer and stop together."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Literal, Self

from demo_server import tls
from demo_server.browser_client import PageServer
from demo_server.database import Database
from demo_server.first_start import prepare, prepare_resource_server
from demo_server.listener import Role, bind
from demo_server.process_environment import operator_environment, server_environment
from demo_server.registration import register_resource_server
from demo_server.resource_server_keys import public_jwks
from demo_server.settings import Settings
from dpop_ext.resource_server.transport import fetch

#: A server that does not answer by then hangs, in seconds. One that fails ends, which
#: is seen at once; one on a busy machine may need half a minute for its imports.
START_TIMEOUT = 120

#: A server that has not ended by then is killed, in seconds.
STOP_TIMEOUT = 10


class ServerError(Exception):
    """A server did not start, or ended by itself."""


class DemoServer:
    """The two servers as a context manager.

    ::

        with DemoServer() as server:
            requests.get(f"{server.rs_url}/api/accounts", ...)

    :param settings: None takes free ports and a temporary database, and logs warnings
        only.
    :param post_quantum: of the settings that are made then.
    :param symmetric_model: likewise.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        post_quantum: Literal["on", "off"] = "off",
        symmetric_model: Literal["derived", "encapsulated"] = "derived",
    ) -> None:
        self._exit = ExitStack()
        self._processes: dict[Role, subprocess.Popen[bytes]] = {}
        self._stopping = False
        if settings is None:
            directory = self._exit.enter_context(
                tempfile.TemporaryDirectory(prefix="dpop-demo-")
            )
            settings = Settings(
                as_port=0,
                rs_port=0,
                database=f"sqlite:///{directory}/demo.sqlite3",
                post_quantum=post_quantum,
                symmetric_model=symmetric_model,
                log_level="warning",
            )
        #: With the ports that were found, once the servers have started.
        self.settings = settings

    @property
    def as_url(self) -> str:
        """Base URL of the authorization server, where it listens."""
        return self.settings.local_url(self.settings.as_port)

    @property
    def rs_url(self) -> str:
        """Base URL of the resource server, where it listens."""
        return self.settings.local_url(self.settings.rs_port)

    @property
    def client_url(self) -> str | None:
        """The origin of the page; None if there is none."""
        return self.settings.client_url

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which another command finds these servers."""
        return operator_environment(self.settings)

    def __enter__(self) -> Self:
        """Start both servers and wait until both answer.

        :raises SettingsError: an option cannot be used; the message names it.
        :raises ServerError: a server did not start.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop both servers."""
        self.stop()

    def wait(self) -> None:
        """Wait until :meth:`interrupt` is called.

        :raises ServerError: a server ended by itself.
        """
        while not self._stopping:
            self._check_processes()
            time.sleep(0.1)

    def interrupt(self) -> None:
        """End the waiting; may be called by a signal handler."""
        self._stopping = True

    def stop(self) -> None:
        """Stop both servers, all of their processes, and remove what is temporary."""
        # The last one first: a resource server asks its issuer for keys to the end.
        for process in reversed(self._processes.values()):
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._processes.clear()
        self._exit.close()

    def _start(self) -> None:
        tls.server_context(self.settings)
        listeners: dict[Role, socket.socket] = {}
        with ExitStack() as sockets:
            # Held from here to the end: a free port cannot be lost to somebody else.
            for role in ("as", "rs"):
                listeners[role] = sockets.enter_context(bind(role, self.settings))
            self.settings = dataclasses.replace(
                self.settings,
                as_port=listeners["as"].getsockname()[1],
                rs_port=listeners["rs"].getsockname()[1],
            )
            if self.settings.client_port is not None:
                self._start_page(sockets.enter_context(bind("client", self.settings)))
            prepare(self.settings)
            prepare_resource_server(self.settings)
            self._register()
            for role, listener in listeners.items():
                self._processes[role] = self._spawn(role, listener)
        self._wait_for(f"{self.as_url}/.well-known/oauth-authorization-server")
        self._wait_for(f"{self.rs_url}/.well-known/oauth-protected-resource")

    def _start_page(self, listener: socket.socket) -> None:
        """Serve the page from a thread: it is a few files that do not change."""
        port = listener.getsockname()[1]
        self.settings = dataclasses.replace(self.settings, client_port=port)
        self._exit.enter_context(PageServer(listener, self.settings))

    def _register(self) -> None:
        """Do what an operator does: carry the public keys from one to the other."""
        jwks = public_jwks(self.settings.rs_keys_directory)
        database = Database(self.settings.database)
        try:
            resource = self.settings.resource_url
            register_resource_server(
                database.engine,
                jwks,
                resource=resource,
                encapsulates=self.settings.encapsulates_keys,
            )
        finally:
            database.close()

    def _spawn(self, role: Role, listener: socket.socket) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "demo_server", role],
            env=server_environment(role, self.settings, listener=listener.fileno()),
            stdin=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
            # Ctrl-C is for the supervisor, which then stops both in good order.
            start_new_session=True,
        )

    def _wait_for(self, url: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not self._stopping:
            self._check_processes()
            with suppress(OSError):
                fetch(url, context=tls.probe_context())
                return
            if time.monotonic() > deadline:
                raise ServerError(f"no answer from {url}")
            time.sleep(0.05)

    def _check_processes(self) -> None:
        for role, process in self._processes.items():
            if process.poll() is not None:
                raise ServerError(
                    f"the server {role!r} ended with code {process.returncode}"
                )
