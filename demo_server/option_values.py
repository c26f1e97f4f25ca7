"""The values of single options that a server must not start with."""

from __future__ import annotations

from importlib.util import find_spec
from urllib.parse import urlsplit

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from dpop_ext.core.target import is_loopback
from dpop_ext.core.target import origin as normalize_origin
from dpop_ext.stores.sql_engine import check_dialect, time_limits


class SettingsError(ValueError):
    """An option has a value that the server must not start with."""

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(f"{option}: {reason}")


def check_url(option: str, url: str) -> None:
    """Refuse what is no URL to run an OAuth server at.

    :raises SettingsError: not an absolute http(s) URL, or plain http for a host
        that is not this machine (:rfc:`9449#section-2`).
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise SettingsError(option, "not a URL") from error
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise SettingsError(option, "an absolute http or https URL is needed")
    if parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
        raise SettingsError(option, "a fragment or an unusual character in the URL")
    if parts.scheme == "http" and not is_loopback(host):
        raise SettingsError(
            option, "plain http is accepted for loopback addresses only; use https"
        )


def check_base_url(option: str, url: str) -> None:
    """Refuse what is not an origin: paths are appended to it as they are.

    :raises SettingsError: as :func:`check_url`, or there is a path or a query.
    """
    check_url(option, url)
    parts = urlsplit(url)
    if parts.path or parts.query or url != url.lower():
        raise SettingsError(
            option, "scheme, host and port only, in lower case, without a final slash"
        )


def check_public_url(option: str, url: str | None, *, tls: bool) -> None:
    """Refuse what is no name for a server.

    :param url: None is derived from the port.
    :param tls: the server itself ends TLS.
    :raises SettingsError: as :func:`check_base_url`, or plain http with *tls*.
    """
    if url is None:
        return
    check_base_url(option, url)
    if tls and not url.startswith("https:"):
        raise SettingsError(option, "with --tls-cert an https URL is needed")


def check_origin(option: str, url: str) -> None:
    """Refuse what no browser sends as an origin.

    :raises SettingsError: as :func:`check_base_url`, or the default port is named.
    """
    check_base_url(option, url)
    if normalize_origin(url) != url:
        raise SettingsError(option, "the default port must be left out")


def check_database(database: str) -> None:
    """Refuse a database that two processes cannot share.

    :raises SettingsError: not an SQLAlchemy URL, of another database than SQLite or
        PostgreSQL, SQLite in memory, or a driver that may wait for ever.
    """
    try:
        url = make_url(database)
        check_dialect(url)
        time_limits(url, timeout=1)
    except ArgumentError as error:
        # The URL may hold a password: it stays out of the message.
        raise SettingsError("--database", "not a database URL") from error
    except ValueError as error:
        raise SettingsError("--database", str(error)) from error
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise SettingsError(
            "--database", "every process needs it, so it must be a file"
        )


def check_redis(url: str) -> None:
    """Refuse what is no URL of a Redis.

    :raises SettingsError: it is not.
    """
    try:
        parts = urlsplit(url)
        good = bool(parts.path if parts.scheme == "unix" else parts.hostname)
        _ = parts.port
    except ValueError as error:
        # The URL may hold a password: it stays out of the message.
        raise SettingsError("--redis", "not a URL") from error
    if parts.scheme not in ("redis", "rediss", "unix") or not good:
        raise SettingsError("--redis", "a redis, rediss or unix URL is needed")
    if find_spec("redis") is None:
        raise SettingsError("--redis", "it needs a package: pip install redis")
