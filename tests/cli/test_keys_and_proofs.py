"""``keygen``, ``thumbprint``, ``proof`` and ``explain``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey

from dpop_ext.cli.explanation import explain
from dpop_ext.cli.explanation_checks import Circumstances
from dpop_ext.client.keyfile import load_key, save_key
from dpop_ext.core.akp import any_thumbprint
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.policy import RFC9449, ProofPolicy
from dpop_ext.core.proof import parse_proof, verify_proof
from dpop_ext.core.proof_making import make_proof
from dpop_ext.core.request_binding import access_token_hash
from dpop_ext.symmetric.proof import make_symmetric_proof
from dpop_ext.symmetric.secret_bytes import SecretBytes
from tests.cli.conftest import run
from tests.client.reading import read
from tests.vectors.generate import PROOFS

URL = "https://api.example.com/accounts"
NOW = 1_790_000_000


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "Ed25519", "PS256"])
def test_a_key_is_made_that_only_its_owner_can_read(
    tmp_path: Path, algorithm: str
) -> None:
    path = tmp_path / "key"
    result = run("keygen", str(path), "--algorithm", algorithm)
    assert result.exit_code == 0, result.output
    assert path.stat().st_mode & 0o777 == 0o600
    jkt = any_thumbprint(load_key(path))
    assert result.output == f"{jkt}\n"
    assert run("thumbprint", str(path)).output == f"{jkt}\n"


def test_a_key_is_not_replaced_by_accident(key_path: Path, ec_key: ECKey) -> None:
    result = run("keygen", str(key_path))
    assert result.exit_code == 1
    assert "--force" in result.output
    assert any_thumbprint(load_key(key_path)) == ec_key.thumbprint()
    assert run("keygen", str(key_path), "--force").exit_code == 0
    assert any_thumbprint(load_key(key_path)) != ec_key.thumbprint()


@pytest.mark.requirement("X-20")
def test_json_has_the_public_key_alone(key_path: Path, ec_key: ECKey) -> None:
    printed = json.loads(run("thumbprint", "--json", str(key_path)).output)
    assert printed == {
        "jkt": ec_key.thumbprint(),
        "jwk": ec_key.as_dict(private=False),
    }


@pytest.mark.parametrize("content", [b"", b"{}", b"junk"])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_bytes(content)
    result = run("thumbprint", str(path))
    expected = f"dpop-ext: {path}: The key file does not hold a private JWK.\n"
    assert (result.exit_code, result.stderr) == (1, expected)


def test_a_key_for_something_else_makes_no_proof(tmp_path: Path) -> None:
    path = tmp_path / "key"
    save_key(path, OKPKey.generate_key("X25519"))
    result = run("proof", "--key", str(path), URL)
    expected = "dpop-ext: No server accepts this key with this use.\n"
    assert (result.exit_code, result.stderr) == (1, expected)
    result = run("proof", "--key", str(path), "--algorithm", "ES256", URL)
    assert result.exit_code == 1
    assert result.stderr.startswith("dpop-ext: --algorithm: not one for this key;")


def test_a_key_that_cannot_be_written_is_no_key(tmp_path: Path) -> None:
    path = tmp_path / "none" / "key"
    result = run("keygen", str(path))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"dpop-ext: {path}: No such file or directory\n"


def test_a_key_that_is_not_there_names_the_command_that_makes_it(
    tmp_path: Path,
) -> None:
    result = run("thumbprint", str(tmp_path / "none"))
    assert result.exit_code == 1
    assert "dpop-ext keygen" in result.output
    assert "Traceback" not in result.output


def test_a_key_that_others_can_read_is_refused(key_path: Path) -> None:
    key_path.chmod(0o644)
    result = run("thumbprint", str(key_path))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"dpop-ext: {key_path}: ")


def test_a_proof_is_for_the_request(key_path: Path, ec_key: ECKey) -> None:
    result = run(
        *("proof", "-X", "POST", "--nonce", "n1", URL, "--access-token", "-"),
        answer="token\n",
        DPOP_EXT_KEY=str(key_path),
    )
    assert result.exit_code == 0, result.output
    signed = verify_proof(
        parse_proof(result.output.strip(), max_length=8192),
        method="POST",
        url=URL,
        policy=RFC9449,
        access_token="token",
    )
    assert (signed.jkt, signed.nonce) == (ec_key.thumbprint(), "n1")


def test_a_proof_for_what_is_no_url_is_refused(key_path: Path) -> None:
    result = run("proof", "--key", str(key_path), "not a url")
    assert (result.exit_code, "Traceback" in result.output) == (1, False)


def made(key: ECKey, **changes: Any) -> str:
    values: dict[str, Any] = {
        "algorithm": "ES256",
        "method": "GET",
        "url": URL,
        "now": NOW,
        "access_token": "token",
        "nonce": "n1",
    }
    return make_proof(key, **(values | changes))


def explained(proof: str, **changes: Any) -> dict[str, bool | None]:
    values: dict[str, Any] = {
        "method": "GET",
        "url": URL,
        "now": NOW,
        "policy": RFC9449,
        "access_token": "token",
        "nonce": "n1",
    }
    explanation = explain(proof, Circumstances(**(values | changes)))
    for line in explanation.lines:
        assert line.advice or line.passed is not False
    return {line.check: line.passed for line in explanation.lines}


def test_a_good_proof_passes_each_check(ec_key: ECKey) -> None:
    assert explained(made(ec_key), jkt=ec_key.thumbprint()) == dict.fromkeys(
        [
            *("typ", "alg", "jwk", "signature", "jti", "htm", "htu", "iat"),
            *("ath", "nonce", "binding"),
        ],
        True,
    )


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({"method": "POST"}, ["htm"]),
        ({"url": "https://api.example.com/v1/accounts"}, ["htu"]),
        ({"now": NOW - 3600}, ["iat"]),
        ({"now": NOW + 3600}, ["iat"]),
        ({"access_token": "other"}, ["ath"]),
        ({"access_token": None}, ["ath"]),
        ({"nonce": None}, ["nonce"]),
        ({"jti": "x" * 300}, ["jti"]),
        ({"claims": {"exp": NOW - 60}}, ["exp"]),
        ({"claims": {"nbf": NOW + 60}}, ["nbf"]),
        ({"now": NOW - 3600, "method": "PUT", "nonce": "n0"}, ["htm", "iat", "nonce"]),
    ],
)
def test_each_fault_is_shown_and_no_other(
    ec_key: ECKey, changes: dict[str, Any], failed: list[str]
) -> None:
    lines = explained(made(ec_key, **changes))
    assert [check for check, passed in lines.items() if passed is False] == failed


def test_a_fault_in_the_header_does_not_hide_those_in_the_claims(
    ec_key: ECKey, other_ec_key: ECKey
) -> None:
    header, _, _ = made(other_ec_key).split(".")
    _, claims, signature = made(ec_key, method="PUT").split(".")
    lines = explained(f"{header}.{claims}.{signature}", jkt=ec_key.thumbprint())
    failed = [check for check, passed in lines.items() if passed is False]
    assert failed == ["signature", "htm", "binding"]


def test_an_algorithm_that_the_server_lacks_is_a_fault(ec_key: ECKey) -> None:
    lines = explained(made(ec_key), policy=ProofPolicy(algorithms=("PS256",)))
    assert lines["alg"] is False


def test_a_private_key_in_the_header_is_named_and_not_shown(ec_key: ECKey) -> None:
    _, claims, signature = made(ec_key).split(".")
    jwk = ec_key.as_dict(private=True)
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}
    encoded = b64url_encode(json.dumps(header).encode())
    explanation = explain(
        f"{encoded}.{claims}.{signature}",
        Circumstances(method="GET", url=URL, now=NOW, policy=RFC9449),
    )
    (line,) = (line for line in explanation.lines if line.check == "jwk")
    assert line.passed is False
    assert str(jwk["d"]) not in repr(explanation)


ASTRAY = {"kty": "EC", "d": "hidden"}


@pytest.mark.parametrize("typ", ["dpop+jwt", "dpop-sym+jwt", "JWT"])
@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({"jwk": ASTRAY}, {}),
        ({"jwk": json.dumps(ASTRAY)}, {}),
        ({"jwk": [ASTRAY]}, {}),
        ({"key": {"kty": "oct", "k": "hidden"}}, {}),
        ({}, {"dsk": {"jwk": ASTRAY}}),
        ({}, {"jti": {"priv": "hidden"}}),
    ],
)
def test_a_private_key_that_went_astray_is_not_shown(
    header: dict[str, Any], claims: dict[str, Any], typ: str
) -> None:
    head = {"typ": typ, "alg": "ES256", **header}
    said = {"htm": "GET", **claims}
    parts = (json.dumps(head), json.dumps(said), "signature")
    proof = ".".join(b64url_encode(part.encode()) for part in parts)
    for form in ((), ("--json",)):
        result = run("explain", proof, "--against", URL, *form)
        assert result.exit_code == 1
        assert "(not shown)" in result.output
        assert "hidden" not in result.output


def test_a_symmetric_proof_is_checked_but_for_its_mac() -> None:
    key = SecretBytes(bytes(OctKey.generate_key(256).raw_value))
    proof = make_symmetric_proof(
        key,
        algorithm="HS256",
        method="GET",
        url=URL,
        now=NOW,
        access_token="token",
        nonce="n1",
    )
    lines = explained(proof, jkt="x")
    assert lines.pop("MAC") is None
    assert set(lines.values()) == {True}


VECTORS = [
    vector
    for vector in json.loads(PROOFS.read_text())["vectors"]
    # Those are good in themselves, and not for a server without secrets.
    if not vector["name"].startswith("symmetric proof at ")
]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_explanation_agrees_with_the_verifier(vector: dict[str, Any]) -> None:
    """What the verifier refuses for the proof's own sake has a fault here, too."""
    given: Any = vector.get
    explanation = explain(
        vector["proof"],
        Circumstances(
            method=given("method", "GET"),
            url=given("url", "https://api.example.com/accounts/42"),
            now=given("now", NOW),
            policy=ProofPolicy(algorithms=tuple(vector["algorithms"]))
            if "algorithms" in vector
            else RFC9449,
            access_token=given("access_token", "vF9dft4qmTc2Nvb3RlckBpZC5"),
        ),
    )
    if vector["result"] == "accepted":
        assert explanation.passed
    elif vector["result"] == "invalid_dpop_proof" and "used" not in vector:
        assert not explanation.passed


