"""DPoPTokenValidator and RejectBoundTokens, also under Authlib's own protector."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
from authlib.oauth2 import OAuth2Error
from authlib.oauth2 import ResourceProtector as AuthlibProtector
from authlib.oauth2.rfc6749 import JsonRequest, MissingAuthorizationError
from authlib.oauth2.rfc6750 import (
    BearerTokenValidator,
    InsufficientScopeError,
    InvalidTokenError,
)
from authlib.oauth2.rfc7662 import IntrospectTokenValidator
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc.jwk import KeySet

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.challenge import parse_challenges
from dpop_ext.core.confirmation import AccessToken, Confirmation
from dpop_ext.errors import AccessTokenError, StoreError
from dpop_ext.resource_server import (
    AccessTokenValidator,
    DPoPTokenValidator,
    RejectBoundTokens,
)
from dpop_ext.resource_server.oauth2_error import RefusedRequestError
from dpop_ext.resource_server.refusal import AccessRefusedError
from dpop_ext.verifier import ProofVerifier
from tests.resource_server.world import AUDIENCE, CLIENT, ISSUER, R, World

URL = AUDIENCE + "/accounts"


@dataclass
class Row:
    """A row of the application's table of tokens."""

    dpop_jkt: str | None
    dpop_dsk: Any = None
    client_id: str = CLIENT
    scope: str = "accounts"
    issued_at: int = 1_790_000_000
    expires_in: int = 300
    token_type: str = "DPoP"
    revoked: bool = False

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return self.revoked

    def get_scope(self) -> str:
        return self.scope


class Rows(BearerTokenValidator):
    """What applications write today."""

    def __init__(self, **rows: Any) -> None:
        super().__init__()
        self.rows = rows

    def authenticate_token(self, token_string: str) -> Any:
        return self.rows.get(token_string)


class StrictRows(RejectBoundTokens, Rows):
    pass


def ask(
    world: World,
    inner: Any,
    *,
    token: str = "opaque",
    proof: str | None = None,
    scopes: Any = None,
    uri: str = URL,
    **kwargs: Any,
) -> tuple[Any, Any]:
    """Ask Authlib's own protector; return the token and the request."""
    protector = AuthlibProtector()
    protector.register_token_validator(DPoPTokenValidator(inner, world.verifier))
    headers = {"Authorization": f"DPoP {token}", "dpop": proof or world.proof(token)}
    request = JsonRequest("GET", uri, headers)
    return protector.validate_request(scopes, request, **kwargs), request


def refusal(error: OAuth2Error) -> tuple[int, str | None]:
    """Return the status, and the error in the one challenge, which is for DPoP."""
    values = [v for n, v in error.get_headers() if n == "WWW-Authenticate"]
    (challenge,) = parse_challenges(values)
    assert challenge.scheme == "DPoP"
    assert challenge.get("algs")
    return error.status_code, challenge.get("error")


@pytest.mark.requirement("P-2", "B-1")
def test_a_row_with_the_key_of_the_proof_is_accepted(world: World) -> None:
    row = Row(world.jkt)
    token, request = ask(world, Rows(opaque=row), scopes=["accounts"])
    assert token is row
    assert request.dpop_proof.kind == "asymmetric"


@pytest.mark.requirement("B-2", "B-8", "P-7", "P-16")
@pytest.mark.parametrize(
    "row",
    [
        None,
        Row(None),
        Row(None, token_type="Bearer"),
        Row("a" * 43),
        Row("x"),
        Row(""),
        Row("JKT", revoked=True),
        Row("JKT", dpop_dsk="not json"),
        Row("JKT", dpop_dsk='{"alg": "none"}'),
    ],
)
def test_any_other_row_is_invalid_token(world: World, row: Row | None) -> None:
    if row is not None and row.dpop_jkt == "JKT":
        row.dpop_jkt = world.jkt
    with pytest.raises(RefusedRequestError) as info:
        ask(world, Rows(opaque=row))
    assert refusal(info.value) == (401, "invalid_token")


