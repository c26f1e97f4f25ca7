from __future__ import annotations

import os
from typing import Any

import pytest
from joserfc import jwe
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.confirmation import AccessToken, Confirmation, DerivedKeyReference
from dpop_ext.core.jose import CompactJWS
from dpop_ext.core.jws_signature import sign_compact, verify_signature
from dpop_ext.core.key import thumbprint
from dpop_ext.errors import AccessTokenError, StaleKeyError, StoreError, UnknownKeyError
from dpop_ext.symmetric.deny_list import MAX_DENIALS, Denial, DenyList
from dpop_ext.symmetric.keyring import encrypt_keyring, open_keyring
from dpop_ext.symmetric.keyring_claims import (
    MAX_SECRETS,
    Keyring,
    content_digest,
    fit_in_keyring,
    keyring_claims,
)
from dpop_ext.symmetric.keyring_floor import (
    MAX_REVOKED,
    KeyringError,
    KeyringFloor,
    parse_floor,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing, SecretState

NOW = 1_790_000_000
ISSUER = "https://as.example.com"
AUDIENCE = "https://api.example.com"
NONCE = "AAAAAAAAAAAAAAAAAAAAAA"
RECIPIENT = ECKey.generate_key("P-256")
SIGNER = ECKey.generate_key("P-256")


def entry(version: int, state: SecretState = "active") -> AudienceSecret:
    ended = state in ("retired", "revoked")
    return AudienceSecret(
        version=version,
        state=state,
        not_before=NOW,
        expires_at=NOW + 5000,
        secret=None if ended else SecretBytes(os.urandom(32)),
    )


SECRETS = (
    entry(5, "retired"),
    entry(6, "revoked"),
    entry(7, "verify_only"),
    entry(8),
    entry(9, "pending"),
)


def ring(*secrets: AudienceSecret, **options: Any) -> SecretRing:
    return SecretRing(secrets or SECRETS, issuer=ISSUER, audience=AUDIENCE, **options)


def claims(of: SecretRing | None = None, **changes: Any) -> dict[str, Any]:
    said = keyring_claims(of or ring(), epoch=1, sequence=42, poll=300)
    times = {"iat": NOW, "exp": NOW + 1800, "jti": "k1", "nonce": NONCE}
    return said | times | changes


def sealed(
    said: dict[str, Any],
    *,
    recipient: Key = RECIPIENT,
    typ: str = "dpop-keyring+jwt",
    key: Key = SIGNER,
) -> str:
    signed = sign_compact({"typ": typ, "alg": "ES256"}, said, key)
    public = type(recipient).import_key(recipient.as_dict(private=False))
    return encrypt_keyring(signed, recipient=public)


def by_issuer(jws: CompactJWS) -> None:
    verify_signature(jws, SIGNER, algorithm="ES256")


def opened(text: str, **changes: Any) -> Keyring:
    options: dict[str, Any] = {
        "private_keys": [RECIPIENT],
        "verify": by_issuer,
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "nonce": NONCE,
        "floor": KeyringFloor(),
        "now": NOW,
    }
    return open_keyring(text, **(options | changes))


@pytest.mark.requirement("R2033")
@pytest.mark.parametrize(
    "recipient",
    [
        ECKey.generate_key("P-256"),
        ECKey.generate_key("P-521"),
        OKPKey.generate_key("X25519"),
        RSAKey.generate_key(2048),
    ],
    ids=["P-256", "P-521", "X25519", "RSA"],
)
def test_a_keyring_arrives_as_it_was_sent(recipient: Key) -> None:
    keyring = opened(sealed(claims(), recipient=recipient), private_keys=[recipient])
    sent = {e.version: e.secret for e in SECRETS if e.secret is not None}
    assert {e.version: e.secret for e in keyring.ring} == sent
    assert [e.state for e in keyring.ring] == ["verify_only", "active", "pending"]
    assert (keyring.ring.issuer, keyring.ring.audience) == (ISSUER, AUDIENCE)
    assert (keyring.issued_at, keyring.poll) == (NOW, 300)
    assert (keyring.floor.epoch, keyring.floor.sequence) == (1, 42)


@pytest.mark.requirement("R2012")
@pytest.mark.parametrize("name", ["x" * 16, "f" * 64, ":" * 200, "\u20ac" * 100, None])
def test_all_denials_for_which_there_is_room_arrive(name: str | None) -> None:
    denials: list[Denial] = []
    for number in range(MAX_DENIALS):
        one = Denial(
            token_id=f"{name}{number}" if name else None,
            r=os.urandom(32) if name is None else None,
            expires_at=NOW + 5000,
        )
        if not fit_in_keyring([*denials, one]):
            break
        denials.append(one)
    assert (len(denials) == MAX_DENIALS) is (name is None or len(name) < 20)
    of = ring(denied=DenyList(denials))
    long = {"sub": "x" * 600}  # for longer names of both servers
    assert len(list(opened(sealed(claims(of) | long)).ring.denied)) == len(denials)


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_name_that_no_token_can_have_is_not_denied(name: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        Denial(token_id=name, expires_at=NOW)


@pytest.mark.requirement("R2033")
def test_a_keyring_shows_no_secret_on_its_way() -> None:
    text = sealed(claims())
    assert text.count(".") == 4
    with pytest.raises(KeyringError):
        opened(text, private_keys=[ECKey.generate_key("P-256")])


def test_ended_versions_travel_as_tombstones() -> None:
    of = ring(entry(5, "retired"), entry(7), entry(8, "revoked"), entry(9, "retired"))
    keyring = opened(sealed(claims(of)))
    assert keyring.ring.find(7, now=NOW).version == 7
    for version in (5, 6, 8, 9):
        with pytest.raises(StaleKeyError):
            keyring.ring.find(version, now=NOW)
    with pytest.raises(UnknownKeyError):
        keyring.ring.find(10, now=NOW)


def test_a_keyring_without_live_versions_says_how_far_they_came() -> None:
    keyring = opened(sealed(claims(ring(entry(7, "retired")))))
    with pytest.raises(StaleKeyError):
        keyring.ring.find(7, now=NOW)
    with pytest.raises(UnknownKeyError):
        keyring.ring.find(8, now=NOW)


@pytest.mark.requirement("T19", "R2041", "R2042", "R2043")
@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"},
        {"iss": None},
        {"aud": "https://other.example"},
        {"aud": [AUDIENCE]},
        {"aud": [AUDIENCE, "https://other.example"]},
        {"nonce": "BAAAAAAAAAAAAAAAAAAAAA"},
        {"nonce": None},
        {"iat": NOW - 61},
        {"iat": NOW + 61},
        {"exp": NOW},
    ],
    ids=str,
)
def test_a_keyring_of_another_party_request_or_time_is_refused(
    changes: dict[str, Any],
) -> None:
    with pytest.raises(KeyringError):
        opened(sealed(claims(**changes)))