def test_the_command_shows_what_to_change(key_path: Path, ec_key: ECKey) -> None:
    proof = made(ec_key, access_token=None, nonce=None)
    against = ("--against", "https://api.example.com/v1/accounts", "--at", str(NOW))
    result = run("explain", proof, *against)
    assert result.exit_code == 1
    assert "FAIL  htu        'https://api.example.com/accounts'" in result.output
    assert "expected: https://api.example.com/v1/accounts" in result.output
    assert "public_url" in result.output
    printed = json.loads(
        run("explain", "-", *against, "--json", answer=proof + "\n").output
    )
    assert printed["passed"] is False
    assert printed["jkt"] == ec_key.thumbprint()
    good = run("explain", proof, "--against", URL, "--at", str(NOW))
    assert good.exit_code == 0, good.output


GOOD = """\
asymmetric proof, looked at as of 2026-09-21 14:13:22Z
jkt {jkt}
header {header}
claims {claims}

ok    typ        'dpop+jwt'
ok    alg        'ES256'
ok    jwk        kty 'EC', members 'kty', 'crv', 'x', 'y'
ok    signature  64 bytes
ok    jti        '{jti}'
ok    htm        'GET'
ok    htu        '{url}'
ok    iat        1790000000 (2 s ago)
-     ath        '{ath}'
                 expected: the hash of the access token
"""
BAD = """\
FAIL  htm        'GET'
                 expected: POST
                 Name the method as it is sent, in the same case.
ok    htu        '{url}'
FAIL  iat        1790000000 (100 s ahead)
                 expected: from 1789999835 to 1789999930
"""
ALSO_BAD = """\
FAIL  ath        '{ath}'
                 expected: {other}
                 Hash the ASCII text of the token with SHA-256, in base64url without
                 padding.
FAIL  nonce      'n1'
                 expected: n2
                 Use what the last DPoP-Nonce field of this server said.
FAIL  binding    {jkt}
                 expected: other
                 Sign with the key that the token was requested with.
"""


