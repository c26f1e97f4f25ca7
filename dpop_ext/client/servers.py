"""The servers that a client was led to, and whether it can do with them what it must.

:rfc:`8414`, :rfc:`9728`, FAPI 2.0 Security Profile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dpop_ext.client.resource_metadata import ResourceMetadata
from dpop_ext.client.server_metadata import ServerMetadata
from dpop_ext.client.signer import ProofSigner
from dpop_ext.core.policy import FAPI2
from dpop_ext.errors import UnsupportedServerError

#: What is demanded of the servers beside DPoP: ``oauth2`` takes what they offer,
#: ``fapi2`` what the FAPI 2.0 Security Profile demands of a client.
Profile = Literal["oauth2", "fapi2"]
AuthMethod = Literal[
    "none", "client_secret_basic", "client_secret_post", "private_key_jwt"
]

#: How a resource server gets at keys that come with the token.
_MODES_OF_TOKEN_KEYS = frozenset(("derived", "encapsulated"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """An authorization server, and the resource server that tokens are for."""

    authorization: ServerMetadata
    #: None where only the authorization server was looked for.
    resource: ResourceMetadata | None = None

    def algorithms(self, profile: Profile = "oauth2") -> tuple[str, ...]:
        """Return the signature algorithms that a key for proofs can be for.

        :raises UnsupportedServerError: the authorization server does not know DPoP, or
            the two have no algorithm in common. There is no other kind of token.
        """
        offered = self.authorization.dpop_algorithms
        if not offered:
            raise UnsupportedServerError(
                "The metadata of the authorization server does not offer DPoP."
            )
        resource = self.resource.dpop_algorithms if self.resource is not None else None
        common = tuple(
            name
            for name in offered
            if (resource is None or name in resource)
            and (profile != "fapi2" or name in FAPI2.algorithms)
        )
        if not common:
            raise UnsupportedServerError(
                "The servers have no algorithm for proofs in common."
            )
        return common

    def make_signer(self, profile: Profile = "oauth2") -> ProofSigner:
        """Make a signer with a new key of an algorithm that both servers support.

        :raises UnsupportedServerError: as :meth:`algorithms`.
        :raises UnsupportedKeyError: they support none that is known here.
        """
        return ProofSigner.generate(
            supported=self.algorithms(profile),
            symmetric="never" if profile == "fapi2" else "prefer",
        )

    def require(self, profile: Profile, *, signer: ProofSigner) -> None:
        """Refuse servers that cannot do what the client must do.

        :raises UnsupportedServerError: a proof of *signer* would not be taken; or PKCE
            would be left to the server, where it says that it has none with S256; or,
            with ``fapi2``, pushed requests, ``iss`` in responses or PKCE are not
            offered.
        """
        if signer.algorithm not in self.algorithms(profile):
            raise UnsupportedServerError(
                "The servers do not support the algorithm of the key for proofs."
            )
        server = self.authorization
        challenges = server.code_challenge_methods
        if challenges is None and profile == "oauth2":
            # Many servers that have it do not say so, and the others ignore it.
            challenges = ("S256",)
        if "S256" not in (challenges or ()):
            raise UnsupportedServerError(
                "The authorization server does not support PKCE with S256."
            )
        if profile == "fapi2" and (
            server.pushed_authorization_request_endpoint is None
            or not server.promises_issuer
        ):
            raise UnsupportedServerError(
                "The authorization server does not offer what FAPI 2.0 demands: pushed "
                "authorization requests, and its name in each response."
            )
        if (
            server.require_pushed_authorization_requests
            and server.pushed_authorization_request_endpoint is None
        ):
            raise UnsupportedServerError(
                "The authorization server demands pushed authorization requests, and "
                "has no endpoint for them."
            )

    def auth_method(
        self,
        profile: Profile = "oauth2",
        *,
        has_secret: bool,
        key_algorithm: str | None,
    ) -> AuthMethod:
        """Choose how the client authenticates at the authorization server.

        :param has_secret: it has a secret.
        :param key_algorithm: of its key for ``private_key_jwt``; None if it has none.
        :raises UnsupportedServerError: what it has is not supported, or not enough.
        """
        server = self.authorization
        if profile == "fapi2" and key_algorithm not in FAPI2.algorithms:
            raise UnsupportedServerError(
                "FAPI 2.0 demands private_key_jwt with PS256, ES256 or Ed25519."
            )
        if key_algorithm is not None:
            known = server.auth_algorithms
            if "private_key_jwt" in server.auth_methods and (
                known is None or key_algorithm in known
            ):
                return "private_key_jwt"
        elif has_secret:
            if "client_secret_basic" in server.auth_methods:
                return "client_secret_basic"
            if "client_secret_post" in server.auth_methods:
                return "client_secret_post"
        else:
            # Servers with public clients do not always say that they have some.
            return "none"
        raise UnsupportedServerError(
            "The authorization server does not support the client's authentication."
        )

    def offers_symmetric_key(self, signer: ProofSigner) -> bool:
        """Tell whether a token can come with a symmetric key that *signer* can use."""
        server, resource = self.authorization, self.resource
        if "HS256" not in server.symmetric_algorithms:
            return False
        if server.key_algorithms and signer.key_algorithm not in server.key_algorithms:
            return False
        return resource is None or (
            "HS256" in resource.symmetric_algorithms
            and not _MODES_OF_TOKEN_KEYS.isdisjoint(resource.symmetric_modes)
        )
