"""What a proof is between the steps of the verifier (RFC 9449 section 4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from typing import Any, Literal

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.proof import SignedProof
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

#: Used by :class:`dpop_ext.ProofVerifier` alone: a value that stands for a checked
#: proof cannot be made in passing.
SEAL = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketUse:
    """The key for the symmetric proofs with one ticket and one access token.

    It is worth keeping once the token was verified. What can end meanwhile is checked
    again with each proof.
    """

    mac_key: MacKey
    #: Its ``client_id`` and ``cnf.jkt`` went into the derivation.
    token: AccessToken = field(repr=False)
    #: It did.
    ticket: Ticket
    #: Its secret did.
    key: TicketKey
    #: The ``ath`` of proofs with this token.
    ath: str
    #: The token was verified, at some time.
    verified: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedProof:
    """A proof that was parsed, and checked as far as it can be without the token.

    It grants nothing. Give it to :meth:`ProofVerifier.verify`.
    """

    kind: Literal["asymmetric", "symmetric"]
    method: str
    url: str
    access_token: str | None = field(repr=False)
    proof: SignedProof | SymmetricProof = field(repr=False)
    #: What the MAC was verified with, before the token was.
    derived: DerivedKey | TicketUse | None = field(repr=False)
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        if seal is not SEAL:
            raise TypeError("only ProofVerifier.open makes an OpenedProof")

    @property
    def peeked(self) -> AccessToken | None:
        """What the token said when the MAC was verified; it may be a forged one."""
        return self.derived.token if self.derived is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedProof:
    """A proof that passed every check but the one that can succeed only once.

    Only :meth:`ProofVerifier.verify` can make one.
    """

    #: RFC 7638 SHA-256 thumbprint of the client's key, base64url.
    jkt: str
    jti: str
    kind: Literal["asymmetric", "symmetric"]
    #: None for an asymmetric proof.
    key_kind: KeyKind | None
    claims: Mapping[str, Any] = field(repr=False)
    #: Value for a ``DPoP-Nonce`` field of the answer, when the client needs a new one.
    next_nonce: str | None
    replay_key: bytes = field(repr=False)
    #: Until when a second use must be refused, in seconds since the epoch.
    replay_expires_at: int
    #: The last second in which it can be spent: earlier than the entry of any other
    #: use of the proof is forgotten.
    spend_until: int
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        if seal is not SEAL:
            raise TypeError("only ProofVerifier.verify makes a VerifiedProof")
