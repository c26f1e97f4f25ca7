"""What the resource server is told about tokens that were revoked.

It verifies them by itself (RFC 9068), and learns of it with its next poll.
"""

from __future__ import annotations

from sqlalchemy import select

from demo_server.models import Token
from dpop_ext.integrations.sqla_denials import SQLDenials
from dpop_ext.integrations.sqla_oauth2 import AnySession

#: Seconds by which a token may end later than its row says.
MARGIN = 60


def deny_token(denials: SQLDenials | None, token: Token) -> None:
    """Have the access token refused, wherever it is good.

    :param denials: None if resource servers get nothing from us.
    :raises StoreError: that cannot be told now. To try again does no harm.
    """
    if denials is None or token.token_id is None or token.audience is None:
        return
    denials.deny(
        token.audience,
        token_id=token.token_id,
        expires_at=token.access_token_expires_at + MARGIN,
    )


def record_exchange(
    denials: SQLDenials | None, token: Token, *, subject: Token | None
) -> None:
    """Remember what a token was exchanged from, so that both are denied together.

    :param subject: None for a token that was issued for something else.
    :raises StoreError: as :func:`deny_token`.
    """
    if denials is None or subject is None or subject.token_id is None:
        return
    if token.token_id is None or token.audience is None:
        return
    denials.record_exchange(
        subject_id=subject.token_id,
        token_id=token.token_id,
        audience=token.audience,
        expires_at=token.access_token_expires_at + MARGIN,
    )


def deny_family(
    denials: SQLDenials | None,
    session: AnySession,
    consent_id: int | None,
    *,
    now: int,
) -> None:
    """Have all access tokens refused that came of one consent.

    :param session: whose changes are committed.
    :param consent_id: None is that of nobody.
    :param now: seconds since the epoch.
    :raises StoreError: as :func:`deny_token`.
    """
    if consent_id is None:
        return
    query = select(Token).where(
        Token.consent_id == consent_id, Token.access_token_expires_at + MARGIN > now
    )
    tokens = session.scalars(query).all()
    # Denials have a connection of their own. Requests that each held one and waited for
    # a second would wait for each other.
    session.commit()
    for token in tokens:
        deny_token(denials, token)
