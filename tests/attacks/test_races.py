"""Requests that come together: of one credential, one gets something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.demo.parties import (
    CONFIDENTIAL,
)
from tests.fuzz.servers import Servers


def together(count: int, send: Callable[[], TestResponse]) -> Counter[Any]:
    """Send as many requests at once; count the answers."""
    barrier = Barrier(count)

    def wait_and_send(_: int) -> tuple[int, str | None]:
        barrier.wait()
        answer = send()
        return answer.status_code, answer.get_json().get("error")

    with ThreadPoolExecutor(count) as pool:
        return Counter(pool.map(wait_and_send, range(count)))


@pytest.mark.requirement("X-5")
def test_of_parallel_redemptions_of_a_code_one_succeeds(servers: Servers) -> None:
    code = servers.code()
    answers = together(32, lambda: servers.redeem(code))
    assert answers == {(200, None): 1, (400, "invalid_grant"): 31}


def test_of_parallel_exchanges_of_a_refresh_token_one_succeeds(
    servers: Servers,
) -> None:
    token = servers.redeem(servers.code()).get_json()["refresh_token"]
    answers = together(32, lambda: servers.refresh(token))
    assert answers == {(200, None): 1, (400, "invalid_grant"): 31}


@pytest.mark.requirement("X-15")
def test_of_parallel_uses_of_a_proof_one_succeeds(servers: Servers) -> None:
    proof = servers.good_proof("POST", f"{servers.settings.issuer_url}/token")
    fields = {**CONFIDENTIAL, "DPoP": proof.decode()}
    form = {"grant_type": "client_credentials"}
    answers = together(
        32,
        lambda: servers.as_app.test_client().post("/token", data=form, headers=fields),
    )
    assert answers == {(200, None): 1, (400, "invalid_dpop_proof"): 31}


def test_parallel_token_requests_all_succeed(servers: Servers) -> None:
    form = {"grant_type": "client_credentials"}
    answers = together(16, lambda: servers.token(form, headers=CONFIDENTIAL))
    assert answers == {(200, None): 16}
