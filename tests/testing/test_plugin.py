"""The plugin in a test suite of somebody else."""

from __future__ import annotations

import pytest


def test_the_fixtures_are_there_without_being_imported(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        from dpop_ext.testing import assert_rejects_dpop_attacks

        def test_fixtures(dpop_clock, dpop_key, dpop_signer, dpop_issuer):
            dpop_clock.advance(5)
            assert dpop_signer.jkt == dpop_key.thumbprint()
            token = dpop_issuer.access_token(dpop_signer.jkt, scope="a")
            assert dpop_issuer.validator()(token).scope == "a"
            dpop_clock.advance(301)
        """
    )
    result = pytester.runpytest("-p", "dpop_ext.testing.plugin", "-p", "no:dpop_ext")
    result.assert_outcomes(passed=1)
