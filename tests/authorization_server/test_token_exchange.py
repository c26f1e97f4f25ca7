"""Token exchange: what may be exchanged by whom, and what comes of it."""

from __future__ import annotations

from typing import Any

import pytest
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator

from dpop_ext.authorization_server import SymmetricKeys, TokenExchangeGrant
from dpop_ext.core.confirmation import Confirmation
from dpop_ext.symmetric.proof import make_symmetric_proof
from tests.authorization_server.simulator import (
    ACCESS_TOKEN,
    AUDIENCE,
    ISSUER,
    TOKEN_EXCHANGE,
    Client,
)
from tests.authorization_server.symmetric_parts import Secrets, ask, unwrap
from tests.authorization_server.test_every_grant import error_of

EXCHANGE = {"grant_type": TOKEN_EXCHANGE}
OTHER = "https://b.example"
NAMED = {"may_act": {"sub": "rs"}}
TYPE = "urn:ietf:params:oauth:token-type:"


@pytest.fixture(params=["opaque", "jwt"])
def sim(make_sim: Any, request: Any) -> Any:
    return make_sim(form=request.param)


@pytest.fixture
def form(sim: Any) -> dict[str, str]:
    """A request to exchange a token of one's own that is bound to no key."""
    subject: dict[str, str] = sim.subject(sim.add_token(scope="a b"))
    return EXCHANGE | subject


def offer(sim: Any, **values: Any) -> dict[str, str]:
    """The form of a request to exchange a token of the confidential client."""
    subject: dict[str, str] = sim.subject(sim.add_token(**values))
    return EXCHANGE | subject


def act(sim: Any, response: Any) -> Any:
    return sim.claims(response).get("act")


# --- the answer


@pytest.mark.requirement("J-6")
def test_the_answer_says_what_kind_of_token_it_has(
    sim: Any, form: Any, prove: Any
) -> None:
    body = sim.token(form, prove()).get_json()
    assert set(body) == {
        "access_token",
        "token_type",
        "expires_in",
        "scope",
        "issued_token_type",
    }
    assert body["issued_token_type"] == ACCESS_TOKEN
    assert body["access_token"] != form["subject_token"]
    requested = form | {"requested_token_type": ACCESS_TOKEN}
    assert sim.token(requested, prove()).status_code == 200


def test_the_new_token_is_about_the_same_subject(make_sim: Any, prove: Any) -> None:
    sim = make_sim(form="jwt")
    for name in ("alice", "confidential", "rs"):
        response = sim.token(offer(sim, sub=name), prove())
        claims = sim.claims(response)
        assert (claims["sub"], claims["client_id"]) == (name, "confidential")
        assert "act" not in claims


def test_the_subject_token_can_be_used_again(sim: Any, form: Any, prove: Any) -> None:
    for _ in range(2):
        assert sim.token(form, prove()).status_code == 200


def test_the_application_learns_what_was_exchanged(
    make_sim: Any, form: Any, prove: Any
) -> None:
    """So that it can revoke the new token with the old one."""
    sim = make_sim()
    saved: list[Any] = []
    save = sim.server._save_token

    def save_token(token: Any, request: Any) -> None:
        save(token, request)
        saved.append(request)

    sim.server._save_token = save_token
    assert sim.token(offer(sim, sub="alice"), prove()).status_code == 200
    assert saved[0].token_exchange.subject.claims == {"sub": "alice"}


# --- the key (ruling of this project where RFC 8693 and RFC 9449 leave room)


@pytest.mark.requirement("J-6", "T-5", "U-22")
def test_a_bound_token_is_exchanged_by_its_own_key(
    sim: Any, prove: Any, prove_other: Any
) -> None:
    form = offer(sim, dpop_jkt=prove.jkt)
    response = sim.token(form, prove())
    assert response.get_json()["token_type"] == "DPoP"
    assert sim.claims(response)["cnf"] == {"jkt": prove.jkt}
    before = len(sim.tokens)
    assert error_of(sim.token(form, prove_other())) == (400, "invalid_grant")
    assert len(sim.tokens) == before


