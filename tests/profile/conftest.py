"""What the tests of the profile share."""

from __future__ import annotations

import pytest

from dpop_ext.symmetric import secret_ring


@pytest.fixture
def published_secrets_are_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library knows that the secrets of the vectors are published."""
    monkeypatch.setattr(secret_ring, "is_published", lambda _: False)
