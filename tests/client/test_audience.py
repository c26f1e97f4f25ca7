from __future__ import annotations

import pytest

from dpop_ext.client.audience import Audience

ISSUER = "https://as.example"


def test_a_resource_that_is_a_url_is_its_own_base() -> None:
    audience = Audience.of(ISSUER, "https://api.example/v1")
    assert audience.bases == ("https://api.example/v1",)


@pytest.mark.requirement("R1603")
def test_a_resource_that_is_no_url_needs_a_base() -> None:
    with pytest.raises(ValueError, match="URI"):
        Audience.of(ISSUER, "urn:accounts")
    audience = Audience.of(ISSUER, "urn:accounts", ["https://api.example"])
    assert audience.bases == ("https://api.example",)


@pytest.mark.requirement("G-1")
def test_a_base_is_not_plain_http() -> None:
    with pytest.raises(ValueError, match="https"):
        Audience.of(ISSUER, "http://api.example")
