"""Symmetric proofs under keys that tokens bring along, encrypted for this server."""

from __future__ import annotations

from typing import Any

import pytest
from joserfc.jwk import ECKey, Key

from dpop_ext.core.confirmation import AccessToken, Confirmation, parse_confirmation
from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.core.token_text import token_digest
from dpop_ext.errors import (
    AccessTokenError,
    BadSignatureError,
    MalformedProofError,
    TargetMismatchError,
    TokenMismatchError,
    UnboundTokenError,
    UnknownKeyError,
)
from dpop_ext.resource_server import protected_resource_metadata
from dpop_ext.stores.memory import MemoryKeyring, MemoryReplayStore
from dpop_ext.symmetric.deny_list import Denial, DenyList
from dpop_ext.symmetric.encapsulation import KeyDecryptor, KeyRecipient, encapsulate_key
from dpop_ext.symmetric.proof import make_symmetric_proof
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import SecretRing
from dpop_ext.verified_proof import VerifiedProof
from dpop_ext.verifier import ProofVerifier
from tests.conftest import Clock
from tests.test_verifier import AUDIENCE, CLIENT, ISSUER, URL, Symmetric, ring, secret

KEY = SecretBytes(bytes(range(60, 92)))
OPAQUE = "opaque-token"
SERVER_KEY = ECKey.generate_key("P-256")


class Encapsulated:
    """A client whose key came in its token, and the resource server of that token."""

    def __init__(
        self,
        key: ECKey,
        clock: Clock,
        *,
        token_form: Any = "jwt",
        keyring: MemoryKeyring | None = None,
        **options: Any,
    ) -> None:
        self.clock = clock
        self.signing_key = key
        self.jkt: str = key.thumbprint()
        self.opaque = token_form == "opaque"
        self.keys: list[Key] = [SERVER_KEY]
        self.verifier = ProofVerifier(
            MemoryReplayStore(),
            keyring=keyring,
            decryptor=KeyDecryptor(lambda: self.keys),
            issuer=ISSUER,
            audience=AUDIENCE,
            token_form=token_form,
            clock=clock,
            **options,
        )
        self.claims = self.make_claims()
        self.text = OPAQUE if self.opaque else self.sign(self.claims)

    def make_claims(self, **changes: Any) -> dict[str, Any]:
        values: dict[str, Any] = {
            "recipient": KeyRecipient(
                key=ECKey.import_key(SERVER_KEY.as_dict(private=False)),
                algorithm="ECDH-ES",
            ),
            "mac_algorithm": "HS256",
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "client_id": CLIENT,
            "jkt": self.jkt,
            "expires_at": self.clock.now + 300,
            **changes,
        }
        return {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "exp": self.clock.now + 300,
            "client_id": CLIENT,
            "jti": "token-1",
            "cnf": {"jkt": self.jkt, "jwe": encapsulate_key(KEY, **values)},
        }

    def sign(self, claims: dict[str, Any]) -> str:
        header = {"typ": "at+jwt", "alg": "ES256"}
        return sign_compact(header, claims, self.signing_key)

    def verified(self, claims: dict[str, Any] | None = None) -> AccessToken:
        """Return the token as its validator returns it."""
        claims = claims or self.claims
        return AccessToken(
            issuer=claims["iss"],
            audience=(claims["aud"],),
            client_id=claims["client_id"],
            expires_at=claims["exp"],
            token_id=claims["jti"],
            confirmation=parse_confirmation(claims["cnf"]),
            scope="",
            claims=claims,
        )

    def proof(self, **changes: Any) -> str:
        values: dict[str, Any] = {
            "algorithm": "HS256",
            "method": "GET",
            "url": URL,
            "now": self.clock.now,
            "access_token": self.text,
            **changes,
        }
        return make_symmetric_proof(values.pop("key", KEY), **values)

    def verify(
        self,
        proof: str | None = None,
        *,
        token: AccessToken | None = None,
        text: str | None = None,
    ) -> VerifiedProof:
        opened = self.verifier.open(
            proof or self.proof(),
            method="GET",
            url=URL,
            access_token=text or self.text,
        )
        return self.verifier.verify(opened, token=token or self.verified())


@pytest.fixture(params=["jwt", "opaque"])
def party(request: Any, ec_key: Any, clock: Clock) -> Encapsulated:
    return Encapsulated(ec_key, clock, token_form=request.param)


def test_a_server_without_any_shared_secret_verifies_symmetric_proofs(
    party: Encapsulated,
) -> None:
    verified = party.verify()
    assert (verified.kind, verified.key_kind) == ("symmetric", "encapsulated")
    assert verified.jkt == party.jkt
    assert party.verifier.symmetric_algorithms == ("HS256", "HS512")
    assert not party.verifier.can_sync


