"""The derivation secrets of an authorization server, in a database.

DPoP Symmetric Profile 1.0. Any number of servers share them: SQLite or PostgreSQL.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from dpop_ext.extras import needs

with needs("sql"):
    from sqlalchemy import Engine

from dpop_ext.errors import StoreError
from dpop_ext.integrations.sqla_denials import SQLDenials
from dpop_ext.integrations.sqla_secret_change import Change, write_change
from dpop_ext.integrations.sqla_secret_database import ATTEMPTS, SecretDatabase
from dpop_ext.integrations.sqla_secret_rows import SecretRows
from dpop_ext.integrations.sqla_secret_sequences import SeenSequences, check_sequences
from dpop_ext.stores.secret_tables import PREFIX
from dpop_ext.symmetric import rotation
from dpop_ext.symmetric.rotation_plan import RotationPlan
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing

#: The keyrings of a database have one epoch: the number of a change is never less than
#: the time of it, so that it goes up even over a backup that was restored.
EPOCH: Final = 1


class SQLAudienceSecrets:
    """Makes, rotates and erases secrets; see :class:`.stores.base.AudienceSecrets`.

    ::

        secrets = SQLAudienceSecrets(engine, key, issuer="https://as.example.com")
        secrets.create_schema()
        secrets.register("https://api.example.com", RotationPlan(poll=300))
        SymmetricKeys(secrets, issuer=...)
        SymmetricKeyringEndpoint(secrets, ..., poll=300)

    Which version keys are issued with depends on the time alone. What is due, such as
    the next version, is done by whoever looks at the secrets first, and once.

    :param engine: for SQLite in a file or PostgreSQL. Its connections are not those of
        a request, whose transaction must not end because of a look at a secret.
    :param key: 32 random bytes, which stay out of the database: the secrets in it are
        encrypted with them.
    :param issuer: issuer identifier of the authorization server.
    :param denials: tokens that were revoked, to be published with the secrets.
    :param prefix: beginning of the names of the tables; see
        :func:`dpop_ext.stores.secret_tables.define_secret_tables`.
    :param clock: seconds since the epoch.
    :raises TypeError: *engine* or *key* is something else.
    :raises ValueError: *engine* is for another database, or *key* has another length.
    """

    def __init__(
        self,
        engine: Engine,
        key: SecretBytes,
        *,
        issuer: str,
        denials: SQLDenials | None = None,
        prefix: str = PREFIX,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.issuer = issuer
        self._denials = denials
        self._database = SecretDatabase(engine, key, issuer=issuer, prefix=prefix)
        self._clock = clock
        self._seen = SeenSequences()

    def create_schema(self) -> None:
        """Create the tables, if they are not there; many processes may do so at once.

        :raises StoreError: the database does not let us.
        """
        self._database.create_schema()

    def audiences(self) -> list[str]:
        """Return the audiences that have secrets of this issuer.

        :raises StoreError: the database did not answer.
        """
        return self._database.run(SecretRows.audiences)

    def plan(self, audience: str) -> RotationPlan | None:
        """Return how the secrets of *audience* are rotated; None if it has none.

        :raises StoreError: the database did not answer, or the plan is damaged.
        """
        return self._database.run(lambda rows: rows.plan(audience))

    def register(
        self, audience: str, plan: RotationPlan, *, at_once: bool = False
    ) -> None:
        """Give *audience* its first version, or those to come another plan.

        :param at_once: begin with an active version, and not with a pending one: for a
            resource server that starts after this and so can have missed nothing.
        :raises TypeError: *plan* is something else.
        :raises StoreError: the database did not answer.
        """
        if not isinstance(plan, RotationPlan):
            raise TypeError("plan is a RotationPlan, such as RotationPlan(poll=300)")
        self._database.run(lambda rows: rows.write_plan(audience, plan))
        self._change(audience, at_once=at_once)

    def load(self, audience: str) -> SecretRing | None:
        """Return the secrets to issue keys with; None for an unknown audience.

        :raises StoreError: the database did not answer, or a row was tampered with.
        """
        loaded = self._load(audience)
        if loaded is None:
            return None
        stored, _ = loaded
        # Not as they were stored: by a server whose clock is another one.
        entries = rotation.states(list(stored), now=int(self._clock()))
        return SecretRing(entries, issuer=self.issuer, audience=audience)

    def load_numbered(self, audience: str) -> tuple[SecretRing, int, int] | None:
        """Return the secrets to publish; see :class:`.stores.base.NumberedSecrets`.

        They are in the states that were stored, which is what the number counts.

        :raises StoreError: as :meth:`load`.
        """
        for _ in range(ATTEMPTS):
            loaded = self._load(audience)
            if loaded is None or self._denials is None:
                return None if loaded is None else (loaded[0], EPOCH, loaded[1])
            denied, number = self._denials.read(audience)
            # Both of one moment, or the sum of two numbers could come again.
            again = self._load(audience)
            if again is not None and again[1] == loaded[1]:
                ring = SecretRing(
                    loaded[0], issuer=self.issuer, audience=audience, denied=denied
                )
                return ring, EPOCH, loaded[1] + number
        raise StoreError("The derivation secrets do not come to rest.")

    def peek(self, audience: str) -> list[AudienceSecret]:
        """Return the versions in the states that they have now, and change nothing.

        :raises StoreError: as :meth:`load`.
        """

        def read(rows: SecretRows) -> SecretRing:
            return self._read(rows, audience, seen=self._seen.known(audience))[0]

        ring = self._database.run(read)
        return rotation.states(list(ring), now=int(self._clock()))

    def rotate(self, audience: str) -> AudienceSecret:
        """Make a version that takes over after the pending period; return it.

        :raises RotationError: one is pending, or as many are live as may be.
        :raises StoreError: as :meth:`load`, or the audience is not known.
        """
        made = self._change(audience, rotate=True)
        assert made is not None  # noqa: S101 - or there was an error
        return made

    def revoke(self, audience: str, version: int) -> AudienceSecret | None:
        """Erase *version* at once. Resource servers learn of it with their next poll.

        If that leaves none to issue keys with, the version that is pending takes over
        as soon as it has been published for long enough; or one is made for that, from
        a new root.

        :returns: the version that was made, if any.
        :raises RotationError: there is no such version, or it has ended.
        :raises StoreError: as :meth:`rotate`.
        """
        return self._change(
            audience,
            lambda entries, _, now: rotation.revoked(entries, version, now=now),
        )

    def retire(self, audience: str, version: int) -> None:
        """Erase *version*, which no token needs any more.

        :raises RotationError: one may, there is no such version, or it has ended.
        :raises StoreError: as :meth:`rotate`.
        """
        self._change(
            audience,
            lambda entries, plan, now: rotation.retired(
                entries, version, plan, now=now
            ),
        )

    def _load(self, audience: str) -> tuple[SecretRing, int] | None:
        """Return the secrets as they are stored, after what was due, and the number."""

        def read(rows: SecretRows) -> tuple[SecretRing, int, bool] | None:
            # Before the first query, with which a transaction gets its view.
            seen = self._seen.known(audience)
            plan = rows.plan(audience)
            if plan is None:
                return None
            ring, sequences = self._read(rows, audience, seen=seen)
            entries, now = list(ring), int(self._clock())
            is_due = rotation.advanced(entries, now=now) != entries
            is_due |= rotation.successor_due(entries, plan, now=now) <= now
            return ring, max(sequences.values(), default=0), is_due

        for _ in range(ATTEMPTS):
            loaded = self._database.run(read)
            if loaded is None:
                return None
            if not loaded[2]:
                return loaded[:2]
            self._change(audience)
        raise StoreError("The derivation secrets do not come to rest.")

    def _read(
        self, rows: SecretRows, audience: str, *, seen: Mapping[int, int]
    ) -> tuple[SecretRing, dict[int, int]]:
        ring, sequences = rows.read(audience)
        check_sequences(sequences, seen)
        self._seen.remember(audience, sequences)
        return ring, sequences

    def _change(
        self,
        audience: str,
        change: Change | None = None,
        *,
        rotate: bool = False,
        at_once: bool = False,
    ) -> AudienceSecret | None:
        """Do what is due, and *change*; return the version that was made, if any."""

        def try_once(rows: SecretRows) -> tuple[AudienceSecret | None, dict[int, int]]:
            seen = self._seen.known(audience)
            plan = rows.plan(audience)
            if plan is None:
                raise StoreError("The audience has no derivation secrets.")
            ring, sequences = self._read(rows, audience, seen=seen)
            return write_change(
                rows,
                change,
                audience=audience,
                plan=plan,
                ring=ring,
                sequences=sequences,
                rotate=rotate,
                at_once=at_once,
                now=int(self._clock()),
            )

        made, written = self._database.run(try_once)
        self._seen.remember(audience, written)
        return made
