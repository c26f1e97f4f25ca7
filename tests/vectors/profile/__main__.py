"""Write the vectors anew: ``python -m tests.vectors.profile``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.vectors.profile import (
    derivations,
    encapsulated,
    key_jwes,
    key_material,
    key_requests,
    keyrings,
    proofs,
    ticket_fields,
    tickets,
)

FOLDER: Final = Path(__file__).parent
FILES: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "derivations": derivations.generate,
    "key-requests": key_requests.generate,
    "key-material": key_material.generate,
    "key-jwes": key_jwes.generate,
    "encapsulated-keys": encapsulated.generate,
    "symmetric-proofs": proofs.generate,
    "tickets": tickets.generate,
    "ticket-fields": ticket_fields.generate,
    "keyrings": keyrings.generate,
}


def read(name: str) -> dict[str, Any]:
    """Return the content of a file as it is."""
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("ascii"))
    return content


def text(name: str) -> str:
    """Return what the file should be, of ASCII characters."""
    return json.dumps(FILES[name](), indent=1) + "\n"


if __name__ == "__main__":
    for file in FILES:
        (FOLDER / f"{file}.json").write_text(text(file), "ascii")
