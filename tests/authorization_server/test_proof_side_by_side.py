"""An authorization server that has seen a key decides as one that has seen nothing.

A proof by a known key, in the usual form, is verified in one step. With the same proof
another server, which has no such step, gives the same verdict.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, Key, OKPKey

from dpop_ext.authorization_server import DPoP
from dpop_ext.authorization_server.http_request import ReceivedProof
from dpop_ext.authorization_server.key_offer import read_offer
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.jws_signature import sign_segments
from dpop_ext.core.nonce import NonceIssuer
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.core.proof_making import make_proof, proof_header
from dpop_ext.errors import DPoPError, MalformedProofError, UnsupportedKeyError
from dpop_ext.stores.base import NoReplayProtection
from dpop_ext.symmetric.key_numbers import LOW_ORDER
from dpop_ext.usual_proof import UsualProofs
from dpop_ext.verifier import ProofVerifier
from tests.conftest import Clock
from tests.test_side_by_side import REPLACEMENTS, changed, the_long_way

pytestmark = pytest.mark.requirement("P-17", "C-2", "S-3")

URL: Final = "https://api.example.com/accounts"
PAYLOAD: Final = (
    '{"jti":"abc","htm":"GET","htu":"https://api.example.com/accounts",'
    '"iat":1790000000}'
)
ASKING: Final = PAYLOAD.replace(
    "{",
    '{"dsk":{"algs":["HS256"],"jwk":{"crv":"X25519","x":"'
    "CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    '","kty":"OKP"}},',
    1,
)
SECRETS: Final = NonceIssuer([bytes(range(32))])


class Servers:
    """One server for all proofs, and a new one for each."""

    def __init__(self, key: Key, clock: Clock, *, nonces: bool = False) -> None:
        self.key, self.clock = key, clock
        self.algorithm = "ES256" if key.key_type == "EC" else "Ed25519"
        self.nonces = SECRETS if nonces else None
        self.nonce = SECRETS.issue(purpose="as", now=clock.now) if nonces else None
        self.server = self.new()
        for _ in range(2):
            assert self.same(self.proof())[0] == "asymmetric"

    def new(self) -> DPoP:
        verifier = ProofVerifier(
            NoReplayProtection(), nonces=self.nonces, clock=self.clock
        )
        return _Server(verifier, public_url="https://api.example.com")

    def proof(self, **changes: Any) -> str:
        values: dict[str, Any] = {"method": "GET", "url": URL}
        values |= {"now": self.clock.now, "nonce": self.nonce}
        values["algorithm"] = self.algorithm
        return make_proof(self.key, **(values | changes))

    def sign(self, payload: str) -> str:
        header = proof_header(self.key, algorithm=self.algorithm)
        signing_input = f"{header}.{b64url_encode(payload.encode())}"
        return sign_segments(signing_input, self.key, algorithm=self.algorithm)

    def same(self, proof: str, *, path: str = "/accounts", method: str = "GET") -> Any:
        headers = {"DPoP": proof}
        request: Any = SimpleNamespace(
            method=method, uri=f"http://internal{path}", headers=headers
        )
        verdict = _verdict(self.server, request)
        with the_long_way():
            new = self.new()
            new.verifier.usual_proofs = None
            assert _verdict(new, request) == verdict
        return verdict


class _Server(DPoP):
    def get_policy(self, request: Any) -> ProofPolicy:
        return ProofPolicy(max_age=20, algorithms=("PS256",))


def _verdict(server: DPoP, request: Any) -> Any:
    try:
        found = server.verify_proof(request)
    except DPoPError as error:
        return type(error), error.description
    if found is None:
        return None
    verified = found.verified
    return (
        *(verified.kind, verified.jkt, verified.jti, dict(verified.claims)),
        *(verified.replay_key, verified.replay_expires_at, verified.spend_until),
        *(verified.next_nonce, verified.key_kind, dict(found.jwk)),
        *(_offer(found, dpop_sym) for dpop_sym in (None, "", "HS256", "HS512", " ")),
    )


def _offer(found: ReceivedProof, dpop_sym: str | None) -> Any:
    try:
        offer = read_offer(
            found.verified.claims,
            known=found.key_request,
            dpop_sym=dpop_sym,
            proof_jwk=found.jwk,
            allow_hpke=False,
        )
    except DPoPError as error:
        return type(error), error.description
    recipient = offer.recipient
    # Keys of cryptography are not compared with each other.
    return (
        offer.jti,
        offer.request,
        recipient
        and (
            recipient.key.thumbprint(),
            recipient.is_proof_key,
        ),
    )


#: Of low order, not reduced, and two texts of one key.
BAD_KEYS: Final = [
    *(
        b64url_encode(u.to_bytes(32, "little"))
        for u in (*sorted(LOW_ORDER), 2**255 - 19, 2**255 - 10, 2**255 + 9, 2**256 - 1)
    ),
    "CQ" + "A" * 40 + "B",
]


@pytest.mark.requirement("T14", "R2113")
@pytest.mark.parametrize("x", BAD_KEYS)
def test_every_bad_encryption_key_gets_one_error(
    servers: list[Servers], x: str
) -> None:
    for each in servers[:2]:
        good = each.same(each.sign(ASKING))
        assert good[-5][0] == "abc"
        bad = each.same(each.sign(ASKING.replace("CQ" + "A" * 41, x)))
        assert issubclass(bad[-5][0], DPoPError)


@pytest.fixture
def servers(ec_key: ECKey, ed_key: OKPKey, clock: Clock) -> list[Servers]:
    return [
        Servers(ec_key, clock),
        Servers(ed_key, clock),
        Servers(ec_key, clock, nonces=True),
    ]


def test_a_known_key_takes_one_step(
    servers: list[Servers], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(ProofVerifier, "open")
    for each in servers:
        request: Any = SimpleNamespace(
            method="GET", uri=URL, headers={"DPoP": each.proof()}
        )
        found = each.server.verify_proof(request)
        assert isinstance(found, ReceivedProof)
        assert found.verified.jkt == each.key.thumbprint()
        with pytest.raises(TypeError):
            found.jwk["x"] = "another"  # type: ignore[index]


@pytest.mark.parametrize("payload", [PAYLOAD, ASKING])
@pytest.mark.parametrize(("piece", "new"), REPLACEMENTS)
def test_claims_in_every_spelling_get_one_verdict(
    servers: list[Servers], payload: str, piece: str, new: str
) -> None:
    for each in servers[:2]:
        each.same(each.sign(payload.replace(piece, new, 1)))


def test_a_proof_without_a_signature_is_malformed(servers: list[Servers]) -> None:
    for each in servers:
        signing_input = each.proof().rpartition(".")[0]
        for proof in (signing_input, f"{signing_input}."):
            assert each.same(proof)[0] is MalformedProofError


@pytest.mark.parametrize(
    "path", ["/", "/Accounts", "/a/../accounts", "/%61ccounts", "x"]
)
def test_every_target_gets_one_verdict(servers: list[Servers], path: str) -> None:
    for each in servers:
        each.same(each.proof(), path=path)
        each.same(each.proof(url=f"https://api.example.com{path}"), path=path)


@pytest.mark.parametrize("age", [-31, -30, 0, 20, 25, 26, 66])
def test_the_policy_for_the_request_gives_the_times(
    servers: list[Servers], age: int
) -> None:
    for each in servers:
        verdict = each.same(each.proof(now=each.clock.now - age))
        assert (verdict[0] == "asymmetric") is (-30 <= age <= 25)


@pytest.mark.requirement("S-8", "C-10")
def test_every_nonce_gets_one_verdict(servers: list[Servers]) -> None:
    each = servers[2]
    other = SECRETS.issue(purpose="rs", now=each.clock.now)
    for nonce in (each.nonce, None, "", other, "é", f"{each.nonce}A"):
        each.same(each.proof(nonce=nonce))
    for _ in range(6):
        each.clock.advance(60)
        each.same(each.proof())


def test_other_methods_and_algorithms_get_one_verdict(servers: list[Servers]) -> None:
    for each in servers:
        for method in ("POST", "get", "HEAD"):
            each.same(each.proof(), method=method)
    each = servers[0]
    each.server.verifier.policy = ProofPolicy(algorithms=("Ed25519",))
    proof = each.proof()
    request: Any = SimpleNamespace(method="GET", uri=URL, headers={"DPoP": proof})
    assert _verdict(each.server, request)[0] is UnsupportedKeyError


def test_the_policy_limits_the_length(servers: list[Servers]) -> None:
    for each in servers:
        request: Any = SimpleNamespace(
            method="GET", uri=URL, headers={"DPoP": each.proof()}
        )
        length = len(request.headers["DPoP"])
        each.server.verifier.policy = ProofPolicy(max_length=length)
        assert _verdict(each.server, request)[0] == "asymmetric"
        each.server.verifier.policy = ProofPolicy(max_length=length - 1)
        assert _verdict(each.server, request)[0] is MalformedProofError


def test_the_policy_limits_the_length_of_the_identifier(servers: list[Servers]) -> None:
    for each in servers:
        request: Any = SimpleNamespace(
            method="GET", uri=URL, headers={"DPoP": each.proof(jti="abcd")}
        )
        for limit, expected in ((4, "asymmetric"), (3, MalformedProofError)):
            each.server.verifier.policy = ProofPolicy(max_jti_length=limit)
            assert _verdict(each.server, request)[0] == expected


@given(data=st.data())
@settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_proof_with_a_change_gets_one_verdict(
    servers: list[Servers], data: st.DataObject
) -> None:
    each = data.draw(st.sampled_from(servers))
    each.same(changed(each.proof(jti="abc"), data))


def test_a_policy_that_fails_is_a_fault_of_the_server_only_once_it_matters(
    servers: list[Servers], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: DPoP, _request: object) -> ProofPolicy:
        raise LookupError

    monkeypatch.setattr(_Server, "get_policy", fail)
    for each in servers:
        good = each.proof()
        assert each.same(good)[0] is MalformedProofError
        signing_input, _, signature = good.rpartition(".")
        swapped = ("B" if signature[0] == "A" else "A") + signature[1:]
        each.same(f"{signing_input}.{swapped}")


def test_a_verifier_that_was_changed_has_no_quicker_way(clock: Clock) -> None:
    class Changed(ProofVerifier):
        """It might do anything."""

    assert isinstance(
        ProofVerifier(NoReplayProtection(), clock=clock).usual_proofs, UsualProofs
    )
    assert Changed(NoReplayProtection(), clock=clock).usual_proofs is None
