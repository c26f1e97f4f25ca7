"""The answer to a refused request: ``WWW-Authenticate`` and what goes with it.

:rfc:`9449#section-7.1`, :rfc:`6750#section-3`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from dpop_ext.core.challenge import format_challenge
from dpop_ext.core.recent import Recent
from dpop_ext.resource_server.refusal import Refusal, Scheme
from dpop_ext.resource_server.transport import require_secure_url
from dpop_ext.verifier import ProofVerifier

#: Answers that are kept, of 1 kB or so; most servers send twenty different ones.
MAX_ANSWERS = 256

_Field = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenges:
    """What every challenge of a resource server says.

    Each scheme gets a ``WWW-Authenticate`` field of its own, Bearer first. An error is
    named in the challenge of the scheme that was used, and in no other.

    :param algorithms: the signature algorithms accepted in proofs.
    :param symmetric_algorithms: the MAC algorithms accepted in proofs, if any.
    :param realm: a name for the protected space.
    :param resource_metadata: absolute https URL of the :rfc:`9728` document.
    :param accept_bearer: unbound tokens are accepted under Bearer, so that it is
        challenged for too.
    :raises ValueError: *realm* or *resource_metadata* cannot be sent.
    """

    algorithms: tuple[str, ...]
    symmetric_algorithms: tuple[str, ...] = ()
    realm: str | None = None
    resource_metadata: str | None = None
    accept_bearer: bool = False
    #: Body and header fields, without those of nonce and time, of each refusal.
    _written: Recent[tuple[object, ...], tuple[list[_Field], bytes]] = field(
        default_factory=lambda: Recent(MAX_ANSWERS),
        init=False,
        repr=False,
        compare=False,
    )

    @classmethod
    def of(
        cls,
        verifier: ProofVerifier,
        *,
        realm: str | None = None,
        resource_metadata: str | None = None,
        accept_bearer: bool = False,
    ) -> Challenges:
        """Name the algorithms that *verifier* accepts."""
        return cls(
            # Settings are lists at times, and what is kept is found by a hash.
            algorithms=tuple(verifier.policy.algorithms),
            symmetric_algorithms=tuple(verifier.symmetric_algorithms),
            realm=realm,
            resource_metadata=resource_metadata,
            accept_bearer=accept_bearer,
        )

    def __post_init__(self) -> None:
        if self.resource_metadata is not None:
            require_secure_url(self.resource_metadata, "resource_metadata")
        self.headers(Refusal(status=401, reason=""))  # raises on a character

    def answer(self, refusal: Refusal) -> tuple[list[_Field], bytes]:
        """Return the header fields and the body of the answer to *refusal*."""
        # The rest is the nonce, another one each time, and is in no challenge or body.
        alike = refusal[:7]
        # To write it takes nearly as long as the whole decision about a bad MAC.
        written = self._written.get(alike)
        if written is None:
            body = json.dumps(self.body(refusal)).encode("ascii")
            written = self._fields(refusal), body
            self._written.put(alike, written)
        fields, body = written
        headers = [*fields]
        if refusal.nonce is not None:
            headers.append(("DPoP-Nonce", refusal.nonce))
        if refusal.retry_after is not None:
            headers.append(("Retry-After", str(refusal.retry_after)))
        return headers, body

    def headers(self, refusal: Refusal) -> list[_Field]:
        """Return the header fields of the answer to *refusal*."""
        return self.answer(refusal)[0]

    def body(self, refusal: Refusal) -> dict[str, str]:
        """Return the members of the body: none when no credentials were sent."""
        return _present(
            error=refusal.error,
            error_description=refusal.description,
            scope=refusal.scope,
        )

    def _fields(self, refusal: Refusal) -> list[_Field]:
        """Return the fields that are the same in each such answer."""
        headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        if refusal.status not in (429, 503):
            headers += [
                ("WWW-Authenticate", self._challenge(scheme, refusal))
                for scheme in self._schemes
            ]
        return headers

    @property
    def _schemes(self) -> tuple[Scheme, ...]:
        return ("bearer", "dpop") if self.accept_bearer else ("dpop",)

    def _challenge(self, scheme: Scheme, refusal: Refusal) -> str:
        params = _present(realm=self.realm)
        # A server that takes DPoP alone has no Bearer challenge to put an error in.
        if scheme in refusal.schemes or (refusal.schemes and not self.accept_bearer):
            params |= _present(
                error=refusal.error,
                error_description=refusal.description,
                scope=refusal.scope,
            )
        if scheme == "dpop":
            params |= _present(
                algs=" ".join(self.algorithms),
                sym_algs=" ".join(self.symmetric_algorithms) or None,
                sym_error=refusal.sym_error,
            )
        params |= _present(resource_metadata=self.resource_metadata)
        return format_challenge("DPoP" if scheme == "dpop" else "Bearer", params)


def _present(**params: str | None) -> dict[str, str]:
    return {name: value for name, value in params.items() if value is not None}
