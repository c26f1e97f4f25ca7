"""With ``CI=true`` a skip is a failure, however it comes about."""

from __future__ import annotations

import pytest

SKIPS = {
    "mark": "import pytest\n@pytest.mark.skip('x')\ndef test_it(): ...",
    "call": "import pytest\ndef test_it(): pytest.skip('x')",
    "fixture": (
        "import pytest\n@pytest.fixture\ndef skipped(): pytest.skip('x')\n"
        "def test_it(skipped): ..."
    ),
    "module": "import pytest\npytest.skip('x', allow_module_level=True)",
    "import": "import pytest\npytest.importorskip('no_such_module')",
}


@pytest.fixture(autouse=True)
def _no_other_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def run(pytester: pytest.Pytester, source: str) -> pytest.RunResult:
    pytester.makepyfile(source)
    return pytester.runpytest_inprocess("-p", "tests.plugins.skips")


@pytest.mark.parametrize("source", SKIPS.values(), ids=SKIPS.keys())
def test_a_skip_is_a_failure_in_ci_and_only_there(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setenv("CI", "true")
    in_ci = run(pytester, source)
    assert in_ci.ret not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    in_ci.stdout.fnmatch_lines(["*Skipped, which CI=true does not allow*"])

    monkeypatch.delenv("CI")
    run(pytester, source).assert_outcomes(skipped=1)


def test_an_expected_failure_is_not_a_skip(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    source = "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False"
    run(pytester, source).assert_outcomes(xfailed=1)
