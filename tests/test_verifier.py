"""ProofVerifier: order of the checks, nonces, binding, and the step that spends."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.confirmation import AccessToken, Confirmation, DerivedKeyReference
from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.core.nonce import NonceIssuer
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.core.proof_making import make_proof
from dpop_ext.errors import (
    AccessTokenError,
    AsymmetricRequiredError,
    BadSignatureError,
    ExpiredKeyError,
    KeyMismatchError,
    MalformedProofError,
    NonceRequiredError,
    ReplayedProofError,
    StaleKeyError,
    StaleProofError,
    StoreError,
    TargetMismatchError,
    TokenMismatchError,
    UnboundTokenError,
    UnknownKeyError,
)
from dpop_ext.stores.base import NoReplayProtection
from dpop_ext.stores.memory import MemoryKeyring, MemoryReplayStore
from dpop_ext.symmetric.deny_list import Denial, DenyList
from dpop_ext.symmetric.derivation import symmetric_key
from dpop_ext.symmetric.encapsulation import KeyDecryptor
from dpop_ext.symmetric.proof import make_symmetric_proof
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing
from dpop_ext.tickets import Tickets
from dpop_ext.verified_proof import OpenedProof, VerifiedProof
from dpop_ext.verifier import ProofVerifier

URL = "https://api.example.com/accounts"
ISSUER = "https://as.example.com"
AUDIENCE = "https://api.example.com"
CLIENT = "client-1"
R = bytes(range(100, 132))
TOKEN = "opaque-token"


def bound(jkt: str, **changes: Any) -> AccessToken:
    values: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": (AUDIENCE,),
        "client_id": CLIENT,
        "expires_at": 1_790_000_300,
        "token_id": "t1",
        "confirmation": Confirmation(jkt=jkt, dsk=None),
        "scope": "accounts",
        "claims": {},
    }
    return AccessToken(**(values | changes))


def secret(version: int, state: Any = "active", expires_at: int = 1_790_009_000) -> Any:
    dead = state in ("retired", "revoked")
    value = bytes((version * 37 + i * 11) % 256 for i in range(32))
    return AudienceSecret(
        version=version,
        state=state,
        not_before=0,
        expires_at=expires_at,
        secret=None if dead else SecretBytes(value),
    )


def ring(*secrets: Any) -> SecretRing:
    return SecretRing(secrets or (secret(7),), issuer=ISSUER, audience=AUDIENCE)


class Asymmetric:
    """A client with an EC key and a verifier that knows the time."""

    def __init__(self, key: Any, clock: Any, **options: Any) -> None:
        self.key, self.clock = key, clock
        self.jkt = key.thumbprint()
        store = options.pop("store", None) or MemoryReplayStore()
        self.verifier = ProofVerifier(store, clock=clock, **options)

    def proof(self, **changes: Any) -> str:
        values = {
            "algorithm": "ES256",
            "method": "GET",
            "url": URL,
            "now": self.clock.now,
            "access_token": TOKEN,
        }
        return make_proof(self.key, **(values | changes))

    def verify(self, proof: str, token: AccessToken | None = None) -> VerifiedProof:
        opened = self.verifier.open(
            proof, method="GET", url=URL, access_token=TOKEN if token else None
        )
        return self.verifier.verify(opened, token=token)


class Symmetric:
    """A client with a symmetric key for a JWT, and its resource server."""

    def __init__(self, key: Any, clock: Any, **options: Any) -> None:
        self.clock = clock
        self.jkt = key.thumbprint()
        self.signing_key = key
        self.keyring = MemoryKeyring(options.pop("ring", None) or ring())
        self.verifier = ProofVerifier(
            MemoryReplayStore(),
            keyring=self.keyring,
            issuer=ISSUER,
            audience=AUDIENCE,
            clock=clock,
            **options,
        )
        self.version = 7

    def derive(self) -> SecretBytes:
        value = secret(self.version).secret
        return SecretBytes(
            symmetric_key(
                value.reveal(),
                algorithm="HS256",
                issuer=ISSUER,
                audience=AUDIENCE,
                client_id=CLIENT,
                jkt=self.jkt,
                version=self.version,
                r=R,
            )
        )

    def token(self, **changes: Any) -> str:
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "exp": self.clock.now + 300,
            "client_id": CLIENT,
            "cnf": {
                "jkt": self.jkt,
                "dsk": {"alg": "HS256", "v": self.version, "r": b64url_encode(R)},
            },
        } | changes
        header = {"typ": "at+jwt", "alg": "ES256"}
        return sign_compact(header, claims, self.signing_key)

    def verified(self, **changes: Any) -> AccessToken:
        dsk = DerivedKeyReference(
            algorithm="HS256",
            version=self.version,
            r=R,
            expires_at=changes.pop("dsk_exp", None),
        )
        confirmation = Confirmation(jkt=self.jkt, dsk=dsk)
        return bound(self.jkt, **({"confirmation": confirmation} | changes))

    def proof(self, token: str, **changes: Any) -> str:
        values = {
            "algorithm": "HS256",
            "method": "GET",
            "url": URL,
            "now": self.clock.now,
            "access_token": token,
        }
        return make_symmetric_proof(self.derive(), **(values | changes))

    def open(self, proof: str, token: str) -> OpenedProof:
        return self.verifier.open(proof, method="GET", url=URL, access_token=token)


@pytest.fixture
def nonces() -> NonceIssuer:
    return NonceIssuer([bytes(range(32))])


@pytest.fixture
def client(ec_key: Any, clock: Any) -> Asymmetric:
    return Asymmetric(ec_key, clock)


@pytest.fixture
def sym(ec_key: Any, clock: Any) -> Symmetric:
    return Symmetric(ec_key, clock)


@pytest.mark.requirement("B-2")
def test_a_proof_by_the_bound_key_verifies(client: Asymmetric) -> None:
    verified = client.verify(client.proof(), bound(client.jkt))
    assert (verified.kind, verified.jkt) == ("asymmetric", client.jkt)


@pytest.mark.requirement("X-16")
def test_the_store_is_given_14_bytes_whatever_the_jti(client: Asymmetric) -> None:
    keys = {client.verify(client.proof(jti="x" * n)).replay_key for n in (1, 22, 256)}
    assert [len(key) for key in keys] == [14, 14, 14]


@pytest.mark.requirement("B-2", "C-12b")
def test_a_proof_by_another_key_does_not(client: Asymmetric, other_ec_key: Any) -> None:
    with pytest.raises(KeyMismatchError):
        client.verify(client.proof(), bound(other_ec_key.thumbprint()))


@pytest.mark.requirement("P-7")
def test_an_unbound_token_fits_no_proof(client: Asymmetric) -> None:
    with pytest.raises(UnboundTokenError):
        client.verify(client.proof(), bound(client.jkt, confirmation=None))


@pytest.mark.requirement("C-11", "X-14", "X-17")
@pytest.mark.parametrize(
    ("offset", "accepted"),
    [(-66, False), (-65, True), (0, True), (30, True), (31, False)],
)
def test_the_window_is_inclusive_at_both_ends(
    client: Asymmetric, clock: Any, offset: int, accepted: bool
) -> None:
    proof = client.proof(now=clock.now + offset)
    if accepted:
        assert client.verify(proof, bound(client.jkt)).jkt == client.jkt
    else:
        with pytest.raises(StaleProofError):
            client.verify(proof, bound(client.jkt))


@pytest.mark.requirement("U-6")
def test_a_policy_for_one_client_replaces_the_time_window(
    client: Asymmetric, clock: Any
) -> None:
    proof = client.proof(now=clock.now - 200)
    opened = client.verifier.open(proof, method="GET", url=URL, access_token=TOKEN)
    slow = ProofPolicy(max_age=300)
    token = bound(client.jkt)
    assert client.verifier.verify(opened, token=token, policy=slow).jkt == client.jkt
    with pytest.raises(StaleProofError):
        client.verifier.verify(opened, token=token)


@pytest.mark.requirement("X-15")
def test_a_proof_is_spent_once(client: Asymmetric) -> None:
    verified = client.verify(client.proof(), bound(client.jkt))
    client.verifier.spend(verified)
    with pytest.raises(ReplayedProofError):
        client.verifier.spend(verified)


@pytest.mark.requirement("U-20")
def test_verifying_leaves_no_trace(client: Asymmetric) -> None:
    proof = client.proof()
    for _ in range(3):
        verified = client.verify(proof, bound(client.jkt))
    client.verifier.spend(verified)


@pytest.mark.requirement("X-15", "U-18")
def test_two_clients_may_use_the_same_jti(
    client: Asymmetric, other_ec_key: Any, clock: Any
) -> None:
    other = Asymmetric(other_ec_key, clock)
    first = client.verify(client.proof(jti="same"), bound(client.jkt))
    second = other.verify(other.proof(jti="same"), bound(other.jkt))
    client.verifier.spend(first)
    client.verifier.spend(second)


@pytest.mark.requirement("X-14", "X-15", "U-18")
@pytest.mark.parametrize("offset", [-65, 0, 30])
def test_a_proof_is_remembered_for_as_long_as_it_is_acceptable(
    client: Asymmetric, clock: Any, offset: int
) -> None:
    proof = client.proof(now=clock.now + offset)
    client.verifier.spend(client.verify(proof, bound(client.jkt)))
    while True:
        try:
            verified = client.verify(proof, bound(client.jkt))
        except StaleProofError:
            break
        with pytest.raises(ReplayedProofError):
            client.verifier.spend(verified)
        clock.advance(1)


@pytest.mark.requirement("X-14", "X-15")
def test_a_proof_that_waited_too_long_is_not_spent(
    client: Asymmetric, clock: Any
) -> None:
    proof = client.proof()
    client.verifier.spend(client.verify(proof, bound(client.jkt)))
    clock.advance(65)
    replayed = client.verify(proof, bound(client.jkt))
    # The server is slow, and the entry of the first use expires.
    clock.advance(2)
    with pytest.raises(StaleProofError):
        client.verifier.spend(replayed)


def test_a_store_that_breaks_is_not_an_unused_proof(ec_key: Any, clock: Any) -> None:
    class Broken:
        def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
            raise ConnectionError("redis://secret@host")

    client = Asymmetric(ec_key, clock, store=Broken())
    verified = client.verify(client.proof(), bound(client.jkt))
    with pytest.raises(StoreError) as caught:
        client.verifier.spend(verified)
    assert "secret" not in str(caught.value)


@pytest.mark.requirement("U-16")
def test_replay_protection_can_only_be_left_out_by_name(
    ec_key: Any, clock: Any
) -> None:
    with pytest.raises(TypeError):
        ProofVerifier()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="NoReplayProtection"):
        ProofVerifier(None)  # type: ignore[arg-type]
    client = Asymmetric(ec_key, clock, store=NoReplayProtection())
    verified = client.verify(client.proof(), bound(client.jkt))
    client.verifier.spend(verified)
    client.verifier.spend(verified)


@pytest.mark.requirement("X-15", "U-16")
def test_a_store_that_does_not_say_true_has_not_accepted(
    ec_key: Any, clock: Any
) -> None:
    class ForAsyncio:
        async def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
            return True

    class Vague:
        def add(self, key: bytes, *, expires_at: int, now: int) -> Any:
            return "maybe"

    with pytest.raises(TypeError, match="InEventLoop"):
        ProofVerifier(ForAsyncio())  # type: ignore[arg-type]
    client = Asymmetric(ec_key, clock, store=Vague())
    verified = client.verify(client.proof(), bound(client.jkt))
    with pytest.raises(ReplayedProofError):
        client.verifier.spend(verified)


@pytest.mark.requirement("X-15")
def test_of_32_parallel_uses_of_one_proof_one_succeeds(client: Asymmetric) -> None:
    proof = client.proof()
    start = threading.Barrier(32)
    outcomes: list[str] = []

    def use() -> None:
        verified = client.verify(proof, bound(client.jkt))
        start.wait()
        try:
            client.verifier.spend(verified)
        except ReplayedProofError:
            outcomes.append("refused")
        else:
            outcomes.append("accepted")

    threads = [threading.Thread(target=use) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (outcomes.count("accepted"), outcomes.count("refused")) == (1, 31)


@pytest.mark.requirement("C-10", "Q-1", "Q-16")
def test_with_nonces_a_proof_without_one_is_refused_with_a_nonce(
    ec_key: Any, clock: Any, nonces: NonceIssuer
) -> None:
    client = Asymmetric(ec_key, clock, nonces=nonces)
    with pytest.raises(NonceRequiredError) as caught:
        client.verify(client.proof(), bound(client.jkt))
    proof = client.proof(nonce=caught.value.nonce)
    assert client.verify(proof, bound(client.jkt)).next_nonce is None


@pytest.mark.requirement("Q-7", "Q-9")
def test_the_two_nonces_before_stay_good_and_are_replaced(
    ec_key: Any, clock: Any, nonces: NonceIssuer
) -> None:
    client = Asymmetric(ec_key, clock, nonces=nonces)
    nonce = nonces.issue(purpose="rs", now=clock.now)
    clock.advance(120)
    verified = client.verify(client.proof(nonce=nonce), bound(client.jkt))
    assert verified.next_nonce == nonces.issue(purpose="rs", now=clock.now) != nonce
    clock.advance(60)
    with pytest.raises(NonceRequiredError):
        client.verify(client.proof(nonce=nonce), bound(client.jkt))


@pytest.mark.requirement("Q-20")
def test_a_nonce_of_the_authorization_server_is_not_good_at_a_resource(
    ec_key: Any, clock: Any, nonces: NonceIssuer
) -> None:
    client = Asymmetric(ec_key, clock, nonces=nonces)
    as_nonce = nonces.issue(purpose="as", now=clock.now)
    at_as = client.proof(nonce=as_nonce, access_token=None)
    assert client.verify(at_as).jkt == client.jkt
    with pytest.raises(NonceRequiredError):
        client.verify(client.proof(nonce=as_nonce), bound(client.jkt))


def test_a_slow_clock_is_told_the_nonce_before_the_time(
    ec_key: Any, clock: Any, nonces: NonceIssuer
) -> None:
    client = Asymmetric(ec_key, clock, nonces=nonces)
    with pytest.raises(NonceRequiredError):
        client.verify(client.proof(now=clock.now - 3600), bound(client.jkt))


@pytest.mark.requirement("P-3")
def test_the_token_is_given_to_both_steps_or_to_none(client: Asymmetric) -> None:
    def opened(token: str | None) -> OpenedProof:
        return client.verifier.open(
            client.proof(), method="GET", url=URL, access_token=token
        )

    with pytest.raises(ValueError, match="access token"):
        client.verifier.verify(opened(TOKEN))
    with pytest.raises(ValueError, match="access token"):
        client.verifier.verify(opened(None), token=bound(client.jkt))


def test_no_other_code_makes_a_verified_proof() -> None:
    with pytest.raises(TypeError, match=r"only ProofVerifier\.verify"):
        VerifiedProof(
            jkt="",
            jti="",
            kind="asymmetric",
            key_kind=None,
            claims={},
            next_nonce=None,
            replay_key=b"",
            replay_expires_at=0,
            spend_until=0,
        )
    with pytest.raises(TypeError, match=r"only ProofVerifier\.open"):
        OpenedProof(
            kind="asymmetric",
            method="GET",
            url=URL,
            access_token=None,
            proof=None,
            derived=None,
        )


def test_no_other_code_changes_a_verified_proof(client: Asymmetric) -> None:
    opened = client.verifier.open(client.proof(), method="GET", url=URL)
    verified = client.verifier.verify(opened)
    with pytest.raises(TypeError, match=r"only ProofVerifier\.open"):
        opened._replace(url="https://other.example/")
    with pytest.raises(TypeError, match=r"only ProofVerifier\.verify"):
        verified._replace(jkt="other")


@pytest.mark.parametrize("names", [{}, {"issuer": "https://a"}, {"audience": "b"}])
@pytest.mark.parametrize("kind", ["keyring", "decryptor", "tickets"])
def test_symmetric_keys_need_the_identities_of_both_servers(
    kind: str, names: dict[str, str]
) -> None:
    """Else they would be left out without a word."""
    nothing: Any = None
    kinds = {
        "keyring": MemoryKeyring(ring()),
        "decryptor": KeyDecryptor(list),
        "tickets": Tickets(keys=nothing, logouts=nothing),
    }
    options: Any = {kind: kinds[kind], **names}
    with pytest.raises(ValueError, match="issuer and audience"):
        ProofVerifier(MemoryReplayStore(), **options)


@pytest.mark.parametrize("option", ["keyring", "decryptor"])
def test_what_has_no_keys_is_found_at_the_start(option: str) -> None:
    """And not with the first request, which would get a 503."""
    options: Any = {option: "keyring.json"}
    with pytest.raises(TypeError, match=option):
        ProofVerifier(
            MemoryReplayStore(), issuer="https://a", audience="https://b", **options
        )


@pytest.mark.requirement("R2231")
def test_the_form_of_tokens_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="token_form"):
        ProofVerifier(
            MemoryReplayStore(),
            token_form="saml",  # type: ignore[arg-type]
        )


@pytest.mark.requirement("R2104", "R2105")
def test_identities_that_no_key_is_derived_from_are_no_token(sym: Symmetric) -> None:
    token = sym.token(client_id="x" * 2049)
    with pytest.raises(AccessTokenError):
        sym.open(sym.proof(token), token)


@pytest.mark.requirement("R1502", "R1509")
def test_a_symmetric_proof_verifies_with_the_derived_key(sym: Symmetric) -> None:
    token = sym.token()
    opened = sym.open(sym.proof(token), token)
    verified = sym.verifier.verify(opened, token=sym.verified())
    assert (verified.kind, verified.jkt) == ("symmetric", sym.jkt)


@pytest.mark.requirement("R1509", "U-29")
def test_a_bad_mac_is_refused_before_the_token_is_verified(sym: Symmetric) -> None:
    token = sym.token()
    proof = sym.proof(token)
    forged = proof[:-4] + ("AAAA" if proof[-4:] != "AAAA" else "BBBB")
    with pytest.raises(BadSignatureError):
        sym.open(forged, token)


@pytest.mark.requirement("R1501", "T4")
@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://other.example.com"},
        {"aud": [AUDIENCE, "https://other.example.com"]},
        {"aud": None},
        {"iss": "https://evil.example.com"},
        {"iss": 7},
        {"exp": 1_790_000_000},
        {"exp": True},
        {"exp": "1790000300"},
        {"exp": 1e18},
        {"client_id": None},
        {"client_id": ""},
        {"cnf": None},
        {"cnf": []},
        {"cnf": {"dsk": {}}},
    ],
)
def test_a_token_that_cannot_be_for_this_server_is_refused_unverified(
    sym: Symmetric, changes: dict[str, Any]
) -> None:
    token = sym.token(**changes)
    with pytest.raises(AccessTokenError):
        sym.open(sym.proof(token), token)


def test_a_token_with_one_audience_in_a_list_is_for_this_server(
    sym: Symmetric,
) -> None:
    token = sym.token(aud=[AUDIENCE])
    assert sym.open(sym.proof(token), token).kind == "symmetric"


@pytest.mark.requirement("R2231")
@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "x" * 20_000, "é.é.é"])
def test_a_token_that_is_no_jwt_is_refused(sym: Symmetric, token: str) -> None:
    good = sym.token()
    with pytest.raises(AccessTokenError):
        sym.open(sym.proof(good), token)


@pytest.mark.requirement("R2091")
def test_claims_over_four_kib_are_not_read_before_the_signature(
    sym: Symmetric,
) -> None:
    token = sym.token(pad="x" * 4096)
    with pytest.raises(AccessTokenError):
        sym.open(sym.proof(token), token)


def test_a_token_without_a_key_fits_no_symmetric_proof(sym: Symmetric) -> None:
    token = sym.token(cnf={"jkt": sym.jkt})
    with pytest.raises(MalformedProofError):
        sym.open(sym.proof(token), token)


@pytest.mark.requirement("R1403")
def test_the_proof_must_use_the_algorithm_of_its_key(sym: Symmetric) -> None:
    token = sym.token()
    proof = make_symmetric_proof(
        SecretBytes(sym.derive().reveal() * 2),
        algorithm="HS512",
        method="GET",
        url=URL,
        now=sym.clock.now,
        access_token=token,
    )
    with pytest.raises(MalformedProofError):
        sym.open(proof, token)


@pytest.mark.requirement("R1506")
@pytest.mark.parametrize("state", ["retired", "revoked"])
def test_a_dead_version_is_stale(sym: Symmetric, state: str) -> None:
    token = sym.token()
    proof = sym.proof(token)
    sym.keyring.replace(ring(secret(7, state), secret(8)))
    with pytest.raises(StaleKeyError):
        sym.open(proof, token)


@pytest.mark.requirement("R1507")
@pytest.mark.parametrize(
    ("newest", "error"),
    [(6, UnknownKeyError), (5, UnknownKeyError), (4, AccessTokenError)],
)
def test_a_newer_version_is_unknown_and_one_far_ahead_is_no_token(
    sym: Symmetric, newest: int, error: type[Exception]
) -> None:
    token = sym.token()
    proof = sym.proof(token)
    sym.keyring.replace(ring(secret(newest)))
    with pytest.raises(error):
        sym.open(proof, token)


@pytest.mark.requirement("R1510", "R2011")
def test_a_version_revoked_after_the_mac_is_still_refused(sym: Symmetric) -> None:
    token = sym.token()
    opened = sym.open(sym.proof(token), token)
    sym.keyring.replace(ring(secret(7, "revoked"), secret(8)))
    with pytest.raises(StaleKeyError):
        sym.verifier.verify(opened, token=sym.verified())


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "client-2"},
        {"client_id": None},
        {"issuer": None},
        {"audience": (AUDIENCE, "https://other.example.com")},
        {"expires_at": None},
        {"confirmation": None},
        {"confirmation": Confirmation(jkt="A" * 43, dsk=None)},
    ],
)
def test_the_verified_token_must_say_what_the_mac_was_made_with(
    sym: Symmetric, changes: dict[str, Any]
) -> None:
    token = sym.token()
    opened = sym.open(sym.proof(token), token)
    with pytest.raises(AccessTokenError):
        sym.verifier.verify(opened, token=sym.verified(**changes))


def test_a_key_past_its_own_expiry_is_expired(ec_key: Any, clock: Any) -> None:
    sym = Symmetric(ec_key, clock)
    dsk = {"alg": "HS256", "v": 7, "r": b64url_encode(R), "exp": clock.now}
    token = sym.token(cnf={"jkt": sym.jkt, "dsk": dsk})
    opened = sym.open(sym.proof(token), token)
    with pytest.raises(ExpiredKeyError):
        sym.verifier.verify(opened, token=sym.verified(dsk_exp=clock.now))


@pytest.mark.requirement("R1404")
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"method": "POST"}, TargetMismatchError),
        ({"url": "https://api.example.com/other"}, TargetMismatchError),
        ({"access_token": "another"}, TokenMismatchError),
        ({"version": 8}, MalformedProofError),
    ],
)
def test_the_claims_under_a_good_mac_are_checked(
    sym: Symmetric, changes: dict[str, Any], error: type[Exception]
) -> None:
    token = sym.token()
    opened = sym.open(sym.proof(token, **changes), token)
    with pytest.raises(error):
        sym.verifier.verify(opened, token=sym.verified())


@pytest.mark.requirement("R2102")
def test_a_proof_may_name_the_version_of_its_key(sym: Symmetric) -> None:
    token = sym.token()
    opened = sym.open(sym.proof(token, version=7), token)
    assert sym.verifier.verify(opened, token=sym.verified()).jkt == sym.jkt


def test_symmetric_proofs_need_nonce_and_time_as_well(
    ec_key: Any, clock: Any, nonces: NonceIssuer
) -> None:
    sym = Symmetric(ec_key, clock, nonces=nonces)
    token = sym.token()
    with pytest.raises(NonceRequiredError) as caught:
        sym.verifier.verify(sym.open(sym.proof(token), token), token=sym.verified())
    nonce = caught.value.nonce
    stale = sym.proof(token, nonce=nonce, now=clock.now - 66)
    with pytest.raises(StaleProofError):
        sym.verifier.verify(sym.open(stale, token), token=sym.verified())
    good = sym.proof(token, nonce=nonce)
    verified = sym.verifier.verify(sym.open(good, token), token=sym.verified())
    sym.verifier.spend(verified)
    with pytest.raises(ReplayedProofError):
        sym.verifier.spend(verified)


@pytest.mark.requirement("T6", "R1005")
def test_symmetric_proofs_are_refused_at_an_authorization_server(
    sym: Symmetric,
) -> None:
    with pytest.raises(MalformedProofError):
        sym.verifier.open(sym.proof(TOKEN), method="GET", url=URL)


def test_without_a_keyring_symmetric_proofs_are_refused(
    client: Asymmetric, sym: Symmetric
) -> None:
    token = sym.token()
    with pytest.raises(MalformedProofError):
        client.verifier.open(
            sym.proof(token), method="GET", url=URL, access_token=token
        )
    assert client.verifier.symmetric_algorithms == ()


def test_a_symmetric_proof_over_two_kib_is_refused(sym: Symmetric) -> None:
    token = sym.token()
    proof = sym.proof(token, url=URL + "/" + "x" * 2000)
    with pytest.raises(MalformedProofError):
        sym.open(proof, token)


def test_the_mac_for_an_opaque_token_is_verified_with_the_introspected_values(
    ec_key: Any, clock: Any
) -> None:
    sym = Symmetric(ec_key, clock, token_form="opaque")
    opened = sym.open(sym.proof(TOKEN), TOKEN)
    assert opened.peeked is None
    verified = sym.verifier.verify(opened, token=sym.verified())
    assert verified.kind == "symmetric"
    other = Confirmation(
        jkt=sym.jkt,
        dsk=DerivedKeyReference(
            algorithm="HS256", version=7, r=bytes(32), expires_at=None
        ),
    )
    with pytest.raises(BadSignatureError):
        sym.verifier.verify(opened, token=sym.verified(confirmation=other))


@pytest.mark.parametrize("failure", [OSError("disk"), RuntimeError("boom")])
def test_a_keyring_that_does_not_answer_fails_closed(
    sym: Symmetric, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    token = sym.token()
    proof = sym.proof(token)

    def load() -> SecretRing:
        raise failure

    monkeypatch.setattr(sym.keyring, "load", load)
    with pytest.raises(StoreError):
        sym.open(proof, token)


def test_a_keyring_of_another_audience_fails_closed(sym: Symmetric) -> None:
    token = sym.token()
    proof = sym.proof(token)
    other = SecretRing([secret(7)], issuer=ISSUER, audience="https://other.example")
    sym.keyring.replace(other)
    with pytest.raises(StoreError):
        sym.open(proof, token)


@pytest.mark.requirement("T20")
def test_no_step_shows_a_token_or_a_key(sym: Symmetric) -> None:
    token = sym.token()
    opened = sym.open(sym.proof(token), token)
    verified = sym.verifier.verify(opened, token=sym.verified())
    shown = f"{opened!r} {verified!r} {sym.verifier!r} {sym.keyring.load()!r}"
    assert token not in shown
    assert b64url_encode(sym.derive().reveal()) not in shown
    assert sym.derive().reveal().hex() not in shown


class NoKeyring:
    """A source that has nothing, for one reason or another."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def load(self) -> SecretRing:
        raise self._error