def test_the_command_shows_each_check_and_what_was_expected(ec_key: ECKey) -> None:
    proof = made(ec_key)
    seen = read(proof)
    values = {
        "jkt": ec_key.thumbprint(),
        "header": json.dumps(seen.header),
        "claims": json.dumps(seen.claims),
        "jti": seen.claims["jti"],
        "ath": access_token_hash("token"),
        "other": access_token_hash("another"),
        "url": URL,
    }
    against = ("explain", proof, "--against", URL)
    good = run(*against, "--at", str(NOW + 2))
    assert (good.exit_code, good.stdout) == (0, GOOD.format(**values))
    circumstances = ("-X", "POST", "--nonce", "n2", "--jkt", "other")
    bad = run(
        *against, *circumstances, "--access-token", "another", "--at", str(NOW - 100)
    )
    assert bad.exit_code == 1
    assert BAD.format(**values) in bad.stdout
    assert bad.stdout.endswith(ALSO_BAD.format(**values))


def test_the_algorithms_of_the_server_can_be_named(ec_key: ECKey) -> None:
    against = ("explain", made(ec_key), "--against", URL, "--at", str(NOW))
    named = ("--alg", "PS256", "--alg", "ES256")
    assert run(*against, *named).exit_code == 0
    refused = run(*against, *named[:2])
    assert refused.exit_code == 1
    assert (
        "FAIL  alg        'ES256'\n                 expected: PS256" in refused.stdout
    )
    assert "\njkt " not in refused.stdout


