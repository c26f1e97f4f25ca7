"""``auth=`` arguments of requests: :rfc:`9449#section-7.1`, and section 5."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from requests.auth import AuthBase, HTTPBasicAuth
from requests.models import PreparedRequest

from dpop_ext.client.audience import Audience
from dpop_ext.client.exchange import Flow, Outcome
from dpop_ext.client.signer import ProofSigner
from dpop_ext.integrations.requests_client.signed_request import Exchange

ClientAuth: TypeAlias = (
    Callable[[PreparedRequest], PreparedRequest] | tuple[str, str] | None
)


class DPoPAuth(AuthBase):
    """Send a bound access token with a new proof for each attempt.

    ::

        requests.get("https://api.example/me", auth=DPoPAuth(signer, access_token))

    A redirect is signed anew on the same origin, and goes anywhere else without token
    and proof. Retries that urllib3 makes are safe.

    :param signer: made with the key that the token is bound to.
    :param access_token: as the token endpoint returned it.
    :param finish: called with the outcome of each request.
    """

    def __init__(
        self,
        signer: ProofSigner,
        access_token: str,
        *,
        finish: Callable[[Outcome], None] | None = None,
    ) -> None:
        self._signer = signer
        self._access_token = access_token
        self._finish = finish

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Sign *request*.

        :raises ValueError: its URL is plain http beyond this machine.
        """
        Exchange(request, self._begin, finish=self._finish).prepare(request)
        return request

    def _begin(self, method: str, url: str, replayable: bool) -> Flow:  # noqa: FBT001
        return self._signer.resource_request(
            method=method,
            url=url,
            access_token=self._access_token,
            replayable=replayable,
        )

    def __repr__(self) -> str:
        return f"<DPoPAuth {self._signer!r}>"


class DPoPTokenAuth(AuthBase):
    """Send a proof to the token endpoint, beside the client's own authentication.

    A proof is not client authentication (:rfc:`9449#section-3`): both are needed.

    :param signer: with the key that the token is to be bound to.
    :param client_auth: another ``auth`` of requests; a pair is HTTP Basic. It is
        applied to each attempt anew.
    :param audience: of the symmetric key to ask for; None asks for none.
    """

    def __init__(
        self,
        signer: ProofSigner,
        client_auth: ClientAuth = None,
        *,
        audience: Audience | None = None,
    ) -> None:
        if isinstance(client_auth, tuple):
            client_auth = HTTPBasicAuth(*client_auth)
        self._signer = signer
        self._authenticate = client_auth or _unauthenticated
        self._audience = audience

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Authenticate and sign *request*.

        :raises ValueError: its URL is plain http beyond this machine.
        """
        exchange = Exchange(request, self._begin, authenticate=self._authenticate)
        exchange.prepare(request)
        return request

    def _begin(self, method: str, url: str, replayable: bool) -> Flow:  # noqa: FBT001
        return self._signer.token_request(
            method=method, url=url, audience=self._audience
        )

    def __repr__(self) -> str:
        return f"<DPoPTokenAuth {self._signer!r}>"


def _unauthenticated(request: PreparedRequest) -> PreparedRequest:
    return request
