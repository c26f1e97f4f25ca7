"""Make the vectors anew: ``python -m tests.vectors.generate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from tests.vectors import claim_cases, context_cases, header_cases, shape_cases
from tests.vectors.corpus import METHOD, NOW, TOKEN, URL, Corpus
from tests.vectors.hand_made import jkt

PROOFS: Final = Path(__file__).parent / "dpop-proofs.json"


def proofs() -> dict[str, Any]:
    """The content of ``dpop-proofs.json``, the same on every run."""
    corpus = Corpus()
    for part in (
        context_cases.rfc_9449,
        shape_cases.good,
        shape_cases.shapes,
        shape_cases.json,
        shape_cases.signatures,
        header_cases.types,
        header_cases.algorithms,
        header_cases.headers,
        header_cases.keys,
        header_cases.weak_keys,
        claim_cases.targets,
        claim_cases.methods,
        claim_cases.identifiers,
        claim_cases.times,
        claim_cases.token_hashes,
        context_cases.nonces,
        context_cases.bindings,
        context_cases.replays,
        context_cases.token_endpoint,
    ):
        part(corpus)
    return {
        "now": NOW,
        "method": METHOD,
        "url": URL,
        "access_token": TOKEN,
        "jkt": jkt("ec"),
        "vectors": corpus.vectors,
    }


def text(content: dict[str, Any]) -> str:
    """The file for *content*: ASCII, one member a line."""
    return json.dumps(content, indent=1) + "\n"


if __name__ == "__main__":
    PROOFS.write_text(text(proofs()), encoding="ascii")
