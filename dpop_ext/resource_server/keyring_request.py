"""The request for a keyring, authenticated by ``private_key_jwt`` (RFC 7523)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from urllib.parse import urlencode

from joserfc.jwk import Key

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.resource_server.client_assertion import ClientAssertions
from dpop_ext.resource_server.transport import Answer, ask, require_secure_url
from dpop_ext.symmetric.keyring import KEYRING_MEDIA_TYPE, NONCE_LENGTH


class KeyringRequest:
    """Asks an authorization server for the keyring of one client.

    :param endpoint: its ``dpop_symmetric_keyring_endpoint``.
    :param issuer: its identifier, which the assertion is for.
    :param client_id: as which this resource server is registered.
    :param signing_key: private key, of which the public one is registered.
    :param algorithm: signature algorithm of *signing_key*.
    :param post: sends the request; it must bound time and size, follow no redirect,
        and raise ``OSError`` if there is no answer.
    :param clock: seconds since the epoch.
    :raises ValueError: *endpoint* is plain http, *signing_key* is not private, or the
        algorithm is none for it.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        issuer: str,
        client_id: str,
        signing_key: Key,
        algorithm: str = "ES256",
        post: Callable[..., Answer] = ask,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._endpoint = require_secure_url(endpoint, "endpoint")
        self.issuer = issuer
        self._assertions = ClientAssertions(
            client_id,
            issuer=issuer,
            signing_key=signing_key,
            algorithm=algorithm,
            clock=clock,
        )
        self._post = post

    def send(self, *, etag: str | None) -> tuple[str, Answer]:
        """Ask, and return the nonce of the request with the answer.

        :param etag: of the keyring that is there, if an answer without one will do.
        :raises OSError: there was no answer.
        """
        nonce = b64url_encode(secrets.token_bytes(NONCE_LENGTH))
        form = {**self._assertions.parameters(), "nonce": nonce}
        headers = {
            "Accept": KEYRING_MEDIA_TYPE,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        if etag is not None:
            headers["If-None-Match"] = etag
        data = urlencode(form).encode("ascii")
        return nonce, self._post(self._endpoint, data=data, headers=headers)