@pytest.mark.requirement("R2043")
@pytest.mark.parametrize("iat", [NOW - 60, NOW + 60])
def test_clocks_may_differ_by_a_minute(iat: int) -> None:
    assert opened(sealed(claims(iat=iat))).issued_at == iat


@pytest.mark.requirement("T19")
def test_a_keyring_with_another_signature_is_refused() -> None:
    with pytest.raises(KeyringError, match="signed"):
        opened(sealed(claims(), key=ECKey.generate_key("P-256")))


@pytest.mark.requirement("T19", "R2042")
@pytest.mark.parametrize("typ", ["at+jwt", "JWT", "dpop+jwt"])
def test_another_jwt_of_the_issuer_is_no_keyring(typ: str) -> None:
    with pytest.raises(KeyringError, match="kind"):
        opened(sealed(claims(), typ=typ))


def test_keys_of_the_issuer_that_are_out_of_reach_are_no_fault_of_the_keyring() -> None:
    def out_of_reach(jws: CompactJWS) -> None:
        raise StoreError

    with pytest.raises(StoreError):
        opened(sealed(claims()), verify=out_of_reach)


@pytest.mark.requirement("R2065")
@pytest.mark.parametrize(
    ("header", "key"),
    [
        ({"typ": "dpop-sym+jwe"}, RECIPIENT),
        ({"cty": "jwk+json"}, RECIPIENT),
        ({"enc": "A128GCM"}, RECIPIENT),
        ({"alg": "ECDH-ES+A128KW"}, RECIPIENT),
        ({"kid": "other"}, RECIPIENT),
        ({"apu": "AAAA"}, RECIPIENT),
    ],
)
def test_a_jwe_for_another_use_is_not_decrypted(header: Any, key: Key) -> None:
    good = {"typ": "dpop-keyring+jwe", "cty": "JWT", "alg": "ECDH-ES"}
    good |= {"enc": "A256GCM", "kid": thumbprint(key)}
    signed = sign_compact({"typ": "dpop-keyring+jwt", "alg": "ES256"}, claims(), SIGNER)
    opened(jwe.encrypt_compact(good, signed, key))
    with pytest.raises(KeyringError, match="decrypted"):
        opened(jwe.encrypt_compact(good | header, signed, key))


