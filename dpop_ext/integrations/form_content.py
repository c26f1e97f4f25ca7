"""Which content is searched for an access token: :rfc:`6750#section-2.2`."""

from __future__ import annotations

from typing import Final

FORM: Final = "application/x-www-form-urlencoded"
#: Bytes of the longest form that is searched.
MAX_FORM: Final = 64 * 1024
#: Digits of a ``Content-Length`` that is not looked at any more.
_TOO_MANY_DIGITS: Final = 18


def content_length(text: str) -> int | None:
    """Return the bytes that a ``Content-Length`` tells; None if it is no number."""
    if text.isascii() and text.isdecimal() and len(text) < _TOO_MANY_DIGITS:
        return int(text)
    return None


def is_form(content_type: str) -> bool:
    """Tell whether content is a form.

    :param content_type: value of the field, with its parameters.
    """
    return content_type.partition(";")[0].strip().lower() == FORM


def form_length(length: str) -> int:
    """Return the bytes of a form that is searched; 0 for one that is not.

    That is one that is longer, or does not say how long it is.

    :param length: value of ``Content-Length``.
    """
    number = content_length(length) or 0
    return number if number <= MAX_FORM else 0
