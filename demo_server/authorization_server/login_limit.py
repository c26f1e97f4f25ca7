"""How often a password may be tried."""

from __future__ import annotations

from sqlalchemy import delete, func, select

from demo_server.authorization_server.server import Server
from demo_server.models import LoginAttempt
from demo_server.token_hash import token_hash

#: This many failed attempts for one name, in so many seconds.
MAX_ATTEMPTS = 5
WINDOW = 300


def may_try(server: Server, username: str) -> bool:
    """Count an attempt for *username*; tell whether there are any left.

    Counted before the password is looked at, so that attempts that come together do
    not all find one left. A name that does not exist is treated as one that does.
    """
    session, name_hash = server.database.session, token_hash(username)
    since = server.now - WINDOW
    session.execute(delete(LoginAttempt).where(LoginAttempt.attempted_at <= since))
    session.add(LoginAttempt(name_hash=name_hash, attempted_at=server.now))
    session.flush()
    query = select(func.count()).where(LoginAttempt.name_hash == name_hash)
    allowed = (session.scalar(query) or 0) <= MAX_ATTEMPTS
    # A refused attempt does not count: the name would never be free again.
    if allowed:
        session.commit()
    else:
        session.rollback()
    return allowed


def forget(server: Server, username: str) -> None:
    """Forget the attempts for *username*, who has just signed in."""
    session = server.database.session
    name_hash = token_hash(username)
    session.execute(delete(LoginAttempt).where(LoginAttempt.name_hash == name_hash))
    session.commit()
