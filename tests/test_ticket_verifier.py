"""Tickets at the verifier: whose they are, until when, and what does not matter."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from typing import Any

import pytest

import dpop_ext.verifier
from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.confirmation import AccessToken, Confirmation, DerivedKeyReference
from dpop_ext.core.jose import json_segment
from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.errors import (
    AccessTokenError,
    BadSignatureError,
    DPoPError,
    MalformedProofError,
    ReplayedProofError,
    StaleTicketError,
    StoreError,
    TargetMismatchError,
    TokenMismatchError,
    UnboundTokenError,
    UnsupportedKeyError,
)
from dpop_ext.stores.logouts import MemoryLogoutStore
from dpop_ext.stores.memory import MemoryKeyring, MemoryReplayStore
from dpop_ext.stores.ticket_key_table import MemoryTicketKeyTable
from dpop_ext.stores.ticket_keys import RotatingTicketKeys
from dpop_ext.symmetric.mac_key import MacKey
from dpop_ext.symmetric.proof import make_symmetric_proof
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.ticket import Ticket, make_ticket, ticket_mac_key
from dpop_ext.tickets import Tickets
from dpop_ext.verified_proof import VerifiedProof
from dpop_ext.verifier import ProofVerifier
from tests.conftest import Clock
from tests.patience import PATIENCE
from tests.test_verifier import AUDIENCE, CLIENT, ISSUER, URL, R, bound, ring

OTHER_JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


class Holder:
    """A client with a ticket, and its resource server."""

    def __init__(self, key: Any, clock: Clock, **options: Any) -> None:
        self.clock = clock
        self.jkt: str = key.thumbprint()
        self.signing_key = key
        self.keys = RotatingTicketKeys(clock=clock)
        self.logouts: Any = MemoryLogoutStore()
        self.options = options
        self.verifier = self.new_verifier()
        self.ticket = self.new_ticket()

    def new_verifier(self, **changes: Any) -> ProofVerifier:
        algorithms = self.options.get("algorithms", ("HS256",))
        options = {name: self.options[name] for name in self.options}
        options.pop("algorithms", None)
        return ProofVerifier(
            MemoryReplayStore(),
            issuer=ISSUER,
            audience=AUDIENCE,
            tickets=Tickets(
                keys=self.keys, logouts=self.logouts, algorithms=algorithms
            ),
            clock=self.clock,
            **(options | changes),
        )

    def new_ticket(self) -> Ticket:
        key = self.keys.load().current(now=self.clock.now)
        assert key is not None
        return make_ticket(key, now=self.clock.now)

    def token(self, **changes: Any) -> str:
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "client_id": CLIENT,
            "exp": self.clock.now + 300,
            "cnf": {"jkt": self.jkt},
        } | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        return sign_compact({"typ": "at+jwt", "alg": "ES256"}, claims, self.signing_key)

    def key(self, ticket: Ticket | None = None, **changes: Any) -> SecretBytes:
        """Derive the key, as the resource server did when it made the ticket."""
        ticket = ticket or self.ticket
        ticket_key = self.keys.load().find(ticket.key_id, now=self.clock.now)
        assert ticket_key is not None
        values = {
            "algorithm": "HS256",
            "audience": AUDIENCE,
            "issuer": ISSUER,
            "client_id": CLIENT,
            "jkt": self.jkt,
        }
        return SecretBytes(
            ticket_mac_key(ticket_key.secret.reveal(), ticket.raw, **(values | changes))
        )

    def proof(self, token: str, **changes: Any) -> str:
        values: dict[str, Any] = {
            "algorithm": "HS256",
            "method": "GET",
            "url": URL,
            "now": self.clock.now,
            "access_token": token,
            "ticket": self.ticket.text,
        } | changes
        key = values.pop("key", None) or self.key()
        return make_symmetric_proof(key, **values)

    def verify(
        self,
        proof: str,
        text: str,
        token: AccessToken | None = None,
        verifier: ProofVerifier | None = None,
    ) -> VerifiedProof:
        verifier = verifier or self.verifier
        opened = verifier.open(proof, method="GET", url=URL, access_token=text)
        return verifier.verify(opened, token=token or bound(self.jkt))


@pytest.fixture
def holder(ec_key: Any, clock: Clock) -> Holder:
    return Holder(ec_key, clock)


@pytest.mark.requirement("R1803")
def test_a_ticket_works_with_each_token_of_the_client(holder: Holder) -> None:
    for number in range(3):
        text = holder.token(jti=str(number))
        for _ in range(2):
            verified = holder.verify(holder.proof(text), text)
            assert (verified.kind, verified.key_kind) == ("symmetric", "ticket")
            assert verified.jkt == holder.jkt
            holder.verifier.spend(verified)


def test_a_token_with_a_derived_key_works_as_well_and_the_key_plays_no_part(
    holder: Holder,
) -> None:
    dsk = DerivedKeyReference(algorithm="HS512", version=99, r=R, expires_at=1)
    cnf = {"alg": "HS512", "v": 99, "r": b64url_encode(R), "exp": 1}
    text = holder.token(cnf={"jkt": holder.jkt, "dsk": cnf})
    token = bound(holder.jkt, confirmation=Confirmation(jkt=holder.jkt, dsk=dsk))
    both = holder.new_verifier(keyring=MemoryKeyring(ring()))

    for verifier in (holder.verifier, both):
        verified = holder.verify(holder.proof(text), text, token, verifier)
        assert verified.key_kind == "ticket"
    assert both.symmetric_modes == ("derived", "ticket")
    assert holder.verifier.symmetric_modes == ("ticket",)


@pytest.mark.requirement("R1803", "T12")
def test_any_server_with_the_ticket_key_recreates_the_key(holder: Holder) -> None:
    text = holder.token()
    holder.verify(holder.proof(text), text, verifier=holder.new_verifier())
    stranger = ProofVerifier(
        MemoryReplayStore(),
        issuer=ISSUER,
        audience=AUDIENCE,
        tickets=Tickets(
            keys=RotatingTicketKeys(clock=holder.clock), logouts=holder.logouts
        ),
        clock=holder.clock,
    )

    with pytest.raises(StaleTicketError):
        holder.verify(holder.proof(text), text, verifier=stranger)


@pytest.mark.requirement("T12")
@pytest.mark.parametrize(
    ("claims", "token"),
    [
        ({"client_id": "client-2"}, {"client_id": "client-2"}),
        (
            {"cnf": {"jkt": OTHER_JKT}},
            {"confirmation": Confirmation(jkt=OTHER_JKT, dsk=None)},
        ),
    ],
    ids=["client", "key"],
)
@pytest.mark.parametrize("known", [False, True])
def test_ticket_with_other_jkt(
    holder: Holder, claims: dict[str, Any], token: dict[str, Any], known: bool
) -> None:
    mine = holder.token()
    holder.verify(holder.proof(mine), mine)
    theirs = holder.token(**claims)
    if known:
        # The other client has a ticket of its own, which was used with this token.
        change = {"client_id": token.get("client_id", CLIENT)}
        change["jkt"] = OTHER_JKT if "confirmation" in token else holder.jkt
        ticket = holder.new_ticket()
        key = holder.key(ticket, **change)
        proof = holder.proof(theirs, key=key, ticket=ticket.text)
        holder.verify(proof, theirs, bound(holder.jkt, **token))

    with pytest.raises(BadSignatureError):
        holder.verify(holder.proof(theirs), theirs, bound(holder.jkt, **token))


@pytest.mark.requirement("T12")
def test_what_the_token_says_after_all_decides(holder: Holder) -> None:
    text = holder.token()
    other = bound(holder.jkt, confirmation=Confirmation(jkt=OTHER_JKT, dsk=None))

    for token in (bound(holder.jkt, client_id="client-2"), other):
        with pytest.raises(AccessTokenError):
            holder.verify(holder.proof(text), text, token)
    with pytest.raises(AccessTokenError):
        holder.verify(holder.proof(text), text, bound(holder.jkt, issuer="https://x"))
    with pytest.raises(AccessTokenError):
        holder.verify(holder.proof(text), text, bound(holder.jkt, issuer=None))
    holder.verify(holder.proof(text), text)


@pytest.mark.requirement("T12")
def test_a_ticket_of_another_server_gives_another_key(holder: Holder) -> None:
    text = holder.token()
    changes: list[dict[str, Any]] = [
        {"audience": "https://other.example.com"},
        {"issuer": "https://other.example.com"},
        {"algorithm": "HS512"},
    ]
    for change in changes:
        key = SecretBytes(holder.key(**change).reveal()[:32])
        with pytest.raises(BadSignatureError):
            holder.verify(holder.proof(text, key=key), text)


@pytest.mark.requirement("T12", "R2134")
@pytest.mark.parametrize("known", [False, True])
def test_a_ticket_with_any_bit_changed_is_refused(holder: Holder, known: bool) -> None:
    text = holder.token()
    if known:
        holder.verify(holder.proof(text), text)
    for bit in range(27 * 8):
        raw = bytearray(holder.ticket.raw)
        raw[bit // 8] ^= 1 << bit % 8
        proof = holder.proof(text, ticket=b64url_encode(bytes(raw)))
        with pytest.raises(
            (MalformedProofError, StaleTicketError, BadSignatureError)
        ) as refused:
            holder.verify(proof, text)
        if bit < 8:
            assert refused.type is MalformedProofError
        elif bit < 40:
            assert refused.type is StaleTicketError


@pytest.mark.requirement("T12")
def test_a_ticket_cannot_be_made_to_last(holder: Holder, clock: Clock) -> None:
    raw = holder.ticket.raw
    text = holder.token(exp=clock.now + 3000)
    later = raw[:5] + (clock.now + 305).to_bytes(6, "big") + raw[11:]
    with pytest.raises(BadSignatureError):
        holder.verify(holder.proof(text, ticket=b64url_encode(later)), text)
    clock.advance(299)
    holder.verify(holder.proof(text), text)
    clock.advance(1)

    with pytest.raises(StaleTicketError):
        holder.verify(holder.proof(text), text)


@pytest.mark.requirement("R1805", "T11")
@pytest.mark.parametrize("known", [False, True])
def test_ticket_from_old_tk_rejected_after_erase(
    holder: Holder, clock: Clock, known: bool
) -> None:
    text = holder.token(exp=clock.now + 9000)
    key, proof = holder.key(), holder.proof(text)
    if known:
        holder.verify(proof, text)
    # A table that somebody has emptied.
    holder.keys._table._keys.clear()  # type: ignore[attr-defined]
    clock.advance(61)

    with pytest.raises(StaleTicketError):
        holder.verify(holder.proof(text, key=key), text)
    assert holder.ticket.key_id not in [key.key_id for key in holder.keys.load()]


def test_the_verdict_is_not_of_a_key_with_the_same_name(
    holder: Holder, clock: Clock
) -> None:
    text = holder.token()
    key, proof = holder.key(), holder.proof(text)
    holder.verify(proof, text)
    table = holder.keys._table._keys  # type: ignore[attr-defined]
    (period,) = [each for each in table if table[each].key_id == holder.ticket.key_id]
    other = SecretBytes(bytes(range(90, 122)))
    table[period] = replace(table[period], secret=other)
    clock.advance(61)

    with pytest.raises(BadSignatureError):
        holder.verify(holder.proof(text, key=key), text)
    holder.verify(holder.proof(text), text)


@pytest.mark.requirement("R2132", "R2133", "T15")
@pytest.mark.parametrize("form", ["jwt", "opaque"])
def test_a_logout_ends_the_tickets_at_every_server(
    ec_key: Any, clock: Clock, form: Any
) -> None:
    holder = Holder(ec_key, clock, token_form=form)
    text = holder.token()
    first, second = holder.verifier, holder.new_verifier()
    for verifier in (first, second):
        holder.verify(holder.proof(text), text, verifier=verifier)
    first.log_out(jkt=holder.jkt)

    for verifier in (first, second):
        with pytest.raises(StaleTicketError):
            holder.verify(holder.proof(text), text, verifier=verifier)
    # Only those of before, give or take a server that is ahead.
    clock.advance(5)
    holder.ticket = holder.new_ticket()
    with pytest.raises(StaleTicketError):
        holder.verify(holder.proof(text), text)
    clock.advance(1)
    holder.ticket = holder.new_ticket()
    for verifier in (first, second):
        holder.verify(holder.proof(text), text, verifier=verifier)


def test_a_logout_is_of_one_key(holder: Holder) -> None:
    holder.verifier.log_out(jkt=OTHER_JKT)
    text = holder.token()

    holder.verify(holder.proof(text), text)


@pytest.mark.requirement("R2135")
def test_no_ticket_works_with_a_token_that_allows_none(holder: Holder) -> None:
    text = holder.token(cnf={"jkt": holder.jkt, "sym": False})
    confirmation = Confirmation(jkt=holder.jkt, dsk=None, allows_tickets=False)

    with pytest.raises(StaleTicketError):
        holder.verify(
            holder.proof(text), text, bound(holder.jkt, confirmation=confirmation)
        )


@pytest.mark.requirement("R2121", "R1803", "R1805")
@pytest.mark.parametrize("lifetime", [300, 3600])
def test_no_ticket_is_refused_within_its_life_while_keys_change(
    ec_key: Any, clock: Clock, lifetime: int
) -> None:
    holder = Holder(ec_key, clock)
    table = MemoryTicketKeyTable()
    nodes = [
        RotatingTicketKeys(table, lifetime=lifetime, clock=clock) for _ in range(2)
    ]
    verifiers = []
    for holder.keys in nodes:
        verifiers.append(holder.new_verifier())
    text = holder.token(exp=clock.now + 20_000)
    token = bound(holder.jkt, expires_at=clock.now + 20_000)
    good: list[tuple[Ticket, SecretBytes]] = []
    ended: list[tuple[Ticket, SecretBytes]] = []
    hours = set()
    for step in range(60):
        # Issued by one, and used at both.
        holder.keys = nodes[step % 2]
        ticket = holder.new_ticket()
        good.append((ticket, holder.key(ticket)))
        hours.add(ticket.key_id)
        for each, key in good:
            proof = holder.proof(text, key=key, ticket=each.text)
            for verifier in verifiers:
                verified = holder.verify(proof, text, token, verifier)
                assert verified.key_kind == "ticket"
        for each, key in ended:
            proof = holder.proof(text, key=key, ticket=each.text)
            for verifier in verifiers:
                with pytest.raises(StaleTicketError):
                    holder.verify(proof, text, token, verifier)
        clock.advance(237)
        ended = [(t, k) for t, k in good if t.expires_at <= clock.now]
        good = [(t, k) for t, k in good if t.expires_at > clock.now]
        for node in nodes:
            assert all(clock.now < key.expires_at for key in node.load())

    assert len(hours) >= 4


def test_many_threads_verify_while_the_hour_changes(ec_key: Any, clock: Clock) -> None:
    holder = Holder(ec_key, clock)
    text = holder.token(exp=clock.now + 20_000)
    token = bound(holder.jkt, expires_at=clock.now + 20_000)
    clock.advance(3600 - clock.now % 3600 - 1)
    holder.ticket = holder.new_ticket()
    proofs = [holder.proof(text, now=clock.now) for _ in range(200)]
    barrier = threading.Barrier(5, timeout=PATIENCE)
    seen: list[str | None] = []

    def verify(mine: list[str]) -> None:
        barrier.wait()
        for proof in mine:
            verified = holder.verify(proof, text, token)
            holder.verifier.spend(verified)
            seen.append(verified.key_kind)

    threads = [
        threading.Thread(target=verify, args=[proofs[number::4]]) for number in range(4)
    ]
    for thread in threads:
        thread.start()
    barrier.wait()
    clock.advance(2)
    for thread in threads:
        thread.join(PATIENCE)

    assert seen == ["ticket"] * 200


class Broken:
    """A store that is down."""

    def load(self) -> Any:
        raise OSError

    put = find = load


def test_a_ticket_that_cannot_be_judged_is_not_good(ec_key: Any, clock: Clock) -> None:
    holder = Holder(ec_key, clock)
    text, proof = holder.token(), holder.proof(holder.token())
    proof = holder.proof(text)
    for broken in (
        Tickets(keys=Broken(), logouts=holder.logouts),
        Tickets(keys=holder.keys, logouts=Broken()),  # type: ignore[arg-type]
    ):
        verifier = ProofVerifier(
            MemoryReplayStore(),
            issuer=ISSUER,
            audience=AUDIENCE,
            tickets=broken,
            clock=clock,
        )
        with pytest.raises(StaleTicketError):
            holder.verify(proof, text, verifier=verifier)
    with pytest.raises(StoreError):
        verifier.log_out(jkt=holder.jkt)


@pytest.mark.requirement("R1404", "R1503")
def test_the_claims_are_checked_and_a_proof_is_good_once(
    holder: Holder, clock: Clock
) -> None:
    text = holder.token()
    for change, error in (
        ({"method": "POST"}, TargetMismatchError),
        ({"url": URL + "/1"}, TargetMismatchError),
        ({"access_token": text + "x"}, TokenMismatchError),
        ({"now": clock.now - 66}, DPoPError),
    ):
        with pytest.raises(error):
            holder.verify(holder.proof(text, **change), text)
    proof = holder.proof(text)
    holder.verifier.spend(holder.verify(proof, text))
    with pytest.raises(ReplayedProofError):
        holder.verifier.spend(holder.verify(proof, text))


@pytest.mark.requirement("R1403")
def test_the_algorithm_is_one_of_the_policy(ec_key: Any, clock: Clock) -> None:
    holder = Holder(ec_key, clock)
    text = holder.token()
    key = holder.key(algorithm="HS512")
    proof = holder.proof(text, key=key, algorithm="HS512")
    with pytest.raises(UnsupportedKeyError):
        holder.verify(proof, text)
    holder.options["algorithms"] = ("HS256", "HS512")
    verifier = holder.new_verifier()

    assert holder.verify(proof, text, verifier=verifier).key_kind == "ticket"
    assert verifier.symmetric_algorithms == ("HS256", "HS512")


def test_a_version_beside_a_ticket_is_refused(holder: Holder) -> None:
    text = holder.token()
    header = {"typ": "dpop-sym+jwt", "alg": "HS256", "tkt": holder.ticket.text}
    claims = holder.proof(text).split(".")[1]

    def sign(header: dict[str, str]) -> str:
        signing_input = f"{json_segment(header)}.{claims}"
        tag = MacKey("HS256", holder.key().reveal()).tag(signing_input.encode())
        return f"{signing_input}.{b64url_encode(tag)}"

    holder.verify(sign(header), text)
    with pytest.raises(MalformedProofError):
        holder.verify(sign(header | {"kid": "7"}), text)


def test_a_token_that_is_bound_to_no_key_or_names_no_client_is_refused(
    holder: Holder,
) -> None:
    unbound = holder.token(cnf=None)
    with pytest.raises(UnboundTokenError):
        holder.verify(holder.proof(unbound), unbound)
    nobody = holder.token(client_id=None)
    with pytest.raises(AccessTokenError):
        holder.verify(holder.proof(nobody), nobody)
    text = holder.token()
    with pytest.raises(UnboundTokenError):
        holder.verify(holder.proof(text), text, bound(holder.jkt, confirmation=None))


@pytest.mark.parametrize("known", [False, True])
def test_a_token_has_to_be_for_this_server_and_good_now(
    holder: Holder, clock: Clock, known: bool
) -> None:
    text = holder.token(exp=clock.now + 10, aud=["https://other", AUDIENCE])
    if known:
        token = bound(
            holder.jkt,
            expires_at=clock.now + 10,
            audience=("https://other", AUDIENCE),
        )
        holder.verify(holder.proof(text), text, token)
    for change in (
        {"aud": "https://other"},
        {"aud": ["https://other"]},
        {"aud": None},
        {"iss": "https://other"},
        {"exp": clock.now},
    ):
        other = holder.token(**change)
        with pytest.raises(AccessTokenError):
            holder.verify(holder.proof(other), other)
    clock.advance(10)
    with pytest.raises(AccessTokenError):
        holder.verify(holder.proof(text), text)


def test_an_opaque_token_is_asked_about_first(ec_key: Any, clock: Clock) -> None:
    holder = Holder(ec_key, clock, token_form="opaque")
    holder.verify(holder.proof("opaque"), "opaque")
    holder.verify(holder.proof("opaque"), "opaque")
    other = bound(holder.jkt, client_id="client-2")

    with pytest.raises(BadSignatureError):
        holder.verify(holder.proof("opaque"), "opaque", other)
    # But not on behalf of a ticket that is none.
    for ticket, error in (
        (b64url_encode(b"\x01" + bytes(26)), MalformedProofError),
        (b64url_encode(b"\x02" + bytes(26)), StaleTicketError),
    ):
        proof = holder.proof("opaque", ticket=ticket)
        with pytest.raises(error):
            holder.verifier.open(proof, method="GET", url=URL, access_token="opaque")


def test_a_token_is_not_read_for_a_ticket_that_is_not_good(
    holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = holder.token()
    read: list[str] = []

    def refuse(text: str, **_: Any) -> AccessToken:
        read.append(text)
        raise AccessTokenError

    monkeypatch.setattr("dpop_ext.ticket_verifier.peek_access_token", refuse)
    for ticket in (b64url_encode(b"\x02" + bytes(26)), "x"):
        with pytest.raises((StaleTicketError, MalformedProofError)):
            holder.verify(holder.proof(text, ticket=ticket), text)
    assert not read
    with pytest.raises(AccessTokenError):
        holder.verify(holder.proof(text), text)
    assert read == [text]


def test_a_key_is_remembered_only_with_a_verified_token(holder: Holder) -> None:
    text = holder.token()
    proof = holder.proof(text)
    opened = holder.verifier.open(proof, method="GET", url=URL, access_token=text)
    known = holder.verifier._tickets.uses._recent  # type: ignore[union-attr]
    assert len(known) == 0
    with pytest.raises(AccessTokenError):
        holder.verifier.verify(opened, token=bound(holder.jkt, client_id="other"))
    assert len(known) == 0
    with pytest.raises(TargetMismatchError):
        holder.verify(holder.proof(text, method="PUT"), text)
    assert len(known) == 0

    holder.verifier.verify(opened, token=bound(holder.jkt))
    assert len(known) == 1


def test_without_tickets_a_proof_with_one_is_refused(
    holder: Holder, clock: Clock
) -> None:
    text = holder.token()
    plain = ProofVerifier(MemoryReplayStore(), clock=clock)
    derived = ProofVerifier(
        MemoryReplayStore(),
        keyring=MemoryKeyring(ring()),
        issuer=ISSUER,
        audience=AUDIENCE,
        clock=clock,
    )

    for verifier in (plain, derived):
        with pytest.raises(MalformedProofError):
            verifier.open(holder.proof(text), method="GET", url=URL, access_token=text)
        with pytest.raises(ValueError, match="no tickets"):
            verifier.log_out(jkt=holder.jkt)
    with pytest.raises(MalformedProofError):
        holder.verifier.open(holder.proof(text), method="GET", url=URL)


def test_a_symmetric_proof_without_a_ticket_is_refused_where_there_is_no_keyring(
    holder: Holder,
) -> None:
    text = holder.token()
    with pytest.raises(MalformedProofError):
        holder.verify(holder.proof(text, ticket=None), text)
    holder.verify(holder.proof(text), text)


def test_tickets_are_configured_whole_or_not_at_all(holder: Holder) -> None:
    tickets = Tickets(keys=holder.keys, logouts=holder.logouts)
    for issuer, audience in ((None, AUDIENCE), (ISSUER, None), (ISSUER, "a" * 257)):
        with pytest.raises(ValueError, match=r"issuer|identifier"):
            ProofVerifier(
                MemoryReplayStore(), issuer=issuer, audience=audience, tickets=tickets
            )
    for algorithms in ((), ("ES256",), ("HS256", "none")):
        with pytest.raises(ValueError, match="algorithms"):
            replace(tickets, algorithms=algorithms)
    with pytest.raises(ValueError, match="client_rate"):
        replace(tickets, client_rate=0)


def changes_of(proof: str) -> list[str]:
    """Each character of a proof, exchanged, and some other changes."""
    swapped = [
        proof[:at] + ("A" if proof[at] != "A" else "B") + proof[at + 1 :]
        for at in range(0, len(proof), 3)
    ]
    return [*swapped, proof[:-1], proof + "A", proof.upper(), "." + proof, ""]


@pytest.mark.requirement("T12", "T22")
def test_the_short_way_and_the_long_way_give_the_same_verdict(
    ec_key: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = Holder(ec_key, clock)
    text = holder.token()
    proof = holder.proof(text)
    header, claims, _ = proof.split(".")
    spaced = b64url_encode(b64url_decode(header).replace(b'",', b'", '))
    signing_input = f"{spaced}.{claims}"
    tag = MacKey("HS256", holder.key().reveal()).tag(signing_input.encode())
    proofs = [proof, f"{signing_input}.{b64url_encode(tag)}", *changes_of(proof)]

    def verdict(verifier: ProofVerifier, each: str) -> object:
        try:
            return replace_seal(holder.verify(each, text, verifier=verifier))
        except DPoPError as error:
            return type(error), error.description

    short = [verdict(holder.verifier, each) for each in proofs for _ in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(dpop_ext.verifier, "parse_usual_proof", lambda _: None)
        patch.setattr("dpop_ext.core.usual_claims._USUAL", re.compile(r"(?!)"))
        long = [
            verdict(holder.new_verifier(), each) for each in proofs for _ in range(2)
        ]

    assert short == long
    assert sum(isinstance(each, tuple) and each[0] == holder.jkt for each in short) == 4


def replace_seal(verified: VerifiedProof) -> tuple[object, ...]:
    return (
        verified.jkt,
        verified.jti,
        verified.key_kind,
        verified.replay_key,
        dict(verified.claims),
    )
