"""Proofs that are verified in one step: never otherwise than by the steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import pytest

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.confirmation import AccessToken, Confirmation, DerivedKeyReference
from dpop_ext.core.jws_signature import sign_segments
from dpop_ext.core.nonce import NonceIssuer
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.core.proof_making import make_proof
from dpop_ext.core.request_binding import access_token_hash
from dpop_ext.core.token_text import token_digest
from dpop_ext.errors import BadSignatureError, StoreError
from dpop_ext.stores.logouts import MemoryLogoutStore
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.stores.ticket_keys import RotatingTicketKeys
from dpop_ext.symmetric.deny_list import Denial, DenyList
from dpop_ext.symmetric.mac_key import MacKey
from dpop_ext.symmetric.proof_header import write_header
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import SecretRing
from dpop_ext.symmetric.ticket import make_ticket, ticket_mac_key
from dpop_ext.symmetric.ticket_keys import TicketKeys
from dpop_ext.tickets import Tickets
from dpop_ext.verified_proof import VerifiedProof
from dpop_ext.verifier import ProofVerifier
from tests.test_side_by_side import PAYLOAD, REPLACEMENTS
from tests.test_verifier import (
    AUDIENCE,
    CLIENT,
    ISSUER,
    URL,
    R,
    Symmetric,
    ring,
    secret,
)

pytestmark = pytest.mark.requirement("P-17", "R1509")

HEADERS: Final = {
    "symmetric": {"typ": "dpop-sym+jwt", "alg": "HS256"},
    "asymmetric": {"typ": "dpop+jwt", "alg": "ES256"},
    "ticket": {"typ": "dpop-sym+jwt", "alg": "HS256"},
}


class Party(Symmetric):
    """A client whose token and key a verifier knows, and one that knows nothing."""

    def __init__(self, kind: str, key: Any, clock: Any, **options: Any) -> None:
        self.kind = kind
        self.options = options
        self.nonces = options.get("nonces")
        self.logouts = MemoryLogoutStore()
        self.tickets: Tickets | None = None
        if kind == "ticket":
            keys = RotatingTicketKeys(clock=clock)
            self.tickets = Tickets(keys=keys, logouts=self.logouts)
            ticket_key = keys.load().current(now=clock.now)
            assert ticket_key is not None
            self.ticket_key = ticket_key
            self.ticket = make_ticket(ticket_key, now=clock.now)
        super().__init__(key, clock, tickets=self.tickets, **options)
        opaque = options.get("token_form") == "opaque"
        self.text = "opaque-token" if opaque else self.token(jti="t1")
        self.good = self.verified()
        self.long(self.make())

    def derive(self) -> SecretBytes:
        if self.kind != "ticket":
            return super().derive()
        return SecretBytes(
            ticket_mac_key(
                self.ticket_key.secret.reveal(),
                self.ticket.raw,
                algorithm="HS256",
                audience=AUDIENCE,
                issuer=ISSUER,
                client_id=CLIENT,
                jkt=self.jkt,
            )
        )

    def make(self, **changes: Any) -> str:
        nonce = self.nonces and self.nonces.issue(purpose="rs", now=self.clock.now)
        values: dict[str, Any] = {"nonce": nonce, "access_token": self.text} | changes
        if self.kind == "ticket":
            values = {"ticket": self.ticket.text} | values
        if self.kind != "asymmetric":
            return self.proof(values.pop("access_token"), **values)
        values = {"method": "GET", "url": URL, "now": self.clock.now} | values
        return make_proof(self.signing_key, algorithm="ES256", **values)

    @property
    def header(self) -> dict[str, Any]:
        ticket = {"tkt": self.ticket.text} if self.kind == "ticket" else {}
        return HEADERS[self.kind] | ticket

    def sign(self, payload: str | bytes, **header: Any) -> str:
        """Make a proof with any claims, with a good MAC or signature."""
        members = self.header | header
        if self.kind == "asymmetric":
            jwk = self.signing_key.as_dict(private=False)
            members["jwk"] = {name: jwk[name] for name in ("kty", "crv", "x", "y")}
        first = json.dumps(members, separators=(",", ":")).encode()
        raw = payload if isinstance(payload, bytes) else payload.encode()
        signing_input = f"{b64url_encode(first)}.{b64url_encode(raw)}"
        if self.kind == "asymmetric":
            return sign_segments(signing_input, self.signing_key, algorithm="ES256")
        tag = MacKey("HS256", self.derive().reveal()).tag(signing_input.encode())
        return f"{signing_input}.{b64url_encode(tag)}"

    def new(self) -> ProofVerifier:
        """Return a verifier of this server that has seen nothing."""
        return ProofVerifier(
            MemoryReplayStore(),
            policy=self.verifier.policy,
            keyring=self.keyring,
            issuer=ISSUER,
            audience=AUDIENCE,
            clock=self.clock,
            nonces=self.verifier.nonces,
            token_form=self.options.get("token_form", "jwt"),
            tickets=self.tickets,
        )

    def quick(
        self,
        proof: str,
        *,
        method: str = "GET",
        url: str = URL,
        token: AccessToken | None = None,
    ) -> VerifiedProof | None:
        """Ask the quicker way alone."""
        verifier = self.verifier
        assert verifier.usual_proofs is not None
        return verifier.usual_proofs.verify(
            proof,
            method=method,
            url=url,
            token=token or self.good,
            token_name=token_digest(self.text),
            policy=verifier.policy,
            nonces=verifier.nonces,
            now=int(verifier.clock()),
        )

    def long(
        self,
        proof: str,
        *,
        method: str = "GET",
        url: str = URL,
        token: AccessToken | None = None,
        verifier: ProofVerifier | None = None,
    ) -> VerifiedProof:
        verifier = verifier or self.verifier
        opened = verifier.open(proof, method=method, url=url, access_token=self.text)
        return verifier.verify(opened, token=token or self.good)

    def same(self, proof: str, **request: Any) -> str:
        """Tell what the quicker way says, once the steps were found to say it, too.

        "silent" is nothing at all, which is right whatever the proof is.
        """
        expected: Any
        try:
            expected = self.long(proof, verifier=self.new(), **request)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is no verdict
            expected = error
        refused: Any = None
        try:
            found = self.quick(proof, **request)
        except Exception as error:  # noqa: BLE001 - likewise
            refused = error
        if refused is not None:
            assert type(refused) is type(expected)
            assert vars(refused) == vars(expected)
            assert refused.args == expected.args
            return "refused"
        if found is None:
            return "silent"
        assert type(found) is VerifiedProof
        assert tuple(found) == tuple(expected)
        return "accepted"


@pytest.fixture(params=["symmetric", "asymmetric", "ticket"])
def kind(request: Any) -> str:
    return str(request.param)


@pytest.fixture(params=["jwt", "opaque"])
def party(request: Any, kind: str, ec_key: Any, clock: Any) -> Party:
    return Party(kind, ec_key, clock, token_form=request.param)


def test_a_proof_as_our_client_makes_it_is_accepted(party: Party) -> None:
    assert [party.same(party.make()) for _ in range(3)] == ["accepted"] * 3


def test_a_verifier_that_knows_neither_token_nor_key_says_nothing(
    party: Party,
) -> None:
    party.verifier = party.new()
    assert party.same(party.make()) == "silent"


def test_a_server_without_symmetric_keys_says_nothing_of_symmetric_proofs(
    ec_key: Any, clock: Any
) -> None:
    party = Party("symmetric", ec_key, clock)
    party.verifier = ProofVerifier(MemoryReplayStore(), clock=clock)
    assert party.quick(party.make()) is None


@pytest.mark.requirement("X-14", "X-17", "C-11")
@pytest.mark.parametrize(
    ("age", "expected"),
    [
        *[(age, "accepted") for age in (-30, -1, 0, 64, 65)],
        *[(age, "refused") for age in (-31, 66, 86_400)],
    ],
)
def test_times_have_the_same_limits(party: Party, age: int, expected: str) -> None:
    assert party.same(party.make(now=party.clock.now - age)) == expected


@pytest.mark.requirement("C-8", "C-9", "C-12a", "X-24")
@pytest.mark.parametrize(
    "changes",
    [
        *[{"method": "HEAD"}, {"method": "POST"}, {"access_token": "other"}],
        *[{"url": URL + "/"}, {"url": URL[:-1]}, {"url": "http" + URL[5:]}],
        *[{"url": "https://api.example.com:8443/accounts"}],
        {"url": "https://other.example.com/accounts"},
    ],
)
def test_a_proof_for_another_request_is_refused(
    party: Party, changes: dict[str, str]
) -> None:
    assert party.same(party.make(**changes)) == "refused"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (URL, "accepted"),
        *[(url, "silent") for url in (URL + "%", URL + "/../accounts", URL + "\\")],
    ],
)
def test_a_url_that_is_not_normal_is_left_to_the_steps(
    party: Party, url: str, expected: str
) -> None:
    assert party.same(party.make(), url=url) == expected


def test_a_claim_that_names_the_same_url_otherwise_is_good(party: Party) -> None:
    proof = party.sign(
        (PAYLOAD % access_token_hash(party.text)).replace("/accounts", "/%61ccounts")
    )
    assert party.same(proof) == "accepted"


@pytest.mark.requirement("C-6", "R1502")
def test_a_bad_signature_or_mac_is_refused_or_left_to_the_steps(party: Party) -> None:
    proof, other = party.make(), party.make()
    signing_input, _, good = proof.rpartition(".")
    forged = f"{signing_input}.{other.rpartition('.')[2]}"
    opaque = party.kind != "asymmetric" and party.text == "opaque-token"
    assert party.same(forged) == ("silent" if opaque else "refused")
    for last in ("", good[:-4], good + "AAAA", good + "=", f"{good} ", f"{good}.", "é"):
        assert party.same(f"{signing_input}.{last}") in {"silent", "refused"}
    assert party.same(proof) == "accepted"


@pytest.mark.parametrize(
    "proof",
    ["", ".", "..", "...", "a.b.c", "a", ".b.c", "é.é.é", "a..c", "\ud800.a.b"],
)
def test_what_is_no_proof_is_left_to_the_steps(party: Party, proof: str) -> None:
    assert party.same(proof) == "silent"


@pytest.mark.parametrize(("piece", "changed"), REPLACEMENTS)
def test_claims_in_any_spelling_get_no_other_verdict(
    party: Party, piece: str, changed: str
) -> None:
    payload = (PAYLOAD % access_token_hash(party.text)).replace(piece, changed, 1)
    party.same(party.sign(payload))


def test_the_usual_spelling_is_accepted(party: Party) -> None:
    assert party.same(party.sign(PAYLOAD % access_token_hash(party.text))) == "accepted"


@pytest.mark.requirement("S-9", "R1404")
def test_a_proof_for_no_token_is_left_to_the_steps(party: Party) -> None:
    payload, _, _ = PAYLOAD.partition(',"ath"')
    assert party.same(party.sign(payload + "}")) == "silent"
    assert party.same(party.sign(payload + ',"nonce":"x"}')) == "silent"


@pytest.mark.requirement("R1401", "R1402", "R1403")
@pytest.mark.parametrize(
    "header",
    [
        *[{"alg": "HS512"}, {"alg": "HS256", "kid": "7"}, {"kid": "8"}, {"tkt": "x"}],
        *[
            {"typ": "dpop+jwt", "alg": "HS256"},
            {"typ": "dpop-sym+jwt"},
            {"alg": "none"},
        ],
        *[{"crit": []}, {"b64": False}, {"alg": "ES384"}],
    ],
)
def test_other_headers_are_left_to_the_steps(
    party: Party, header: dict[str, Any]
) -> None:
    members = party.header
    payload = PAYLOAD % access_token_hash(party.text)
    usual = "accepted" if members | header == members else "silent"
    assert party.same(party.sign(payload, **header)) == usual


@pytest.mark.parametrize(
    "claims",
    [{"cd": "x"}, {"hq": "x"}, {"rsp": True}, {"dsk": {}}, {"nbf": 0}, {"exp": 1}],
)
def test_a_proof_that_says_more_is_left_to_the_steps(
    party: Party, claims: dict[str, Any]
) -> None:
    assert party.same(party.make(claims=claims)) == "silent"


@pytest.mark.requirement("X-16")
@pytest.mark.parametrize("length", [1, 19, 20, 21, 255, 256, 257])
def test_the_policy_limits_the_jti(
    kind: str, ec_key: Any, clock: Any, length: int
) -> None:
    party = Party(kind, ec_key, clock)
    usual = "accepted" if length <= 256 else "silent"
    assert party.same(party.make(jti="x" * length)) == usual
    # Public, and looked at for each proof.
    party.verifier.policy = ProofPolicy(max_jti_length=20)
    usual = "accepted" if length <= 20 else "silent"
    assert party.same(party.make(jti="x" * length)) == usual


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_the_policy_limits_the_length(
    kind: str, ec_key: Any, clock: Any, more: int
) -> None:
    party = Party(kind, ec_key, clock)
    proof = party.make()
    party.verifier.policy = ProofPolicy(max_length=len(proof) + more)
    assert party.same(proof) == ("accepted" if more >= 0 else "silent")


@pytest.mark.parametrize("length", [2040, 2047, 2048, 2049, 2060, 9000])
def test_long_proofs_get_no_other_verdict(party: Party, length: int) -> None:
    for more in range(4):
        url = URL + "/" + "a" * ((length - len(party.make())) * 3 // 4 + more)
        proof = party.make(url=url)
        found = party.same(proof, url=url)
        assert found == ("accepted" if len(proof) <= 2048 else "silent")


@pytest.mark.requirement("C-5")
def test_an_algorithm_that_is_no_longer_allowed_is_left_to_the_steps(
    party: Party,
) -> None:
    party.verifier.policy = ProofPolicy(algorithms=("PS256",))
    expected = "silent" if party.kind == "asymmetric" else "accepted"
    assert party.same(party.make()) == expected


@pytest.mark.requirement("C-10")
@pytest.mark.parametrize(
    ("nonce", "expected"),
    [
        *[(("rs", age), "accepted") for age in (0, 1, 2)],
        *[(("rs", age), "refused") for age in (3, -1)],
        *[(("as", 0), "refused"), ("x", "refused"), (None, "refused")],
    ],
)
def test_nonces_are_checked_and_replaced_as_by_the_steps(
    kind: str, ec_key: Any, clock: Any, nonce: Any, expected: str
) -> None:
    issuer = NonceIssuer([bytes(range(32))])
    party = Party(kind, ec_key, clock, nonces=issuer)

    if isinstance(nonce, tuple):
        purpose, age = nonce
        nonce = issuer.issue(purpose=purpose, now=clock.now - 60 * age)
    assert party.same(party.make(nonce=nonce)) == expected
    # With nonces off, one is ignored.
    party.verifier.nonces = None
    assert party.same(party.make(nonce=nonce)) == "accepted"


@pytest.mark.requirement("R1506", "R1507", "R1510", "R2011", "R2012", "R2023")
@pytest.mark.parametrize(
    ("changed", "kinds"),
    [
        (lambda now: ring(secret(7, "revoked")), "symmetric"),
        (lambda now: ring(secret(7, "retired"), secret(8)), "symmetric"),
        (lambda now: ring(secret(6)), "symmetric"),
        (lambda now: ring(secret(7, expires_at=now)), "symmetric"),
        (lambda now: made(secret(7), min_live=8), "symmetric"),
        (lambda now: made(secret(7), revoked=[7]), "symmetric"),
        (lambda now: made(secret(7), good_until=now), "symmetric"),
        (lambda now: made(secret(7), issuer="https://x.example"), "symmetric"),
        (lambda now: made(secret(7), audience="https://x.example"), "symmetric"),
        # The same secret: only that it is another ring.
        (lambda now: ring(secret(7)), "symmetric"),
        (lambda now: None, "both"),
        (lambda now: denying(Denial(token_id="t1", expires_at=now + 1)), "both"),
        (lambda now: denying(Denial(r=R, expires_at=now + 1)), "both"),
    ],
)
def test_what_became_of_secret_and_token_counts_at_once(
    party: Party, changed: Callable[[int], Any], kinds: str
) -> None:
    party.keyring.replace(changed(party.clock.now))
    usual = kinds == "symmetric" and party.kind != "symmetric"
    assert party.same(party.make()) == ("accepted" if usual else "silent")


@pytest.mark.parametrize(
    "denial",
    [
        Denial(token_id="t1", expires_at=1_790_000_000),
        Denial(token_id="t2", expires_at=1_790_009_000),
    ],
)
def test_denials_that_are_over_or_of_others_do_not_count(
    party: Party, denial: Denial
) -> None:
    party.keyring.replace(denying(denial))
    party.long(party.make())
    assert party.same(party.make()) == "accepted"


@pytest.mark.parametrize("seconds", [19, 19.9, 20, 21])
def test_a_key_is_not_good_beyond_its_own_end(
    ec_key: Any, clock: Any, seconds: float
) -> None:
    party = Party("symmetric", ec_key, clock)
    party.good = party.verified(dsk_exp=clock.now + 20)
    party.text = party.token(
        cnf={
            "jkt": party.jkt,
            "dsk": {
                "alg": "HS256",
                "v": 7,
                "r": b64url_encode(R),
                "exp": clock.now + 20,
            },
        }
    )
    party.long(party.make())
    clock.advance(seconds)
    assert party.same(party.make()) == ("accepted" if seconds < 20 else "silent")


@pytest.mark.requirement("R1510", "R2011", "R2023")
@pytest.mark.parametrize("ends", ["secret", "ring", "denial"])
@pytest.mark.parametrize("seconds", [19, 19.9, 20, 21])
def test_what_ends_by_itself_ends_while_the_ring_is_the_same(
    ec_key: Any, clock: Any, seconds: float, ends: str
) -> None:
    end = clock.now + 20
    denied = DenyList([Denial(token_id="t1", expires_at=end)])
    rings = {
        "secret": ring(secret(7, expires_at=end)),
        "ring": made(secret(7), good_until=end),
        "denial": made(secret(7), denied=denied),
    }
    if ends == "denial":
        # The other way round: before it was good, and denied in between.
        party = Party("symmetric", ec_key, clock)
        party.keyring.replace(rings[ends])
        clock.advance(seconds)
        assert party.same(party.make()) == "silent"
        if seconds >= 20:
            party.long(party.make())
            assert party.same(party.make()) == "accepted"
        return
    party = Party("symmetric", ec_key, clock, ring=rings[ends])
    clock.advance(seconds)
    assert party.same(party.make()) == ("accepted" if seconds < 20 else "silent")


@pytest.mark.parametrize("seconds", [99, 99.9, 100])
@pytest.mark.parametrize("kind", ["symmetric", "ticket"])
def test_a_token_that_another_clock_says_is_good_has_expired(
    kind: str, ec_key: Any, clock: Any, seconds: float
) -> None:
    party = Party(kind, ec_key, clock)
    party.text = party.token(exp=clock.now + 100)
    party.good = party.verified(expires_at=clock.now + 100)
    party.long(party.make())
    clock.advance(seconds)
    assert party.same(party.make()) == ("accepted" if seconds < 100 else "silent")


@pytest.mark.requirement("B-2", "B-9", "C-12b")
@pytest.mark.parametrize(
    "changed",
    [
        lambda token: token._replace(confirmation=None),
        lambda token: bound_to(token, jkt=None),
        lambda token: bound_to(token, jkt="A" * 43),
        lambda token: bound_to(token, certificate="A" * 43),
    ],
)
def test_a_token_that_is_bound_otherwise_is_left_to_the_steps(
    party: Party, changed: Callable[[AccessToken], AccessToken]
) -> None:
    assert party.same(party.make(), token=changed(party.good)) == "silent"


@pytest.mark.parametrize(
    "changed",
    [
        # Equal, but found once more: the key is not known to be of this one.
        lambda token: token._replace(),
        lambda token: token._replace(scope="other"),
        lambda token: token._replace(issuer="https://x.example"),
        lambda token: token._replace(audience=("https://x.example",)),
        lambda token: token._replace(client_id=None),
        lambda token: token._replace(expires_at=None),
        lambda token: bound_to(token, dsk=None),
        lambda token: bound_to(
            token,
            dsk=DerivedKeyReference(algorithm="HS512", version=7, r=R, expires_at=None),
        ),
    ],
)
def test_a_key_is_that_of_the_very_token_it_was_verified_with(
    ec_key: Any, clock: Any, changed: Callable[[AccessToken], AccessToken]
) -> None:
    party = Party("symmetric", ec_key, clock)
    assert party.same(party.make(), token=changed(party.good)) == "silent"


def test_a_key_of_another_client_is_not_enough(
    kind: str, ec_key: Any, other_ec_key: Any, clock: Any
) -> None:
    party = Party(kind, ec_key, clock)
    other = Party(kind, other_ec_key, clock)
    other.verifier = party.verifier
    if kind == "ticket":
        # Which is no secret.
        other.ticket, other.ticket_key = party.ticket, party.ticket_key
    other.long(other.make())
    # Its own proof, with the token of the other.
    forged = other.make(access_token=party.text)
    verdict = party.same(forged)
    assert verdict == ("silent" if kind == "asymmetric" else "refused")


@pytest.mark.parametrize("error", [RuntimeError, BadSignatureError, StoreError])
def test_whatever_a_keyring_raises_is_left_to_the_steps(
    party: Party, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(party.keyring, "load", failing(error))
    # Other proofs do not depend on it, if it is known to be out of reach.
    usual = party.kind != "symmetric" and error is not BadSignatureError
    assert party.same(party.make()) == ("accepted" if usual else "silent")


@pytest.fixture(params=["jwt", "opaque"])
def holder(request: Any, ec_key: Any, clock: Any) -> Party:
    return Party("ticket", ec_key, clock, token_form=request.param)


@pytest.mark.requirement("R1803")
def test_a_log_out_ends_a_ticket_at_once(holder: Party) -> None:
    before = holder.make()
    holder.verifier.log_out(jkt="A" * 43)
    assert holder.same(before) == "accepted"
    holder.verifier.log_out(jkt=holder.jkt)
    assert [holder.same(holder.make()) for _ in range(2)] == ["refused"] * 2
    # Before what the request is compared with, and after the MAC.
    assert holder.same(holder.make(method="POST")) == "refused"
    forged = holder.make()[:-6] + "AAAAAA"
    opaque = holder.text == "opaque-token"
    assert holder.same(forged) == ("silent" if opaque else "refused")


@pytest.mark.parametrize("error", [RuntimeError, StoreError])
def test_log_outs_are_asked_about_once_and_only_under_a_good_mac(
    holder: Party, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def find(issuer: str, jkt: str, *, now: int) -> int | None:
        asked.append(jkt)
        if len(asked) > 1:
            raise error
        return None

    monkeypatch.setattr(holder.logouts, "find", find)
    forged = holder.make()[:-6] + "AAAAAA"
    for proof in (forged, "", holder.make(ticket="A" * 36)):
        with suppress(BadSignatureError):
            assert holder.quick(proof) is None
    assert asked == []
    assert holder.quick(holder.make()) is not None
    assert asked == [holder.jkt]
    # Where nobody knows, there may have been one.
    assert holder.same(holder.make()) == "refused"


@pytest.mark.parametrize("seconds", [295, 299, 299.9, 300, 301, -1, -5, -6, -31])
def test_a_ticket_has_the_same_life(holder: Party, seconds: float) -> None:
    end = holder.clock.now + 1000
    holder.good = holder.good._replace(expires_at=end)
    opaque = holder.text == "opaque-token"
    holder.text = "another" if opaque else holder.token(exp=end)
    holder.long(holder.make())
    holder.clock.advance(seconds)
    is_good = -5 <= seconds < 300
    assert holder.same(holder.make()) == ("accepted" if is_good else "silent")


@pytest.mark.requirement("R1403")
def test_a_ticket_is_good_with_the_algorithm_of_its_key(holder: Party) -> None:
    object.__setattr__(holder.tickets, "algorithms", ("HS256", "HS512"))
    usual = holder.make()
    assert holder.same(usual) == "accepted"
    header = write_header("HS512", None, holder.ticket.text)
    signing_input = f"{header}.{holder.make().split('.')[1]}"
    tag = MacKey("HS256", holder.derive().reveal()).tag(signing_input.encode())
    assert holder.same(f"{signing_input}.{b64url_encode(tag)}") == "silent"


@pytest.mark.parametrize("change", ["erased", "failing", "algorithms", "another"])
def test_what_became_of_the_ticket_keys_counts_at_once(
    holder: Party, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert holder.tickets is not None
    key = holder.ticket_key
    new = SecretBytes(bytes(range(9, 41)))
    keys: dict[str, Callable[[], TicketKeys]] = {
        "erased": TicketKeys,
        "failing": failing(RuntimeError),
        "another": lambda: TicketKeys([replace(key, secret=new)]),
    }
    if change == "algorithms":
        object.__setattr__(holder.tickets, "algorithms", ("HS512",))
    else:
        monkeypatch.setattr(holder.tickets.keys, "load", keys[change])
    assert holder.same(holder.make()) == "silent"


@pytest.mark.parametrize(
    "changed",
    [
        lambda token: token._replace(),
        lambda token: token._replace(client_id="client-2"),
        lambda token: token._replace(issuer="https://x.example"),
        lambda token: token._replace(expires_at=None),
        lambda token: bound_to(token, allows_tickets=False),
        lambda token: bound_to(token, jkt="A" * 43),
    ],
)
def test_a_ticket_is_known_with_the_very_token_it_was_verified_with(
    holder: Party, changed: Callable[[AccessToken], AccessToken]
) -> None:
    assert holder.same(holder.make(), token=changed(holder.good)) == "silent"


@pytest.mark.parametrize("error", [RuntimeError, BadSignatureError, StoreError])
def test_whatever_nonces_raise_is_raised_as_by_the_steps(
    party: Party, error: type[Exception]
) -> None:
    nonces: Any = type(
        "Failing", (), {"verify": failing(error), "issue": failing(error)}
    )()
    party.verifier.nonces = nonces
    assert party.same(party.make(nonce="x")) == "refused"


def test_it_leaves_no_trace(party: Party) -> None:
    proof = party.make()
    first = party.quick(proof)
    assert party.quick(proof) == first
    party.verifier.spend(party.long(proof))


@pytest.mark.parametrize("changed", ["get_policy", "verify"])
def test_a_verifier_that_does_something_else_has_no_quicker_way(changed: str) -> None:
    lenient: Any = type("Lenient", (ProofVerifier,), {changed: None})
    assert lenient(MemoryReplayStore()).usual_proofs is None
    assert ProofVerifier(MemoryReplayStore()).usual_proofs is not None


def failing(error: type[Exception]) -> Callable[..., Any]:
    def fail(*_values: Any, **_names: Any) -> Any:
        raise error

    return fail


def made(*entries: Any, **options: Any) -> SecretRing:
    return SecretRing(entries, **({"issuer": ISSUER, "audience": AUDIENCE} | options))


def denying(denial: Denial) -> SecretRing:
    return made(secret(7), denied=DenyList([denial]))


def bound_to(token: AccessToken, **changes: Any) -> AccessToken:
    confirmation = token.confirmation
    assert isinstance(confirmation, Confirmation)
    return token._replace(confirmation=confirmation._replace(**changes))
