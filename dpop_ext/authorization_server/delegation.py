"""Who acts for whom: the claims ``act`` and ``may_act`` (RFC 8693 section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from authlib.oauth2.rfc6749 import InvalidRequestError

from dpop_ext.core.confirmation import AccessToken

#: Actors that a token may name, the present one included.
MAX_ACTORS: Final = 8
#: Characters of a name in one of the two claims.
MAX_NAME: Final = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenExchange:
    """A validated request for token exchange, in ``request.token_exchange``."""

    #: The verified subject token.
    subject: AccessToken
    #: The verified actor token; None if there is none.
    actor: AccessToken | None
    #: ``act`` of the new token; None if nobody acts for the subject.
    act: dict[str, Any] | None
    #: ``may_act`` of the subject token names the authenticated actor.
    is_actor_named: bool
    #: The values of ``resource``, and those of ``audience`` that are not among them.
    targets: tuple[str, ...]
    #: Claims that the new token takes over from what was exchanged.
    claims: dict[str, Any] = field(repr=False)


def identity(token: AccessToken) -> dict[str, str]:
    """Return the claims that identify the subject of an actor token.

    :raises InvalidRequestError: it names nobody.
    """
    claims = {
        "sub": token.claims.get("sub"),
        "iss": token.issuer,
        "client_id": token.client_id,
    }
    if not isinstance(claims["sub"], str) or not claims["sub"]:
        raise InvalidRequestError("The actor_token names no subject.")
    return {name: value for name, value in claims.items() if isinstance(value, str)}


def extend_chain(actor: Mapping[str, str], earlier: object) -> dict[str, Any]:
    """Return ``act`` for *actor*, with those before it inside.

    :param actor: see :func:`identity`.
    :param earlier: ``act`` of the subject token; None if it has none.
    :raises InvalidRequestError: *earlier* is malformed, or there are too many.
    """
    act: dict[str, Any] = {
        name: actor[name] for name in ("sub", "iss") if name in actor
    }
    if earlier is not None:
        check_chain(earlier, limit=MAX_ACTORS - 1)
        act["act"] = earlier
    return act


def check_chain(act: object, *, limit: int = MAX_ACTORS) -> None:
    """Check an ``act`` that goes into a new token.

    :raises InvalidRequestError: it is no chain of at most *limit* actors, each with
        names that are text.
    """
    for _ in range(limit):
        if not isinstance(act, Mapping) or not isinstance(act.get("sub"), str):
            raise InvalidRequestError("The act claim of the token is malformed.")
        names = [value for name, value in act.items() if name != "act"]
        if not all(isinstance(name, str) and len(name) <= MAX_NAME for name in names):
            raise InvalidRequestError("The act claim of the token is malformed.")
        if "act" not in act:
            return
        act = act["act"]
    raise InvalidRequestError("There are too many actors.")


def names(may_act: object, actor: Mapping[str, str]) -> bool:
    """Tell whether *may_act* names *actor*.

    Every member has to be one that is known of the actor, and to be equal: one that
    cannot be checked is a condition that is not met.

    :param may_act: the claim as parsed, whatever it is.
    :param actor: see :func:`identity`.
    """
    if not isinstance(may_act, Mapping) or not may_act.keys() & {"sub", "client_id"}:
        return False
    return all(actor.get(name) == value for name, value in may_act.items())
