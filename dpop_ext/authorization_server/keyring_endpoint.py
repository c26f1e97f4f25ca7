"""The endpoint where a resource server gets its derivation secrets.

DPoP Symmetric Profile 1.0: POST, authenticated by ``private_key_jwt`` (RFC 7523). The
answer is a JWT signed by this server inside a JWE for the registered key.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from typing import Any

from authlib.oauth2.rfc6749 import (
    Endpoint,
    EndpointRequest,
    InvalidClientError,
    InvalidRequestError,
    OAuth2Error,
)
from joserfc.jwk import Key, KeySet

from dpop_ext.authorization_server.client_assertion import ClientAssertion
from dpop_ext.authorization_server.client_metadata import (
    encryption_keys_of,
    metadata_of,
)
from dpop_ext.authorization_server.errors import Header
from dpop_ext.authorization_server.http_request import form_value
from dpop_ext.authorization_server.refusal import (
    log_error,
    refused,
    run_grant_validation,
)
from dpop_ext.authorization_server.signing_key import sign
from dpop_ext.core.key import ALGORITHMS, is_b64url_of, thumbprint
from dpop_ext.errors import DPoPError, StoreError
from dpop_ext.stores.base import NumberedSecrets, ReplayStore, require_same_issuer
from dpop_ext.symmetric.encryption_key import import_recipient
from dpop_ext.symmetric.keyring import (
    KEYRING_MEDIA_TYPE,
    KEYRING_TYPE,
    NONCE_LENGTH,
    encrypt_keyring,
)
from dpop_ext.symmetric.keyring_claims import (
    MAX_POLL,
    MAX_STALE,
    MIN_POLL,
    content_digest,
    keyring_claims,
)
from dpop_ext.symmetric.secret_ring import SecretRing

_NO_STORE = ("Cache-Control", "no-store")


class NotAResourceServerError(OAuth2Error):
    """The client is authenticated, and has no keyring."""

    error = "unauthorized_client"
    description = "The client is not registered as a resource server with a keyring."
    status_code = 403


class SymmetricKeyringEndpoint(Endpoint):
    """Gives each resource server the secrets of its own audience, and no other.

    ::

        server.register_endpoint(SymmetricKeyringEndpoint(secrets, store, ...))

        @app.route("/keyring", methods=["POST"])
        def keyring():
            return server.create_endpoint_response("dpop_symmetric_keyring")

    and publish its URL as ``dpop_symmetric_keyring_endpoint``.

    :param numbered_secrets: the secrets, with a number that goes up with each change.
    :param replay_store: remembers the assertions that were used; it may be that of the
        proofs.
    :param issuer: our issuer identifier, the one audience of an assertion here.
    :param signing_keys: returns the private keys, oldest to newest, that the keys at
        our ``jwks_uri`` belong to.
    :param alg: signature algorithm.
    :param poll: seconds after which a resource server asks again. It learns of a
        revocation so much later, and a tenth.
    :param clock: seconds since the epoch.
    :raises TypeError: *signing_keys* is no function.
    :raises ValueError: *alg* is not an asymmetric algorithm that is supported, *poll*
        is not from 30 to 600, or *numbered_secrets* are of another issuer.
    """

    ENDPOINT_NAME = "dpop_symmetric_keyring"

    def __init__(
        self,
        numbered_secrets: NumberedSecrets,
        replay_store: ReplayStore,
        *,
        issuer: str,
        signing_keys: Callable[[], Key | KeySet],
        alg: str = "ES256",
        poll: int = 300,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        if alg not in ALGORITHMS:
            raise ValueError("alg is not a supported asymmetric algorithm")
        if not MIN_POLL <= poll <= MAX_POLL:
            raise ValueError("poll is from 30 to 600 seconds")
        require_same_issuer(numbered_secrets, issuer)
        if not callable(signing_keys):
            raise TypeError("signing_keys is a function that returns the private keys")
        self._secrets = numbered_secrets
        # Not that of the token endpoint: it may accept another audience.
        self._assertion = ClientAssertion(issuer, replay_store, clock=clock)
        self._issuer = issuer
        self._signing_keys = signing_keys
        self._alg = alg
        self._poll = poll
        self._clock = clock

    def get_audience(self, client: Any) -> str | None:
        """Return the one audience that *client* is the resource server of, or None.

        Developers MAY re-implement this method; it reads the member
        ``resource_server_audiences`` of the client metadata, which the server assigns.
        """
        audiences = metadata_of(client).get("resource_server_audiences")
        if isinstance(audiences, list) and len(audiences) == 1:
            audience: str = audiences[0]
            return audience
        return None

    def get_encryption_key(self, client: Any) -> Any:
        """Return the public key to encrypt for, as a JWK, or None.

        Developers MAY re-implement this method; it takes the newest key with ``use``
        ``enc`` in ``jwks`` of the client metadata.
        """
        keys = encryption_keys_of(client)
        return keys[-1] if keys else None

    def create_endpoint_response(self, request: Any) -> tuple[int, Any, list[Header]]:
        """Answer a request."""
        try:
            result: tuple[int, Any, list[Header]] = super().create_endpoint_response(
                request
            )
        except DPoPError as error:
            raise refused(error, request, self.ENDPOINT_NAME) from error
        except OAuth2Error as error:
            log_error(request, self.ENDPOINT_NAME, error)
            raise
        return result

    def validate_request(self, request: Any) -> EndpointRequest:
        """Check the request; the assertion is used up last.

        :raises InvalidRequestError: it has no nonce of 16 bytes.
        :raises InvalidClientError: it has no good assertion.
        """
        nonce = form_value(request, "nonce")
        if request.method != "POST" or not is_b64url_of(nonce, length=NONCE_LENGTH):
            raise InvalidRequestError("The nonce is missing or malformed.")
        client = run_grant_validation(
            lambda: self._assertion(self.server.query_client, request)
        )
        if client is None:
            raise InvalidClientError("A client assertion is required.", status_code=401)
        request.client = client
        return EndpointRequest(request=request, client=client)

    def create_response(
        self, validated_request: EndpointRequest
    ) -> tuple[int, Any, list[Header]]:
        """Answer with the keyring, or with 304 if the client has it.

        :raises NotAResourceServerError: the client is none, or has no key for it.
        :raises StoreError: the secrets did not answer.
        """
        client, request = validated_request.client, validated_request.request
        audience = self.get_audience(client)
        recipient = self._recipient(client)
        numbered = None
        if audience is not None and recipient is not None:
            numbered = self._load(audience)
        if numbered is None or recipient is None:
            raise NotAResourceServerError
        ring, epoch, sequence = numbered
        if ring.issuer != self._issuer or ring.audience != audience:
            raise StoreError("The secrets are of another issuer or audience.")
        claims = keyring_claims(ring, epoch=epoch, sequence=sequence, poll=self._poll)
        etag = _etag(content_digest(claims), recipient, poll=self._poll)
        fields = [_NO_STORE, ("ETag", etag)]
        if etag in _entity_tags(request):
            return 304, "", fields
        now = int(self._clock())
        claims |= {
            "iat": now,
            "exp": now + MAX_STALE,
            "jti": secrets.token_urlsafe(16),
            "nonce": form_value(request, "nonce"),
        }
        signed = sign(
            claims, self._signing_keys(), algorithm=self._alg, typ=KEYRING_TYPE
        )
        body = encrypt_keyring(signed, recipient=recipient)
        return 200, body, [("Content-Type", KEYRING_MEDIA_TYPE), *fields]

    def _load(self, audience: str) -> tuple[SecretRing, int, int] | None:
        try:
            return self._secrets.load_numbered(audience)
        except DPoPError:
            raise
        except Exception as error:
            raise StoreError from error

    def _recipient(self, client: Any) -> Key | None:
        jwk = self.get_encryption_key(client)
        if jwk is None:
            return None
        try:
            return import_recipient(dict(jwk))
        except DPoPError as error:
            raise NotAResourceServerError from error


def _etag(content: str, recipient: Key, *, poll: int) -> str:
    """Return a name of what is sent.

    Another key to decrypt with is another answer, and so is another interval.
    """
    name = f"{content} {thumbprint(recipient)} {poll:d}".encode()
    return f'"{hashlib.sha256(name).hexdigest()[:32]}"'


def _entity_tags(request: Any) -> list[str]:
    """Return what the client has, by If-None-Match (:rfc:`9110#section-13.1.2`)."""
    value = request.headers.get("If-None-Match", "")
    return [tag.strip().removeprefix("W/") for tag in value.split(",")]
