"""The request as it came over the wire, and not as Flask has read it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.authorization_server.simulator import ISSUER, TOKEN_URL, Simulator, basic

CONFIDENTIAL = {"Authorization": basic("confidential", "secret")}


@pytest.mark.requirement("C-8")
def test_the_method_is_compared_as_it_was_sent(sim: Simulator, prove: Any) -> None:
    # Flask shows any spelling in upper case.
    answer = sim.http.post(
        TOKEN_URL,
        data={"grant_type": "client_credentials"},
        headers=CONFIDENTIAL | {"DPoP": prove()},
        environ_overrides={"REQUEST_METHOD": "post"},
    )
    assert answer.status_code == 400
    assert answer.get_json()["error"] == "invalid_dpop_proof"


@pytest.mark.parametrize("path", ["/token", "/authorize", "/introspect", "/revoke"])
def test_a_query_that_is_no_text_is_refused(
    sim: Simulator, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        answer = sim.http.open(
            ISSUER + path,
            method="GET" if path == "/authorize" else "POST",
            headers=CONFIDENTIAL,
            environ_overrides={"QUERY_STRING": "response_type=code&x=\xff"},
        )
    assert answer.status_code == 400
    assert "invalid_request" in answer.text
    assert "refused: invalid_request" in caplog.text