@pytest.mark.requirement("P-3", "J-14")
def test_the_scope_is_looked_at_after_the_proof_and_before_it_is_spent(
    world: World,
) -> None:
    calls: list[Any] = []

    class Recording(Rows):
        def validate_token(self, token: Any, scopes: Any, request: Any) -> None:
            calls.append((scopes, len(world.store)))
            super().validate_token(token, scopes, request)

    row = Row(world.jkt)
    with pytest.raises(RefusedRequestError) as info:
        ask(world, Recording(opaque=row), scopes=["admin"])
    assert refusal(info.value) == (403, "insufficient_scope")
    assert calls == [(None, 0), (["admin"], 0)]
    assert len(world.store) == 0
    calls.clear()
    with pytest.raises(RefusedRequestError) as info:
        ask(
            world,
            Recording(opaque=row),
            scopes=["admin"],
            proof=world.proof("opaque", key=world.other_key),
        )
    assert refusal(info.value) == (401, "invalid_token")
    assert calls == [(None, 0)]


def test_a_validator_with_a_scope_of_its_own_answers_after_the_proof(
    world: World,
) -> None:
    class Own(Rows):
        def validate_token(self, token: Any, scopes: Any, request: Any) -> None:
            raise InsufficientScopeError

    inner = Own(opaque=Row(world.jkt))
    with pytest.raises(RefusedRequestError) as info:
        ask(world, inner, proof=world.proof("opaque", key=world.other_key))
    assert refusal(info.value) == (401, "invalid_token")
    with pytest.raises(RefusedRequestError) as info:
        ask(world, inner)
    assert refusal(info.value) == (403, "insufficient_scope")


class Jwts(JWTBearerTokenValidator):
    """Authlib's validator of RFC 9068 tokens, which knows the real time only."""

    def __init__(self, world: World) -> None:
        super().__init__(issuer=ISSUER, resource_server=AUDIENCE)
        self.world = world

    def get_jwks(self) -> Any:
        return KeySet([self.world.issuer_key])


@pytest.mark.requirement("P-2", "B-1")
def test_authlibs_jwt_validator_works_as_inner_validator(world: World) -> None:
    text = world.token(exp=4_000_000_000, iat=1_700_000_000, groups=["a"])
    token, _ = ask(world, Jwts(world), token=text, scopes=["accounts"], groups=["a"])
    assert token["client_id"] == CLIENT
    with pytest.raises(RefusedRequestError) as info:
        ask(world, Jwts(world), token=text, groups=["b"])
    assert refusal(info.value) == (401, "invalid_token")


@pytest.mark.requirement("P-17", "P-16")
@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"aud": "https://other.example"},
        {"header": {"crit": None}},
        {"header": {"typ": "JWT"}},
        {"cnf": {"x5t#S256": "x"}},
        {"cnf": None},
    ],
)
def test_what_authlibs_jwt_validator_raises_is_a_dpop_challenge(
    world: World, changes: dict[str, Any]
) -> None:
    text = world.token(**({"exp": 4_000_000_000, "iat": 1_700_000_000} | changes))
    with pytest.raises(RefusedRequestError) as info:
        ask(world, Jwts(world), token=text)
    assert refusal(info.value) == (401, "invalid_token")


