"""The target URI of a request, as ``htu`` compares it: :rfc:`9449#section-4.3`."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

_DEFAULT_PORTS = {"http": 80, "https": 443}
#: Visible ASCII without the backslash. Never ask urllib: it strips control characters.
_CHARACTERS = re.compile(r"[!-\[\]-~]+")
#: Most URLs are in this form already, without ``/.`` that is: no port, no escapes.
_NORMAL = re.compile(r"https?://[a-z0-9.-]+/[A-Za-z0-9._~!$&'()*+,;=:@/-]*")
_URI = re.compile(r"(https?)://([^/?#]*)([^?#]*)", re.IGNORECASE)
_USERINFO = re.compile(r"^([A-Za-z]+://)[^/?#]*@")
_AUTHORITY = re.compile(
    r"(?P<host>\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|[A-Za-z0-9._~!$&'()*+,;=-]+)"
    r"(?::(?P<port>[0-9]*))?"
)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")


def normalize_target(url: str) -> str:
    """Bring a target URI into the form in which two of them are compared, as text.

    Syntax-based and scheme-based normalisation (:rfc:`3986#section-6.2.2` and 6.2.3)
    and nothing beyond it: the case of scheme and host, the default port, the empty
    path, dot segments, the case of escapes, escapes of unreserved characters. Query
    and fragment are dropped. Everything else tells two targets apart: the case of the
    path, a trailing slash, repeated slashes, an escaped delimiter. IP addresses and
    internationalised host names are compared as they are written.

    :param url: the claim, or the URL of the request.
    :raises ValueError: not an absolute ``http`` or ``https`` URI, or one with userinfo.
    """
    if _NORMAL.fullmatch(url) and "/." not in url:
        return url
    scheme, authority, path = _split(url)
    return f"{scheme}://{authority}{_normalize_path(path)}"


def proof_target(url: str) -> str:
    """Return the ``htu`` that a client puts into the proof of a request to *url*.

    Userinfo, default port, query and fragment are left out, as they are on the wire
    or in the comparison. The path keeps its spelling: there are servers that compare
    it without normalising.

    :param url: absolute URL of the request, as it goes out.
    :raises ValueError: as :func:`normalize_target`, but userinfo is no error.
    """
    if _NORMAL.fullmatch(url):
        return url
    scheme, authority, path = _split(_USERINFO.sub(r"\1", url))
    return f"{scheme}://{authority}{path or '/'}"


def origin(url: str) -> str:
    """Return scheme, host and port of *url*, normalised; a default port is left out.

    :raises ValueError: as :func:`normalize_target`.
    """
    scheme, authority, _ = _split(url)
    return f"{scheme}://{authority}"


def is_loopback(host: str) -> bool:
    """Tell whether requests to *host* stay on the machine (:rfc:`8252#section-7.3`).

    :param host: name or address, without port and brackets.
    """
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # Not every Python looks into an IPv4 address that is written as IPv6.
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def is_secure(url: str) -> bool:
    """Tell whether *url* is https, or plain http to a loopback host.

    :rfc:`9449#section-2` allows nothing but https: a token in plain sight is anyone's.
    """
    if url.startswith("https:") and _NORMAL.fullmatch(url):
        return True
    try:
        scheme, _, authority = origin(url).partition("://")
    except ValueError:
        return False
    host = re.sub(r":[0-9]+$", "", authority).strip("[]")
    return scheme == "https" or is_loopback(host)


def request_url(
    *, scheme: str, host: str, raw_target: str, public_url: str | None
) -> str:
    """Build the absolute URL, without the query, of a request that a server received.

    A target in absolute form contributes its path only: it names a host of the
    sender's choice (:rfc:`9112#section-3.2.2`).

    :param scheme: of the connection; not used when there is a *public_url*.
    :param host: the ``Host`` field; not used when there is a *public_url*.
    :param raw_target: the request target as received, with its escapes as they were.
        A decoded path would make ``/a%2Fb`` the same as ``/a/b``.
    :param public_url: what clients call this server, ``https://api.example/prefix``;
        its path stands before the target that this server received.
    :raises ValueError: *raw_target* is ``*`` or an authority, or *host* is no host.
    """
    if not raw_target.startswith("/"):
        absolute = _URI.match(raw_target)
        if absolute is None:
            raise ValueError("not the target of a resource")
        raw_target = absolute[3] or "/"
    path = raw_target.partition("?")[0].partition("#")[0]
    if public_url is not None:
        return base_url(public_url) + path
    # Two fields that a server joined. The grammar of hosts has commas, names do not.
    if "," in host:
        raise ValueError("more than one host")
    return f"{scheme}://{_normalize_authority(host, scheme)}{path}"


@lru_cache(maxsize=8)
def base_url(public_url: str) -> str:
    """Return what stands before the path of every request; a server has one or few.

    :raises ValueError: *public_url* is not an absolute http(s) URI.
    """
    scheme, authority, prefix = _split(public_url)
    return f"{scheme}://{authority}{prefix.rstrip('/')}"


def _split(url: str) -> tuple[str, str, str]:
    """Return scheme and authority, both normalised, and the path as it is."""
    match = _URI.match(url)
    if match is None or not _CHARACTERS.fullmatch(url):
        raise ValueError("not an absolute http(s) URI")
    scheme = match[1].lower()
    return scheme, _normalize_authority(match[2], scheme), match[3]


def _normalize_authority(authority: str, scheme: str) -> str:
    match = _AUTHORITY.fullmatch(authority)
    if match is None or scheme not in _DEFAULT_PORTS:
        raise ValueError("not a host with an optional port")
    if match["ipv6"]:
        ipaddress.IPv6Address(match["ipv6"])
    host = match["host"].lower()
    port = int(match["port"] or _DEFAULT_PORTS[scheme])
    if port > 0xFFFF:
        raise ValueError("port out of range")
    return host if port == _DEFAULT_PORTS[scheme] else f"{host}:{port}"


def _normalize_path(path: str) -> str:
    if "%" in path:
        path = _ESCAPE.sub(_normalize_escape, path)
    if "/." in path:
        path = _remove_dot_segments(path)
    return path or "/"


def _normalize_escape(escape: re.Match[str]) -> str:
    if escape[1] is None:
        raise ValueError("not a percent-encoded octet")
    character = chr(int(escape[1], 16))
    return character if _UNRESERVED.match(character) else escape[0].upper()


def _remove_dot_segments(path: str) -> str:
    """Do :rfc:`3986#section-5.2.4`; the path is absolute."""
    segments = path.split("/")[1:]
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)