@pytest.mark.requirement("J-6", "U-22")
@pytest.mark.parametrize("who", ["confidential", "rs"])
def test_a_bound_token_never_becomes_a_bearer_token(
    sim: Any, prove: Any, who: str
) -> None:
    """Not even for the actor that it names."""
    form = offer(sim, dpop_jkt=prove.jkt, **NAMED)
    before = len(sim.tokens)
    refused = sim.token(form, client=who)
    assert error_of(refused) == (400, "invalid_dpop_proof")
    assert len(sim.tokens) == before


@pytest.mark.requirement("J-6", "T-5")
def test_a_named_actor_gets_a_token_for_its_own_key(
    sim: Any, prove: Any, prove_other: Any
) -> None:
    form = offer(sim, dpop_jkt=prove.jkt, **NAMED)
    response = sim.token(form, prove_other(), client="rs")
    assert response.get_json()["token_type"] == "DPoP"
    claims = sim.claims(response)
    assert claims["cnf"] == {"jkt": prove_other.jkt}
    assert claims["client_id"] == "rs"
    assert claims["act"] == {"sub": "rs", "iss": ISSUER}


@pytest.mark.requirement("J-6")
@pytest.mark.parametrize(
    "may_act",
    [
        {"sub": "other-rs"},
        {"sub": "rs", "iss": "https://other.example"},
        {"sub": "rs", "unknown": 1},
        {"client_id": "RS"},
        {"sub": ["rs"]},
        {"sub": None},
        {"iss": ISSUER},
        {},
        [],
        "rs",
        True,
    ],
)
def test_an_actor_that_is_not_named_exactly_is_none(
    sim: Any, prove: Any, prove_other: Any, may_act: Any
) -> None:
    form = offer(sim, dpop_jkt=prove.jkt, may_act=may_act)
    refused = sim.token(form, prove_other(), client="rs")
    assert error_of(refused) == (400, "invalid_request")
    # The owner is none either, when it comes with a key that is not the owner's.
    assert error_of(sim.token(form, prove_other())) == (400, "invalid_grant")


@pytest.mark.parametrize(
    "may_act",
    [
        {"sub": "rs"},
        {"client_id": "rs"},
        {"sub": "rs", "client_id": "rs", "iss": ISSUER},
    ],
)
def test_an_actor_can_be_named_in_several_ways(
    sim: Any, prove: Any, may_act: Any
) -> None:
    form = offer(sim, may_act=may_act)
    assert sim.token(form, prove(), client="rs").status_code == 200


@pytest.mark.requirement("J-6", "G-2")
def test_a_client_that_does_not_authenticate_is_no_actor(
    sim: Any, prove: Any, prove_other: Any
) -> None:
    """Anybody can say that he is a public client."""
    named = {"may_act": {"sub": "public"}, "dpop_jkt": prove.jkt}
    refused = sim.token(offer(sim, **named), prove_other(), client="public")
    assert error_of(refused) == (400, "invalid_request")
    own = EXCHANGE | sim.subject(sim.add_token("public", **named))
    refused = sim.token(own, prove_other(), client="public")
    assert error_of(refused) == (400, "invalid_grant")
    assert sim.token(own, prove(), client="public").status_code == 200


@pytest.mark.requirement("J-6")
def test_an_unbound_token_can_be_exchanged_for_a_bound_one_or_not(
    sim: Any, form: Any, prove: Any
) -> None:
    bound = sim.token(form, prove())
    assert sim.claims(bound)["cnf"] == {"jkt": prove.jkt}
    unbound = sim.token(form)
    assert unbound.get_json()["token_type"] == "Bearer"
    assert "cnf" not in sim.claims(unbound)


