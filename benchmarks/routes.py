"""The route that is measured end to end: the ways to protect it, and its requests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from benchmarks.world import (
    AUDIENCE,
    EC_KEY,
    ISSUER,
    ISSUER_KEY,
    SECRET,
    access_token,
    delivered_key,
)
from dpop_ext.core.proof_making import (
    proof_header,
    proof_signing_input,
    sign_proof,
)
from dpop_ext.symmetric.proof import make_symmetric_proof

#: Proofs for a second; at more requests than that the rest would be refused.
PROOFS = {"symmetric": 40_000, "ES256": 20_000}
PATH = "/accounts/42"
#: The open route, with the fields that a protected one is sent: what it takes a server
#: to read them, whoever checks them.
SENT = "open, sent a token and a proof"
BEARER = "Bearer RS256, PyJWT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One way to protect the route, and what is sent to it."""

    name: str
    kind: str
    proof: str | None = None
    store: str = "memory"
    workers: int = 1


def by_hand(name: str) -> str:
    """Return what the same checks by :mod:`benchmarks.by_hand` are called."""
    return f"{name}, by hand"


def routes() -> list[Route]:
    """Return the ways to protect the route that need nothing but this process."""
    found = [
        Route(name="open", kind="open"),
        Route(name=SENT, kind="open", proof="symmetric"),
        Route(name="symmetric", kind="dpop", proof="symmetric"),
        Route(name="ES256", kind="dpop", proof="ES256"),
        *(
            Route(name=by_hand(proof), kind="by hand", proof=proof)
            for proof in ("symmetric", "ES256")
        ),
    ]
    if find_spec("jwt") is not None:
        found.append(Route(name=BEARER, kind="bearer"))
    return found


def settings_for(route: Route) -> dict[str, Any]:
    """Return what the application is told of a route."""
    return {
        "kind": route.kind,
        "store": route.store,
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "issuer_key": ISSUER_KEY.as_dict(private=False),
        "secret": SECRET.reveal().hex(),
        "expires_at": int(time.time()) + 7200,
    }


def request_lines(route: Route, *, seconds: float = 1) -> Iterator[str]:
    """Return the ``Authorization`` field, empty if none is sent, and the proofs.

    :param seconds: of load that there are proofs for.
    """
    if route.kind == "open" and route.proof is None:
        yield ""
        return
    text = access_token(EC_KEY)
    yield f"{'Bearer' if route.kind == 'bearer' else 'DPoP'} {text}"
    url, now = f"{AUDIENCE}{PATH}", int(time.time())
    if route.proof == "symmetric":
        key = delivered_key(EC_KEY)
        for _ in range(int(PROOFS["symmetric"] * seconds)):
            yield make_symmetric_proof(
                key,
                algorithm="HS256",
                method="GET",
                url=url,
                now=now,
                access_token=text,
            )
    elif route.proof is not None:
        header = proof_header(EC_KEY, algorithm="ES256")
        for _ in range(int(PROOFS["ES256"] * seconds)):
            signing_input = proof_signing_input(
                header, method="GET", url=url, now=now, access_token=text
            )
            yield sign_proof(signing_input, EC_KEY, algorithm="ES256")
