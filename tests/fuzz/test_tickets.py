"""Whatever is sent about tickets: no server error, no ticket, and nothing repeated."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey

from dpop_ext.client.ticket_request import TicketRequest
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.jose import json_segment
from dpop_ext.core.structured_field import parse_dictionary
from dpop_ext.errors import KeyDeliveryError
from dpop_ext.stores.logouts import MemoryLogoutStore
from dpop_ext.stores.ticket_keys import RotatingTicketKeys
from dpop_ext.symmetric.mac_key import MacKey
from dpop_ext.symmetric.ticket_keys import KEY_ID_LENGTH
from dpop_ext.tickets import Tickets
from tests.client.ticket_server import ticket_field
from tests.conftest import Clock
from tests.fuzz.profile import fuzz
from tests.resource_server.world import AUDIENCE, Request, Response, World, send
from tests.symmetric.odd_values import ODD_VALUES, json_values

ENCRYPTION_KEY = OKPKey.generate_key("X25519")
DSK: dict[str, Any] = {
    "algs": ["HS256"],
    "jwk": ENCRYPTION_KEY.as_dict(private=False),
    "kalgs": ["ECDH-ES"],
    "encs": ["A256GCM"],
    "n": b64url_encode(bytes(range(32))),
    "mode": "wrap",
}
MAC_KEY = MacKey("HS256", bytes(range(60, 92)))


@pytest.fixture(scope="module")
def world() -> World:
    key, issuer_key, other_key = (
        ECKey.generate_key("P-256", {"kid": kid}) for kid in ("c", "issuer-key", "o")
    )
    clock = Clock()
    world = World(clock=clock, key=key, issuer_key=issuer_key, other_key=other_key)
    world.tickets = Tickets(
        keys=RotatingTicketKeys(clock=clock), logouts=MemoryLogoutStore()
    )
    return world


@pytest.fixture(scope="module")
def app(world: World) -> Any:
    return world.app("wsgi")


def ask(world: World, app: Any, dsk: object) -> Response:
    # The limit of a key would hide what comes after three tickets.
    world.clock.advance(60)
    token = world.token()
    proof = world.proof(token, claims={"dsk": dsk})
    headers = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
    return send(app, Request(headers=headers).environ())


def is_dsk(value: object) -> bool:
    """Tell whether there is nothing odd about it: some odd values change nothing."""
    return isinstance(value, dict) and all(
        value.get(name) == DSK[name] for name in ("algs", "jwk", "n", "mode")
    )


@pytest.mark.parametrize("member", [*DSK, None])
@pytest.mark.parametrize("odd", ODD_VALUES, ids=repr)
def test_a_claim_with_an_odd_member_gets_an_answer(
    world: World, app: Any, member: str | None, odd: object
) -> None:
    answer = ask(world, app, odd if member is None else {**DSK, member: odd})

    assert answer.status == 200
    assert not answer.values("DPoP-Ticket")


@fuzz
@given(odd=json_values, member=st.sampled_from([*DSK, "must", "k_jwe", "new", None]))
def test_a_claim_with_any_member_gets_an_answer(
    world: World, app: Any, odd: object, member: str | None
) -> None:
    dsk = odd if member is None else {**DSK, member: odd}
    answer = ask(world, app, dsk)

    # A claim that no strict parser takes is a bad proof.
    assert answer.status in (200, 401)
    if not is_dsk(dsk):
        assert not answer.values("DPoP-Ticket")


def prove(world: World, app: Any, header: object) -> Response:
    """Send a proof with this header and a MAC by a key that is none of the server's."""
    token = world.token()
    usual = world.symmetric_proof(token).split(".")[1]
    signing_input = f"{json_segment(header)}.{usual}"  # type: ignore[arg-type]
    tag = b64url_encode(MAC_KEY.tag(signing_input.encode()))
    headers = [
        ("Authorization", f"DPoP {token}"),
        ("DPoP", f"{signing_input}.{tag}"),
    ]
    return send(app, Request(headers=headers).environ())


@pytest.mark.requirement("T12")
@pytest.mark.parametrize("odd", ODD_VALUES, ids=repr)
def test_an_odd_ticket_is_refused(world: World, app: Any, odd: object) -> None:
    header = {"typ": "dpop-sym+jwt", "alg": "HS256", "tkt": odd}
    answer = prove(world, app, header)

    assert answer.status == 401
    assert answer.challenges["DPoP"].get("error") == "invalid_dpop_proof"


@pytest.mark.requirement("T12")
@fuzz
@given(rest=st.binary(min_size=0, max_size=40), known=st.booleans())
def test_no_ticket_that_was_made_up_is_good(
    world: World, app: Any, rest: bytes, known: bool
) -> None:
    assert world.tickets is not None
    key = world.tickets.keys.load().current(now=world.clock.now)
    assert key is not None
    key_id = key.key_id if known else rest[:KEY_ID_LENGTH]
    ticket = b64url_encode(b"\x02" + key_id + rest)
    header = {"typ": "dpop-sym+jwt", "alg": "HS256", "tkt": ticket}
    answer = prove(world, app, header)

    assert answer.status == 401
    assert answer.challenges["DPoP"].get("error") in {
        "invalid_dpop_proof",
        "use_dpop_asymmetric",
    }
    assert ticket not in str(answer.headers) + answer.body.decode()


# --- at the client


@pytest.fixture(scope="module")
def asked(world: World) -> tuple[TicketRequest, str, str]:
    """A request for a ticket, its proof, and the field of the right answer."""
    request = TicketRequest(resource=AUDIENCE, jkt=world.jkt)
    proof = world.proof(world.token(), claims=request.claims())
    field = ticket_field(proof, now=world.clock.now, jkt=world.jkt, resource=AUDIENCE)
    return request, proof, field


def read(world: World, asked: tuple[TicketRequest, str, str], *fields: str) -> bool:
    """Tell whether these fields hold the ticket; any other error is a failure."""
    request, proof, field = asked
    # As it was when the ticket was made.
    now = int(str(parse_dictionary([field])["exp"])) - 300
    try:
        return request.read(fields, proof=proof, now=now) is not None
    except KeyDeliveryError:
        return False


@fuzz
@given(text=st.text(max_size=200))
def test_text_is_no_ticket(
    world: World, asked: tuple[TicketRequest, str, str], text: str
) -> None:
    assert read(world, asked, asked[2])
    assert not read(world, asked, text)


@fuzz
@given(at=st.integers(0, 10_000), character=st.characters(max_codepoint=255))
def test_a_field_with_another_character_is_another_field(
    world: World, asked: tuple[TicketRequest, str, str], at: int, character: str
) -> None:
    field = asked[2]
    at %= len(field)
    changed = field[:at] + character + field[at + 1 :]

    assert read(world, asked, changed) is (_same(changed, field))


def _same(one: str, other: str) -> bool:
    try:
        members = parse_dictionary([one])
    except ValueError:
        return False
    return all(
        members.get(name) == value for name, value in parse_dictionary([other]).items()
    )


@fuzz
@given(name=st.sampled_from(["tkt", "key", "exp", "alg"]), value=st.integers(-9, 10**9))
def test_a_member_of_another_type_is_no_answer(
    world: World, asked: tuple[TicketRequest, str, str], name: str, value: int
) -> None:
    assert not read(world, asked, asked[2], f"{name}={value}")
    assert not read(world, asked, asked[2], f'{name}="{value}"')
