"""With SoftHSM, a PKCS#11 token in software."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from pkcs11 import Attribute, KeyType
from pkcs11.exceptions import AttributeSensitive, NoSuchKey
from pkcs11.util.ec import encode_named_curve_parameters

from dpop_ext.client import ProofSigner
from dpop_ext.core.policy import RFC9449
from dpop_ext.core.proof import parse_proof, verify_proof
from dpop_ext.integrations.pkcs11_signer import PKCS11Key
from tests.client.driving import OK, drive
from tests.conftest import Clock
from tests.programs import need_program

URL = "https://api.example/accounts"
PIN = "1234"
DOCUMENT = Path(__file__).parents[2] / "docs" / "sessions.md"
LIBRARIES = ("usr/lib/softhsm/libsofthsm2.so", "usr/lib/*/softhsm/libsofthsm2.so")


@pytest.fixture(scope="module")
def library() -> str:
    need_program("softhsm2-util", package="softhsm2")
    for pattern in LIBRARIES:
        for path in Path("/").glob(pattern):
            return str(path)
    pytest.skip("softhsm2-util is here, but not libsofthsm2.so")


@pytest.fixture(scope="module")
def token(
    library: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[pkcs11.Token]:
    """A token with a key pair for each curve, which has the name of its curve."""
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        # The library reads it once, when it is loaded.
        patch.setenv("SOFTHSM2_CONF", str(configuration))
        subprocess.run(
            [
                *("softhsm2-util", "--init-token", "--free"),
                *("--label", "desk", "--pin", PIN, "--so-pin", PIN),
            ],
            check=True,
            capture_output=True,
        )
        token = pkcs11.lib(library).get_token(token_label="desk")
        with token.open(rw=True, user_pin=PIN) as session:
            for curve in ("secp256r1", "secp384r1", "secp521r1", "secp256k1"):
                make_key(session, curve, label=curve)
        yield token


def make_key(session: pkcs11.Session, curve: str, *, label: str) -> None:
    session.create_domain_parameters(
        KeyType.EC,
        {Attribute.EC_PARAMS: encode_named_curve_parameters(curve)},
        local=True,
    ).generate_keypair(store=True, label=label)


@pytest.fixture
def session(token: pkcs11.Token) -> Iterator[pkcs11.Session]:
    with token.open(user_pin=PIN) as session:
        yield session


def verified_thumbprint(signer: ProofSigner) -> str:
    flow = signer.resource_request(method="GET", url=URL, access_token="access")
    (headers,) = drive(flow, OK).headers
    proof = verify_proof(
        parse_proof(headers["DPoP"], max_length=RFC9449.max_length),
        method="GET",
        url=URL,
        policy=replace(RFC9449, algorithms=("ES256", "ES384", "ES512")),
        access_token="access",
    )
    return proof.jkt


@pytest.mark.parametrize(
    ("label", "algorithm"),
    [("secp256r1", "ES256"), ("secp384r1", "ES384"), ("secp521r1", "ES512")],
)
@pytest.mark.requirement("U-30")
def test_a_key_in_a_token_makes_the_proofs_of_a_client(
    session: pkcs11.Session, clock: Clock, label: str, algorithm: str
) -> None:
    signer = ProofSigner(PKCS11Key(session, label=label), clock=clock)
    assert signer.algorithm == algorithm
    assert verified_thumbprint(signer) == signer.jkt


def test_the_private_key_does_not_leave_the_token(session: pkcs11.Session) -> None:
    private = session.get_key(
        object_class=pkcs11.ObjectClass.PRIVATE_KEY, label="secp256r1"
    )
    with pytest.raises(AttributeSensitive):
        private[Attribute.VALUE]


def test_a_key_is_the_same_one_when_it_is_found_again(
    session: pkcs11.Session,
) -> None:
    one, other = (
        ProofSigner(PKCS11Key(session, label="secp256r1")).jkt for _ in range(2)
    )
    assert one == other


def test_threads_share_a_key(session: pkcs11.Session, clock: Clock) -> None:
    signer = ProofSigner(PKCS11Key(session, label="secp256r1"), clock=clock)
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(verified_thumbprint(signer)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [signer.jkt] * 8


def test_a_key_that_is_not_there_is_an_error(session: pkcs11.Session) -> None:
    with pytest.raises(NoSuchKey):
        PKCS11Key(session, label="lost")


def test_a_curve_that_no_proof_has_is_refused(session: pkcs11.Session) -> None:
    with pytest.raises(ValueError, match="P-256"):
        PKCS11Key(session, label="secp256k1")


def test_the_code_in_the_document_runs(token: pkcs11.Token, library: str) -> None:
    with token.open(rw=True, user_pin=PIN) as session:
        make_key(session, "secp256r1", label="dpop")
    _, code = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    names: dict[str, Any] = {"library": library, "pin": PIN}
    exec(compile(code, DOCUMENT.name, "exec"), names)
    assert names["signer"].algorithm == "ES256"
