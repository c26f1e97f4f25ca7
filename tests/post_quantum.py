"""What tests of post-quantum keys need, and older versions of cryptography lack."""

from __future__ import annotations

import pytest

from dpop_ext.core import ml_dsa
from dpop_ext.symmetric import hpke

IS_SUPPORTED = ml_dsa.is_supported() and hpke.is_supported()
REASON = "this version of cryptography has no ML-DSA, or no ML-KEM-768 with X25519"

needed = pytest.mark.skipif(not IS_SUPPORTED, reason=REASON)


def require() -> None:
    """Skip the module that calls this."""
    if not IS_SUPPORTED:
        pytest.skip(REASON, allow_module_level=True)
