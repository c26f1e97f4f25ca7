"""What one token request leads to: the bridge from the request to the token generator.

Authlib's token generators see the client, the grant type, the user and the scope, but
never the request. The key and the audience reach them through a context variable, set
for the one call that makes the token and reset after it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from authlib.oauth2.rfc6749 import InvalidRequestError

from dpop_ext.authorization_server.key_plan import IssuedKey, KeyPlan

#: What the token that is being made is for; set for the one call that makes it.
making: Final[ContextVar[Issuance | None]] = ContextVar(
    "dpop_ext_issuance", default=None
)


@dataclass(slots=True, kw_only=True)
class Issuance:
    """A token request that passed every check, while its token is being made."""

    #: Thumbprint of the key to bind to; None makes a Bearer token.
    jkt: str | None
    #: The one resource server that the token is for, or None when nobody said.
    audience: str | None
    #: Key that the refresh token is bound to: for public clients only.
    refresh_jkt: str | None
    #: The symmetric key to issue along, if any.
    plan: KeyPlan | None
    #: When the token must have expired, in seconds since the epoch; None: by policy.
    latest: int | None = None
    #: Claims of the token that come of what it was exchanged for (:rfc:`8693`).
    claims: dict[str, Any] = field(default_factory=dict)
    #: What the token says about the key, once the time of issue is fixed.
    issued_key: IssuedKey | None = field(default=None, init=False)
    #: The JWT of our own generator, and the claims that it has just signed.
    signed: tuple[str, dict[str, Any]] | None = field(
        default=None, init=False, repr=False
    )
    #: The value for the ``dpop_dsk`` column: of opaque tokens only.
    dsk_column: str | None = field(default=None, init=False)
    #: Whether what is stored must say to which key it is bound: an opaque token has no
    #: other place for it, nor has a refresh token.
    needs_columns: bool = field(default=False, init=False)
    #: Whether the application has asked for the columns, in order to save them.
    columns_read: bool = field(default=False, init=False)

    def confirmation(self, *, now: int, expires_at: int) -> dict[str, Any] | None:
        """Return the ``cnf`` of the access token (:rfc:`9449#section-6.1`).

        Call it once for a token, with the clock reading that also gives its ``exp``:
        two readings are one second apart now and then.

        :param now: seconds since the epoch.
        :param expires_at: expiry of the access token, in seconds since the epoch.
        :returns: None for a Bearer token.
        """
        if self.jkt is None:
            return None
        if self.plan is None:
            return {"jkt": self.jkt}
        name, value, _ = key = self.plan.issue(now=now, expires_at=expires_at)
        self.issued_key = key
        return {"jkt": self.jkt, name: value}

    def lifetime(self, seconds: int, *, now: int) -> int:
        """Return the part of a lifetime that the token may have, in seconds.

        :param now: seconds since the epoch.
        :raises InvalidRequestError: what it is exchanged for has just expired.
        """
        if self.latest is None:
            return seconds
        if self.latest <= now:
            raise InvalidRequestError("The subject_token has expired.")
        return min(seconds, self.latest - now)

    def columns(self) -> dict[str, str | None]:
        """Return what the application stores with the token."""
        self.columns_read = True
        return {
            "dpop_jkt": self.jkt,
            "refresh_dpop_jkt": self.refresh_jkt,
            "dpop_dsk": self.dsk_column,
        }

    def keep_with_token(self, plan: KeyPlan, *, now: int, expires_at: int) -> None:
        """Fix ``cnf.dsk`` or ``cnf.jwe`` of an opaque token, for its column.

        :param now: seconds since the epoch.
        :param expires_at: expiry of the access token, in seconds since the epoch.
        """
        self.issued_key = key = plan.issue(now=now, expires_at=expires_at)
        if key.name == "jwe":
            column = {"jwe": key.value, "exp": key.expires_at}
        else:
            column = dict(key.value)
        self.dsk_column = json.dumps({**column, "aud": plan.audience})


def generate_unbound(
    request: Any, generate: Callable[..., dict[str, Any]], *args: Any, **kwargs: Any
) -> dict[str, Any]:
    """Make a token at the authorization endpoint, for the resource that was asked for.

    There is no proof, so it is not bound.

    :param request: the OAuth2Request, which was validated.
    :param generate: the method of the grant.
    """
    audience: str | None = getattr(request, "audience", None)
    reset = making.set(
        Issuance(jkt=None, audience=audience, refresh_jkt=None, plan=None)
    )
    try:
        return generate(*args, **kwargs)
    finally:
        making.reset(reset)


def current_issuance() -> Issuance | None:
    """Return what the token being made is for; None outside a request for one."""
    return making.get()


def dpop_columns(request: Any) -> dict[str, str | None]:
    """Return the three values to store with a token, for ``save_token``.

    ::

        Token(client_id=request.client.client_id, **dpop_columns(request), **token)

    All are None for a Bearer token. ``dpop_jkt`` is the thumbprint of the key that
    the access token is bound to. ``refresh_dpop_jkt`` is the one that the refresh token
    is bound to: only for clients that do not authenticate, and from then on with every
    token that the first one is exchanged for (:rfc:`9449#section-5`). ``dpop_dsk`` is
    JSON: what a resource server needs to derive or to decrypt the symmetric key of an
    opaque token; it is no secret.

    :param request: the OAuth2Request that ``save_token`` is called with.
    """
    issuance: Issuance | None = getattr(request, "dpop_issuance", None)
    if issuance is None:
        return {"dpop_jkt": None, "refresh_dpop_jkt": None, "dpop_dsk": None}
    return issuance.columns()
