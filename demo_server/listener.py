"""Sockets that listen on the loopback address, one for each server and the page."""

from __future__ import annotations

import errno
import socket
from typing import Literal

from demo_server.option_values import SettingsError
from demo_server.settings import Settings

Role = Literal["as", "rs"]
Listener = Literal["as", "rs", "client"]


def bind(role: Listener, settings: Settings) -> socket.socket:
    """Listen on the loopback address, at the port of *role*.

    :raises SettingsError: the port is taken or not allowed; names the option.
    """
    ports = {
        "as": settings.as_port,
        "rs": settings.rs_port,
        "client": settings.client_port or 0,
    }
    port = ports[role]
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        taken = error.errno == errno.EADDRINUSE
        reason = "is taken" if taken else "cannot be used"
        raise SettingsError(
            f"--{role}-port", f"port {port} {reason}; 0 picks a free one"
        ) from error
    return listener