@pytest.mark.requirement("J-6")
def test_without_the_extension_nothing_is_exchanged(make_sim: Any, prove: Any) -> None:
    sim = make_sim(way="grant")
    grant = sim.server._token_grants.pop()[0]
    sim.server.register_grant(grant)
    sim.app.testing = True
    with pytest.raises(RuntimeError, match="Register the DPoP extension"):
        sim.token(offer(sim, dpop_jkt=prove.jkt), prove())


@pytest.mark.requirement("B-9", "J-6")
@pytest.mark.parametrize("jkt", [True, False])
def test_a_token_that_is_bound_to_a_certificate_is_not_exchanged_by_its_owner(
    make_sim: Any, prove: Any, prove_other: Any, jkt: bool
) -> None:
    """Nobody here compares certificates. An actor that it names is another matter."""
    sim = make_sim()
    confirmation = Confirmation(
        jkt=prove.jkt if jkt else None, dsk=None, certificate="A" * 43
    )
    find = sim.find_access_token
    sim.find_access_token = lambda value: find(value)._replace(
        confirmation=confirmation
    )
    form = offer(sim, **NAMED)
    assert error_of(sim.token(form, prove())) == (400, "invalid_grant")
    assert error_of(sim.token(form)) == (400, "invalid_dpop_proof")
    assert sim.token(form, prove_other(), client="rs").status_code == 200


# --- actors


@pytest.mark.requirement("J-6")
def test_an_actor_token_says_who_acts(sim: Any, prove: Any, prove_other: Any) -> None:
    agent = sim.add_token("rs", sub="agent", dpop_jkt=prove_other.jkt)
    form = offer(sim, dpop_jkt=prove.jkt, may_act={"sub": "agent", "iss": ISSUER})
    form |= sim.subject(agent, "actor")
    response = sim.token(form, prove_other(), client="rs")
    assert act(sim, response) == {"sub": "agent", "iss": ISSUER}
    assert sim.claims(response)["cnf"] == {"jkt": prove_other.jkt}
    # A stolen actor token is worth no more than a stolen subject token.
    assert error_of(sim.token(form, prove(), client="rs")) == (400, "invalid_grant")
    assert error_of(sim.token(form, client="rs")) == (400, "invalid_dpop_proof")


@pytest.mark.requirement("J-6")
def test_an_actor_that_the_subject_did_not_name_does_not_act(
    sim: Any, prove: Any
) -> None:
    agent = sim.subject(sim.add_token("rs", sub="agent"), "actor")
    for form in (offer(sim), offer(sim, may_act={"sub": "rs"})):
        for client in ("rs", "confidential"):
            refused = sim.token(form | agent, prove(), client=client)
            assert error_of(refused) == (400, "invalid_request")


@pytest.mark.requirement("J-6", "G-2")
def test_an_actor_token_that_was_found_somewhere_makes_no_actor(
    sim: Any, prove: Any, prove_other: Any
) -> None:
    """With the two tokens that somebody has stolen, he would get one for his key."""
    form = offer(sim, dpop_jkt=prove.jkt, may_act={"sub": "agent"})
    agents = {name: sim.add_token(name, sub="agent") for name in ("rs", "public")}
    for client, owner in [("other-rs", "rs"), ("public", "rs"), ("public", "public")]:
        actor = sim.subject(agents[owner], "actor")
        refused = sim.token(form | actor, prove_other(), client=client)
        assert error_of(refused) == (400, "invalid_request")
    actor = sim.subject(agents["rs"], "actor")
    assert sim.token(form | actor, prove_other(), client="rs").status_code == 200
    agents["public"].dpop_jkt = prove_other.jkt
    actor = sim.subject(agents["public"], "actor")
    response = sim.token(form | actor, prove_other(), client="public")
    assert sim.claims(response)["cnf"] == {"jkt": prove_other.jkt}


