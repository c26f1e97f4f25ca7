"""A server that writes what it likes to a connection, for as long as it likes."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from tests.patience import PATIENCE

#: Pieces, 20 milliseconds apart: whoever would read for ever gets what it will not
#: expect, and no test hangs. No seconds: a process that is stopped for a while, and its
#: site with it, would go on with the end.
FOR_EVER = 750


class Site:
    """Answers one connection after another with the pieces it was given."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.asked: list[str] = []
        #: How many pieces have followed the first answer.
        self.pieces = 0
        self._ended = threading.Event()
        self._answers: list[bytes] = []
        self._then = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def answers(self, *answers: bytes, then: bytes = b"") -> None:
        """Answer with these in turn, the last one for ever.

        :param then: comes after the first one, :data:`FOR_EVER` times.
        """
        self.pieces = 0
        self._answers, self._then = list(answers), then

    def close(self) -> None:
        self._ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE)

    def _serve(self) -> None:
        while not self._ended.is_set():
            with suppress(OSError):
                connection, _ = self._listener.accept()
                with connection:
                    connection.settimeout(PATIENCE)
                    self.asked.append(_read_request(connection))
                    answer, then = self._answers[0], self._then
                    if len(self._answers) > 1:
                        self._answers.pop(0)
                        self._then = b""
                    connection.sendall(answer)
                    for _ in range(FOR_EVER if then else 0):
                        if self._ended.wait(0.02):
                            break
                        connection.sendall(then)
                        self.pieces += 1


def _read_request(connection: socket.socket) -> str:
    """Read to the end: one that is closed before resets the connection."""
    with connection.makefile("rb") as file:
        head = b""
        while (line := file.readline()) not in {b"\r\n", b""}:
            head += line
        lengths = [
            int(line.split(b":")[1])
            for line in head.splitlines()
            if line.lower().startswith(b"content-length:")
        ]
        return (head + b"\r\n" + file.read(sum(lengths))).decode("latin-1")


def http(content: bytes, *fields: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *fields]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + content
