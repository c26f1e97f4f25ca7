"""What the environment tells a server's process, and a command of the operator."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from demo_server.derivation_secrets import KEY_FILE
from demo_server.listener import Role
from demo_server.settings import ENVIRONMENT_PREFIX, Settings

#: Tell a server which socket is its own and which process, if any, it must not outlive.
LISTENER_VARIABLE: Final = f"{ENVIRONMENT_PREFIX}LISTENER"
PARENT_VARIABLE: Final = f"{ENVIRONMENT_PREFIX}PARENT"

#: What each server is not told.
_OF_THE_OTHER: Final = {
    "as": ("RS_KEYS",),
    "rs": ("DATABASE", "DATABASE_KEY", "KEYS", "CLIENTS"),
}

#: The source tree, for a process that may run elsewhere.
_ROOT = Path(__file__).parent.parent


def server_environment(
    role: Role, settings: Settings, *, listener: int
) -> dict[str, str]:
    """Return what the process of one server needs, and nothing of the other's.

    :param listener: file descriptor of its socket, which it inherits.
    """
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    environment = {
        **os.environ,
        **settings.to_environment(),
        f"{ENVIRONMENT_PREFIX}RS_KEYS": str(settings.rs_keys_directory),
        "PYTHONPATH": path,
        LISTENER_VARIABLE: str(listener),
        PARENT_VARIABLE: str(os.getpid()),
    }
    for name in _OF_THE_OTHER[role]:
        environment.pop(ENVIRONMENT_PREFIX + name, None)
    return environment


def operator_environment(settings: Settings) -> dict[str, str]:
    """Return what an operator's command needs, who has access to both servers."""
    return {
        **os.environ,
        **settings.to_environment(),
        "DPOP_EXT_DATABASE": settings.database,
        "DPOP_EXT_KEY_FILE": str(settings.keys_directory / KEY_FILE),
    }