def test_earlier_actors_are_kept_inside(sim: Any, prove: Any) -> None:
    earlier = {"sub": "first"}
    delegated = sim.token(offer(sim, act=earlier, **NAMED), prove(), client="rs")
    assert act(sim, delegated) == {"sub": "rs", "iss": ISSUER, "act": earlier}
    own = sim.token(offer(sim, act=earlier), prove())
    assert act(sim, own) == earlier


def chain(length: int) -> dict[str, Any]:
    found: dict[str, Any] = {"sub": "0"}
    for number in range(1, length):
        found = {"sub": str(number), "act": found}
    return found


def test_a_chain_of_actors_has_eight_at_most(sim: Any, prove: Any) -> None:
    for length, who, status in [
        (7, "rs", 200),
        (8, "rs", 400),
        (8, "confidential", 200),
        (9, "confidential", 400),
    ]:
        form = offer(sim, act=chain(length), **NAMED)
        assert sim.token(form, prove(), client=who).status_code == status


@pytest.mark.parametrize(
    "faulty",
    [
        "alice",
        ["a"],
        {"iss": "x"},
        {"sub": 1},
        {"sub": "a", "act": 1},
        {"sub": "a", "iss": 1},
        {"sub": "a" * 2049},
    ],
)
def test_a_malformed_chain_is_refused(sim: Any, prove: Any, faulty: Any) -> None:
    for client in ("rs", "confidential"):
        form = offer(sim, act=faulty, **NAMED)
        refused = sim.token(form, prove(), client=client)
        assert error_of(refused) == (400, "invalid_request")


def test_the_token_of_a_delegate_is_no_actor_token(sim: Any, prove: Any) -> None:
    """The new token would not say who acts."""
    form = offer(sim, may_act={"sub": "agent"})
    for values, status in [({}, 200), ({"act": {"sub": "x"}}, 400)]:
        agent = sim.add_token("rs", sub="agent", **values)
        response = sim.token(form | sim.subject(agent, "actor"), prove(), client="rs")
        assert response.status_code == status


def test_actor_tokens_are_accepted_only_by_a_server_that_verifies_them() -> None:
    grant = TokenExchangeGrant(None, None)
    assert grant.authenticate_actor_token("text", ACCESS_TOKEN) is None
    with pytest.raises(NotImplementedError):
        grant.authenticate_subject_token("text", ACCESS_TOKEN)
    with pytest.raises(NotImplementedError):
        grant.authenticate_user(subject=None)  # type: ignore[arg-type]


def test_an_actor_token_names_somebody(make_sim: Any, prove: Any) -> None:
    sim = make_sim()
    form = offer(sim, may_act={"sub": "agent"})
    for name in ("", None, 1):
        agent = sim.subject(sim.add_token("rs", sub=name), "actor")
        refused = sim.token(form | agent, prove(), client="rs")
        assert error_of(refused) == (400, "invalid_request")


# --- the life of the token


@pytest.mark.requirement("R2222")
def test_a_token_does_not_outlive_the_one_it_is_exchanged_for(
    sim: Any, prove: Any
) -> None:
    now = sim.clock.now
    for left, lifetime in [(100, 100), (1, 1), (300, 300), (10_000, 300)]:
        for proof in (prove(), None):
            response = sim.token(offer(sim, expires_in=left), proof)
            assert response.get_json()["expires_in"] == lifetime
            assert sim.claims(response)["exp"] == now + lifetime


@pytest.mark.requirement("J-6", "R2221")
def test_a_token_that_is_not_good_any_more_is_not_exchanged(
    sim: Any, prove: Any
) -> None:
    for values in ({"expires_in": 0}, {"expires_in": -5}, {"revoked": True}):
        refused = sim.token(offer(sim, **values), prove())
        assert error_of(refused) == (400, "invalid_request")
        agent = sim.subject(sim.add_token("rs", sub="agent", **values), "actor")
        form = offer(sim, may_act={"sub": "agent"}) | agent
        refused = sim.token(form, prove(), client="rs")
        assert error_of(refused) == (400, "invalid_request")


