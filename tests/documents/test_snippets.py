"""The Python blocks of ``docs/`` run in some test, and the commands in it exist."""

from __future__ import annotations

import json
import re
import shlex
import time
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from authlib.integrations.flask_oauth2 import AuthorizationServer
from joserfc.jwk import ECKey
from sqlalchemy import MetaData, create_engine

from dpop_ext import ProofSigner, ProofVerifier
from dpop_ext.cli.group import dpop_ext
from dpop_ext.integrations.requests_client import OAuth2Session
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.stores.nonce_file import create_nonce_file
from dpop_ext.stores.private_file import write_private
from dpop_ext.symmetric.secret_bytes import SecretBytes
from tests.authorization_server.symmetric_parts import Secrets
from tests.conftest import Clock
from tests.documents.links import ROOT
from tests.documents.regions import DOCS

PAGES = {
    path.relative_to(DOCS).as_posix(): path.read_text("utf-8")
    for path in DOCS.rglob("*.md")
}
#: Which tests run the code of a page, below ``tests``.
RUN_BY = {
    "encrypted-keys.md": "documents/test_snippets.py",
    "gateway.md": "resource_server/test_gateway.py",
    "howto/authorization-server.md": "documents/test_howto.py",
    "howto/client.md": "documents/test_howto.py",
    "howto/resource-server.md": "documents/test_howto.py",
    "howto/symmetric-keys.md": "documents/test_howto.py",
    "operations.md": "documents/test_snippets.py",
    "post-quantum.md": "documents/test_snippets.py",
    "protected-messages.md": "documents/test_howto.py",
    "rollout.md": "integrations/test_rollout.py",
    "rotation.md": "documents/test_snippets.py",
    "sessions.md": "integrations/test_session_bundle.py",
    "tickets.md": "stores/test_tickets_document.py",
    "tutorial.md": "documents/test_tutorial.py",
}


def run(page: str, names: dict[str, Any]) -> dict[str, Any]:
    """Run every block of a page, one after the other."""
    for block in re.findall(
        r"^```python\n(.*?)^```$", PAGES[page], re.DOTALL | re.MULTILINE
    ):
        exec(compile(block, page, "exec", dont_inherit=True), names)
    return names


def test_every_page_with_code_is_run() -> None:
    assert {page for page, text in PAGES.items() if "```python" in text} == set(RUN_BY)
    for page, test in RUN_BY.items():
        text = (ROOT / "tests" / test).read_text("utf-8")
        assert page.rpartition("/")[2] in text


def test_the_code_of_encrypted_keys_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ec_key: ECKey
) -> None:
    monkeypatch.chdir(tmp_path)
    write_private(
        tmp_path / "decryption.json", json.dumps(ec_key.as_dict(private=True)).encode()
    )
    names = run(
        "encrypted-keys.md",
        {
            "replay_store": MemoryReplayStore(),
            "verifier": ProofVerifier(MemoryReplayStore()),
            "find_resource_server": lambda audience: None,
            "signer": ProofSigner.generate(),
            "jwks": {"keys": [ec_key.as_dict(private=False) | {"use": "enc"}]},
        },
    )
    assert names["find_recipient"]("https://api.example") is None
    assert names["private_keys"].public_jwk()["kty"] == "EC"


def test_the_code_of_post_quantum_runs() -> None:
    names = run(
        "post-quantum.md",
        {
            "ProofSigner": ProofSigner,
            "OAuth2Session": OAuth2Session,
            "replay_store": MemoryReplayStore(),
            "secrets": Secrets(Clock()),
            "issuer": "https://as.example",
            "resource": "https://api.example",
            "client_id": "client",
            "token_endpoint": "https://as.example/token",
            "metadata": {"dpop_signing_alg_values_supported": ["ML-DSA-65"]},
        },
    )
    assert names["dpop"].takes_form_proofs


def test_the_code_of_rotation_runs(tmp_path: Path) -> None:
    now = int(time.time())
    engine = create_engine(f"sqlite:///{tmp_path}/secrets.db")
    names = run(
        "rotation.md",
        {
            "engine": engine,
            "key": SecretBytes(bytes(range(32))),
            "verifier": ProofVerifier(MemoryReplayStore()),
            "replay_store": MemoryReplayStore(),
            "load_signing_keys": tuple,
            "server": AuthorizationServer(),
            "jti": "1",
            "exp": now + 300,
            "new_jti": "2",
            "new_exp": now + 200,
        },
    )
    ring, _, _ = names["secrets"].load_numbered("https://api.example.com")
    assert [entry.state for entry in ring] == ["pending"]
    assert {entry.token_id for entry in ring.denied} == {"1", "2"}
    engine.dispose()


def test_the_code_of_operations_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Base:
        metadata = MetaData()

    monkeypatch.chdir(tmp_path)
    create_nonce_file(tmp_path / "nonces.json")
    names = run("operations.md", {"Base": Base, "contextmanager": lambda f: f})
    assert names["target_metadata"].tables
    assert callable(names["upgrade"])
    assert names["TestMyStore"].make_opener
    assert names["verifier"].nonces.issue(purpose="rs", now=int(time.time()))


def commands() -> list[str]:
    """Every command of this package that a page shows."""
    found = []
    for text in PAGES.values():
        for block in re.findall(
            r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE
        ):
            for line in block.replace("\\\n", "").splitlines():
                found += [line[2:]] if line.startswith("$ dpop-ext ") else []
    return found


@pytest.mark.parametrize("line", commands())
def test_a_command_and_its_options_exist(line: str) -> None:
    words = shlex.split(line)[1:]
    command: click.Command = dpop_ext
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None
        command = found
    options = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


def test_an_extra_that_a_page_installs_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for text in PAGES.values():
        for names in re.findall(r"dpop-ext\[([a-z0-9,-]+)\]", text):
            assert set(names.split(",")) <= project["optional-dependencies"].keys()


def test_alembic_finds_the_branch_that_operations_names(tmp_path: Path) -> None:
    (found,) = re.findall(r"```ini\n(.*?)```", PAGES["operations.md"], re.DOTALL)
    (tmp_path / "alembic" / "versions").mkdir(parents=True)
    settings = tmp_path / "alembic.ini"
    settings.write_text(f"[alembic]\nscript_location = %(here)s/alembic\n{found}")
    scripts = ScriptDirectory.from_config(Config(str(settings)))
    assert scripts.get_heads() == ["dpop_ext_1"]