@pytest.mark.parametrize("text", ["", "a.b.c.d.e", "....", "e30.." + "A" * 65536])
def test_garbage_is_refused(text: str) -> None:
    with pytest.raises(KeyringError):
        opened(text)


@pytest.mark.requirement("R1702")
@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_secret_of_another_length_refuses_the_keyring(length: int) -> None:
    said = claims()
    said["keys"][1]["k"] = b64url_encode(os.urandom(length))
    with pytest.raises(KeyringError, match="malformed") as caught:
        opened(sealed(said))
    assert caught.value.__cause__ is None


@pytest.mark.requirement("R2045", "R2101")
@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("v", 7),  # twice
        ("v", 0),
        ("v", True),
        ("v", 8.0),
        ("v", 2**53),
        ("state", "retired"),
        ("state", "verify_only "),
        ("nbf", "0"),
        ("exp", NOW),  # not after nbf
        ("kdf", "dpop-sym/2"),
        ("k", "A" * 43),
        ("k", None),
    ],
)
def test_a_malformed_key_refuses_the_keyring(member: str, value: Any) -> None:
    said = claims()
    said["keys"][1][member] = value
    with pytest.raises(KeyringError):
        opened(sealed(said))


@pytest.mark.parametrize("name", ["iat", "exp", "epoch", "seq", "poll", "min_live"])
@pytest.mark.parametrize("value", [None, "1", True, 1.5, -1, 2**53])
def test_a_malformed_number_refuses_the_keyring(name: str, value: Any) -> None:
    with pytest.raises(KeyringError):
        opened(sealed(claims(**{name: value})))


@pytest.mark.parametrize(
    "changes",
    [
        {"keys": {}},
        {"keys": [7]},
        {"keys": None},
        {"revoked": [0]},
        {"revoked": ["7"]},
        {"revoked": list(range(1, MAX_REVOKED + 2))},
        {"deny": [{"exp": NOW}]},
        {"deny": [{"jti": "a", "r": "A" * 43, "exp": NOW}]},
        {"deny": [{"jti": 7, "exp": NOW}]},
        {"deny": [{"r": "AAAA", "exp": NOW}]},
        {"deny": [{"jti": "a"}]},
        {"deny": [{"jti": "a", "exp": NOW}] * (MAX_DENIALS + 1)},
    ],
    ids=range(12),
)
def test_a_malformed_list_refuses_the_keyring(changes: dict[str, Any]) -> None:
    with pytest.raises(KeyringError):
        opened(sealed(claims(**changes)))


def test_a_keyring_has_a_limited_number_of_secrets() -> None:
    many = [entry(version, "pending") for version in range(7, 7 + MAX_SECRETS + 1)]
    said = claims(ring(*many[:-1]))
    assert len(list(opened(sealed(said)).ring)) == MAX_SECRETS
    with pytest.raises(ValueError, match="too many"):
        claims(ring(*many))
    (last,) = claims(ring(many[-1]))["keys"]
    said["keys"].append(last)
    with pytest.raises(KeyringError):
        opened(sealed(said))


