"""The certificate that a client showed in TLS, from a WSGI environ (RFC 8705)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from dpop_ext.core.base64url import b64url_encode

#: Characters of the longest certificate that is looked at.
MAX_LENGTH: Final = 16 * 1024

_PEM: Final = re.compile(
    # Nothing is given back: white space fits both parts, in as many ways as it is long.
    r"-----BEGIN CERTIFICATE-----\s++([A-Za-z0-9+/=\s]++)-----END CERTIFICATE-----\s*"
)
#: A byte sequence as in RFC 9440 section 2.1.
_BYTES: Final = re.compile(r":([A-Za-z0-9+/]+=*):")


class ClientCertificate:
    """Finds the thumbprint of the client's certificate.

    It is there if the server that ends TLS asks for one and hands it on: in a variable
    of the environ, such as Apache's ``SSL_CLIENT_CERT``, or in a header field of a
    proxy, such as ``Client-Cert`` (:rfc:`9440`) or one with nginx's
    ``$ssl_client_escaped_cert``. Name the one that is used. The proxy must set that
    field on *every* request, or remove it: a client can send it too.

    Only the server that ends TLS knows that the client has the private key. Its
    certificate may be self-signed; nothing is checked here but which one it is.

    :param variable: of the environ.
    :param header: a header field, in place of *variable*.
    :raises ValueError: not exactly one of the two.
    """

    def __init__(
        self, *, variable: str | None = None, header: str | None = None
    ) -> None:
        if (variable is None) == (header is None):
            raise ValueError("give variable or header")
        if variable is not None and variable.startswith("HTTP_"):
            raise ValueError("a field that a client can send is a header")
        self._variable = variable or "HTTP_" + str(header).upper().replace("-", "_")

    def __call__(self, environ: Mapping[str, Any]) -> str | None:
        """Return the SHA-256 thumbprint, base64url, or None without a certificate.

        What is no certificate is none: tokens that need one are then refused.
        """
        text = environ.get(self._variable)
        if not isinstance(text, str) or len(text) > MAX_LENGTH:
            return None
        match = _BYTES.fullmatch(text.strip()) or _PEM.fullmatch(_unescaped(text))
        if match is None:
            return None
        try:
            content = base64.b64decode("".join(match[1].split()), validate=True)
        except binascii.Error:
            return None
        return b64url_encode(hashlib.sha256(content).digest())


def _unescaped(text: str) -> str:
    """Undo what proxies do to the line ends of PEM: percent-encoding, or tabs."""
    return unquote(text).strip()
