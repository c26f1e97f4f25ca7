"""A resource server in the situation of a file of vectors."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from dpop_ext.core.base64url import b64url_decode
from dpop_ext.integrations.wsgi import DPoPMiddleware
from dpop_ext.resource_server import AccessTokenValidator
from dpop_ext.stores.logouts import MemoryLogoutStore
from dpop_ext.stores.memory import MemoryKeyring, MemoryReplayStore
from dpop_ext.symmetric.deny_list import Denial, DenyList
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing
from dpop_ext.symmetric.ticket_keys import TicketKey, TicketKeys
from dpop_ext.tickets import Tickets
from dpop_ext.verifier import ProofVerifier


def send(
    vector: dict[str, Any], content: dict[str, Any], verifier: ProofVerifier
) -> tuple[int, list[tuple[str, str]], int]:
    """Return status, header fields, and how often the application was reached."""
    served = []
    answer: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        served.append(environ["dpop_ext.proof"].kind)
        start_response("200 OK", [])
        return [b""]

    protected = DPoPMiddleware(
        app,
        verifier=verifier,
        find_token=AccessTokenValidator(
            content["issuer"],
            content["audience"],
            jwks={"keys": [content["issuer_jwk"]]},
            clock=lambda: content["now"],
        ),
        scopes=["accounts"],
        public_url=content["audience"],
    )
    path = urlsplit(content["url"]).path
    environ = {
        "REQUEST_METHOD": content["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "RAW_URI": path,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": urlsplit(content["url"]).netloc,
        "wsgi.url_scheme": "https",
        "HTTP_AUTHORIZATION": f"DPoP {vector['access_token']}",
        "HTTP_DPOP": vector["proof"],
    }
    list(protected(environ, lambda *args: answer.extend(args)))
    return int(answer[0][:3]), answer[1], served.count("symmetric")


def with_keyring(content: dict[str, Any], store: MemoryReplayStore) -> ProofVerifier:
    """Return a server with the derivation secrets of a file."""
    ring = SecretRing(
        [
            AudienceSecret(
                version=entry["v"],
                state=entry["state"],
                not_before=entry["nbf"],
                expires_at=entry["exp"],
                secret=SecretBytes(b64url_decode(entry["k"])),
            )
            for entry in content["secrets"]
        ],
        issuer=content["issuer"],
        audience=content["audience"],
        min_live=content["min_live"],
        revoked=content["revoked"],
        denied=DenyList(
            Denial(
                token_id=entry.get("jti"),
                r=b64url_decode(entry["r"]) if "r" in entry else None,
                expires_at=entry["exp"],
            )
            for entry in content["deny"]
        ),
    )
    return ProofVerifier(
        store,
        clock=lambda: content["now"],
        keyring=MemoryKeyring(ring),
        issuer=content["issuer"],
        audience=content["audience"],
    )


class FixedTicketKeys:
    """The ticket keys of a file."""

    def __init__(self, keys: TicketKeys) -> None:
        self._keys = keys

    def load(self) -> TicketKeys:
        return self._keys


def with_tickets(content: dict[str, Any], store: MemoryReplayStore) -> ProofVerifier:
    """Return a server with the ticket keys of a file, and nothing else."""
    keys = TicketKeys(
        TicketKey(
            key_id=bytes.fromhex(entry["tkid"]),
            secret=SecretBytes(bytes.fromhex(entry["key"])),
            lifetime=entry["lifetime"],
            issue_from=content["now"] - 60,
            issue_until=entry["expires_at"] - 60,
            expires_at=entry["expires_at"],
        )
        for entry in content["ticket_keys"]
    )
    logouts = MemoryLogoutStore()
    for entry in content["logouts"]:
        logouts.put(
            content["issuer"],
            entry["jkt"],
            not_before=entry["not_before"],
            expires_at=content["now"] + 3600,
            now=content["now"],
        )
    tickets = Tickets(
        keys=FixedTicketKeys(keys),
        logouts=logouts,
        algorithms=tuple(content["algorithms"]),
    )
    return ProofVerifier(
        store,
        clock=lambda: content["now"],
        tickets=tickets,
        issuer=content["issuer"],
        audience=content["audience"],
    )
