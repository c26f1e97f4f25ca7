"""Whether the servers behind a proxy act as one (:rfc:`9449#section-11.1`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dpop_ext.cli.checkup.finding import Finding, bad, good, skipped
from dpop_ext.cli.checkup.probe import Probe, Response

_REPLAY = "shared replay store"
_NONCES = "shared nonce secrets"

_DIFFERENT = "It must serve what the first node serves: is it up, and configured alike?"


def check_replay(
    probe: Probe, access_token: str, nodes: Sequence[str]
) -> Iterator[Finding]:
    """Use a proof at one node, and then at the others."""
    first, nonce = _accepted(probe, access_token, nodes[0])
    if first is None:
        yield skipped(_REPLAY, f"{nodes[0]} does not accept the token")
        return
    for node in nodes:
        proof = probe.proof(access_token, nonce=nonce)
        used = probe.send(access_token=access_token, proof=proof, node=nodes[0])
        if not used.is_accepted:
            yield skipped(_REPLAY, f"{nodes[0]} answers {used.seen}")
            continue
        again = probe.send(access_token=access_token, proof=proof, node=node)
        if again.error == "invalid_dpop_proof":
            yield good(_REPLAY, f"{node} refuses what {nodes[0]} has seen")
        elif again.error == "use_dpop_nonce":
            yield skipped(_REPLAY, f"{node} wants a nonce of its own")
        elif not again.is_accepted:
            yield bad(_REPLAY, f"{node} answers {again.seen}", _DIFFERENT)
        else:
            yield bad(
                _REPLAY,
                f"{node} accepts a proof that {nodes[0]} has seen",
                "Give all nodes one replay store: RedisReplayStore, SQLReplayStore.",
            )


def check_nonces(
    probe: Probe, access_token: str, nodes: Sequence[str]
) -> Iterator[Finding]:
    """Use a nonce of one node at the others."""
    unasked = probe.proof(access_token)
    first = probe.send(access_token=access_token, proof=unasked, node=nodes[0])
    if first.error != "use_dpop_nonce" or first.nonce is None:
        yield skipped(_NONCES, "nonces are not demanded")
        return
    for node in nodes:
        proof = probe.proof(access_token, nonce=first.nonce)
        response = probe.send(access_token=access_token, proof=proof, node=node)
        if response.error == "use_dpop_nonce":
            yield bad(
                _NONCES,
                f"{node} refuses a nonce of {nodes[0]}",
                "Give all nodes the same nonce secrets: clients spend two requests on "
                "each call otherwise.",
            )
        elif not response.is_accepted:
            yield bad(_NONCES, f"{node} answers {response.seen}", _DIFFERENT)
        else:
            yield good(_NONCES, f"{node} accepts a nonce of {nodes[0]}")


def _accepted(
    probe: Probe, access_token: str, node: str
) -> tuple[Response | None, str | None]:
    """Return an answer to a request that was let through, and the nonce to use."""
    nonce = None
    for _ in range(2):
        proof = probe.proof(access_token, nonce=nonce)
        response = probe.send(access_token=access_token, proof=proof, node=node)
        if response.is_accepted:
            return response, nonce
        nonce = response.nonce
    return None, None
