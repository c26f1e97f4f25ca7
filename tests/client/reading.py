"""Looks into a proof without verifying it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ReadProof:
    header: dict[str, Any]
    claims: dict[str, Any]

    @property
    def is_symmetric(self) -> bool:
        return bool(self.header["typ"] == "dpop-sym+jwt")


def read(proof: str) -> ReadProof:
    header, claims = (
        json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        for part in proof.split(".")[:2]
    )
    return ReadProof(header, claims)
