"""What a proof is between the steps of the verifier (RFC 9449 section 4.3).

The values are tuples with names, because the frozen dataclasses that they could be
take twice as long to make: 1 of the 13 microseconds of a symmetric request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, Self

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.proof import SignedProof
from dpop_ext.stores.base import REPLAY_KEY_LENGTH
from dpop_ext.symmetric.mac_key import MacKey
from dpop_ext.symmetric.proof import SymmetricProof
from dpop_ext.symmetric.ticket import Ticket
from dpop_ext.symmetric.ticket_keys import TicketKey
from dpop_ext.symmetric.verification import DerivedKey

#: Which symmetric key made a MAC. It says how strongly an answer under the same key
#: authenticates this server: a derived or encapsulated key came from the authorization
#: server; a ticket's came from this server, over the connection that the client has
#: with it, and proves no more than that connection did.
KeyKind = Literal["derived", "encapsulated", "ticket"]

#: Only ever copied, in two thirds of the time that a new one takes.
_SHA256 = hashlib.sha256()
_new = tuple.__new__


class TicketUse(NamedTuple):
    """The key for the symmetric proofs with one ticket and one access token.

    It is worth keeping once the token was verified. What can end meanwhile is checked
    again with each proof.
    """

    mac_key: MacKey
    #: Its ``client_id`` and ``cnf.jkt`` went into the derivation.
    token: AccessToken
    #: It did.
    ticket: Ticket
    #: Its secret did.
    key: TicketKey
    #: The ``ath`` of proofs with this token.
    ath: str
    #: The token was verified, at some time.
    verified: bool = False

    def __repr__(self) -> str:
        return f"<TicketUse {self.mac_key!r} {self.ticket!r}>"


class _Opened(NamedTuple):
    kind: Literal["asymmetric", "symmetric"]
    method: str
    url: str
    access_token: str | None
    proof: SignedProof | SymmetricProof
    #: What the MAC was verified with, before the token was.
    derived: DerivedKey | TicketUse | None


class OpenedProof(_Opened):
    """A proof that was parsed, and checked as far as it can be without the token.

    It grants nothing. Give it to :meth:`ProofVerifier.verify`.
    """

    __slots__ = ()

    def __new__(cls, **_values: object) -> Self:
        """Only :meth:`ProofVerifier.open` makes one."""
        raise TypeError("only ProofVerifier.open makes an OpenedProof")

    @classmethod
    def _make(cls, _iterable: Iterable[Any]) -> Self:  # type: ignore[override]
        # Else _replace would do it.
        raise TypeError("only ProofVerifier.open makes an OpenedProof")

    @property
    def peeked(self) -> AccessToken | None:
        """What the token said when the MAC was verified; it may be a forged one."""
        return self.derived.token if self.derived is not None else None

    def __repr__(self) -> str:
        return f"<OpenedProof {self.kind} {self.method!a} {self.url!a}>"


class _Verified(NamedTuple):
    #: RFC 7638 SHA-256 thumbprint of the client's key, base64url.
    jkt: str
    jti: str
    kind: Literal["asymmetric", "symmetric"]
    #: None for an asymmetric proof.
    key_kind: KeyKind | None
    claims: Mapping[str, Any]
    #: Value for a ``DPoP-Nonce`` field of the answer, when the client needs a new one.
    next_nonce: str | None
    replay_key: bytes
    #: Until when a second use must be refused, in seconds since the epoch.
    replay_expires_at: int
    #: The last second in which it can be spent: earlier than the entry of any other
    #: use of the proof is forgotten.
    spend_until: int


class VerifiedProof(_Verified):
    """A proof that passed every check but the one that can succeed only once.

    Only :meth:`ProofVerifier.verify` and its quick way can make one.
    """

    __slots__ = ()

    def __new__(cls, **_values: object) -> Self:
        """Only :meth:`ProofVerifier.verify` makes one."""
        raise TypeError("only ProofVerifier.verify makes a VerifiedProof")

    @classmethod
    def _make(cls, _iterable: Iterable[Any]) -> Self:  # type: ignore[override]
        # Else _replace would do it.
        raise TypeError("only ProofVerifier.verify makes a VerifiedProof")

    def __repr__(self) -> str:
        return f"<VerifiedProof {self.kind} {self.jkt} {self.jti!a}>"


# For ProofVerifier and its quick way alone: a value that stands for a checked proof
# cannot be made in passing, and to call these takes half as long as to call a class
# with so many names.


def opened_proof(
    *,
    kind: Literal["asymmetric", "symmetric"],
    method: str,
    url: str,
    access_token: str | None,
    proof: SignedProof | SymmetricProof,
    derived: DerivedKey | TicketUse | None,
) -> OpenedProof:
    """Say that *proof* was checked as far as it can be without the token."""
    values = (kind, method, url, access_token, proof, derived)
    return _new(OpenedProof, values)


def verified_proof(  # noqa: PLR0917 - names would be 2 percent of a symmetric request
    jkt: str,
    claims: Mapping[str, Any],
    issued_at: int,
    key_kind: KeyKind | None,
    next_nonce: str | None,
    window: int,
    now: int,
    /,
) -> VerifiedProof:
    """Say that a proof passed every check but the last.

    :param jkt: thumbprint of the client's key.
    :param issued_at: its ``iat``, in whole seconds, rounded up.
    :param key_kind: None for an asymmetric proof.
    :param window: how old a proof may be, in seconds.
    :param now: seconds since the epoch.
    """
    jti = claims["jti"]
    state = _SHA256.copy()
    state.update(f"{jkt}\0{jti}".encode())
    # In every request: max() would take as long as all of these values.
    latest = issued_at if issued_at > now else now  # noqa: FURB136
    values = (
        jkt,
        jti,
        "asymmetric" if key_kind is None else "symmetric",
        key_kind,
        claims,
        next_nonce,
        state.digest()[:REPLAY_KEY_LENGTH],
        latest + window + 1,  # replay_expires_at
        issued_at + window,  # spend_until
    )
    return _new(VerifiedProof, values)