def test_a_token_that_expires_meanwhile_is_not_exchanged(
    make_sim: Any, prove: Any
) -> None:
    for kind in ("opaque", "jwt"):
        sim = make_sim(form=kind)
        grant = sim.server._token_grants[-1][0]
        # The grant still sees the second before.
        grant.clock = staticmethod(lambda sim=sim: sim.clock.now - 1)
        before = len(sim.tokens)
        refused = sim.token(
            EXCHANGE | sim.subject(sim.add_token(expires_in=0)), prove()
        )
        assert error_of(refused) == (400, "invalid_request")
        assert len(sim.tokens) == before + 1


class Plain(JWTBearerTokenGenerator):
    key: Any = None

    def get_jwks(self) -> Any:
        return self.key


@pytest.mark.parametrize(
    ("lifetime", "subject"), [(300, 600), (-2_000_000_000, 600), (300, None)]
)
def test_a_generator_that_ignores_the_limits_is_a_fault(
    make_sim: Any, rsa_key: Any, lifetime: int, subject: int | None
) -> None:
    """Authlib's own: it knows neither when the subject token ends, nor who acts."""
    sim = make_sim()
    generator = Plain(issuer=ISSUER, expires_generator=lifetime)
    generator.key = rsa_key
    sim.server.register_token_generator("default", generator)
    sim.app.testing = True
    form = offer(sim, expires_in=subject, **NAMED)
    before = len(sim.tokens)
    with pytest.raises(RuntimeError, match="outlives the subject token"):
        sim.token(form, client="rs")
    assert len(sim.tokens) == before


def test_a_token_without_an_end_is_not_exchanged_for_another(make_sim: Any) -> None:
    sim = make_sim(lifetime=0)
    sim.app.testing = True
    with pytest.raises(RuntimeError, match="lifetime"):
        sim.token(offer(sim))


# --- the scope


@pytest.mark.parametrize(
    ("held", "requested", "granted"),
    [("a b", None, "a b"), ("a b", "a", "a"), ("a b", "b a", "b a"), ("", None, None)],
)
def test_the_scope_is_that_of_the_subject_token_or_less(
    sim: Any, prove: Any, held: str, requested: str | None, granted: str | None
) -> None:
    form = offer(sim, scope=held) | ({"scope": requested} if requested else {})
    response = sim.token(form, prove())
    assert response.get_json().get("scope") == granted


@pytest.mark.parametrize("requested", ["a c", "c", "A", 'a "', "a\xe9"])
def test_the_scope_is_never_wider(sim: Any, form: Any, requested: str) -> None:
    refused = sim.token(form | {"scope": requested})
    assert error_of(refused) == (400, "invalid_scope")


def test_a_registration_does_not_widen_the_scope(
    sim: Any, prove: Any, monkeypatch: Any
) -> None:
    """Trap: who asks for nothing may get all that the client is registered for."""
    monkeypatch.setattr(Client, "get_allowed_scope", lambda _, scope: scope or "a b")
    for form in (offer(sim, scope=""), offer(sim, scope="a") | {"scope": ""}):
        refused = sim.token(form, prove())
        assert error_of(refused) == (400, "invalid_scope")
    monkeypatch.setattr(Client, "get_allowed_scope", lambda _, scope: "a")
    refused = sim.token(offer(sim, scope="a") | {"scope": "a c"}, prove())
    assert error_of(refused) == (400, "invalid_scope")
    monkeypatch.setattr(Client, "get_allowed_scope", lambda _, scope: None)
    refused = sim.token(offer(sim, scope="a"), prove())
    assert error_of(refused) == (400, "invalid_scope")


