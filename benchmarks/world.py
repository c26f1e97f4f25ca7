"""An issuer, a client and a resource server, all in this process."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.core.proof_making import make_proof
from dpop_ext.core.recent import Recent
from dpop_ext.core.token_text import digest_token
from dpop_ext.resource_server import AccessTokenValidator
from dpop_ext.stores.logouts import MemoryLogoutStore
from dpop_ext.stores.memory import MemoryKeyring, MemoryReplayStore
from dpop_ext.stores.ticket_keys import RotatingTicketKeys
from dpop_ext.symmetric.derivation import symmetric_key
from dpop_ext.symmetric.proof import make_symmetric_proof
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing
from dpop_ext.symmetric.ticket import make_ticket, ticket_mac_key
from dpop_ext.tickets import Tickets
from dpop_ext.verifier import ProofVerifier

#: Others look at the real time.
NOW = int(time.time())
URL = "https://api.example.com/accounts/42"
ISSUER, AUDIENCE, CLIENT = "https://as.example.com", "https://api.example.com", "app"

ISSUER_KEY = RSAKey.generate_key(2048, {"kid": "rs-1"})
EC_KEY = ECKey.generate_key("P-256")
ED_KEY = OKPKey.generate_key("Ed25519")

SECRET = SecretBytes(secrets.token_bytes(32))
_R = secrets.token_bytes(32)


def clock() -> float:
    """Return the time, which stands still."""
    return NOW


def access_token(
    key: Key, *, number: int = 0, padding: int = 0, issuer: str = ISSUER
) -> str:
    """Make an RS256 access token with a symmetric key, bound to *key*."""
    dsk = {"alg": "HS256", "v": 1, "r": b64url_encode(_R)}
    claims = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": f"user-{number}",
        "client_id": CLIENT,
        "iat": NOW,
        "exp": NOW + 3600,
        "jti": f"token-{number:012}",
        "scope": "accounts transfers",
        "cnf": {"jkt": key.thumbprint(), "dsk": dsk},
    }
    if padding:
        claims["padding"] = "x" * padding
    header = {"typ": "at+jwt", "alg": "RS256", "kid": "rs-1"}
    return sign_compact(header, claims, ISSUER_KEY)


def delivered_key(key: Key) -> SecretBytes:
    """Return the symmetric key of every access token that is bound to *key*."""
    return SecretBytes(
        symmetric_key(
            SECRET.reveal(),
            algorithm="HS256",
            issuer=ISSUER,
            audience=AUDIENCE,
            client_id=CLIENT,
            jkt=key.thumbprint(),
            version=1,
            r=_R,
        )
    )


def ring(versions: int = 1) -> SecretRing:
    """Return the secrets, with so many versions in all."""
    others = [
        AudienceSecret(
            version=number,
            state="verify_only",
            not_before=0,
            expires_at=NOW + 7200,
            secret=SecretBytes(secrets.token_bytes(32)),
        )
        for number in range(2, versions + 1)
    ]
    first = AudienceSecret(
        version=1,
        state="active",
        not_before=0,
        expires_at=NOW + 7200,
        secret=SECRET,
    )
    return SecretRing([first, *others], issuer=ISSUER, audience=AUDIENCE)


#: What all servers here share.
TICKETS = Tickets(keys=RotatingTicketKeys(clock=clock), logouts=MemoryLogoutStore())


class ResourceServer:
    """A verifier, a memory store, and a validator of access tokens that remembers."""

    def __init__(
        self,
        *,
        store: MemoryReplayStore | None = None,
        versions: int = 1,
        remember: float = 60,
        token_form: Literal["jwt", "opaque"] = "jwt",
    ) -> None:
        self.verifier = ProofVerifier(
            store or MemoryReplayStore(10_000_000),
            keyring=MemoryKeyring(ring(versions)),
            issuer=ISSUER,
            audience=AUDIENCE,
            token_form=token_form,
            tickets=TICKETS,
            clock=clock,
        )
        self.find_token = AccessTokenValidator(
            ISSUER,
            AUDIENCE,
            jwks={"keys": [ISSUER_KEY.as_dict(private=False)]},
            remember=remember,
            clock=clock,
        )
        self._recall = self.find_token.recalling() or (lambda _name: None)

    def caches(self) -> list[Recent[bytes, Any]]:
        """Return what it remembers of access tokens, and of their keys."""
        symmetric = self.verifier._symmetric  # noqa: SLF001
        tokens = self.find_token._cache._tokens  # noqa: SLF001
        return [tokens] if symmetric is None else [tokens, symmetric._keys.recent]  # noqa: SLF001

    def resize_caches(self, max_entries: int) -> None:
        """Forget all tokens, and remember so many of them from now on."""
        self.find_token._cache._tokens = Recent(max_entries)  # noqa: SLF001
        if self.verifier._symmetric is not None:  # noqa: SLF001
            self.verifier._symmetric._keys.recent = Recent(max_entries)  # noqa: SLF001

    def serve(self, text: str, proof: str) -> None:
        """Verify a request completely, and spend its proof.

        As a :class:`.Gate` does it, without what is around it: fields, scope, log.
        """
        name, verifier = digest_token(text), self.verifier
        token, usual = self._recall(name), verifier.usual_proofs
        verified = None
        if token is not None and usual is not None:
            verified = usual.verify(
                proof,
                method="GET",
                url=URL,
                token=token,
                token_name=name,
                policy=verifier.policy,
                nonces=verifier.nonces,
                now=int(clock()),
            )
        if verified is None:
            self.serve_in_steps(text, proof)
        else:
            verifier.spend(verified)

    def serve_in_steps(self, text: str, proof: str) -> None:
        """Do the same in the three steps of the verifier."""
        opened = self.verifier.open(proof, method="GET", url=URL, access_token=text)
        token = self.find_token(text)
        self.verifier.spend(self.verifier.verify(opened, token=token))


def asymmetric_proof(key: Key, algorithm: str, text: str) -> str:
    """Make one proof by *key*."""
    return make_proof(
        key, algorithm=algorithm, method="GET", url=URL, now=NOW, access_token=text
    )


def symmetric_proof(key: SecretBytes, text: str) -> str:
    """Make one proof with the delivered key."""
    return make_symmetric_proof(
        key, algorithm="HS256", method="GET", url=URL, now=NOW, access_token=text
    )


def ticket_proofs(key: Key, text: str, number: int) -> list[str]:
    """Make proofs with one ticket of the client that holds *key*."""
    ticket_key = TICKETS.keys.load().current(now=NOW)
    if ticket_key is None:
        raise RuntimeError("there is a key for each hour")
    ticket = make_ticket(ticket_key, now=NOW)
    mac_key = ticket_mac_key(
        ticket_key.secret.reveal(),
        ticket.raw,
        algorithm="HS256",
        audience=AUDIENCE,
        issuer=ISSUER,
        client_id=CLIENT,
        jkt=key.thumbprint(),
    )
    return [
        make_symmetric_proof(
            SecretBytes(mac_key),
            algorithm="HS256",
            method="GET",
            url=URL,
            now=NOW,
            access_token=text,
            ticket=ticket.text,
        )
        for _ in range(number)
    ]


#: Its access token and its proof.
Request = tuple[str, str]
Serve = Callable[[str, str], object]


def serving(
    requests: Sequence[Request], start: Callable[[], Serve]
) -> Callable[[], None]:
    """Return a call that serves the next of *requests*, each with a proof of its own.

    Each has a token of its own, too, as one that came over the network: the verifier
    knows the very same object again.

    :param start: returns the function that serves requests, as that of a new server,
        with which no proof was spent. It is called again after the last request.
    """
    requests = [(received(text), proof) for text, proof in requests]
    upcoming, serve = iter(requests), start()

    def call() -> None:
        nonlocal upcoming, serve
        # By a loop that ends with the first, because next() takes four times as long,
        # and that would be 2 percent of a symmetric request.
        for text, proof in upcoming:
            serve(text, proof)
            return
        upcoming, serve = iter(requests), start()
        call()

    return call


def received(text: str) -> str:
    """Return an equal text that is another object."""
    return text.encode().decode()


def warm(server: ResourceServer, request: Request) -> ResourceServer:
    """Return *server* after it has served *request*."""
    server.serve(*request)
    return server


def warm_server(requests: list[Request], **options: Any) -> Callable[[], Serve]:
    """Return what starts a server that has served one request, taken from *requests*.

    :param options: of :class:`ResourceServer`.
    """
    first = requests.pop()
    return lambda: warm(ResourceServer(**options), first).serve
