"""TLS at both servers: versions 1.2 and 1.3 with the ciphers of RFC 9325."""

from __future__ import annotations

import ssl

from demo_server.option_values import SettingsError
from demo_server.settings import Settings

#: For TLS 1.2, those that :rfc:`9325#section-4.2` recommends; 1.3 has no others.
CIPHERS = "ECDHE+AESGCM"


def server_context(settings: Settings) -> ssl.SSLContext | None:
    """Return what the servers answer with; None if they speak plain HTTP.

    :raises SettingsError: certificate or key cannot be used.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        # A key with a passphrase must not make the server wait for one.
        context.load_cert_chain(settings.tls_cert, settings.tls_key, lambda: "")
    except (OSError, ValueError) as error:
        raise SettingsError(
            "--tls-cert", "not a PEM certificate, or --tls-key is not its key"
        ) from error
    return context


def client_context(settings: Settings) -> ssl.SSLContext | None:
    """Return what the resource server asks the authorization server with.

    Beside the certificates that the system trusts, our own: it may be self-signed.
    """
    if settings.tls_cert is None:
        return None
    context = ssl.create_default_context()
    context.load_verify_locations(settings.tls_cert)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def probe_context() -> ssl.SSLContext:
    """Return what the supervisor looks with, whether its own servers answer.

    The certificate is for a public name, and nothing is sent.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
