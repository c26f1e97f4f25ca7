"""The short ways through the verifier and the long ones give the same verdict.

The short ways: a proof in the usual form is not parsed as JSON, a target in the usual
form is not normalised, and what was seen before is remembered. Without all of them,
and with nothing remembered, each proof is verified a second time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dpop_ext.core.jws_signature
import dpop_ext.core.proof_header
import dpop_ext.core.target
import dpop_ext.core.token_text
import dpop_ext.core.usual_claims
import dpop_ext.core.usual_header
import dpop_ext.resource_server.access_token
import dpop_ext.symmetric.verification
import dpop_ext.verifier
from dpop_ext.core import ml_dsa, strict_json
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.confirmation import AccessToken, Confirmation, parse_confirmation
from dpop_ext.core.jose import parse_header
from dpop_ext.core.ml_dsa import ML_DSA
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.core.proof_making import make_proof
from dpop_ext.core.target import is_secure, normalize_target, proof_target
from dpop_ext.core.token_text import _parse
from dpop_ext.errors import DPoPError
from dpop_ext.stores.base import NoReplayProtection
from dpop_ext.symmetric.encapsulation import KeyDecryptor
from dpop_ext.symmetric.mac_key import MacKey
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.verifier import ProofVerifier
from tests import post_quantum
from tests.conftest import Clock
from tests.test_encapsulated_keys import KEY, Encapsulated
from tests.test_verifier import AUDIENCE, ISSUER, URL, Symmetric

pytestmark = pytest.mark.requirement("P-17", "C-2", "S-3")

FILE: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "vectors" / "dpop-proofs.json").read_text()
)
DEFAULTS: Final = {name: FILE[name] for name in FILE if name != "vectors"}
VECTORS: Final = [DEFAULTS | vector for vector in FILE["vectors"]]

NEVER: Final = re.compile(r"(?!)")


def _no_check(key: object, *, algorithm: str) -> None:
    """Know no quick way to check a signature."""


@contextmanager
def the_long_way() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dpop_ext.verifier, "parse_usual_proof", lambda text: None)
        patch.setattr(dpop_ext.core.target, "_NORMAL", NEVER)
        patch.setattr(dpop_ext.core.usual_claims, "_USUAL", NEVER)
        patch.setattr(dpop_ext.core.usual_claims, "_ASKING", NEVER)
        patch.setattr(dpop_ext.core.usual_header, "_USUAL", NEVER)
        patch.setattr(strict_json, "_few_digits_decoder", strict_json._decoder)
        # Signatures by way of joserfc, and nothing of a token is read only once.
        patch.setattr(dpop_ext.core.proof_header, "usual_signature_check", _no_check)
        patch.setattr(dpop_ext.core.jws_signature, "usual_signature_check", _no_check)
        patch.setattr(dpop_ext.core.token_text, "_known_header", parse_header)
        for module in (
            dpop_ext.symmetric.verification,
            dpop_ext.resource_server.access_token,
        ):
            patch.setattr(module, "token_confirmation", parse_confirmation)
            patch.setattr(module, "parse_token", _parse)
        yield


class Server:
    """A resource server that may remember things."""

    def __init__(self, sym: Any, policy: ProofPolicy) -> None:
        self._sym = sym
        self._policy = policy
        self._verifier = self._new()

    def _new(self) -> ProofVerifier:
        return ProofVerifier(
            NoReplayProtection(),
            policy=self._policy,
            keyring=self._sym.keyring,
            decryptor=getattr(self._sym, "decryptor", None),
            issuer=ISSUER,
            audience=AUDIENCE,
            clock=self._sym.clock,
        )

    def verdict(self, proof: str, **request: Any) -> Any:
        """Return the verdict of a server that has seen requests before."""
        return _verdict(self._verifier, proof, **request)

    def long_verdict(self, proof: str, **request: Any) -> Any:
        """Return the verdict of one that has seen nothing, and takes no short cut."""
        with the_long_way():
            return _verdict(self._new(), proof, **request)


def _verdict(
    verifier: ProofVerifier,
    proof: str,
    *,
    url: str,
    text: str | None,
    token: AccessToken | None,
    method: str = "GET",
) -> Any:
    try:
        opened = verifier.open(proof, method=method, url=url, access_token=text)
        verified = verifier.verify(opened, token=token)
    except DPoPError as error:
        return type(error), error.description
    return (
        *(verified.kind, verified.jkt, verified.jti, dict(verified.claims)),
        *(verified.replay_key, verified.replay_expires_at, verified.spend_until),
    )


@pytest.fixture
def sym(ec_key: Any, clock: Clock) -> Symmetric:
    return Symmetric(ec_key, clock)


class Both:
    """A symmetric proof and its request, with a server that remembers the key."""

    def __init__(self, sym: Any) -> None:
        self.sym = sym
        self.server = Server(sym, ProofPolicy())
        self.text = sym.token()
        self.token = sym.verified()
        self.accepted = self.same(sym.proof(self.text))
        assert self.accepted[0] == "symmetric"

    def same(self, proof: str) -> Any:
        request = {"url": URL, "text": self.text, "token": self.token}
        verdict = self.server.verdict(proof, **request)
        assert verdict == self.server.long_verdict(proof, **request)
        return verdict

    def sign(self, header: bytes, payload: bytes, algorithm: str = "HS256") -> str:
        signing_input = f"{b64url_encode(header)}.{b64url_encode(payload)}"
        key = MacKey(algorithm, self.sym.derive().reveal())
        return f"{signing_input}.{b64url_encode(key.tag(signing_input.encode()))}"


class EncapsulatedParty(Encapsulated):
    """The same client, with a key that came in its token."""

    @property
    def keyring(self) -> None:
        """There is none."""

    @property
    def decryptor(self) -> KeyDecryptor:
        return KeyDecryptor(lambda: self.keys)

    def token(self) -> str:
        return self.text

    def derive(self) -> SecretBytes:
        return KEY

    def proof(self, text: str, **changes: Any) -> str:  # type: ignore[override]
        return super().proof(access_token=text, **changes)


@pytest.fixture(params=["derived", "encapsulated"])
def both(request: Any, ec_key: Any, clock: Clock) -> Both:
    party = Symmetric if request.param == "derived" else EncapsulatedParty
    return Both(party(ec_key, clock))


@pytest.mark.parametrize(
    "vector", [pytest.param(vector, id=vector["name"]) for vector in VECTORS]
)
def test_every_vector_gets_one_verdict(sym: Symmetric, vector: dict[str, Any]) -> None:
    policy = (
        ProofPolicy(algorithms=tuple(vector["algorithms"]))
        if "algorithms" in vector
        else ProofPolicy()
    )
    sym.clock = Clock(vector["now"])
    text = vector["access_token"]
    token = None if text is None else _bound(vector["jkt"])
    request = {
        "url": vector["url"],
        "text": text,
        "token": token,
        "method": vector["method"],
    }
    server = Server(sym, policy)
    expected = server.long_verdict(vector["proof"], **request)
    # Before and after it is known.
    for _ in range(3):
        assert server.verdict(vector["proof"], **request) == expected


@post_quantum.needed
@pytest.mark.requirement("R2301", "R2303")
@pytest.mark.parametrize("algorithm", ML_DSA)
def test_a_post_quantum_proof_gets_one_verdict(sym: Symmetric, algorithm: str) -> None:
    key = ml_dsa.generate(algorithm)
    text = sym.token()
    proof = make_proof(
        key,
        algorithm=algorithm,
        method="GET",
        url=URL,
        now=sym.clock.now,
        access_token=text,
    )
    other = make_proof(key, algorithm=algorithm, method="GET", url=URL, now=0)
    request = {"url": URL, "text": text, "token": _bound(key.thumbprint())}
    server = Server(sym, ProofPolicy(algorithms=("ES256", *ML_DSA)))
    proofs = [
        proof,
        f"{proof.rpartition('.')[0]}.{other.rpartition('.')[2]}",
        proof[:-2],
        f"{proof}.",
        other,
    ]
    expected = [server.long_verdict(each, **request) for each in proofs]
    assert expected[0][:2] == ("asymmetric", key.thumbprint())
    assert [issubclass(found[0], DPoPError) for found in expected[1:]] == [True] * 4
    for _ in range(3):
        assert [server.verdict(each, **request) for each in proofs] == expected


@given(data=st.data())
@settings(
    max_examples=400,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_vectors_with_a_change_get_one_verdict(
    sym: Symmetric, data: st.DataObject
) -> None:
    vector = data.draw(st.sampled_from(VECTORS))
    sym.clock = Clock(vector["now"])
    text = vector["access_token"]
    token = None if text is None else _bound(vector["jkt"])
    server = Server(sym, ProofPolicy())
    request = {"url": vector["url"], "text": text, "token": token}
    request["method"] = vector["method"]
    server.verdict(vector["proof"], **request)
    proof = changed(vector["proof"], data)
    assert server.verdict(proof, **request) == server.long_verdict(proof, **request)


@given(data=st.data())
@settings(
    max_examples=400,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_symmetric_proof_with_a_change_gets_one_verdict(
    both: Both, data: st.DataObject
) -> None:
    both.same(changed(both.sym.proof(both.text), data))


USUAL_HEADER: Final = b'{"typ":"dpop-sym+jwt","alg":"HS256"}'
PAYLOAD: Final = (
    '{"jti":"abc","htm":"GET","htu":"https://api.example.com/accounts",'
    '"iat":1790000000,"ath":"%s"}'
)
#: Pieces of a payload, and what to put there instead.
REPLACEMENTS: Final[list[tuple[str, str]]] = [
    *[('"abc"', new) for new in ('""', '"a b"', '"\\u0061"', "1", "null", '"a\\n"')],
    *[('"abc"', f'"{"a" * n}"') for n in (255, 256, 257, 1000)],
    *[('"abc"', f'"{":" * n}"') for n in (10, 245, 250, 256)],
    *[('"GET"', new) for new in ('"get"', '"POST"', '""', '"G T"', "[]", '"GÉT"')],
    *[
        ("https://api.example.com/accounts", new)
        for new in (
            *("HTTPS://api.example.com/accounts", "https://API.example.com/accounts"),
            *("https://api.example.com:443/accounts", "https://api.example.com"),
            *("https://api.example.com/a/../accounts", "https://api.example.com/"),
            *("https://api.example.com/%61ccounts", "https://api.example.com/%"),
            *("https://u@api.example.com/accounts", "http://api.example.com/accounts"),
            *("https://api.example.com/accounts?a=b", "https://api.example.com:99999/"),
            *("https:///accounts", "https://[::1]/accounts", "ftp://a/", "", "https:"),
            *("https://api.example.com/accounts#f", "https://api.example.com/acc{}"),
            "https://api.example.com/" + ":" * 250,
            "https://api.example.com/" + "," * 250,
        )
    ],
    *[
        ("1790000000", new)
        for new in (
            *("1790000000.0", "1.79e9", "-1", "0", "01790000000", '"1790000000"'),
            *("true", "null", "1789999934", "1789999935", "1790000030", "1790000031"),
            *("9" * 15, "9" * 16, "9" * 400, "1790000000 ", " 1790000000", "1e999"),
        )
    ],
    *[("}", new) for new in (',"x":1}', ',"jti":"abc"}', ',"nonce":"n"}', "} ", "}x")],
    *[("}", new) for new in (',"exp":1}', ',"nbf":1}', ',"exp":1790000001}', "", "}}")],
    *[("}", f',"nonce":{new}}}') for new in ("null", "1", '"a b"', '""', '"é"')],
    *[('"htm"', new) for new in ('"Htm"', '"jti"', '"h\\u0074m"', ' "htm"', "htm")],
    *[("{", new) for new in (" {", "\n{", "\ufeff{", "[", "", "{ ")],
    *[('"ath":"', new) for new in ('"ath":"x', '"ath":"', '"ath":1,"z":"')],
]


@pytest.mark.parametrize(("piece", "new"), REPLACEMENTS)
def test_claims_in_every_spelling_get_one_verdict(
    both: Both, piece: str, new: str
) -> None:
    payload = (PAYLOAD % _ath(both)).replace(piece, new, 1)
    both.same(both.sign(USUAL_HEADER, payload.encode()))


@pytest.mark.parametrize(
    "header",
    [
        *('{"alg":"HS256","typ":"dpop-sym+jwt"}', '{"typ":"dpop-sym+jwt"}'),
        *('{"typ":"dpop-sym+jwt","alg":"HS512"}', '{"typ":"dpop+jwt","alg":"HS256"}'),
        *('{"typ":"dpop-sym+jwt","alg":"HS256"} ', '{"typ":"JWT","alg":"HS256"}'),
        '{"typ":"dpop-sym+jwt","alg":"HS256","kid":"7"}',
        '{"typ":"dpop-sym+jwt","alg":"HS256","kid":"8"}',
        '{"typ":"dpop-sym+jwt","alg":"HS256","crit":[]}',
        '{"typ":"dpop-sym+jwt","alg":"HS256","alg":"HS256"}',
    ],
)
def test_headers_in_every_spelling_get_one_verdict(both: Both, header: str) -> None:
    both.same(both.sign(header.encode(), (PAYLOAD % _ath(both)).encode()))


def test_the_usual_form_is_accepted(both: Both) -> None:
    payload = (PAYLOAD % _ath(both)).encode()
    assert both.same(both.sign(USUAL_HEADER, payload))[0] == "symmetric"


@pytest.mark.parametrize("length", [2047, 2048, 2049, 4000])
def test_long_proofs_get_one_verdict(both: Both, length: int) -> None:
    payload = (PAYLOAD % _ath(both)).replace("/accounts", "/accounts" + "a" * 4000)
    proof = both.sign(USUAL_HEADER, payload.encode())
    surplus = (len(proof) - length) * 3 // 4
    for more in range(-2, 3):
        shorter = payload.replace("a" * 4000, "a" * (4000 - surplus + more))
        both.same(both.sign(USUAL_HEADER, shorter.encode()))


@pytest.mark.parametrize("max_length", [100, 250, 300])
def test_the_policy_limits_the_length_either_way(
    sym: Symmetric, max_length: int
) -> None:
    server = Server(sym, ProofPolicy(max_length=max_length))
    text = sym.token()
    request = {"url": URL, "text": text, "token": sym.verified()}
    proof = sym.proof(text)
    assert server.verdict(proof, **request) == server.long_verdict(proof, **request)


@given(
    st.from_regex(
        r"(?i)https?://[a-z0-9.:-]{1,12}[a-z0-9./%~!,:@?#=&A-Z7eE2-]{0,20}",
        fullmatch=True,
    )
    | st.text("htps:/.%aZ2eE7@?#[]~", max_size=30)
)
@settings(max_examples=1000)
def test_targets_are_normalised_the_same(url: str) -> None:
    for function in (normalize_target, proof_target):
        try:
            short = function(url)
        except ValueError:
            short = None
        try:
            with the_long_way():
                long = function(url)
        except ValueError:
            long = None
        assert short == long
    try:
        normal = normalize_target(url)
    except ValueError:
        return
    # So that a claim that is equal to it need not be normalised to be compared.
    assert normalize_target(normal) == normal


def _ath(both: Both) -> str:
    return str(both.accepted[3]["ath"])


def _bound(jkt: str) -> AccessToken:
    return AccessToken(
        issuer=ISSUER,
        audience=(AUDIENCE,),
        client_id="client-1",
        expires_at=None,
        token_id=None,
        confirmation=Confirmation(jkt=jkt, dsk=None),
        scope="",
        claims={},
    )


def changed(proof: str, data: st.DataObject) -> str:
    """Change, insert or take away a few characters, near the dots more often."""
    text = proof
    for _ in range(data.draw(st.integers(1, 3))):
        dots = [match.start() for match in re.finditer(r"\.", text)]
        near = [max(0, min(len(text), dot + d)) for dot in dots for d in (-1, 0, 1, 2)]
        place = data.draw(
            st.integers(0, len(text)) | st.sampled_from([*near, len(text)])
        )
        cut = data.draw(st.integers(0, 2))
        new = data.draw(st.text("AQgw9-_=. +/é\n", max_size=2))
        text = text[:place] + new + text[place + cut :]
    return text


@given(
    st.sampled_from(["https://", "http://", "HTTPS://", "https:", "ftp://"]),
    st.text("ab1.:[]/%~@\\ é", max_size=12),
)
@settings(max_examples=500)
def test_what_is_secure_is_told_the_same(scheme: str, rest: str) -> None:
    short = is_secure(scheme + rest)
    with the_long_way():
        assert is_secure(scheme + rest) == short
