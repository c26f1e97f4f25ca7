"""The examples of ``docs/protocol.md``, which are vectors of the profile."""

from __future__ import annotations

from typing import Final

from tests.documents.examples import examples
from tests.documents.regions import DOCS, filled

PAGE: Final = DOCS / "protocol.md"
_FILES: Final = {
    "key-request": "key-requests.json",
    "delivered-key": "key-jwes.json",
    "symmetric-proof": "symmetric-proofs.json",
    "keyring": "keyrings.json",
}


def page() -> str:
    """Return what the page should be."""
    usual = {one.file: one.text for one in examples() if one.is_usual}
    regions = {name: f"```text\n{usual[file]}\n```" for name, file in _FILES.items()}
    return filled(PAGE.read_text("utf-8"), regions)
