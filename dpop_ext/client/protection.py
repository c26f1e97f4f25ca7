"""What of a request and its answer is authenticated besides (Symmetric Profile 1.0).

A proof of :rfc:`9449` covers method, URL and token. TLS covers the rest as far as it
goes, which is to the next proxy that ends it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from dpop_ext.client.answer_limit import ANSWER_DEADLINE

#: Header fields of conditional requests (RFC 9110 section 13.1), in lower case.
CONDITIONAL: Final = frozenset(
    (
        *("if-match", "if-none-match", "if-range"),
        *("if-modified-since", "if-unmodified-since"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """What a client wants authenticated, beside what every proof covers.

    :param request_digests: the proof names content and query, so that neither can be
        changed on the way. The content must be at hand: it is hashed before it is sent.
    :param authenticated_responses: the server proves its answers with the symmetric
        key of the access token. An answer without such a proof is never handed on, and
        without a key no request is sent. Answers have 1 MiB at most, are read as a
        whole first, and no request is conditional.
    :param answer_deadline: seconds that the content of such an answer may take, from
        its header fields on.
    """

    request_digests: bool = False
    authenticated_responses: bool = False
    answer_deadline: float = ANSWER_DEADLINE

    @property
    def needs_content(self) -> bool:
        """Whether a request cannot begin without the digest of its content."""
        return self.request_digests or self.authenticated_responses

    def check_fields(self, names: Iterable[str]) -> None:
        """Refuse the header fields of a request that cannot be sent.

        They are not left out: without ``If-Match``, a request would overwrite what
        another one has written.

        :param names: of all header fields.
        :raises ValueError: the request is conditional, and its answer is to be
            authenticated: a 304 says nothing about what a cache has.
        """
        if self.authenticated_responses and any(
            name.lower() in CONDITIONAL for name in names
        ):
            raise ValueError("a conditional request has no authenticated response")


NO_PROTECTION: Final = Protection()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticatedResponse:
    """What was found out about an answer with a good response proof.

    Whoever has the key made it, for this one request, and nobody changed it on the way.
    """

    status: int
    #: When, by the clock of the server, in seconds since the epoch.
    issued_at: float
    #: How the key came to both: ``access_token``, from the authorization server with
    #: the token; ``ticket``, from the server itself; ``proved_ticket``, from the
    #: server itself in an answer that was authenticated by a key of the first kind.
    key: Literal["access_token", "proved_ticket", "ticket"]

    @property
    def authenticates_server(self) -> bool:
        """Whether the key is known to be shared with the resource server.

        A ticket alone came over the same connection as the answer: whoever answers
        there is the one who answered before, and no more is known.
        """
        return self.key != "ticket"
