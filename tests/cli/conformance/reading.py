"""What a server answers in these tests, and what is read in trials and proofs."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from typing import Any, cast

from dpop_ext.cli.conformance_checks.trial import Trial
from dpop_ext.core.base64url import b64url_decode
from tests.integrations.scripted_server import Answer

KEY = bytes(range(32))
OK = Answer(body=b"{}")


def by_status(trials: Iterable[Trial]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for trial in trials:
        found.setdefault(trial.status, set()).add(trial.name)
    return found


def refusal(error: str, status: int = 401, **members: str) -> Answer:
    parameters = {"error": error, **members}.items()
    challenge = ", ".join(f'{name}="{value}"' for name, value in parameters)
    return Answer(status, [("WWW-Authenticate", f"DPoP {challenge}")])


LISTS = (
    "dpop_symmetric_alg_values_supported",
    "dpop_symmetric_key_encryption_alg_values_supported",
    "dpop_symmetric_key_encryption_enc_values_supported",
)
KDF = "dpop_symmetric_kdf_values_supported"
MODES = "dpop_symmetric_modes_supported"
CLAIM = "dpop_sym_conformance"


def decoded(proof: str) -> dict[str, Any]:
    """Header and claims, as far as they are the same each time."""
    head, said, _ = (b64url_decode(part) for part in proof.split("."))
    both = json.loads(head) | json.loads(said)
    del both["jti"]
    return cast("dict[str, Any]", both)


def mac(key: bytes, proof: str, algorithm: str = "sha256") -> bytes:
    return hmac.digest(key, proof.rpartition(".")[0].encode(), algorithm)
