"""How much of an answer is read, and for how long (:rfc:`6749#section-5`).

Whoever answers may be hostile. Compressed answers are not asked for where the client
itself reads them, and not read: nobody knows how long one is.
"""

from __future__ import annotations

import time
from typing import Final

from dpop_ext.errors import DPoPError, ServerAnswerError

#: Bytes of an answer to a token request, or to a pushed authorization request.
MAX_TOKEN_ANSWER: Final = 128 * 1024
#: Seconds that such a request may take as a whole, from the first attempt on.
TOKEN_DEADLINE: Final = 60.0
#: Bytes of a refusal, after which the request goes out once more, that are read so that
#: the connection can be used again; and seconds for that. A longer one is given up, and
#: so is its connection.
MAX_REFUSAL: Final = 64 * 1024
REFUSAL_TIMEOUT: Final = 5.0

#: Seconds that the content of an authenticated answer may take. A server has all of it
#: before it begins.
ANSWER_DEADLINE: Final = 60.0

#: Fields of a request whose answer the client reads.
PLAIN_FIELDS: Final = {"Accept-Encoding": "identity"}


def is_plain(encoding: str | None) -> bool:
    """Tell whether content is as long as it looks.

    :param encoding: value of ``Content-Encoding``.
    """
    return (encoding or "identity").lower() == "identity"


class LimitedContent:
    """The content of one answer, as far as it may be read.

    :param limit: in bytes.
    :param seconds: that it may take.
    :param error: raised where it is longer, or takes longer.
    :param subject: what it is the content of.
    """

    def __init__(
        self,
        *,
        limit: int = MAX_TOKEN_ANSWER,
        seconds: float = TOKEN_DEADLINE,
        error: type[DPoPError] = ServerAnswerError,
        subject: str = "The answer",
    ) -> None:
        self._limit = limit
        self._deadline = time.monotonic() + seconds
        self._error = error
        self._subject = subject
        self._pieces: list[bytes] = []

    def require_plain(self, encoding: str | None) -> None:
        """Refuse content that is compressed.

        :param encoding: value of ``Content-Encoding``.
        """
        if not is_plain(encoding):
            raise self._error(f"{self._subject} is compressed.")

    def add(self, piece: bytes) -> None:
        """Take the next piece.

        :raises DPoPError: of the class that was given.
        """
        self._limit -= len(piece)
        if self._limit < 0:
            raise self._error(f"{self._subject} is too long.")
        if time.monotonic() > self._deadline:
            raise self.late()
        self._pieces.append(piece)

    def late(self) -> DPoPError:
        """Return the error for an answer that takes too long."""
        return self._error(f"{self._subject} took too long.")

    @property
    def content(self) -> bytes:
        """All pieces."""
        return b"".join(self._pieces)