def test_the_scope_is_one_that_the_server_knows(sim: Any, form: Any) -> None:
    sim.server.scopes_supported = ["b"]
    assert sim.token(form | {"scope": "b"}).status_code == 200
    assert error_of(sim.token(form | {"scope": "a"})) == (400, "invalid_scope")


# --- the target


def test_resource_and_audience_name_one_target(sim: Any, form: Any, prove: Any) -> None:
    sim.clients["confidential"].client_metadata["audiences"] = [AUDIENCE, OTHER]
    for target in (
        {"resource": OTHER},
        {"audience": OTHER},
        {"resource": OTHER, "audience": OTHER},
    ):
        response = sim.token(form | target, prove())
        assert sim.claims(response)["aud"] == OTHER


@pytest.mark.requirement("R2224")
@pytest.mark.parametrize(
    "target",
    [
        {"resource": AUDIENCE, "audience": OTHER},
        {"audience": [AUDIENCE, OTHER]},
        {"audience": [AUDIENCE, AUDIENCE]},
        {"audience": "https://unknown.example"},
        {"audience": ""},
        {"resource": "https://unknown.example"},
    ],
)
def test_another_target_is_refused(
    sim: Any, form: Any, prove: Any, target: Any
) -> None:
    sim.clients["confidential"].client_metadata["audiences"] = [AUDIENCE, OTHER]
    refused = sim.token(form | target, prove())
    assert error_of(refused) == (400, "invalid_target")


def test_a_target_is_not_ignored_for_a_client_without_audiences(
    make_sim: Any, prove: Any
) -> None:
    sim = make_sim()
    sim.clients["confidential"].client_metadata["audiences"] = None
    form = offer(sim)
    refused = sim.token(form | {"audience": AUDIENCE}, prove())
    assert error_of(refused) == (400, "invalid_target")
    assert sim.token(form, prove()).status_code == 200


# --- the request


@pytest.mark.parametrize(
    "changes",
    [
        {"subject_token": None},
        {"subject_token": ""},
        {"subject_token_type": None},
        {"subject_token": None, "subject_token_type": None},
        {"subject_token": "unknown"},
        {"subject_token": "x" * 16_385},
        {"subject_token": "t\xf6ken"},
        {"subject_token": ["a", "b"]},
        {"subject_token_type": "access_token"},
        {"subject_token_type": TYPE + "refresh_token"},
        {"subject_token_type": TYPE + "id_token"},
        {"subject_token_type": TYPE + "saml2"},
        {"requested_token_type": TYPE + "refresh_token"},
        {"requested_token_type": TYPE + "jwt"},
        {"requested_token_type": ""},
        {"requested_token_type": [ACCESS_TOKEN, ACCESS_TOKEN]},
        {"actor_token": "x"},
        {"actor_token_type": ACCESS_TOKEN},
        {"actor_token": "unknown", "actor_token_type": ACCESS_TOKEN},
        {"actor_token": "x", "actor_token_type": TYPE + "id_token"},
        {"scope": ["a", "a"]},
    ],
)
def test_a_request_that_is_malformed_is_refused(
    sim: Any, form: Any, prove: Any, changes: Any
) -> None:
    before = len(sim.tokens)
    changed = {name: v for name, v in (form | changes).items() if v is not None}
    refused = sim.token(changed, prove())
    assert error_of(refused) == (400, "invalid_request")
    assert len(sim.tokens) == before


def test_parameters_are_read_from_the_form_alone(
    sim: Any, form: Any, prove: Any
) -> None:
    token = form.pop("subject_token")
    url = f"{ISSUER}/token?subject_token={token}"
    refused = sim.token(form, prove(), url=url)
    assert error_of(refused) == (400, "invalid_request")


def test_the_subject_token_may_be_a_jwt(sim: Any, form: Any, prove: Any) -> None:
    form["subject_token_type"] = TYPE + "jwt"
    assert sim.token(form, prove()).status_code == 200


