"""What the registration of a client says about symmetric keys (RFC 7591)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from dpop_ext.authorization_server.client_metadata import (
    encryption_keys_of,
    metadata_of,
)

ClientChoice = Literal["never", "on_request", "always"]


class KeyRegistration:
    """Reads the client metadata. Developers MAY re-implement each of its methods.

    :param same_key: as of :class:`SymmetricKeys`.
    """

    def __init__(self, *, same_key: bool) -> None:
        self.same_key = same_key

    def get_client_choice(self, client: Any, *, public: bool) -> ClientChoice:
        """Return when the client gets a key. Developers MAY re-implement this method.

        It reads ``dpop_symmetric_key`` of the client metadata. Without it the answer is
        ``on_request``, and ``never`` for a browser application, where scripts of others
        can get at the key: a public client with the ``application_type`` ``web``.
        """
        metadata = metadata_of(client)
        choice = metadata.get("dpop_symmetric_key")
        if choice is not None:
            # What is none of the three words is no permission either.
            return choice if choice in ("on_request", "always") else "never"
        browser = public and metadata.get("application_type") == "web"
        return "never" if browser else "on_request"

    def get_client_algorithms(self, client: Any) -> tuple[str, ...]:
        """Return the MAC algorithms for a request that names none.

        Developers MAY re-implement this method; it reads ``dpop_symmetric_alg_values``
        of the client metadata.
        """
        values = metadata_of(client).get("dpop_symmetric_alg_values")
        return tuple(values) if values else ("HS256",)

    def is_same_key_allowed(self, client: Any, *, public: bool) -> bool:
        """Tell whether a key may be encrypted for the key that signs the proofs.

        Developers MAY re-implement this method. One key for two purposes is left to
        clients that authenticate, unless ``same_key`` forbids it to them too; others
        send a key of its own in each request.
        """
        return self.same_key and not public

    def get_registered_keys(self, client: Any) -> Iterator[Mapping[str, Any]]:
        """Yield the encryption keys in the client's registered ``jwks``.

        Developers MAY re-implement this method.
        """
        yield from encryption_keys_of(client)