class Introspect(IntrospectTokenValidator):
    """Authlib's introspecting validator, with the answer that it got."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer

    def introspect_token(self, token_string: str) -> Any:
        return self.answer


@pytest.mark.requirement("B-7", "B-8")
def test_authlibs_introspection_works_as_inner_validator(world: World) -> None:
    answer = {"active": True, "cnf": {"jkt": world.jkt}, "scope": "a", "aud": ["x"]}
    token, _ = ask(world, Introspect(answer), scopes=["a"])
    assert token is answer
    bad_answers: list[Any] = [
        {"active": False},
        {},
        {"active": True},
        {"active": True, "token_type": "DPoP"},
        {"active": True, "cnf": {"jkt": "x"}},
        None,
        [],
    ]
    for bad in bad_answers:
        with pytest.raises(RefusedRequestError) as info:
            ask(world, Introspect(bad))
        assert refusal(info.value) == (401, "invalid_token")


class Raising(Rows):
    """A validator that raises, at one of three places."""

    def __init__(self, place: str, error: Exception) -> None:
        super().__init__()
        self.place, self.error = place, error

    def validate_request(self, request: Any) -> None:
        if self.place == "request":
            raise self.error

    def authenticate_token(self, token_string: str) -> Any:
        if self.place == "authenticate":
            raise self.error
        return Row("x")

    def validate_token(self, token: Any, scopes: Any, request: Any) -> None:
        raise self.error


class StepUpError(OAuth2Error):
    error = "insufficient_user_authentication"
    status_code = 401


class OddError(OAuth2Error):
    error = 'a "quoted" code'
    status_code = 200


@pytest.mark.requirement("P-17", "P-9")
@pytest.mark.parametrize("place", ["request", "authenticate", "validate"])
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (InvalidTokenError(), (401, "invalid_token")),
        (AccessTokenError(), (401, "invalid_token")),
        (TypeError("x"), (401, "invalid_token")),
        (RecursionError(), (401, "invalid_token")),
        (StepUpError(), (401, "insufficient_user_authentication")),
        (OddError(), (401, "invalid_token")),
    ],
)
def test_whatever_a_validator_raises_is_a_dpop_challenge(
    world: World, place: str, error: Exception, expected: tuple[int, str]
) -> None:
    with pytest.raises(RefusedRequestError) as info:
        ask(world, Raising(place, error))
    assert refusal(info.value) == expected


@pytest.mark.requirement("X-15")
def test_a_validator_whose_store_is_down_gives_503(world: World) -> None:
    with pytest.raises(RefusedRequestError) as info:
        ask(world, Raising("authenticate", StoreError()))
    assert info.value.status_code == 503
    assert ("Retry-After", "5") in info.value.get_headers()


def test_the_accessor_can_be_overridden(world: World) -> None:
    class Mine(DPoPTokenValidator):
        def get_confirmation(self, token: Any) -> Confirmation | None:
            return Confirmation(jkt=token["key"], dsk=None)

    inner = Introspect({"active": True, "key": world.jkt})
    protector = AuthlibProtector()
    protector.register_token_validator(Mine(inner, world.verifier))
    headers = {"Authorization": "DPoP opaque", "DPoP": world.proof("opaque")}
    assert protector.validate_request(None, JsonRequest("GET", URL, headers))


@pytest.mark.parametrize("place", ["request", "token", "confirmation", "access token"])
def test_what_overrides_a_step_is_asked_of_our_own_tokens_too(
    world: World, place: str
) -> None:
    """Else such a token skips the steps that have nothing to do for it."""

    class Inner(AccessTokenValidator):
        pass

    class Outer(DPoPTokenValidator):
        pass

    def refuse(*_: Any, **__: Any) -> Any:
        raise AccessTokenError

    def headers() -> dict[str, str]:
        token = world.token()
        return {"Authorization": f"DPoP {token}", "DPoP": world.proof(token)}

    def serve() -> Any:
        inner = Inner(ISSUER, AUDIENCE, jwks=jwks, clock=world.clock)
        protector = AuthlibProtector()
        protector.register_token_validator(Outer(inner, world.verifier))
        return protector.validate_request(
            ["accounts"], JsonRequest("GET", URL, headers())
        )

    jwks = KeySet([world.issuer_key]).as_dict(private=False)
    assert isinstance(serve(), AccessToken)
    kind, name = {
        "request": (Inner, "validate_request"),
        "token": (Inner, "validate_token"),
        "confirmation": (Outer, "get_confirmation"),
        "access token": (Outer, "get_access_token"),
    }[place]
    setattr(kind, name, refuse)
    with pytest.raises(RefusedRequestError) as info:
        serve()
    assert refusal(info.value) == (401, "invalid_token")


@pytest.mark.requirement("B-1")
def test_a_token_that_does_not_tell_whether_it_is_bound_is_refused(
    world: World,
) -> None:
    class Unknown:
        def is_expired(self) -> bool:
            return False

        is_revoked = is_expired

        def get_scope(self) -> str:
            return ""

    with pytest.raises(RefusedRequestError) as info:
        ask(world, Rows(opaque=Unknown()))
    assert refusal(info.value) == (401, "invalid_token")


def test_a_token_may_have_a_method_that_tells(world: World) -> None:
    class Telling(Row):
        found: Any = None

        def get_confirmation(self) -> Any:
            return self.found

    token = Telling(None, token_type="Bearer")
    for token.found in (
        {"jkt": world.jkt},
        Confirmation(jkt=world.jkt, dsk=None),
    ):
        assert ask(world, Rows(opaque=token))[0] is token
    token.found = None
    with pytest.raises(RefusedRequestError):
        ask(world, Rows(opaque=token))


def test_no_newer_secrets_are_asked_for_with_a_token_that_has_ended(
    world: World,
) -> None:
    """The keyring asks this first; an Authlib validator finds such a token, too."""

    class Expired(Rows):
        def validate_token(self, token: Any, scopes: Any, request: Any) -> None:
            raise InvalidTokenError

    row = Row(world.jkt)
    validator = DPoPTokenValidator(Rows(opaque=row), world.verifier)
    validator.verify_token(None, "opaque")
    expired = DPoPTokenValidator(Expired(opaque=row), world.verifier)
    for refusing, text in [(validator, "unknown"), (expired, "opaque")]:
        with pytest.raises(AccessRefusedError) as info:
            refusing.verify_token(None, text)
        assert info.value.refusal.error == "invalid_token"


@pytest.mark.requirement("C-9", "N-6", "P-8")
def test_under_authlibs_protector_the_url_of_the_framework_is_used(
    world: World,
) -> None:
    inner = Rows(opaque=Row(world.jkt))
    proof = world.proof("opaque", url=AUDIENCE + "/caf%C3%A9")
    assert ask(world, inner, proof=proof, uri=AUDIENCE + "/caf\xe9?a=b")[0]
    proof = world.proof("opaque", url=AUDIENCE + "/a%2Fb")
    with pytest.raises(RefusedRequestError) as info:
        ask(world, inner, proof=proof, uri=AUDIENCE + "/a/b")
    assert refusal(info.value) == (401, "invalid_dpop_proof")
    with pytest.raises(RefusedRequestError) as info:
        ask(world, inner, uri=URL + "?access_token=x")
    assert refusal(info.value) == (400, "invalid_request")


@pytest.mark.requirement("D-7", "C-1")
def test_under_authlibs_protector_joined_fields_are_refused(world: World) -> None:
    protector = AuthlibProtector()
    inner = Rows(opaque=Row(world.jkt))
    protector.register_token_validator(DPoPTokenValidator(inner, world.verifier))
    proof = world.proof("opaque")
    for headers, expected in [
        (
            {"Authorization": "DPoP opaque,Bearer x", "DPoP": proof},
            (400, "invalid_request"),
        ),
        ({"Authorization": "DPoP opaque"}, (401, "invalid_dpop_proof")),
        (
            {"Authorization": "DPoP opaque", "DPoP": f"{proof},{proof}"},
            (401, "invalid_dpop_proof"),
        ),
    ]:
        with pytest.raises(RefusedRequestError) as info:
            protector.validate_request(None, JsonRequest("GET", URL, headers))
        assert refusal(info.value) == expected


@pytest.mark.requirement("P-3", "R1509")
def test_no_call_of_the_three_can_be_left_out(world: World) -> None:
    validator = DPoPTokenValidator(Rows(opaque=Row(world.jkt)), world.verifier)
    headers = {"Authorization": "DPoP opaque", "DPoP": world.proof("opaque")}
    request = JsonRequest("GET", URL, headers)
    token = validator.authenticate_token("opaque")
    with pytest.raises(RefusedRequestError):
        validator.validate_token(token, None, request)
    bearer = JsonRequest("GET", URL, {"Authorization": "Bearer opaque"})
    validator.validate_request(bearer)
    with pytest.raises(RefusedRequestError):
        validator.validate_token(token, None, bearer)


@pytest.mark.requirement("D-5")
def test_no_credentials_are_told_apart_from_bad_ones(world: World) -> None:
    validator = DPoPTokenValidator(Rows(), world.verifier)
    with pytest.raises(MissingAuthorizationError) as info:
        validator.validate_request(JsonRequest("GET", URL, {}))
    assert refusal(info.value) == (401, None)
    assert info.value.get_body() == []
    with pytest.raises(RefusedRequestError) as other:
        validator.validate_request(JsonRequest("GET", URL, {"Authorization": ""}))
    assert not isinstance(other.value, MissingAuthorizationError)


@pytest.mark.requirement("G-1", "J-3", "P-12")
@pytest.mark.parametrize(
    "option",
    [
        {"public_url": "http://api.example.com"},
        {"public_url": "https://user@api.example.com"},
        {"public_url": "api.example.com"},
        {"resource_metadata": "http://api.example.com/x"},
        {"resource_metadata": "/.well-known/oauth-protected-resource"},
        {"resource_metadata": 'https://api.example.com/"'},
        {"realm": 'a "realm"'},
        {"realm": "caf\xe9"},
        {"realm": "a\r\nb"},
    ],
)
def test_what_cannot_be_right_is_refused_at_construction(
    world: World, option: dict[str, Any]
) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of three kinds
        DPoPTokenValidator(Rows(), world.verifier, **option)


# --- Bearer validators


def bearer(validator: Any, token: str = "opaque", scopes: Any = None) -> Any:
    protector = AuthlibProtector()
    protector.register_token_validator(validator)
    headers = {"Authorization": f"Bearer {token}"}
    return protector.validate_request(scopes, JsonRequest("GET", URL, headers))


@pytest.mark.requirement("D-3", "D-1")
def test_a_stock_bearer_validator_takes_bound_tokens_and_the_mixin_does_not(
    world: World,
) -> None:
    bound = Row(world.jkt)
    assert bearer(Rows(opaque=bound)) is bound
    with pytest.raises(InvalidTokenError):
        bearer(StrictRows(opaque=bound))
    unbound = Row(None, token_type="Bearer")
    assert bearer(StrictRows(opaque=unbound), scopes=["accounts"]) is unbound


@pytest.mark.requirement("D-3", "D-1")
def test_the_mixin_works_with_authlibs_jwt_validator(world: World) -> None:
    class StrictJwts(RejectBoundTokens, Jwts):
        pass

    times: dict[str, Any] = {"exp": 4_000_000_000, "iat": 1_700_000_000}
    assert bearer(Jwts(world), world.token(**times))
    with pytest.raises(InvalidTokenError):
        bearer(StrictJwts(world), world.token(**times))
    assert bearer(StrictJwts(world), world.unbound_token(**times))
    with pytest.raises(InsufficientScopeError):
        bearer(StrictJwts(world), world.unbound_token(**times), scopes=["admin"])


@pytest.mark.requirement("B-1", "D-3")
@pytest.mark.parametrize(
    "token",
    [None, Row(None), Row("x"), object(), {"cnf": None}, {"token_type": "DPoP"}],
)
def test_the_mixin_refuses_what_may_be_bound(token: Any) -> None:
    with pytest.raises(InvalidTokenError):
        bearer(StrictRows(opaque=token))


@pytest.mark.requirement("D-3", "P-17", "X-15")
def test_the_mixin_makes_a_bearer_validator_of_ours(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Strict(RejectBoundTokens, AccessTokenValidator):
        pass

    jwks = {"keys": [world.issuer_key.as_dict(private=False)]}
    validator = Strict(ISSUER, AUDIENCE, jwks=jwks, clock=world.clock)
    token = bearer(validator, world.unbound_token(), ["accounts"])
    assert isinstance(token, AccessToken)
    with pytest.raises(InsufficientScopeError):
        bearer(validator, world.unbound_token(), ["admin"])
    for bad in (world.token(), "garbage"):
        with pytest.raises(InvalidTokenError):
            bearer(validator, bad)

    def down(*args: Any, **kwargs: Any) -> Any:
        raise StoreError

    monkeypatch.setattr(validator._signature, "verify", down)
    with pytest.raises(OAuth2Error) as info:
        bearer(validator, world.unbound_token())
    assert info.value.status_code == 503


def test_rows_with_a_symmetric_key_work(world: World) -> None:
    world = replace(world, symmetric=True)
    world._verifier = ProofVerifier(
        world.store,
        keyring=world.keyring,
        issuer=ISSUER,
        audience=AUDIENCE,
        token_form="opaque",
        clock=world.clock,
    )
    dsk = {
        "alg": "HS256",
        "v": 7,
        "r": b64url_encode(R),
        "exp": world.clock.now + 300,
        "aud": AUDIENCE,
    }
    row = Row(world.jkt, dpop_dsk=dsk)
    _, request = ask(world, Rows(opaque=row), proof=world.symmetric_proof("opaque"))
    assert request.dpop_proof.kind == "symmetric"
    row.dpop_dsk = json.dumps(dsk)
    assert ask(world, Rows(opaque=row), proof=world.symmetric_proof("opaque"))
    row.dpop_dsk = dsk | {"aud": "https://other.example"}
    with pytest.raises(RefusedRequestError) as info:
        ask(world, Rows(opaque=row), proof=world.symmetric_proof("opaque"))
    assert refusal(info.value) == (401, "invalid_token")


@pytest.mark.parametrize("name", ["inner", "verifier", "public_url"])
def test_what_requests_are_checked_with_cannot_be_replaced(
    world: World, name: str
) -> None:
    """Some of it is prepared, and would go on with what was there before."""
    validator = DPoPTokenValidator(Rows(), world.verifier)
    with pytest.raises(AttributeError):
        setattr(validator, name, None)
