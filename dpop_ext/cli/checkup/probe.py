"""Requests that show what a resource server makes of proofs (:rfc:`9449#section-7`)."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from joserfc.jwk import ECKey, Key

from dpop_ext.cli.limited_answer import ask
from dpop_ext.client.nonces import read_nonce
from dpop_ext.core.challenge import Challenge, parse_challenges
from dpop_ext.core.proof_making import make_proof
from dpop_ext.integrations.requests_client.direct import DirectSession


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What came back."""

    status: int
    fields: Mapping[str, str]
    #: When the server says it answered, by its own clock; None if it does not say.
    date: float | None
    #: Half of the time that the request took, in seconds.
    delay: float

    @property
    def challenge(self) -> Challenge | None:
        """The challenge for DPoP."""
        values = [self.fields.get("WWW-Authenticate", "")]
        found = (c for c in parse_challenges(values) if c.scheme.lower() == "dpop")
        return next(found, None)

    @property
    def error(self) -> str | None:
        """The error code of that challenge."""
        return self.challenge.get("error") if self.challenge is not None else None

    @property
    def is_accepted(self) -> bool:
        """Whether the request was served: neither refused nor lost on the way."""
        return self.error is None and self.status < 400

    @property
    def seen(self) -> str:
        """The status, with the error code if there is one."""
        return f"{self.status} {self.error}" if self.error else str(self.status)

    @property
    def nonce(self) -> str | None:
        """The nonce that it brought."""
        value = self.fields.get("DPoP-Nonce")
        return read_nonce([value]) if value is not None else None


class Probe:
    """Sends requests for one resource, to the server that clients use or to a node.

    :param resource: URL that clients call: the target of the proofs.
    :param key: of the client.
    :param clock: seconds since the epoch.
    """

    def __init__(
        self,
        resource: str,
        *,
        key: Key | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.resource = resource
        self.clock = clock
        self._key = key or ECKey.generate_key("P-256")

    def proof(
        self,
        access_token: str,
        *,
        target: str | None = None,
        nonce: str | None = None,
    ) -> str:
        """Make a proof for a GET.

        :param target: another one than the resource.
        """
        return make_proof(
            self._key,
            algorithm="ES256",
            method="GET",
            url=target or self.resource,
            now=int(self.clock()),
            access_token=access_token,
            nonce=nonce,
        )

    def send(
        self,
        *,
        access_token: str | None = None,
        proof: str | None = None,
        node: str | None = None,
        method: str = "GET",
        fields: Mapping[str, str] | None = None,
    ) -> Response:
        """Send one request.

        :param node: base URL of one server behind the proxy; None is the resource.
        :raises requests.RequestException: no answer.
        :raises ServerAnswerError: none in time.
        """
        sent = dict(fields or {})
        if access_token is not None:
            sent["Authorization"] = f"DPoP {access_token}"
        if proof is not None:
            sent["DPoP"] = proof
        url = self.resource
        if node is not None:
            parts = urlsplit(self.resource)
            sent.setdefault("Host", parts.netloc)
            url = node.rstrip("/") + (parts.path or "/")
        begun = time.monotonic()
        with DirectSession() as session:
            answer, _ = ask(session, method, url, limit=0, headers=sent)
        return Response(
            status=answer.status_code,
            fields=answer.headers,
            date=_date(answer.headers.get("Date")),
            delay=(time.monotonic() - begun) / 2,
        )


def _date(value: str | None) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(value or "").timestamp()
    except (ValueError, OverflowError):
        return None
