"""What ``dpop-ext curl`` sends: header fields and content, as its options say."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Final

import click
from requests.structures import CaseInsensitiveDict

from dpop_ext.cli.group import Refusal

_FIELD: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([ -~\x80-\xff]*)")
#: Made by the command itself.
_OWN: Final = ("Authorization", "DPoP")
_FORM: Final = "application/x-www-form-urlencoded"


def read_fields(lines: Sequence[str], *, has_content: bool) -> CaseInsensitiveDict[str]:
    """Return header fields.

    :param lines: name and value, with a colon between them.
    :param has_content: a form, unless a field says otherwise.
    :raises UsageError: a line is no field, or one that proofs and tokens go into.
    """
    fields = CaseInsensitiveDict[str]({"Content-Type": _FORM} if has_content else {})
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise click.UsageError('--header: write it as "Name: value"')
        fields[match[1]] = match[2]
    for name in _OWN:
        if name in fields:
            raise click.UsageError(f"--header: {name} is made by this command")
    return fields


def open_content(
    data: str | None,
) -> AbstractContextManager[bytes | IO[bytes] | None]:
    """Return what is sent.

    :param data: text, or ``@`` and the path of a file; ``@-`` is standard input. It is
        read as a whole, as is a pipe: it may have to be sent twice.
    :raises Refusal: it cannot be read.
    """
    if data == "@-":
        return nullcontext(sys.stdin.buffer.read())
    if data is None or not data.startswith("@"):
        return nullcontext(None if data is None else data.encode())
    try:
        file = Path(data[1:]).open("rb")  # noqa: SIM115 - who sends it closes it
        # Nor does the length of a pipe say what is in it, or of a file in /proc.
        if file.seekable() and os.fstat(file.fileno()).st_size:
            return file
        with file:
            return nullcontext(file.read())
    except OSError as error:
        raise Refusal(f"--data: {data[1:]}: {error.strerror}") from error
