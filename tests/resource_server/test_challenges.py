"""The answer to a refusal: what was written before changes no answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from dpop_ext.core.policy import ProofPolicy
from dpop_ext.errors import DPoPError, NonceRequiredError, ProofError, UnknownKeyError
from dpop_ext.resource_server.challenges import MAX_ANSWERS, Challenges
from dpop_ext.resource_server.error_refusal import refuse
from dpop_ext.resource_server.refusal import Refusal, Scheme
from dpop_ext.stores.logouts import MemoryLogoutStore
from dpop_ext.stores.ticket_keys import RotatingTicketKeys
from dpop_ext.tickets import Tickets
from tests.resource_server.world import ADAPTERS, Request, World, send

CHALLENGES = Challenges(
    algorithms=("ES256", "EdDSA"), symmetric_algorithms=("HS256",), realm="r"
)


def refusals() -> Iterator[Refusal]:
    """Return refusals of which each differs from another in one field alone."""
    schemes: tuple[Scheme, ...]
    for status, error, description, schemes, scope, sym_error, nonce, wait in product(
        (401, 503),
        (None, "invalid_token"),
        (None, "It is old."),
        ((), ("dpop",), ("bearer", "dpop")),
        (None, "a b"),
        (None, "stale_key"),
        (None, "n1", "n2"),
        (None, 5, 6),
    ):
        yield Refusal(
            status=status,
            reason="r",
            error=error,
            description=description,
            schemes=schemes,
            scope=scope,
            sym_error=sym_error,
            nonce=nonce,
            retry_after=wait,
        )


@pytest.mark.parametrize("accept_bearer", [False, True])
def test_an_answer_is_the_same_whatever_was_written_before(accept_bearer: bool) -> None:
    seen = replace(CHALLENGES, accept_bearer=accept_bearer)
    for refusal in (*refusals(), *refusals()):
        new = replace(CHALLENGES, accept_bearer=accept_bearer)
        assert seen.answer(refusal) == new.answer(refusal)


@pytest.mark.parametrize("error", [ProofError(), UnknownKeyError()])
def test_what_a_caller_does_to_an_answer_is_in_no_other(error: DPoPError) -> None:
    challenges = replace(CHALLENGES)
    headers, body = challenges.answer(refuse(error))
    before = list(headers)
    headers.append(("X", "y"))
    del headers[0]
    assert challenges.answer(refuse(error)) == (before, body)


def test_answers_with_other_nonces_are_kept_as_one() -> None:
    challenges = replace(CHALLENGES)
    kept = len(challenges._written)
    for number in range(10):
        refusal = refuse(NonceRequiredError(nonce=f"n{number}"))
        assert ("DPoP-Nonce", f"n{number}") in challenges.headers(refusal)
    assert len(challenges._written) == kept + 1


def test_so_many_answers_are_kept() -> None:
    challenges = replace(CHALLENGES)
    for number in range(3 * MAX_ANSWERS):
        challenges.answer(refuse(ProofError(f"{number} s old")))
    # Both halves of a Recent.
    assert MAX_ANSWERS // 2 <= len(challenges._written) <= MAX_ANSWERS


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_algorithms_may_be_a_list(world: World, adapter: str) -> None:
    algorithms: Any = ["ES256"]
    mac_algorithms: Any = ["HS256"]
    world.tickets = Tickets(
        keys=RotatingTicketKeys(clock=world.clock),
        logouts=MemoryLogoutStore(),
        algorithms=mac_algorithms,
    )
    world.verifier.policy = ProofPolicy(algorithms=algorithms)
    fields = [("Authorization", "DPoP t"), ("DPoP", "p")]
    answer = send(world.app(adapter), Request(headers=fields).environ())
    assert answer.status == 401
    assert answer.challenges["DPoP"].get("algs") == "ES256"
