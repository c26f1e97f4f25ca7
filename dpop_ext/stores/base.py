"""What the verifier and the authorization server ask of their stores."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import Final, Protocol, runtime_checkable

from dpop_ext.symmetric.secret_ring import SecretRing
from dpop_ext.symmetric.ticket_keys import TicketKeys

#: Seconds by which the clocks of servers that share a store may differ, or be set
#: back, unless the store is told another number. Entries are kept for as much longer.
CLOCK_TOLERANCE: Final = 10
#: Bytes of a hash that stand for one proof: Redis keeps a name of 14 bytes in 16, and a
#: longer one in 24 or 32. If two proofs had the same, the second would be refused; to
#: make one that meets a proof of somebody else takes 2**112 attempts.
REPLAY_KEY_LENGTH: Final = 14


class ReplayStore(Protocol):
    """Remembers which proofs were used (:rfc:`9449#section-11.1`)."""

    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        """Insert *key* if it is absent, in one atomic step.

        :param key: bytes that stand for one proof, :data:`REPLAY_KEY_LENGTH` of them.
        :param expires_at: the last second in which the proof could be accepted, in
            seconds since the epoch. Until then, inclusive, the key must not be lost.
        :param now: seconds since the epoch.
        :returns: True for exactly one of all calls with this key up to *expires_at*.
        :raises StoreError: the store cannot tell, or is full. Never guess.
        """
        ...


class AsyncReplayStore(Protocol):
    """:class:`ReplayStore` for ``asyncio``."""

    async def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        """Insert *key* if it is absent, in one atomic step; as in the other one."""
        ...


class KeyringSource(Protocol):
    """Gives a resource server the derivation secrets that it shares with the AS."""

    def load(self) -> SecretRing:
        """Return the current secrets. Called on every request: keep it a look-up.

        :raises UnknownKeyError: the secrets are too old to be relied on.
        :raises StoreError: there are none yet.
        """
        ...


@runtime_checkable
class SyncingKeyringSource(KeyringSource, Protocol):
    """A :class:`KeyringSource` that can be told that there are newer secrets."""

    def sync(self) -> None:
        """Look for them now, as soon as that may be; return within a moment."""
        ...


class TicketKeySource(Protocol):
    """Gives a resource server the keys that it makes tickets with."""

    def load(self) -> TicketKeys:
        """Return the present keys. Called on every request: keep it a look-up.

        :raises StoreError: there are none.
        """
        ...


class LogoutStore(Protocol):
    """Remembers who logged out, on all servers: earlier tickets are not good."""

    def put(
        self, issuer: str, jkt: str, *, not_before: int, expires_at: int, now: int
    ) -> None:
        """Remember the log-out of one key.

        :param issuer: of the access tokens.
        :param jkt: thumbprint that they are bound to.
        :param not_before: the last second of which no ticket is good, in seconds since
            the epoch. An earlier one does not replace a later one.
        :param expires_at: from when it may be forgotten, in seconds since the epoch.
        :param now: seconds since the epoch.
        :raises StoreError: the store does not answer, or is full.
        """
        ...

    def find(self, issuer: str, jkt: str, *, now: int) -> int | None:
        """Return what was remembered last, or None. Called for each ticket.

        :raises StoreError: the store does not answer.
        """
        ...


class AudienceSecrets(Protocol):
    """Gives an authorization server the derivation secrets of its audiences."""

    def load(self, audience: str) -> SecretRing | None:
        """Return the secrets of *audience*, or None if it takes no symmetric proofs."""
        ...


class NumberedSecrets(Protocol):
    """Gives an authorization server the secrets that it sends to its audiences."""

    def load_numbered(self, audience: str) -> tuple[SecretRing, int, int] | None:
        """Return the secrets of *audience*, with the epoch and the sequence number.

        The number is 1 or more and goes up with each change, on every server that
        shares these secrets. The epoch goes up when it has to start again.

        :returns: None if the audience takes no symmetric proofs.
        :raises StoreError: that cannot be told now.
        """
        ...


class NoReplayProtection:
    """Remembers nothing: whoever sees a proof can use it again within its time.

    Only for a server whose proofs are checked for replay by what stands behind it.
    """

    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        """Accept *key*, however often it comes."""
        return True


def require_replay_store(store: ReplayStore) -> ReplayStore:
    """Return *store*, if it can be asked without waiting for an event loop.

    :raises TypeError: it is no store, or one for asyncio: the coroutine that its answer
        is would be taken for a yes.
    """
    add = getattr(store, "add", None)
    if not callable(add) or isinstance(store, type):
        raise TypeError(
            "a replay store is needed, such as MemoryReplayStore(); or "
            "NoReplayProtection(), by name"
        )
    if iscoroutinefunction(add):
        raise TypeError(
            "a store for asyncio is given as InEventLoop(store), of "
            "dpop_ext.integrations.asgi_store"
        )
    return store


def require_same_issuer(secrets: object, issuer: str) -> None:
    """Refuse secrets that say that they are of another issuer: they have no keys here.

    :raises ValueError: *issuer* is not theirs, letter by letter.
    """
    if getattr(secrets, "issuer", issuer) != issuer:
        raise ValueError("issuer is not the one that the secrets are of")
