"""For the tests of those who use this package; pytest loads the fixtures by itself.

================  ==========================================================
``dpop_clock``    :class:`FakeClock`
``dpop_key``      a private key, ES256
``dpop_signer``   a :class:`~dpop_ext.ProofSigner` with key and clock
``dpop_issuer``   :class:`Issuer`: makes access tokens, and what verifies them
================  ==========================================================

:func:`assert_rejects_dpop_attacks` tries your own route.
:mod:`dpop_ext.testing.servers` has an authorization and a resource server in memory.
"""

from __future__ import annotations

from dpop_ext.testing.assertions import assert_rejects_dpop_attacks
from dpop_ext.testing.attacks import Attack, attacks
from dpop_ext.testing.clock import FakeClock
from dpop_ext.testing.issuer import Issuer

__all__ = [
    "Attack",
    "FakeClock",
    "Issuer",
    "assert_rejects_dpop_attacks",
    "attacks",
]
