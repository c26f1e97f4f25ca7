"""Who signs the answer to a request, and when (DPoP Symmetric Profile 1.0).

The one who decides about a request knows the key; the one who sends the answer knows
its bytes. Between them is an :class:`AnswerSlot`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dpop_ext.symmetric.response import (
    MAX_ANSWER,
    AnsweredRequest,
    make_response_proof,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSigner:
    """Makes the response proof of the answer to one request."""

    key: SecretBytes
    request: AnsweredRequest
    #: Returns seconds since the epoch.
    clock: Callable[[], float]

    def sign(
        self, *, status: int, fields: Iterable[tuple[str, str]], content: bytes
    ) -> str | None:
        """Return the value of ``DPoP-Response``.

        :param content: as it is sent, after content coding; empty for HEAD, 204, 304.
        :returns: None for an answer that can have none: its content is over 1 MiB, or
            a protected field has no encoding. The client refuses it.
        """
        if len(content) > MAX_ANSWER:
            return None
        try:
            return make_response_proof(
                self.key,
                self.request,
                status=status,
                fields=fields,
                content=content,
                now=int(self.clock()),
            )
        except ValueError:
            return None


class AnswerSlot:
    """Where the signer of an answer is left for whoever sends it.

    Empty until MAC and token of a request that asks for it were verified: nothing is
    signed before. Empty again when the proof could not be used up, as that is so for a
    replay, or cannot be told from one: a second signed answer to the same proof could
    be given out for the first.
    """

    # No __init__: each request gets one of these, and few leave something in it.
    signer: AnswerSigner | None = None

    @contextmanager
    def withheld(self) -> Iterator[None]:
        """Sign nothing unless what is inside succeeds."""
        signer, self.signer = self.signer, None
        yield
        self.signer = signer
