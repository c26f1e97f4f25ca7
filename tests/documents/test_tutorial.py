"""The files of docs/tutorial.md run and print what it says, and so with nonces."""

from __future__ import annotations

import re
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import requests

from dpop_ext.testing.servers import run
from tests.documents.regions import DOCS
from tests.patience import PATIENCE

TEXT = (DOCS / "tutorial.md").read_text("utf-8")
FILES = dict(
    re.findall(
        r"^`(\w+)\.py`:\n\n```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE
    )
)
PRINTED = dict(
    re.findall(r"^\$ python (\w+)\.py\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
)
(NONCES,) = re.findall(
    r"^```python\n(import secrets\n.*?)^```$", TEXT, re.DOTALL | re.MULTILINE
)
VERIFIER = "verifier = ProofVerifier(MemoryReplayStore())\n"
#: Where the servers listen, in the text.
PORTS = {"authorization_server": 5000, "api": 5001}


class Program:
    """A server of the tutorial; its files find both where they really are."""

    def __init__(self, name: str, source: str, programs: dict[str, Program]) -> None:
        self.url = ""
        self._name = name
        self._source = source
        self._programs = programs

    def make_app(self) -> Any:
        """Return this: the file is run at the first request, when both have a port."""
        return self

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self._app(environ, start_response)

    @cached_property
    def _app(self) -> Any:
        source = moved(self._source, self._programs)
        names: dict[str, Any] = {"__name__": self._name}
        exec(compile(source, self._name, "exec", dont_inherit=True), names)
        return names["app"]


def moved(text: str, programs: dict[str, Program]) -> str:
    for name, port in PORTS.items():
        text = text.replace(f"http://127.0.0.1:{port}", programs[name].url)
    return text


@pytest.mark.parametrize("nonces", [False, True])
def test_the_tutorial_does_what_it_says(
    nonces: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    programs: dict[str, Program] = {}
    for name in PORTS:
        assert FILES[name].count(VERIFIER) == 1
        source = FILES[name].replace(VERIFIER, NONCES) if nonces else FILES[name]
        programs[name] = Program(name, source, programs)
    with run(programs["authorization_server"]) as issuer, run(programs["api"]):
        for name in ("client", "thief"):
            text = moved(FILES[name], programs)
            (tmp_path / f"{name}.py").write_text(text, "utf-8")
        try:
            __import__("client")
            assert capsys.readouterr().out == PRINTED["client"]
            sys.modules.pop("client")
            __import__("thief")
            lines = [line.rstrip() for line in PRINTED["thief"].splitlines()]
            found = capsys.readouterr().out.splitlines()
            assert [line.rstrip() for line in found] == lines
        finally:
            sys.modules.pop("client", None)
            sys.modules.pop("thief", None)
        bare = requests.post(
            f"{issuer.url}/token",
            data={"grant_type": "client_credentials"},
            auth=("reports", "a-long-secret"),
            timeout=PATIENCE,
        )
        assert bare.text in TEXT


def test_every_block_of_the_tutorial_is_run() -> None:
    assert FILES.keys() == {*PORTS, "client", "thief"}
    assert TEXT.count("```python") == len(FILES) + 1
