"""Where the keys of symmetric proofs come from: a secret, or random numbers."""

from __future__ import annotations

from sqlalchemy import select

from demo_server.authorization_server.server import Server
from demo_server.models import Client
from dpop_ext.authorization_server import SymmetricKeys, registered_recipient
from dpop_ext.stores.base import AudienceSecrets
from dpop_ext.symmetric.encapsulation import KeyRecipient


def create_symmetric_keys(
    server: Server, secrets: AudienceSecrets | None
) -> SymmetricKeys | None:
    """Return what issues symmetric keys; None if that is off.

    :param secrets: of audiences that derive their keys, if there are any.
    """
    if server.settings.symmetric == "off":
        return None

    def find_recipient(audience: str) -> KeyRecipient | None:
        for client in server.database.session.scalars(
            select(Client).where(Client.enabled)
        ):
            if audience in client.resource_server_audiences:
                recipient = registered_recipient(client)
                if recipient is not None:
                    return recipient
        return None

    return SymmetricKeys(
        secrets,
        issuer=server.issuer,
        recipients=find_recipient,
        key_algorithms=server.settings.key_algorithms,
        private_keys=server.decryption_keys,
    )
