"""What the operator chose, checked once, and nothing that a request can change."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy.engine import make_url

from demo_server.option_values import (
    SettingsError,
    check_database,
    check_origin,
    check_public_url,
    check_redis,
    check_url,
)
from dpop_ext.core import ml_dsa
from dpop_ext.core.ml_dsa import ML_DSA
from dpop_ext.core.policy import FAPI2, RFC9449, ProofPolicy
from dpop_ext.symmetric import hpke
from dpop_ext.symmetric.delivery import KEY_ALGORITHMS, OPTIONAL_KEY_ALGORITHMS

#: Every option is also an environment variable with this prefix.
ENVIRONMENT_PREFIX = "DPOP_DEMO_"

#: The longest access token, in seconds. A derivation secret is good for as much longer
#: than keys are issued with it, which is a day.
MAX_ACCESS_TOKEN_LIFETIME = 43_200

#: Worker processes of one server, at most.
MAX_WORKERS = 64

#: The longest proof with ML-DSA, in characters: room for ML-DSA-87 and, in the proof,
#: for the key that a symmetric key is delivered to.
ML_DSA_LENGTH = 14_336

DEFAULT_DATABASE = "sqlite:///dpop-demo.sqlite3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options of the command line; both servers get the same.

    :param as_port: TCP port of the authorization server; 0 is any free one.
    :param rs_port: TCP port of the resource server; 0 is any free one.
    :param client_port: TCP port of the page that is a client of both; 0 is any free
        one, None has no such page.
    :param issuer: public base URL of the authorization server, its issuer
        identifier; derived from ``as_port`` when absent.
    :param resource: public base URL of the resource server, the audience of its
        tokens; derived from ``rs_port`` when absent.
    :param profile: what clients must do beyond :rfc:`9449`.
    :param nonce: whether proofs must carry a nonce of the server.
    :param database: SQLAlchemy URL, of the authorization server alone.
    :param keys: directory of the private key files of the authorization server.
    :param rs_keys: directory of those of the resource server.
    :param clients: JSON file with further clients.
    :param access_token_lifetime: in seconds.
    :param bearer: whether the resource server also takes unbound Bearer tokens.
    :param symmetric: whether keys for symmetric proofs are issued and accepted.
    :param tickets: whether the resource server gives symmetric keys of its own, unless
        symmetric proofs are off altogether.
    :param symmetric_model: whether the resource server derives these keys from secrets
        that it shares with the issuer, or decrypts them.
    :param post_quantum: whether proofs with ML-DSA are accepted, and symmetric keys
        delivered to keys of ML-KEM-768 with X25519.
    :param workers: worker processes of each server.
    :param redis: URL of a Redis for used proofs and pushed requests; None keeps them
        in the database and in SQLite files beside it, which one machine can share.
    :param tls_cert: certificate chain of both servers, in PEM; None for plain HTTP.
    :param tls_key: its private key, in PEM.
    :param introspection_endpoint: where the resource server checks tokens, if it
        does not verify them as JWTs itself. FAPI has it ask the issuer.
    :param cors_origins: whose scripts may use the servers: scheme, host and port, as
        browsers send them, separated by commas.
    :param log_level: name of the least severe level that is logged.
    """

    as_port: int = 9000
    rs_port: int = 9001
    client_port: int | None = None
    issuer: str | None = None
    resource: str | None = None
    profile: Literal["rfc9449", "fapi2"] = "rfc9449"
    nonce: Literal["off", "required"] = "required"
    database: str = DEFAULT_DATABASE
    keys: Path | None = None
    rs_keys: Path | None = None
    clients: Path | None = None
    access_token_lifetime: int = 300
    bearer: bool = False
    symmetric: Literal["on", "off"] = "on"
    tickets: Literal["on", "off"] = "on"
    symmetric_model: Literal["derived", "encapsulated"] = "derived"
    post_quantum: Literal["on", "off"] = "off"
    workers: int = 2
    redis: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    introspection_endpoint: str | None = None
    cors_origins: str = ""
    log_level: str = "info"

    def __post_init__(self) -> None:
        self._check_ports()
        for option, url in ("--issuer", self.issuer), ("--resource", self.resource):
            check_public_url(option, url, tls=self.tls_cert is not None)
        if (self.tls_cert is None) != (self.tls_key is None):
            raise SettingsError("--tls-cert", "needs --tls-key, and the other way")
        if self.introspection_endpoint is not None:
            check_url("--introspection-endpoint", self.introspection_endpoint)
        if not 1 <= self.access_token_lifetime <= MAX_ACCESS_TOKEN_LIFETIME:
            raise SettingsError(
                "--access-token-lifetime",
                f"must be 1 to {MAX_ACCESS_TOKEN_LIFETIME} seconds",
            )
        self._check_profile()
        if not 1 <= self.workers <= MAX_WORKERS:
            raise SettingsError("--workers", f"must be 1 to {MAX_WORKERS} processes")
        if self.redis is not None:
            check_redis(self.redis)
        for origin in self.script_origins:
            check_origin("--cors-origins", origin)
        check_database(self.database)

    def _check_ports(self) -> None:
        taken: set[int] = set()
        for option, port in (
            ("--as-port", self.as_port),
            ("--rs-port", self.rs_port),
            ("--client-port", self.client_port),
        ):
            if not 0 <= (port or 0) <= 65_535:
                raise SettingsError(option, "a port is a number from 0 to 65535")
            if port in taken:
                raise SettingsError(option, "the servers need different ports")
            if port:
                taken.add(port)

    def _check_profile(self) -> None:
        if self.bearer and self.profile == "fapi2":
            raise SettingsError("--bearer", "FAPI forbids unbound tokens")
        if self.client_port is not None and self.profile == "fapi2":
            raise SettingsError("--client-port", "FAPI has no clients in a browser")
        if self.post_quantum == "off":
            return
        if self.profile == "fapi2":
            raise SettingsError("--post-quantum", "FAPI allows other algorithms only")
        if not (ml_dsa.is_supported() and hpke.is_supported()):
            raise SettingsError("--post-quantum", "needs cryptography 50 or newer")

    @property
    def script_origins(self) -> tuple[str, ...]:
        """Whose scripts may use the servers, one by one."""
        own = self.client_url
        return (*filter(None, self.cors_origins.split(",")), *([own] if own else []))

    @property
    def policy(self) -> ProofPolicy:
        """The rules for proofs."""
        policy = FAPI2 if self.profile == "fapi2" else RFC9449
        if self.post_quantum == "off":
            return policy
        return dataclasses.replace(
            policy,
            algorithms=(*policy.algorithms, *ML_DSA),
            max_ml_dsa_length=ML_DSA_LENGTH,
        )

    @property
    def derives_keys(self) -> bool:
        """Whether keys are derived from secrets that both servers know."""
        return self.symmetric == "on" and self.symmetric_model == "derived"

    @property
    def encapsulates_keys(self) -> bool:
        """Whether keys are encrypted for the resource server."""
        return self.symmetric == "on" and self.symmetric_model == "encapsulated"

    @property
    def key_algorithms(self) -> tuple[str, ...]:
        """How symmetric keys are encrypted for clients."""
        if self.post_quantum == "off":
            return KEY_ALGORITHMS
        return (*KEY_ALGORITHMS, *OPTIONAL_KEY_ALGORITHMS)

    @property
    def issuer_url(self) -> str:
        """The issuer identifier, once the port is known."""
        return self.issuer or self.local_url(self.as_port)

    @property
    def resource_url(self) -> str:
        """The audience of the resource server, once the port is known."""
        return self.resource or self.local_url(self.rs_port)

    @property
    def client_url(self) -> str | None:
        """The origin of the page, once the port is known; None if there is none."""
        return None if self.client_port is None else self.local_url(self.client_port)

    @property
    def introspection_url(self) -> str | None:
        """Where the resource server asks about tokens; None if it need not ask.

        With FAPI it must see that a token was revoked (section 5.3.4), which a JWT
        does not tell.
        """
        if self.introspection_endpoint is None and self.profile == "fapi2":
            return f"{self.issuer_url}/introspect"
        return self.introspection_endpoint

    @property
    def gives_tickets(self) -> bool:
        """Whether the resource server gives and takes tickets."""
        return self.symmetric == "on" and self.tickets == "on"

    def local_url(self, port: int) -> str:
        """Return the base URL of the server that listens at *port*."""
        scheme = "http" if self.tls_cert is None else "https"
        return f"{scheme}://127.0.0.1:{port}"

    @property
    def keys_directory(self) -> Path:
        """Where the key files are: beside an SQLite file, else where we run."""
        return self.keys or self._beside_database(".keys")

    @property
    def rs_keys_directory(self) -> Path:
        """Where those of the resource server are, which shares no file with the other.

        Beside an SQLite file too, for a demo that leaves everything in one place.
        """
        return self.rs_keys or self._beside_database(".rs.keys")

    def _beside_database(self, suffix: str) -> Path:
        url = make_url(self.database)
        if url.get_backend_name() == "sqlite" and url.database:
            return Path(url.database).with_suffix(suffix)
        return Path("dpop-demo").with_suffix(suffix)

    def to_environment(self) -> dict[str, str]:
        """The same options as environment variables, for another process."""
        values: dict[str, str] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None:
                text = ("off", "on")[value] if isinstance(value, bool) else str(value)
                values[ENVIRONMENT_PREFIX + field.name.upper()] = text
        return values
