"""How often a password or a client secret may be tried."""

from __future__ import annotations

from sqlalchemy import delete, func, select
from sqlalchemy.orm import InstrumentedAttribute

from demo_server.authorization_server.server import Server
from demo_server.models import FailedAttempt
from demo_server.token_hash import token_hash

#: This many attempts for one name from one address, in so many seconds. Who does not
#: know the password locks out himself.
MAX_ATTEMPTS = 5
WINDOW = 300

#: And this many from all addresses: a name is worth no more guesses than that, even
#: if somebody who has many addresses can then lock it.
MAX_FROM_EVERYWHERE = 100


def may_try(server: Server, name: str, address: str | None) -> bool:
    """Count an attempt for *name*; tell whether there are any left.

    Counted before the secret is looked at, so that attempts that come together do
    not all find one left. A name that does not exist is treated as one that does.

    :param name: of a user or a client; not to be mistaken for one of the other kind.
    :param address: where the request came from, as the server's socket says.
    """
    session = server.database.session
    name_hash, address_hash = token_hash(name), token_hash(f"{name}\n{address}")
    since = server.now - WINDOW
    session.execute(delete(FailedAttempt).where(FailedAttempt.attempted_at <= since))
    attempt = FailedAttempt(
        name_hash=name_hash, address_hash=address_hash, attempted_at=server.now
    )
    session.add(attempt)
    # Seen by the others before any of them counts: of many that come together, in
    # several processes, rather none gets through than all.
    session.commit()

    def count(column: InstrumentedAttribute[str], value: str) -> int:
        return session.scalar(select(func.count()).where(column == value)) or 0

    allowed = (
        count(FailedAttempt.address_hash, address_hash) <= MAX_ATTEMPTS
        and count(FailedAttempt.name_hash, name_hash) <= MAX_FROM_EVERYWHERE
    )
    if not allowed:
        # A refused attempt does not count: the name would never be free again.
        session.delete(attempt)
    session.commit()
    return allowed


def forget(server: Server, name: str, address: str | None) -> None:
    """Forget the attempts for *name* from *address*, which were a mistake."""
    session = server.database.session
    address_hash = token_hash(f"{name}\n{address}")
    session.execute(
        delete(FailedAttempt).where(FailedAttempt.address_hash == address_hash)
    )
    session.commit()