def test_unknown_members_are_for_later_versions() -> None:
    assert opened(sealed(claims(hint="x"))).poll == 300


@pytest.mark.requirement("R1701", "T19", "R2044")
@pytest.mark.parametrize("number", [(1, 41), (0, 43), (0, 0)])
def test_keyring_rollback_refused(number: tuple[int, int]) -> None:
    floor = opened(sealed(claims())).floor
    older = claims(epoch=number[0], seq=number[1])
    with pytest.raises(KeyringError):
        opened(sealed(older), floor=floor)


@pytest.mark.requirement("R1701")
@pytest.mark.parametrize("number", [(1, 43), (2, 1)])
def test_a_later_keyring_is_accepted(number: tuple[int, int]) -> None:
    floor = opened(sealed(claims())).floor
    later = opened(sealed(claims(epoch=number[0], seq=number[1])), floor=floor)
    assert (later.floor.epoch, later.floor.sequence) == number


@pytest.mark.requirement("R1701", "R2044")
def test_the_same_number_stands_for_the_same_content_only() -> None:
    floor = opened(sealed(claims())).floor
    again = sealed(claims(iat=NOW + 5, exp=NOW + 1805, jti="k2"))
    assert opened(again, floor=floor).floor == floor
    for other in (claims(min_live=8), claims(revoked=[8]), claims(ring(entry(8)))):
        with pytest.raises(KeyringError, match="differ"):
            opened(sealed(other), floor=floor)


def test_another_interval_needs_no_new_number() -> None:
    """An issuer that was told to be polled more often has the same secrets."""
    before = opened(sealed(claims()))
    after = opened(sealed(claims(poll=60)), floor=before.floor)
    assert (before.poll, after.poll) == (300, 60)


@pytest.mark.requirement("R1701", "T19", "R2047")
def test_a_version_that_ended_does_not_come_back() -> None:
    floor = opened(sealed(claims(revoked=[8], seq=43))).floor
    back = opened(sealed(claims(seq=44, min_live=1)), floor=floor)
    assert back.ring.find(9, now=NOW).version == 9
    with pytest.raises(StaleKeyError):
        back.ring.find(8, now=NOW)
    assert back.floor.min_live == 7


def test_revoked_versions_below_the_lowest_live_one_are_forgotten() -> None:
    floor = KeyringFloor(sequence=1, min_live=5, revoked=frozenset({5, 9}))
    said: dict[str, Any] = {"epoch": 0, "sequence": 2, "content": "ab", "min_live": 7}
    assert floor.raised(**said, revoked=[8]).revoked == {8, 9}
    with pytest.raises(KeyringError):
        floor.raised(**said, revoked=range(10, 10 + MAX_REVOKED))


@pytest.mark.requirement("R2047")
def test_a_floor_is_read_as_it_was_written() -> None:
    floor = opened(sealed(claims(revoked=[8]))).floor
    assert parse_floor(floor.dump()) == floor


@pytest.mark.parametrize(
    "raw",
    [b"", b"{}", b"[]", b'{"epoch":1,"seq":1,"content":7,"min_live":1,"revoked":[]}'],
)
def test_another_file_is_no_floor(raw: bytes) -> None:
    with pytest.raises(KeyringError):
        parse_floor(raw)


@pytest.mark.requirement("R2023")
@pytest.mark.parametrize(
    ("changes", "life"),
    [
        ({}, 900),
        ({"poll": 1}, 90),
        ({"poll": 100_000}, 1800),
        ({"exp": NOW + 100}, 100),
        ({"iat": NOW + 60}, 900),
        ({"iat": NOW - 60}, 840),
    ],
)
def test_a_keyring_is_good_for_three_polls(changes: Any, life: int) -> None:
    keyring = opened(sealed(claims(**changes)))
    assert keyring.ring.find(8, now=NOW + life - 1).version == 8
    for version in (5, 8, 10):
        with pytest.raises(UnknownKeyError):
            keyring.ring.find(version, now=NOW + life)


