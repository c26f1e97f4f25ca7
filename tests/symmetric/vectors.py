"""The published vectors, and the ones generated beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent.parent / "vectors"

PUBLISHED: Final[dict[str, Any]] = json.loads(
    (FOLDER / "dpop-sym-1.json").read_text("utf-8")
)

OURS: Final[dict[str, Any]] = json.loads((FOLDER / "symmetric.json").read_text("utf-8"))
