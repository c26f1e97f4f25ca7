"""What all sessions with bound tokens share: :rfc:`9449`, sections 5, 7 and 10.

The sessions themselves are those of Authlib. Here is what is said in a request, and
what is done about the response; how it travels is for the session.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from authlib.common.security import generate_token
from authlib.oauth2.rfc6749 import OAuth2Token

from dpop_ext.client.answer_limit import TOKEN_DEADLINE
from dpop_ext.client.audience import Audience
from dpop_ext.client.exchange import Outcome
from dpop_ext.client.session_bundle import SessionBundle, require_bundle
from dpop_ext.client.signer import ProofSigner
from dpop_ext.errors import DPoPError, ServerAnswerError, UnboundTokenError
from dpop_ext.integrations.discovered_session import DiscoveredSession
from dpop_ext.integrations.session_resource import Resource
from dpop_ext.log_events import log_event

#: Seconds in which a server is to say something in reply to a token request, if the
#: session has no time limit of its own.
TOKEN_TIMEOUT = 30
#: The form of a token request that cannot be granted: it has no code.
NO_GRANT = {"grant_type": "authorization_code"}

_log = logging.getLogger("dpop_ext.client")


class BoundSession(DiscoveredSession):
    """Mixed into a session of Authlib, before it."""

    #: Seconds that a request to the authorization server may take as a whole.
    token_deadline: float = TOKEN_DEADLINE

    dpop: ProofSigner
    _bundle: SessionBundle | None
    #: The PKCE verifier of the last authorization URL made without one of your own.
    code_verifier: str | None
    _resource: Resource

    def bind(
        self: Any,
        dpop: ProofSigner | None,
        resource: Resource,
        bundle: SessionBundle | None,
    ) -> None:
        """Set what the base class does not know; call it after its ``__init__``.

        :raises TypeError: the signer or the bundle is something else.
        :raises ValueError: no signer, or two signers or tokens where the bundle has
            them; a token placement other than the header; or a signer that must have
            symmetric keys and is not told issuer and resource.
        :raises UnboundTokenError: the token in the bundle is of another type.
        """
        if bundle is not None:
            require_bundle(bundle)
            if dpop is not None or self.token:
                raise ValueError("Signer and token are in the bundle.")
            dpop = bundle.signer
            if bundle.token is not None:
                self.token = OAuth2Token(dict(bundle.token))
        elif dpop is None:
            raise ValueError("A session needs a signer or a bundle: dpop=, bundle=.")
        elif not isinstance(dpop, ProofSigner):
            raise TypeError("dpop is a ProofSigner, such as ProofSigner.generate()")
        self.dpop = dpop
        self._bundle = bundle
        self.code_verifier = None
        self._resource = resource
        self._renewal = threading.RLock()
        self._renewed: str | None = None
        #: The access token that the bundle had when it was looked at last.
        self._saved: str | None = (self.token or {}).get("access_token")
        if self.token_auth.token_placement != "header":
            raise ValueError("A bound token goes into the header.")
        if resource.issuer is not None and resource.name is not None:
            if dpop.symmetric != "never":
                Audience.of(resource.issuer, resource.name, resource.bases)
        elif dpop.symmetric == "must":
            raise ValueError("A symmetric key is for one of each: issuer=, resource=.")
        if self.token and dpop.needs_symmetric_key:
            # A token of an earlier process, whose key was in memory.
            self.token = OAuth2Token({**self.token, "expires_at": 0})

    def create_authorization_url(
        self,
        url: str,
        state: str | None = None,
        code_verifier: str | None = None,
        **kwargs: Any,
    ) -> tuple[str, str]:
        """Add ``dpop_jkt``, the resource and PKCE to the authorization request."""
        if code_verifier is None and "code_challenge" not in kwargs:
            code_verifier = self.code_verifier = generate_token(48)
        kwargs.setdefault("dpop_jkt", self.dpop.jkt)
        self.set_resource(kwargs)
        made: tuple[str, str] = super().create_authorization_url(  # type: ignore[misc]
            url, state=state, code_verifier=code_verifier, **kwargs
        )
        return made

    def token_from_fragment(
        self, authorization_response: str, state: str | None = None
    ) -> OAuth2Token:
        """Refuse a token from the authorization endpoint: no proof was sent there.

        :raises UnboundTokenError: always.
        """
        raise UnboundTokenError

    def token_request_options(self) -> dict[str, Any]:
        """Return how the HTTP library sends token requests, unless told otherwise."""
        raise NotImplementedError

    def endpoint_options(self) -> dict[str, Any]:
        """Return how requests to the other endpoints are sent, which have no proof."""
        raise NotImplementedError

    def revoke_token(self: Any, url: str, *args: Any, **kwargs: Any) -> Any:
        """End a token (:rfc:`7009`); no redirect takes it elsewhere.

        :raises ServerAnswerError: the answer is compressed, has more than 128 KiB, or
            does not come in ``token_deadline`` seconds.
        """
        options = self.endpoint_options() | kwargs
        return super().revoke_token(url, *args, **options)  # type: ignore[misc]

    def introspect_token(self: Any, url: str, *args: Any, **kwargs: Any) -> Any:
        """Ask about a token (:rfc:`7662`); errors as of :meth:`revoke_token`."""
        options = self.endpoint_options() | kwargs
        return super().introspect_token(url, *args, **options)  # type: ignore[misc]

    def set_resource(self, kwargs: dict[str, Any]) -> None:
        """Name the resource in a request that names none."""
        if self._resource.name is not None:
            kwargs.setdefault("resource", self._resource.name)

    def require_token_endpoint(self: Any, url: str | None) -> None:
        """Refuse a token request that goes nowhere.

        :raises ValueError: neither *url* nor the session says where to.
        """
        if not url and not self.metadata.get("token_endpoint"):
            raise ValueError("A token request needs token_endpoint= of the session.")

    def set_code_verifier(self, kwargs: dict[str, Any]) -> None:
        """Send the PKCE verifier along with a code."""
        if "code" in kwargs or "authorization_response" in kwargs:
            kwargs.setdefault("code_verifier", self.code_verifier)

    def parse_response_token(self: Any, resp: Any) -> OAuth2Token:
        """Read the answer to a token request.

        :raises ServerAnswerError: it is nested so deeply that no parser reads it, or
            its times are none.
        """
        try:
            token: OAuth2Token = super().parse_response_token(resp)  # type: ignore[misc]
        except RecursionError as error:
            raise ServerAnswerError("The answer is nested too deeply.") from error
        return token

    def accept(self: Any, token: OAuth2Token) -> OAuth2Token:
        """Keep a token only if it has the symmetric key that the signer must have.

        And no longer than that key, if the signer has no other proofs.

        :raises KeyDeliveryError: a key came, but was not accepted.
        :raises SymmetricUnavailableError: no key came.
        """
        try:
            self.dpop.require_symmetric_key(token)
        except DPoPError:
            # The access token is given up; the refresh token is new, and may be the
            # only good one. Expired, so that the next request starts with a refresh.
            kept = {**token, "expires_at": 0}
            del kept["access_token"]
            renewable = "refresh_token" in kept
            self.token_auth.token = OAuth2Token(kept) if renewable else None
            raise
        end = self.dpop.key_expires_at(token["access_token"])
        if self.dpop.needs_symmetric_key and end is not None:
            # Without its key the token is of no use, and nothing would be refused.
            known = token.get("expires_at")
            token["expires_at"] = end if known is None else min(end, known)
        return token

    def adopt(self: Any) -> None:
        """Use the token that another process got meanwhile, if one did.

        :raises BundleError: the bundle is gone, or that of another key.
        """
        saved = self._bundle.read_token()
        # Not if nobody has replaced it: it may be that the newest could not be saved.
        if saved is not None and saved.get("access_token") != self._saved:
            self.token = OAuth2Token(dict(saved))
            self._saved = saved.get("access_token")

    def is_to_be_saved(self: Any, before: OAuth2Token | None) -> bool:
        """Tell whether a token request has brought a token that is kept in a bundle.

        It may have, and fail all the same: in the ``update_token`` of the application.
        The refresh token in the bundle is spent then.

        :param before: the token that the session had.
        """
        token = self.token
        return self._bundle is not None and bool(token) and token is not before

    def save_token(self: Any) -> None:
        """Save the token of the session; under the lock of the bundle."""
        self._bundle.save(self.token)
        self._saved = self.token["access_token"]

    def react(
        self: Any, access_token: str, outcome: Outcome, renew: Callable[[], object]
    ) -> None:
        """Call *renew* if the outcome of a request asks for another token.

        Requests that were under way at the same time say the same; one is heard.
        """
        if not outcome.refresh_due:
            return
        with self._renewal:
            if self._renewed == access_token:
                return
            self._renewed = access_token
        renew()


def log_unsaved(error: Exception) -> None:
    """Say that nonces and clock skew were not saved, which costs a refusal or two."""
    log_event(
        _log,
        logging.WARNING,
        "bundle_not_saved",
        "nonces and clock skew were not saved: %s",
        type(error).__name__,
        cause=type(error).__name__,
    )


def log_failed_renewal(error: Exception) -> None:
    """Say that a token in the background was not to be had. The present one works.

    The class alone is logged: the text can be the server's.
    """
    log_event(
        _log,
        logging.WARNING,
        "renewal_failed",
        "refresh after a stale key failed: %s",
        type(error).__name__,
        cause=type(error).__name__,
    )
