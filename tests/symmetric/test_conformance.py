"""Claims of conformance: which there are, and how they are written."""

from __future__ import annotations

import pytest

from dpop_ext.symmetric.conformance import (
    AUTHORIZATION_SERVER,
    CLIENT,
    PROFILE,
    RESOURCE_SERVER,
    TARGETS,
    claims,
)
from tests.documents import profile


@pytest.mark.requirement("R1707")
def test_a_claim_is_the_profile_and_a_target() -> None:
    assert claims(["RS", "KEY_JWE"]) == [f"{PROFILE}#rs", f"{PROFILE}#key-jwe"]
    assert f"{PROFILE}#rs" in profile.PAGE.read_text("utf-8")


def test_every_target_of_the_profile_is_that_of_one_party() -> None:
    assert set(TARGETS) == set(profile.TARGETS)
    assert len(TARGETS) == len({*AUTHORIZATION_SERVER, *RESOURCE_SERVER, *CLIENT})


def test_there_are_no_other_targets() -> None:
    with pytest.raises(ValueError, match="not a target"):
        claims(["RS", "rs"])