def denying(**name: Any) -> SecretRing:
    denial = Denial(**name, expires_at=1_790_000_300)
    return SecretRing(
        [secret(7)], issuer=ISSUER, audience=AUDIENCE, denied=DenyList([denial])
    )


def test_the_answer_to_a_denied_token_is_not_proved(ec_key: Any, clock: Any) -> None:
    sym = Symmetric(ec_key, clock)
    text = sym.token()
    opened = sym.open(sym.proof(text), text)
    assert sym.verifier.response_key(opened, sym.verified()) is not None
    sym.keyring.replace(denying(token_id="t1"))
    assert sym.verifier.response_key(opened, sym.verified()) is None


def test_a_route_for_private_keys_takes_no_symmetric_proof(
    sym: Symmetric, client: Asymmetric
) -> None:
    text = sym.token()
    opened = sym.open(sym.proof(text), text)
    assert sym.verifier.verify(opened, token=sym.verified()).kind == "symmetric"
    with pytest.raises(AsymmetricRequiredError):
        sym.verifier.verify(opened, token=sym.verified(), asymmetric_only=True)
    opened = client.verifier.open(client.proof(), method="GET", url=URL)
    assert client.verifier.verify(opened, asymmetric_only=True).kind == "asymmetric"


@pytest.mark.requirement("R1510", "R2012")
def test_a_denied_token_is_refused_with_an_asymmetric_proof(
    ec_key: Any, clock: Any
) -> None:
    keyring = MemoryKeyring(ring())
    at = Asymmetric(ec_key, clock, keyring=keyring, issuer=ISSUER, audience=AUDIENCE)
    proof = at.proof()
    assert at.verify(proof, bound(at.jkt)).jkt == at.jkt
    keyring.replace(denying(token_id="t1"))
    with pytest.raises(AccessTokenError):
        at.verify(proof, bound(at.jkt))
    assert at.verify(proof, bound(at.jkt, token_id="t2")).jkt == at.jkt


@pytest.mark.parametrize("error", [StoreError(), UnknownKeyError(), OSError()])
def test_an_asymmetric_proof_does_not_wait_for_a_keyring(
    error: Exception, ec_key: Any, clock: Any
) -> None:
    options = {"keyring": NoKeyring(error), "issuer": ISSUER, "audience": AUDIENCE}
    at = Asymmetric(ec_key, clock, **options)
    assert at.verify(at.proof(), bound(at.jkt)).jkt == at.jkt


@pytest.mark.requirement("R1510", "R2012")
@pytest.mark.parametrize("name", [{"token_id": "t1"}, {"r": R}])
def test_a_denied_token_is_refused_with_a_symmetric_proof(
    name: dict[str, Any], ec_key: Any, clock: Any
) -> None:
    at = Symmetric(ec_key, clock)
    text = at.token()
    opened = at.open(at.proof(text), text)
    assert at.verifier.verify(opened, token=at.verified()).kind == "symmetric"
    at.keyring.replace(denying(**name))
    # Before what the proof says: it is not asked to say anything else.
    elsewhere = at.open(at.proof(text, method="POST"), text)
    for proof in (opened, elsewhere):
        with pytest.raises(AccessTokenError):
            at.verifier.verify(proof, token=at.verified())