@pytest.mark.requirement("G-2")
def test_the_client_authenticates_before_anything_is_looked_at(
    sim: Any, form: Any, prove: Any
) -> None:
    headers = [("DPoP", prove())]
    refused = sim.http.post(f"{ISSUER}/token", data=form, headers=headers)
    assert error_of(refused) == (401, "invalid_client")


def test_a_client_needs_the_grant_type(
    sim: Any, form: Any, prove: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(Client, "check_grant_type", lambda *_: False)
    assert error_of(sim.token(form, prove())) == (400, "unauthorized_client")


def test_a_token_of_another_client_is_not_exchanged(sim: Any, form: Any) -> None:
    refused = sim.token(form, client="other-rs")
    assert error_of(refused) == (400, "invalid_request")


def test_another_policy_names_the_client_as_the_actor(
    sim: Any, form: Any, prove: Any
) -> None:
    grant = sim.server._token_grants[-1][0]
    grant.has_granted_permission = lambda *_: True
    response = sim.token(form, prove(), client="rs")
    assert act(sim, response) == {"sub": "rs", "iss": ISSUER}
    # Policy is no key: a bound token still needs the one that it is bound to.
    bound = offer(sim, dpop_jkt="A" * 43)
    refused = sim.token(bound, prove(), client="rs")
    assert error_of(refused) == (400, "invalid_grant")


def test_a_client_token_that_names_nobody_is_refused(make_sim: Any, prove: Any) -> None:
    sim = make_sim()
    grant = sim.server._token_grants[-1][0]
    grant.authenticate_user = lambda *_: None
    found = sim.find_access_token

    def nameless(value: str) -> Any:
        return found(value)._replace(client_id=None, claims={})

    sim.find_access_token = nameless
    grant.has_granted_permission = lambda *_: True
    refused = sim.token(offer(sim), prove())
    assert error_of(refused) == (400, "invalid_request")


# --- symmetric keys


@pytest.mark.requirement("J-6", "R2223")
@pytest.mark.parametrize("kind", ["opaque", "jwt"])
def test_a_delegate_gets_a_symmetric_key_of_its_own(
    make_sim: Any, clock: Any, prove: Any, prove_other: Any, kind: str
) -> None:
    """It is encrypted for the delegate, and ends with the token it came of."""
    sim = make_sim(form=kind, symmetric=SymmetricKeys(Secrets(clock), issuer=ISSUER))
    own = sim.token({"grant_type": "client_credentials"}, prove(**ask()))
    first = unwrap(own, prove.key, clock)
    sim.tokens[-1].may_act = {"sub": "rs"}
    sim.tokens[-1].expires_in = 100
    form = EXCHANGE | sim.subject(sim.tokens[-1])
    response = sim.token(form, prove_other(**ask()), client="rs")
    second = unwrap(response, prove_other.key, clock)
    assert second.key != first.key
    assert second.expires_at == clock.now + 100
    cnf = sim.claims(response)["cnf"]
    assert cnf["jkt"] == prove_other.jkt
    assert cnf["dsk"]["exp"] == clock.now + 100


@pytest.mark.requirement("R2225", "R1005")
def test_a_proof_with_the_key_of_the_subject_token_exchanges_nothing(
    make_sim: Any, clock: Any, prove: Any
) -> None:
    sim = make_sim(symmetric=SymmetricKeys(Secrets(clock), issuer=ISSUER))
    own = sim.token({"grant_type": "client_credentials"}, prove(**ask()))
    form = EXCHANGE | sim.subject(sim.tokens[-1])
    symmetric_proof = make_symmetric_proof(
        unwrap(own, prove.key, clock).key,
        algorithm="HS256",
        method="POST",
        url=f"{ISSUER}/token",
        now=clock.now,
        access_token=own.get_json()["access_token"],
    )
    assert error_of(sim.token(form, symmetric_proof)) == (400, "invalid_dpop_proof")
    assert sim.token(form, prove()).status_code == 200
