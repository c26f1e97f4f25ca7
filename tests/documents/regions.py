"""The parts of a document that are made by a program, between two comments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parents[2] / "docs"

_REGION: Final = re.compile(
    r"(<!-- made by tests/documents: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)",
    re.DOTALL,
)


def filled(document: str, regions: Mapping[str, str]) -> str:
    """Return *document* with its regions made anew.

    :raises KeyError: a region of the document is not among *regions*.
    """
    return _REGION.sub(
        lambda found: f"{found[1]}\n{regions[found['name']]}\n\n{found[3]}", document
    )
