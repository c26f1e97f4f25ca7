"""The derivation secrets of one audience, by version (DPoP Symmetric Profile).

The secrets are what the profile's first sketch called "salt". A version is published
before it is used and stays good after: pending, active, verify_only, retired. A
revoked version ends at once, from any state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

from dpop_ext.core.confirmation import MAX_VERSION
from dpop_ext.errors import (
    AccessTokenError,
    StaleKeyError,
    SymmetricUnavailableError,
    UnknownKeyError,
)
from dpop_ext.symmetric.deny_list import DenyList
from dpop_ext.symmetric.derivation import SECRET_LENGTH, check_identifier
from dpop_ext.symmetric.prepared_secret import PreparedSecret
from dpop_ext.symmetric.published_secrets import is_published
from dpop_ext.symmetric.secret_bytes import SecretBytes

SecretState = Literal["pending", "active", "verify_only", "retired", "revoked"]

#: A random 32-byte value has fewer different bytes once in more than 10**36 times.
MIN_DISTINCT_BYTES: Final = 8
#: An authorization server may be this many versions ahead of a resource server.
MAX_VERSIONS_AHEAD: Final = 2
#: States from which there is no way back.
ENDED: Final = ("retired", "revoked")


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceSecret:
    """One version of a derivation secret.

    :raises TypeError: a number is not an integer, or the secret not wrapped.
    :raises ValueError: a value is outside its limits; or the secret of a live version
        is missing, of another length than 32 bytes, not random, or published; or a
        version that has ended still has a secret.
    """

    #: 1 to 2**53-1, larger for each new secret.
    version: int
    state: SecretState
    #: From when tokens are issued with it, in seconds since the epoch. A resource
    #: server does not wait for it: the authorization server's clock may be ahead.
    not_before: int
    #: From when it is no longer good, in seconds since the epoch.
    expires_at: int
    #: None once the version is retired or revoked: the entry is only a tombstone then.
    secret: SecretBytes | None

    def __post_init__(self) -> None:
        for number in (self.version, self.not_before, self.expires_at):
            if type(number) is not int:  # True would be version 1
                raise TypeError("version and times are integers")
        if not 1 <= self.version <= MAX_VERSION:
            raise ValueError("a version is an integer from 1 to 2**53-1")
        if self.state not in get_args(SecretState):
            raise ValueError("unknown state")
        if not 0 <= self.not_before < self.expires_at:
            raise ValueError("not_before must be earlier than expires_at")
        if self.state in ENDED:
            if self.secret is not None:
                raise ValueError("a version that has ended must not keep its secret")
        elif self.secret is None:
            raise ValueError("a live version needs its secret")
        elif not isinstance(self.secret, SecretBytes):
            raise TypeError("a secret is wrapped in SecretBytes")
        else:
            check_quality(self.secret.reveal())

    def is_usable(self, *, now: int) -> bool:
        """Tell whether keys derived from it are good at *now*, in seconds."""
        return self.secret is not None and now < self.expires_at


class SecretRing:
    """The secrets that one issuer shares with one audience. Immutable.

    A change is a new ring, swapped by reference.

    :param secrets: in any order; versions that have ended belong in it too, so that
        it is known how far the versions have come.
    :param issuer: identifier of the authorization server, as in its tokens.
    :param audience: identifier of the resource server, as in the tokens for it.
    :param min_live: every version below has ended, whether it is in the ring or not.
    :param revoked: versions that were revoked, whether they are in the ring or not.
    :param denied: tokens that were revoked.
    :param good_until: from when the ring is too old to accept proofs by, in seconds
        since the epoch; None for one that is always current. Denials stay good.
    :raises ValueError: *issuer* or *audience* is empty, longer than 256 bytes or
        contains NUL; a version, or a secret, is in it twice; or two are active.
    """

    __slots__ = (
        "_active",
        "_by_version",
        "_prepared",
        "_usable",
        "audience",
        "denied",
        "good_until",
        "highest_version",
        "issuer",
        "min_live",
        "revoked",
    )

    def __init__(
        self,
        secrets: Iterable[AudienceSecret],
        *,
        issuer: str,
        audience: str,
        min_live: int = 1,
        revoked: Iterable[int] = (),
        denied: DenyList | None = None,
        good_until: int | None = None,
    ) -> None:
        check_identifier(issuer)
        check_identifier(audience)
        entries = sorted(secrets, key=lambda entry: entry.version)
        by_version = {entry.version: entry for entry in entries}
        if len(by_version) != len(entries):
            raise ValueError("a version is in the ring twice")
        values = [
            entry.secret.reveal() for entry in entries if entry.secret is not None
        ]
        if len(set(values)) != len(values):
            raise ValueError("two versions have the same secret")
        active = [entry for entry in entries if entry.state == "active"]
        if len(active) > 1:
            raise ValueError("more than one version is active")
        self._active = active[0] if active else None
        self._by_version = by_version
        #: Of versions that a token referred to.
        self._prepared: dict[int, PreparedSecret] = {}
        self.issuer = issuer
        self.audience = audience
        self.min_live = min_live
        self.revoked = frozenset(revoked)
        #: Those of the versions that are good until they expire.
        self._usable = {
            version: entry
            for version, entry in by_version.items()
            if entry.secret is not None
            and version >= min_live
            and version not in self.revoked
        }
        self.denied = denied if denied is not None else DenyList()
        self.good_until = good_until
        #: The newest version ever seen, whatever became of it; 0 for none.
        self.highest_version = max(min_live - 1, *self.revoked, *by_version, 0)

    def __iter__(self) -> Iterator[AudienceSecret]:
        """Iterate from the oldest to the newest version."""
        return iter(self._by_version.values())

    def __repr__(self) -> str:
        versions = ", ".join(f"{e.version} {e.state}" for e in self)
        return f"<SecretRing of {self.audience!r}: {versions or 'empty'}>"

    def active(self, *, now: int) -> AudienceSecret:
        """Return the version that new keys are derived from.

        :param now: seconds since the epoch.
        :raises SymmetricUnavailableError: there is none at this time.
        """
        active = self._active
        if active is None or not active.not_before <= now < active.expires_at:
            raise SymmetricUnavailableError(lacks="secret")
        return active

    def find(self, version: int, *, now: int) -> AudienceSecret:
        """Return the usable secret of *version*.

        A pure look-up, to be made on every request: a revoked version must not live
        on in a cache. Pending versions are good.

        :param version: from an access token, verified or not.
        :param now: seconds since the epoch.
        :raises StaleKeyError: retired, revoked, expired, or never held and not newer
            than all that were. The client needs a new token.
        :raises AccessTokenError: so much newer that no server can have issued it.
        :raises UnknownKeyError: newer than this ring, or the ring is too old. A new
            token would not help.
        """
        if self.good_until is not None and now >= self.good_until:
            # A revocation may have been missed.
            raise UnknownKeyError
        entry = self._usable.get(version)
        if entry is not None and now < entry.expires_at:
            return entry
        if version <= self.highest_version:
            raise StaleKeyError
        if version > self.highest_version + MAX_VERSIONS_AHEAD:
            raise AccessTokenError
        raise UnknownKeyError

    def ends_at(self, version: int) -> int:
        """Return from when :meth:`find` refuses *version*; 0 if it does so at any time.

        The ring is immutable, so this holds for as long as it is the current one.
        """
        entry = self._usable.get(version)
        if entry is None:
            return 0
        if self.good_until is None:
            return entry.expires_at
        return min(entry.expires_at, self.good_until)

    def prepared(self, version: int, *, now: int) -> PreparedSecret:
        """Return the usable secret of *version*, prepared for the keys of tokens.

        :raises DPoPError: as :meth:`find`, on every request.
        """
        prepared = self.prepare(self.find(version, now=now))
        if prepared is None:  # find() returns those that hold a secret only
            raise AccessTokenError
        return prepared

    def prepare(self, entry: AudienceSecret) -> PreparedSecret | None:
        """Return the secret of *entry*, one of this ring, prepared; None without it."""
        prepared = self._prepared.get(entry.version)
        if prepared is None and entry.secret is not None:
            prepared = self._prepared[entry.version] = PreparedSecret(
                entry.secret,
                issuer=self.issuer,
                audience=self.audience,
                version=entry.version,
            )
        return prepared


def check_quality(secret: bytes) -> None:
    """Refuse what no random generator makes: a constant, a phrase, an example.

    :raises ValueError: not 32 bytes, of which at least 8 differ; or published.
    """
    if len(secret) != SECRET_LENGTH:
        raise ValueError("a derivation secret must be 32 bytes")
    if len(set(secret)) < MIN_DISTINCT_BYTES:
        raise ValueError("a derivation secret must be random: too few different bytes")
    if is_published(secret):
        raise ValueError("a derivation secret must be secret: this one is published")