@pytest.mark.requirement("R1705")
def test_the_metadata_says_how_the_server_gets_at_keys() -> None:
    def modes(**options: Any) -> Any:
        verifier = ProofVerifier(
            MemoryReplayStore(), issuer=ISSUER, audience=AUDIENCE, **options
        )
        document = protected_resource_metadata(verifier, resource=AUDIENCE)
        return document.get("dpop_symmetric_modes_supported")

    decryptor = KeyDecryptor(lambda: [SERVER_KEY])
    keyring = MemoryKeyring(ring())
    assert modes(decryptor=decryptor) == ["encapsulated"]
    assert modes(decryptor=decryptor, keyring=keyring) == ["derived", "encapsulated"]
    assert modes(keyring=keyring) == ["derived"]
    assert modes() is None


def test_the_key_is_decrypted_once_for_a_token(
    party: Encapsulated, decryptions: list[str]
) -> None:
    for _ in range(3):
        party.verify()
    # The token is verified anew now and then.
    party.verify(token=party.verified()._replace())
    assert decryptions == [party.claims["cnf"]["jwe"]]


@pytest.mark.requirement("R1509")
def test_nothing_is_decrypted_for_a_token_that_was_not_verified(
    ec_key: Any, other_ec_key: Any, clock: Clock, decryptions: list[str]
) -> None:
    """A forged token is opened, and that is as far as it gets."""
    party = Encapsulated(ec_key, clock)
    forger = Encapsulated(other_ec_key, clock)
    for text in (party.text, forger.text, forger.sign(party.claims)):
        opened = party.verifier.open(
            party.proof(access_token=text), method="GET", url=URL, access_token=text
        )
        assert opened.derived is None
        assert opened.peeked is None
    assert decryptions == []
    party.verify()
    assert len(decryptions) == 1


@pytest.mark.requirement("R1509")
def test_a_bad_mac_is_refused_and_costs_one_decryption(
    party: Encapsulated, decryptions: list[str]
) -> None:
    wrong = SecretBytes(bytes(range(1, 33)))
    for _ in range(3):
        with pytest.raises(BadSignatureError):
            party.verify(party.proof(key=wrong))
    assert len(decryptions) == 1
    party.verify()
    with pytest.raises(BadSignatureError):
        party.verify(party.proof(key=wrong))
    head, _, tag = party.proof().rpartition(".")
    with pytest.raises(BadSignatureError):
        party.verify(f"{head}.{tag[:40]}")


def test_a_known_key_filters_bad_macs_before_the_token_is_looked_at(
    ec_key: Any, clock: Clock
) -> None:
    party = Encapsulated(ec_key, clock)
    party.verify()
    proof = party.proof(key=SecretBytes(bytes(range(1, 33))))
    with pytest.raises(BadSignatureError):
        party.verifier.open(proof, method="GET", url=URL, access_token=party.text)


@pytest.mark.requirement("R1403")
def test_the_algorithm_is_that_of_the_encrypted_key(party: Encapsulated) -> None:
    for _ in range(2):
        with pytest.raises(MalformedProofError):
            party.verify(
                party.proof(key=SecretBytes(bytes(range(64))), algorithm="HS512")
            )
        party.verify()


@pytest.mark.requirement("R2102")
def test_a_key_without_a_version_has_no_kid(party: Encapsulated) -> None:
    with pytest.raises(MalformedProofError):
        party.verify(party.proof(version=7))


@pytest.mark.requirement("R2062", "T4")
@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "another"},
        {"audience": "https://api2.example.com"},
        {"issuer": "https://as2.example.com"},
        {"jkt": "1ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
        {"expires_at": 1_790_000_301},
    ],
)
def test_a_jwe_of_another_token_is_refused_under_a_good_signature(
    party: Encapsulated, change: dict[str, Any], decryptions: list[str]
) -> None:
    """As if the issuer had been talked into it, or the answer about a token changed."""
    claims = party.make_claims(**change)
    text = OPAQUE if party.opaque else party.sign(claims)
    token = party.verified(claims)
    with pytest.raises(AccessTokenError):
        party.verify(party.proof(access_token=text), token=token, text=text)
    assert decryptions == []
    party.verify()


def test_a_proof_is_for_one_request_with_one_token(party: Encapsulated) -> None:
    for _ in range(2):
        with pytest.raises(TargetMismatchError):
            party.verify(party.proof(method="POST"))
        with pytest.raises(TargetMismatchError):
            party.verify(party.proof(url=URL + "/1"))
        with pytest.raises(TokenMismatchError):
            party.verify(party.proof(access_token="another"))
        party.verify()


def test_the_key_ends_with_its_token(ec_key: Any, clock: Clock) -> None:
    party = Encapsulated(ec_key, clock)
    clock.advance(299)
    party.verify()
    clock.advance(1)
    with pytest.raises(AccessTokenError):
        party.verify()


