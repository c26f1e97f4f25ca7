"""What a client keeps between two runs, as text: :rfc:`9449#section-11.4`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from joserfc.jwk import import_key

from dpop_ext.client.nonces import Role, read_nonce
from dpop_ext.client.proof_maker import usual_algorithm
from dpop_ext.core import ml_dsa
from dpop_ext.core.akp import AKPKey, AnyKey, any_thumbprint
from dpop_ext.errors import BundleError, LostKeyError, OtherKeyError

#: Characters of a bundle. It holds the longest token answer, which is three times as
#: long once all of its characters are escaped, and the nonces of a hundred servers.
MAX_LENGTH: Final = 1024 * 1024
#: Of the form; another one is not guessed at.
VERSION: Final = 1

_ROLES: Final[Mapping[str, Role]] = {"as": "as", "rs": "rs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleState:
    """Token, key, nonces and clock skew of one client."""

    #: Thumbprint of the key that the token is bound to.
    jkt: str
    #: The private key; None if it is kept elsewhere.
    key: AnyKey | None = field(default=None, repr=False)
    #: What the key signs with; None is the usual one for it.
    algorithm: str | None = None
    #: The token response; None before there was one.
    token: Mapping[str, Any] | None = field(default=None, repr=False)
    nonces: Mapping[tuple[str, Role], str] = field(default_factory=dict)
    #: By origin, in seconds.
    skew: Mapping[str, int] = field(default_factory=dict)
    #: What the client wants to find again, such as its ``client_id``.
    about: Mapping[str, str] = field(default_factory=dict)

    def dump(self) -> str:
        """Return it as text, which has the private key in it."""
        return json.dumps(
            {
                "version": VERSION,
                "jkt": self.jkt,
                "key": None if self.key is None else self.key.as_dict(private=True),
                "algorithm": self.algorithm,
                "token": self.token,
                "nonces": [[*server, nonce] for server, nonce in self.nonces.items()],
                "skew": self.skew,
                "about": self.about,
            }
        )

    @classmethod
    def load(cls, text: str) -> BundleState:
        """Read what :meth:`dump` returned.

        :raises BundleError: it is something else.
        :raises LostKeyError: it has a key that is no private key.
        :raises OtherKeyError: its token is bound to another key than the one in it.
        """
        try:
            content = json.loads(text) if len(text) <= MAX_LENGTH else None
        except (ValueError, RecursionError):
            content = None
        # Raised outside of the except clauses: their context could carry the key.
        if not isinstance(content, dict) or content.get("version") != VERSION:
            raise BundleError
        jkt, token = content.get("jkt"), content.get("token")
        if not isinstance(jkt, str) or not isinstance(token, dict | None):
            raise BundleError
        if token is not None and not isinstance(token.get("access_token"), str):
            raise BundleError
        jwk = content.get("key")
        key = None if jwk is None else _read_key(jwk)
        if jwk is not None and key is None:
            raise LostKeyError
        if key is not None and any_thumbprint(key) != jkt:
            raise OtherKeyError
        algorithm = content.get("algorithm")
        if algorithm is not None and not _is_for(key, algorithm):
            raise BundleError
        return cls(
            jkt=jkt,
            key=key,
            algorithm=algorithm,
            token=token,
            nonces=_read_nonces(content.get("nonces")),
            skew=_read_skew(content.get("skew")),
            about=_read_about(content.get("about")),
        )


def _read_key(jwk: Any) -> AnyKey | None:
    try:
        if jwk["kty"] == AKPKey.key_type:
            return ml_dsa.import_private(jwk)
        key = import_key(jwk)
    except Exception:  # noqa: BLE001  joserfc lets KeyError, TypeError and others out
        return None
    return key if key.is_private else None


def _is_for(key: AnyKey | None, algorithm: object) -> bool:
    if key is None or not isinstance(algorithm, str):
        return False
    try:
        return usual_algorithm(key, algorithm) == algorithm
    except ValueError:
        return False


def _read_nonces(entries: Any) -> dict[tuple[str, Role], str]:
    """Return the nonces that are good: one that is not costs a challenge."""
    nonces: dict[tuple[str, Role], str] = {}
    for entry in entries if isinstance(entries, list) else ():
        match entry:
            case [str(origin), str(role), str(nonce)] if role in _ROLES:
                if read_nonce([nonce]) is not None:
                    nonces[origin, _ROLES[role]] = nonce
    return nonces


def _read_skew(offsets: Any) -> dict[str, int]:
    if not isinstance(offsets, dict):
        return {}
    return {name: value for name, value in offsets.items() if type(value) is int}


def _read_about(members: Any) -> dict[str, str]:
    if not isinstance(members, dict):
        return {}
    return {name: value for name, value in members.items() if isinstance(value, str)}