@pytest.mark.requirement("R2024")
@pytest.mark.parametrize(("asked", "poll"), [(1, 30), (31, 31), (601, 600)])
def test_the_interval_has_limits(asked: int, poll: int) -> None:
    assert opened(sealed(claims(poll=asked))).poll == poll


def test_a_kept_keyring_is_opened_for_as_long_as_it_is_good() -> None:
    text = sealed(claims())
    assert opened(text, nonce=None, now=NOW + 899).issued_at == NOW
    with pytest.raises(KeyringError):
        opened(text, nonce=None, now=NOW + 900)
    with pytest.raises(KeyringError):
        opened(text, now=NOW + 61)


def token(token_id: str | None, r: bytes | None = None) -> AccessToken:
    dsk = None
    if r is not None:
        dsk = DerivedKeyReference(algorithm="HS256", version=8, r=r, expires_at=None)
    return AccessToken(
        issuer=ISSUER,
        audience=(AUDIENCE,),
        client_id="c",
        expires_at=NOW + 300,
        token_id=token_id,
        confirmation=Confirmation(jkt="j", dsk=dsk),
        scope="",
        claims={},
    )


def test_denials_arrive_and_name_a_token_by_jti_or_r() -> None:
    r, other = os.urandom(32), os.urandom(32)
    denials = (
        Denial(token_id="stolen", expires_at=NOW + 300),
        Denial(r=r, expires_at=NOW + 200),
    )
    keyring = opened(sealed(claims(ring(denied=DenyList(denials)))))
    denied = keyring.ring.denied
    assert tuple(denied) == denials
    denied.check(token("good", other), now=NOW)
    denied.check(token(None), now=NOW)
    for bad in (token("stolen"), token("stolen", other), token("good", r)):
        with pytest.raises(AccessTokenError):
            denied.check(bad, now=NOW)
    denied.check(token("good", r), now=NOW + 200)


def test_the_longest_list_of_denials_fits() -> None:
    denials = DenyList(
        Denial(token_id=f"{number:043}", expires_at=NOW)
        for number in range(MAX_DENIALS)
    )
    keyring = opened(sealed(claims(ring(denied=denials))))
    assert len(tuple(keyring.ring.denied)) == MAX_DENIALS


@pytest.mark.parametrize(
    "values",
    [{}, {"token_id": "a", "r": bytes(32)}, {"r": bytes(31)}, {"token_id": ""}],
)
def test_a_denial_names_one_token(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"jti|bytes"):
        Denial(**values, expires_at=NOW)


def test_too_many_live_versions_make_no_keyring() -> None:
    many = [entry(1), *(entry(v, "pending") for v in range(2, 18))]
    with pytest.raises(ValueError, match="too many"):
        claims(ring(*many))


@pytest.mark.requirement("R1701")
def test_a_version_that_has_ended_is_not_sent_though_its_secret_is_there() -> None:
    said = claims(ring(entry(7), entry(8, "pending"), entry(9, "pending")))
    assert [key["v"] for key in said["keys"]] == [7, 8, 9]
    assert (said["min_live"], said["revoked"]) == (7, [])
    secrets = (entry(7, "verify_only"), entry(8), entry(9, "pending"))
    said = claims(ring(*secrets, min_live=8, revoked=[9, 10]))
    assert [key["v"] for key in said["keys"]] == [8]
    assert (said["min_live"], said["revoked"]) == (8, [9, 10])


def test_where_nothing_is_live_every_version_so_far_has_ended() -> None:
    said = claims(ring(entry(5, "retired"), entry(6, "revoked")))
    assert (said["keys"], said["min_live"], said["revoked"]) == ([], 7, [])


def test_what_a_keyring_says_is_the_same_in_any_order() -> None:
    said = claims()
    assert content_digest(said) == content_digest(dict(reversed(said.items())))
    assert content_digest(said) != content_digest(said | {"min_live": 8})


def test_a_keyring_is_encrypted_for_a_key_that_is_for_it() -> None:
    with pytest.raises(ValueError, match="cannot be used"):
        encrypt_keyring("a.b.c", recipient=OctKey.generate_key(256))