def test_a_private_key_that_is_gone_ends_its_keys_at_once(
    party: Encapsulated, decryptions: list[str]
) -> None:
    party.verify()
    party.keys[:] = [ECKey.generate_key("P-256")]
    # The token is good: an asymmetric proof is asked for, no new token.
    with pytest.raises(UnknownKeyError):
        party.verify()
    party.keys.append(SERVER_KEY)
    party.verify()
    assert len(decryptions) == 1


def test_a_private_key_that_goes_between_the_steps_counts(
    ec_key: Any, clock: Clock
) -> None:
    party = Encapsulated(ec_key, clock)
    party.verify()
    opened = party.verifier.open(
        party.proof(), method="GET", url=URL, access_token=party.text
    )
    assert opened.derived is not None
    party.keys.clear()
    with pytest.raises(UnknownKeyError):
        party.verifier.verify(opened, token=party.verified())


@pytest.mark.requirement("R2261")
def test_a_token_that_says_something_else_today_is_decrypted_again(
    ec_key: Any, clock: Clock, decryptions: list[str]
) -> None:
    party = Encapsulated(ec_key, clock, token_form="opaque")
    party.verify()
    again = party.make_claims()
    party.verify(token=party.verified(again))
    assert decryptions == [party.claims["cnf"]["jwe"], again["cnf"]["jwe"]]
    shorter = party.verified(again)._replace(expires_at=clock.now + 299)
    with pytest.raises(AccessTokenError):
        party.verify(token=shorter)
    unbound = party.verified(again)._replace(confirmation=None)
    with pytest.raises(AccessTokenError):
        party.verify(token=unbound)
    certificate = Confirmation(jkt=None, dsk=None, certificate=party.jkt)
    with pytest.raises(UnboundTokenError):
        party.verify(token=party.verified(again)._replace(confirmation=certificate))
    none = Confirmation(jkt=party.jkt, dsk=None)
    with pytest.raises(MalformedProofError):
        party.verify(token=party.verified(again)._replace(confirmation=none))


def test_servers_with_one_kind_of_key_refuse_the_other(
    ec_key: Any, clock: Clock, decryptions: list[str]
) -> None:
    derived = Symmetric(ec_key, clock)
    encapsulated = Encapsulated(ec_key, clock)
    with pytest.raises(MalformedProofError):
        encapsulated.verify(
            derived.proof(derived.token()),
            text=derived.token(),
            token=derived.verified(),
        )
    proof = encapsulated.proof()
    opened = derived.open(proof, encapsulated.text)
    with pytest.raises(MalformedProofError):
        derived.verifier.verify(opened, token=encapsulated.verified())
    assert decryptions == []


@pytest.mark.parametrize("token_form", ["jwt", "opaque"])
def test_one_server_takes_both_kinds_of_key(
    ec_key: Any, clock: Clock, token_form: str
) -> None:
    keyring = MemoryKeyring(ring())
    party = Encapsulated(ec_key, clock, keyring=keyring, token_form=token_form)
    derived = Symmetric(ec_key, clock)
    text = OPAQUE + "2" if token_form == "opaque" else derived.token()
    for _ in range(2):
        assert party.verify().key_kind == "encapsulated"
        verified = party.verify(
            derived.proof(text), text=text, token=derived.verified()
        )
        assert verified.key_kind == "derived"


@pytest.mark.parametrize("token_form", ["jwt", "opaque"])
def test_encapsulated_keys_do_not_depend_on_the_keyring(
    ec_key: Any, clock: Clock, token_form: str
) -> None:
    class Broken(MemoryKeyring):
        def load(self) -> SecretRing:
            raise ConnectionError

    party = Encapsulated(ec_key, clock, keyring=Broken(ring()), token_form=token_form)
    for _ in range(2):
        assert party.verify().key_kind == "encapsulated"


@pytest.mark.requirement("R2012")
@pytest.mark.parametrize("token_form", ["jwt", "opaque"])
def test_a_denied_token_is_refused_with_an_encapsulated_key_too(
    ec_key: Any, clock: Clock, token_form: str
) -> None:
    keyring = MemoryKeyring(ring())
    party = Encapsulated(ec_key, clock, keyring=keyring, token_form=token_form)
    party.verify()
    denied = DenyList([Denial(token_id="token-1", expires_at=clock.now + 600)])
    keyring.replace(
        SecretRing([secret(7)], issuer=ISSUER, audience=AUDIENCE, denied=denied)
    )
    with pytest.raises(AccessTokenError):
        party.verify()


def test_the_cache_is_bounded_and_by_token(party: Encapsulated) -> None:
    party.verify()
    verifier = party.verifier._symmetric
    assert verifier is not None
    known = verifier._keys.recent.get(token_digest(party.text))
    assert known is not None
    assert known.recipient == SERVER_KEY.thumbprint()
    assert len(verifier._keys.recent) == 1
