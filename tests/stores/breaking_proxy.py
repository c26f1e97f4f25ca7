"""A proxy that lets a command through and loses the answer."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path


class BreakingProxy:
    """Relays between a socket of its own and *target*.

    :param path: of the socket that clients connect to.
    :param target: path of the socket of the server.
    :param mark: what the commands contain whose answer is lost.
    """

    def __init__(self, path: Path, target: Path, *, mark: bytes) -> None:
        self.path = path
        #: Answers that will still be lost, each together with its connection.
        self.losses = 0
        self._target = target
        self._mark = mark
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        for open_socket in [self._listener, *self._connections]:
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._connections.append(client)
                thread = threading.Thread(target=self._relay, args=(client,))
                self._threads.append(thread)
                thread.start()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(str(self._target))
            with contextlib.suppress(OSError):
                while command := client.recv(65536):
                    server.sendall(command)
                    answer = server.recv(65536)
                    if self._mark in command and self.losses:
                        self.losses -= 1
                        return
                    client.sendall(answer)


@contextlib.contextmanager
def breaking_proxy(path: Path, target: Path, *, mark: bytes) -> Iterator[BreakingProxy]:
    """Run one."""
    proxy = BreakingProxy(path, target, mark=mark)
    try:
        yield proxy
    finally:
        proxy.close()