def test_only_one_of_proof_and_token_is_read_from_standard_input() -> None:
    result = run("explain", "-", "--against", URL, "--access-token", "-", answer="x")
    assert result.exit_code == 2
    assert "only one of PROOF and --access-token" in result.stderr


@pytest.mark.parametrize(
    "claims", [b"x", b"[]", b"{}", b'{"cnf": []}', b'{"cnf": {"jkt": 7}}', b"\xff"]
)
def test_a_token_that_does_not_say_what_it_is_bound_to_is_not_compared(
    claims: bytes, ec_key: ECKey
) -> None:
    for token in (f"x.{b64url_encode(claims)}.x", "x.x.x", "x.x"):
        proof = made(ec_key, access_token=token)
        against = ("explain", proof, "--against", URL, "--at", str(NOW))
        result = run(*against, DPOP_EXT_ACCESS_TOKEN=token)
        assert result.exit_code == 0, result.output
        assert "ok    ath " in result.stdout
        assert "binding" not in result.stdout


def test_a_token_that_is_a_jwt_says_what_it_is_bound_to(
    ec_key: ECKey, other_ec_key: ECKey
) -> None:
    claims = {"cnf": {"jkt": other_ec_key.thumbprint()}}
    token = f"x.{b64url_encode(json.dumps(claims).encode())}.x"
    proof = made(ec_key, access_token=token)
    result = run(
        *("explain", proof, "--against", URL, "--at", str(NOW)),
        DPOP_EXT_ACCESS_TOKEN=token,
    )
    assert "FAIL  binding" in result.output


@pytest.mark.parametrize("jkt", ["\x1b]0;title\x07", "\u202e", "\u2028"])
def test_what_a_token_says_it_is_bound_to_does_not_speak_to_the_terminal(
    jkt: str, ec_key: ECKey
) -> None:
    token = f"x.{b64url_encode(json.dumps({'cnf': {'jkt': jkt}}).encode())}.x"
    result = run("explain", made(ec_key), "--against", URL, DPOP_EXT_ACCESS_TOKEN=token)
    assert "FAIL  binding" in result.output
    assert result.output.replace("\n", "").isprintable()


@pytest.mark.parametrize("proof", ["", "junk", "a.b.c", "\x1b[2J", "x" * 20000])
def test_what_is_no_proof_is_explained_too(proof: str) -> None:
    result = run("explain", "--against", URL, "--", proof)
    assert result.exit_code == 1
    assert "FAIL  form" in result.output
    assert "\x1b" not in result.output


def test_a_url_that_is_none_is_refused(ec_key: ECKey) -> None:
    result = run("explain", made(ec_key), "--against", "nothing")
    assert (result.exit_code, "Traceback" in result.output) == (1, False)
