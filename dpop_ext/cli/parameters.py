"""Kinds of values that commands take: files, and URLs of servers and stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from dpop_ext.core.target import is_secure


class FilePath(click.Path):
    """The path of a file, which need not be there."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """Refuse a directory, and a path that is empty: it would be this directory."""
        if not str(value) or str(value) == ".":
            self.fail("a file is needed", param, ctx)
        return super().convert(value, param, ctx)


FILE = FilePath()


def complete_file(
    _context: click.Context, _option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete what can be a file: ``shell_complete`` of an option."""
    return [CompletionItem(incomplete, type="file")]


def secure_url(
    _context: click.Context, _option: click.Parameter, value: str | None
) -> str | None:
    """Return a URL that a token may be sent to: the callback of an option.

    :raises BadParameter: whoever reads along would see it.
    """
    if value is not None and not is_secure(value):
        raise click.BadParameter("https is needed (http for loopback only)")
    return value


def lacks_file(database_url: str) -> bool:
    """Tell whether a SQLAlchemy URL is of a file that is not there: SQLite makes one.

    :raises sqlalchemy.exc.ArgumentError: it is no URL of a database.
    """
    url = _parsed(database_url)
    if url.get_backend_name() != "sqlite":
        return False
    return not url.database or not Path(url.database).is_file()


def sqlite_file(store_url: str) -> Path | None:
    """Return the file of a store in SQLite; None of any other."""
    if not store_url.startswith("sqlite"):
        return None
    database = _parsed(store_url).database
    return Path(database) if database else None


def _parsed(database_url: str) -> Any:
    import sqlalchemy  # noqa: PLC0415

    try:
        return sqlalchemy.make_url(database_url)
    except ValueError as error:
        # Of a port that is no number.
        raise sqlalchemy.exc.ArgumentError("not a URL of a database") from error
