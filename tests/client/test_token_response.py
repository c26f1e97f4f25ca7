from __future__ import annotations

from typing import Any

import pytest

from dpop_ext.client.token_response import require_bound
from dpop_ext.errors import UnboundTokenError


@pytest.mark.requirement("T-12")
@pytest.mark.parametrize("token_type", ["DPoP", "dpop", "DPOP", "dPoP"])
def test_a_bound_token_is_accepted_in_any_spelling(token_type: str) -> None:
    require_bound({"access_token": "a", "token_type": token_type})


@pytest.mark.requirement("T-12")
@pytest.mark.parametrize(
    "token",
    [
        {"access_token": "a", "token_type": "Bearer"},
        {"access_token": "a", "token_type": "DPoP "},
        {"access_token": "a", "token_type": "N_A"},
        {"access_token": "a", "token_type": None},
        {"access_token": "a", "token_type": ["DPoP"]},
        {"access_token": "a"},
        {"access_token": None, "token_type": "DPoP"},
        {"token_type": "DPoP"},
        {},
    ],
)
def test_everything_else_is_refused(token: dict[str, Any]) -> None:
    with pytest.raises(UnboundTokenError):
        require_bound(token)
