"""A signer, and what gives it a symmetric key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from joserfc.jwk import ECKey

from dpop_ext.client.audience import Audience
from dpop_ext.client.exchange import Outcome
from dpop_ext.client.signer import ProofSigner
from tests.client.driving import ISSUER, RESOURCE, TOKEN_ENDPOINT
from tests.client.token_server import token_reply
from tests.conftest import Clock

#: Fetches the token "access", or the one that is named.
Fetch: TypeAlias = Callable[..., None]


@pytest.fixture
def signer(ec_key: ECKey, clock: Clock) -> ProofSigner:
    return ProofSigner(ec_key, clock=clock)


@pytest.fixture
def fetch(signer: ProofSigner, clock: Clock) -> Fetch:
    """Fetch a token with a symmetric key, by the flow of the token endpoint."""

    def fetch(access_token: str = "access", **arguments: Any) -> None:
        resource = arguments.get("audience", RESOURCE)
        bases = arguments.pop("bases", ())
        audience = Audience.of(ISSUER, resource, bases)
        flow = signer.token_request(
            method="POST", url=TOKEN_ENDPOINT, audience=audience
        )
        proof = next(flow).headers()["DPoP"]
        reply = token_reply(
            proof, access_token=access_token, now=clock.now, **arguments
        )
        with pytest.raises(StopIteration) as end:
            flow.send(reply)
        assert end.value.value == Outcome()
        assert signer.has_symmetric_key(access_token)

    return fetch
