"""The demo as its user runs it, and its table."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from demo_client import servers
from demo_client.report import Report
from demo_client.transcript import describe_proof
from demo_server.settings import Settings
from demo_server.supervisor import DemoServer
from tests import post_quantum
from tests.patience import PATIENCE

ROOT = Path(__file__).parent.parent.parent


def run_demo(
    *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "demo_client", *arguments],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        # For a whole demo, each step of which has time-outs of its own.
        timeout=5 * PATIENCE,
        check=False,
    )


@pytest.mark.requirement("R1602", "T2", "T21", "R1511", "R1903")
def test_the_demo_goes_as_expected_in_one_command() -> None:
    result = run_demo("--start-server")
    assert result.returncode == 0, result.stdout + result.stderr
    rows = [line for line in result.stdout.splitlines() if line.endswith("  ok")]
    assert len(rows) == 45
    assert "FAILED" not in result.stdout
    assert "Traceback" not in result.stderr
    plain, derived, composite = (
        sizes(result.stdout, name)
        for name in ("no symmetric key", "derived", "composite")
    )
    # What is in the token is the same; the part of the client is shown in the response.
    assert plain[0] < derived[0] == composite[0]
    assert plain[2] == 0 < derived[2] < composite[2]
    assert derived[3] == composite[3] < plain[3]


def sizes(output: str, name: str) -> list[int]:
    """Bytes of the token, the proof for it, the delivered key, the proof of a call."""
    match = re.search(rf"^    {name}  +((?:[0-9]+ *){{4}})$", output, re.MULTILINE)
    assert match is not None, output
    return [int(number) for number in match[1].split()]


@pytest.mark.requirement("T4", "R2061", "R2191")
def test_the_demo_goes_as_expected_without_a_shared_secret() -> None:
    result = run_demo("--start-server", "--symmetric-model", "encapsulated")
    assert result.returncode == 0, result.stdout + result.stderr
    rows = [line for line in result.stdout.splitlines() if line.endswith("  ok")]
    assert len(rows) == 43
    assert "FAILED" not in result.stdout
    assert "Traceback" not in result.stderr
    assert re.search(r"stolen token, swapped key +401 invalid_token", result.stdout)
    plain, encrypted, contributed = (
        sizes(result.stdout, name)
        for name in ("no symmetric key", "encrypted", "with key material")
    )
    assert plain[0] < encrypted[0] == contributed[0]
    assert plain[1] < encrypted[1] < contributed[1]
    assert encrypted[3] == contributed[3] < plain[3]


def test_the_demo_goes_as_expected_without_nonces_and_symmetric_keys(
    tmp_path: Path,
) -> None:
    settings = Settings(
        as_port=0,
        rs_port=0,
        database=f"sqlite:///{tmp_path}/demo.sqlite3",
        nonce="off",
        symmetric="off",
        log_level="warning",
    )
    with DemoServer(dataclasses.replace(settings)) as server:
        result = run_demo(
            "--as-url",
            server.as_url,
            "--rs-url",
            server.rs_url,
            environment=server.environment,
        )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "use_dpop_nonce" not in result.stdout
    assert "stale_key" not in result.stdout


@post_quantum.needed
@pytest.mark.requirement("R2301", "R2304", "R2307", "R2309")
def test_a_post_quantum_client_goes_as_expected_in_one_command() -> None:
    result = run_demo("--start-server", "--post-quantum")
    assert result.returncode == 0, result.stdout + result.stderr
    rows = [line for line in result.stdout.splitlines() if line.endswith("  ok")]
    assert len(rows) == 5
    assert "FAILED" not in result.stdout
    assert "Traceback" not in result.stderr
    proof = re.search(r"once for a token +([0-9]+) ML-DSA-65", result.stdout)
    request = re.search(r"once for a request +([0-9]+) HMAC-SHA256", result.stdout)
    assert proof is not None
    assert request is not None
    assert int(proof[1]) > 20 * int(request[1])


def test_servers_without_post_quantum_keys_are_named(tmp_path: Path) -> None:
    settings = Settings(
        as_port=0,
        rs_port=0,
        database=f"sqlite:///{tmp_path}/demo.sqlite3",
        log_level="error",
    )
    with DemoServer(settings) as server:
        result = run_demo(
            "--post-quantum", "--as-url", server.as_url, "--rs-url", server.rs_url
        )
    assert result.returncode == 1
    assert "start it with --post-quantum on" in result.stderr


def test_without_servers_one_line_says_what_to_do() -> None:
    result = run_demo(
        "--as-url", "http://127.0.0.1:9", "--rs-url", "http://127.0.0.1:9"
    )
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "start the servers with python -m demo_server" in result.stderr


def test_a_row_that_does_not_match_fails_the_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = Report()
    report.add("one", expected="200", got="200")
    assert report.is_good
    report.add("two", expected="401", got="200")
    assert not report.is_good
    assert "FAILED" in report.table()
    assert report.summary == "1 of 2 steps went wrong"
    assert "UNEXPECTED: 200, expected 401" in capsys.readouterr().out


def test_a_narrow_terminal_has_one_line_for_each_step() -> None:
    report = Report()
    report.add("stolen token as Bearer", expected="401 invalid_token", got="401 x")
    report.add("refreshes", expected="1", got="1")
    wide = report.table()
    width = max(map(len, wide.splitlines()))
    assert report.table(width=width) == wide
    assert report.table(width=width - 1).splitlines() == [
        "stolen token as Bearer  FAILED",
        "refreshes               ok",
    ]


def test_a_run_without_a_check_is_not_a_good_one() -> None:
    assert not Report().is_good


@pytest.mark.parametrize("proof", ["", "a.b", "%.%.%"])
def test_what_is_no_proof_is_called_that(proof: str) -> None:
    assert describe_proof(proof) == "not a proof"


def test_a_server_that_does_not_end_in_time_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(servers, "_STOP_TIMEOUT", 0.1)
    stubborn = "import signal; signal.signal(15, signal.SIG_IGN); print(); input()"
    with subprocess.Popen(
        [sys.executable, "-c", stubborn],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        servers.stop(process)
        assert process.returncode == -signal.SIGKILL


#: As from a terminal: what is started in the background may have been told to ignore
#: interruptions, and hands that down.
FROM_TERMINAL = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("demo_client", run_name="__main__", alter_sys=True)
"""


def test_the_demo_can_be_interrupted() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FROM_TERMINAL, "--start-server"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "starting the servers ...\n"
        process.send_signal(signal.SIGINT)
        _, shown = process.communicate(timeout=PATIENCE)
    assert (process.returncode, shown) == (130, "\ndemo_client: interrupted\n")
