"""What is read of a server that is looked into because something is wrong with it."""

from __future__ import annotations

import gzip
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from dpop_ext.cli.limited_answer import ask
from dpop_ext.errors import ServerAnswerError
from tests.integrations.scripted_server import Answer, running_server


def test_no_redirect_is_followed() -> None:
    with running_server() as server, running_server() as elsewhere:
        server.play(Answer(302, [("Location", elsewhere.url)], b"moved"))
        response, content = ask(requests.Session(), "GET", server.url)
        assert (response.status_code, content) == (302, b"moved")
        assert elsewhere.received == []
        # Requests itself would read it all.
        with pytest.raises(ServerAnswerError):
            ask(requests.Session(), "GET", server.url, limit=4)


def test_content_is_not_unpacked_and_has_a_limit() -> None:
    packed = gzip.compress(bytes(100_000))
    with running_server() as server:
        server.play(Answer(200, [("Content-Encoding", "gzip")], packed))
        session = requests.Session()
        found = ask(session, "GET", server.url, limit=len(packed))
        assert found[1] == packed
        with pytest.raises(ServerAnswerError):
            ask(session, "GET", server.url, limit=len(packed) - 1)
        assert ask(session, "GET", server.url, limit=0)[1] == b""


def test_an_answer_that_breaks_off_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")

        with ThreadPoolExecutor(1) as threads:
            threads.submit(answer)
            port = listener.getsockname()[1]
            with pytest.raises(ServerAnswerError, match="broke off"):
                ask(requests.Session(), "GET", f"http://127.0.0.1:{port}/")
