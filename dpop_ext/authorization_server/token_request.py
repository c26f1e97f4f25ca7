"""One token request, from the proof to the answer (RFC 9449 section 5).

The order is the design: a proof that has to be made again, for want of a nonce, must
not have cost the client its code; and what can be used once is used last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import OAuth2Error

from dpop_ext import telemetry
from dpop_ext.authorization_server.delegation import TokenExchange
from dpop_ext.authorization_server.errors import (
    Header,
    InvalidTargetError,
    nonce_fields,
)
from dpop_ext.authorization_server.http_request import (
    only_value,
    values_of,
)
from dpop_ext.authorization_server.issuance import Issuance, generate_unbound, making
from dpop_ext.authorization_server.issued_jwt import (
    check_claims,
    issued_claims,
    limit_lifetime,
)
from dpop_ext.authorization_server.key_offer import KeyOffer, read_offer
from dpop_ext.authorization_server.key_plan import KeyPlan
from dpop_ext.authorization_server.refusal import (
    log_error,
    refused,
    run_grant_validation,
)
from dpop_ext.errors import DPoPError
from dpop_ext.verified_proof import VerifiedProof

if TYPE_CHECKING:
    from dpop_ext.authorization_server.extension import DPoP

ENDPOINT = "token"


class TokenRequest:
    """Wraps three methods of a grant, which lives for one request.

    The reason for wrapping is that Authlib's hooks reach neither all grants nor the
    time before a grant looks at the request.

    :param extension: the :class:`DPoP`.
    :param grant: the grant; its methods are replaced on the instance.
    """

    _issuance: Issuance | None = None
    _next_nonce: str | None = None
    _key_jwe: str | None = None
    _is_bound = False

    def __init__(self, extension: DPoP, grant: Any) -> None:
        self._extension = extension
        self._grant = grant
        self._validate_grant: Any = grant.validate_token_request
        self._generate = grant.generate_token
        self._respond = grant.create_token_response
        grant.validate_token_request = self.validate
        grant.generate_token = self.generate
        grant.create_token_response = self.respond

    def validate(self) -> None:
        """Check everything about the request, and use the proof up at the end."""
        request = self._grant.request
        try:
            self._check()
        except DPoPError as error:
            raise refused(error, request, ENDPOINT) from error
        except OAuth2Error as error:
            log_error(request, ENDPOINT, error)
            raise
        finally:
            if self._issuance is None:
                self._let_go()

    def generate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Make the token, bound to the key of the proof."""
        issuance = self._issuance
        if issuance is None:
            # A token from the authorization endpoint: there is no proof there.
            request = self._grant.request
            return generate_unbound(request, self._generate, *args, **kwargs)
        reset = making.set(issuance)
        try:
            token: dict[str, Any] = self._generate(*args, **kwargs)
        finally:
            # In any case: after an error the thread serves somebody else's request.
            making.reset(reset)
        claims = issued_claims(issuance, token["access_token"])
        if issuance.latest is not None or issuance.claims:
            now = int(self._extension.verifier.clock())
            token = limit_lifetime(issuance, token, claims, now=now)
        if issuance.jkt is None:
            return token
        self._extension.check_lifetime(token)
        issuance.needs_columns = claims is None or "refresh_token" in token
        if claims is None:
            self._complete_opaque(issuance, token)
        else:
            check_claims(issuance, claims)
        if issuance.plan is not None and issuance.issued_key is not None:
            self._key_jwe = issuance.plan.deliver(
                access_token=token["access_token"],
                expires_at=issuance.issued_key.expires_at,
            )
        self._extension.remember_binding(
            self._grant.request,
            token,
            jkt=issuance.jkt,
            refresh_jkt=issuance.refresh_jkt,
        )
        self._is_bound = True
        return {**token, "token_type": "DPoP"}

    def respond(self) -> tuple[int, dict[str, Any], list[Header]]:
        """Save the token, then add what must not be saved."""
        request = self._grant.request
        try:
            status, body, headers = self._respond()
        except DPoPError as error:
            raise refused(error, request, ENDPOINT) from error
        except OAuth2Error as error:
            log_error(request, ENDPOINT, error)
            raise
        finally:
            self._let_go()
        issuance = self._issuance
        if status == 200 and issuance is not None and issuance.jkt is not None:
            if not self._is_bound:
                raise RuntimeError(
                    "The grant made its token without generate_token, so it is not "
                    "bound to the key of the proof."
                )
            if issuance.needs_columns and not issuance.columns_read:
                raise RuntimeError(
                    "save_token has to store dpop_columns(request) with the token, or "
                    "it would be anybody's: create_save_token_func of "
                    "dpop_ext.integrations.sqla_oauth2 does it."
                )
        if status == 200:
            telemetry.count_token(
                bound=self._is_bound, symmetric=self._key_jwe is not None
            )
        if issuance is not None and self._key_jwe is not None:
            body = {**body, "cnf": {"jkt": issuance.jkt, "jwe": self._key_jwe}}
        # Never append to Authlib's list: it belongs to every response of the process.
        headers = [*headers]
        if self._next_nonce is not None:
            headers += nonce_fields(self._next_nonce, request)
        return status, body, headers

    def _let_go(self) -> None:
        """Break the circle with the grant, which refers to this object.

        So a symmetric key is gone with its request, and not when the garbage is
        collected.
        """
        self._grant = self._validate_grant = self._generate = self._respond = None

    def _check(self) -> None:
        grant, extension = self._grant, self._extension
        request, symmetric = grant.request, extension.symmetric
        proof = extension.verify_proof(request, is_token_request=True)
        form = request.form
        verified: VerifiedProof | None = None
        jkt: str | None = None
        offer: KeyOffer | None = None
        if proof is not None:
            verified, jwk, key_request = proof
            jkt = verified.jkt
            if symmetric is not None:
                offer = read_offer(
                    verified.claims,
                    known=key_request,
                    dpop_sym=only_value(form, "dpop_sym"),
                    proof_jwk=jwk,
                    allow_hpke=symmetric.allow_hpke,
                )
        run_grant_validation(self._validate_grant)
        if request.client is None:
            raise RuntimeError(
                "validate_token_request has to authenticate the client and to set "
                "request.client: what it must use, and what of it is bound, is decided "
                "after that."
            )
        required = extension.get_policy(request).required
        extension.check_binding(grant, jkt, required=required)
        exchange: TokenExchange | None = getattr(request, "token_exchange", None)
        request.resource = (
            values_of(form, "resource") if exchange is None else exchange.targets
        )
        audience = extension.get_audience(request, request.client)
        if audience is None and exchange is not None and exchange.targets:
            raise InvalidTargetError("The client may not access this resource.")
        public = extension.is_public(grant)
        plan: KeyPlan | None = None
        if offer is not None and symmetric is not None and jkt is not None:
            plan = symmetric.decide(
                offer,
                client=request.client,
                audience=audience,
                jkt=jkt,
                public=public,
                now=int(extension.verifier.clock()),
            )
        if verified is not None:
            extension.verifier.spend(verified)
            self._next_nonce = verified.next_nonce
        issuance = Issuance(
            jkt=jkt,
            audience=audience,
            refresh_jkt=jkt if public or extension.renews_bound(request) else None,
            plan=plan,
            latest=_latest(exchange, plan),
            claims=exchange.claims if exchange is not None else {},
        )
        self._issuance = request.dpop_issuance = issuance
        request.dpop_jkt, request.audience = jkt, audience

    def _complete_opaque(self, issuance: Issuance, token: dict[str, Any]) -> None:
        if issuance.plan is None:
            return
        lifetime = token.get("expires_in")
        if not lifetime:
            raise RuntimeError("A token with a symmetric key needs a lifetime.")
        now = int(self._extension.verifier.clock())
        plan = issuance.plan
        issuance.keep_with_token(plan, now=now, expires_at=now + lifetime)


def _latest(exchange: TokenExchange | None, plan: KeyPlan | None) -> int | None:
    """Return when the token must have expired, in seconds since the epoch, if at all.

    Before what it is exchanged for, and before its key.
    """
    key = plan.latest_token if plan is not None else None
    subject = exchange.subject.expires_at if exchange is not None else None
    if subject is None or key is None:
        return key if subject is None else subject
    return min(subject, key)
