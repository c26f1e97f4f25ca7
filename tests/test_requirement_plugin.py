"""The plugin that ties tests to requirements, run against small suites of its own."""

from __future__ import annotations

import pytest

LISTED = """
enforced = ["now"]

[[requirement]]
id = "A-10"
role = "AS"
level = "MUST"
section = "RFC 9449 5"
text = "A later one."
issue = "now"

[[requirement]]
id = "A-9"
role = "RS"
level = "MUST"
section = "RFC 9449 7"
text = "An earlier one."
issue = "now"

[[requirement]]
id = "B-1"
role = "client"
level = "SHOULD"
section = "RFC 9449 8"
target = "Client"
text = "One for another day."
issue = "later"

[[requirement]]
id = "B-2"
role = "client"
level = "MAY"
section = "RFC 9449 8"
text = "One that is said by the way."
issue = "informative"
"""

BOTH = """
import pytest

@pytest.mark.requirement("A-9", "A-10")
@pytest.mark.parametrize("number", [1, 2])
def test_both(number):
    assert number < LIMIT
"""


class Suite:
    """A project of one test file, run with the plugin and nothing of ours beside."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self._pytester = pytester
        self.listed = LISTED
        pytester.makepyprojecttoml("[tool.pytest.ini_options]\ntestpaths = ['tests']")

    def run(self, source: str, *arguments: str) -> pytest.RunResult:
        """Run *source* as the whole suite."""
        root = self._pytester.path
        for name, text in (
            ("docs/requirements.toml", self.listed),
            ("tests/test_it.py", source),
        ):
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        return self._pytester.runpytest_inprocess(
            "-p", "tests.plugins.requirement", "-p", "no:cacheprovider", *arguments
        )

    def report(self) -> str | None:
        """The report of the last run, if one was written."""
        path = self._pytester.path / "build/requirements.md"
        return path.read_text(encoding="utf-8") if path.exists() else None


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Suite:
    # Each run would import them anew, which takes most of a second.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return Suite(pytester)


def row(report: str | None, name: str) -> str:
    assert report is not None
    (line,) = [line for line in report.splitlines() if line.startswith(f"| {name} ")]
    return line


def test_a_suite_that_shows_every_enforced_requirement_passes(suite: Suite) -> None:
    result = suite.run(BOTH.replace("LIMIT", "3"))
    assert result.ret == pytest.ExitCode.OK
    assert "| now | passed | tests/test_it.py::test_both |" in row(
        suite.report(), "A-9"
    )


def test_the_report_lists_every_requirement_in_natural_order(suite: Suite) -> None:
    suite.run(BOTH.replace("LIMIT", "3"))
    report = suite.report() or ""
    names = [line.split()[1] for line in report.splitlines() if line.startswith("| ")]
    assert names == ["ID", "---", "A-9", "A-10", "B-1", "B-2"]
    assert "| client: Client | later | not yet enforced |" in row(report, "B-1")
    assert "4 requirements: 1 informative, 1 not yet enforced, 2 passed." in report


def test_an_enforced_requirement_without_a_test_fails_the_run(suite: Suite) -> None:
    result = suite.run(BOTH.replace("LIMIT", "3").replace('"A-9", ', ""))
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*without a passing test*", "A-9: An earlier one."])
    assert "| missing |" in row(suite.report(), "A-9")


def test_a_skipped_test_shows_nothing(suite: Suite) -> None:
    skipped = BOTH.replace("assert number < LIMIT", 'pytest.skip("not today")')
    result = suite.run(skipped)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "| missing | tests/test_it.py::test_both (skipped) |" in row(
        suite.report(), "A-10"
    )


def test_one_failing_case_makes_the_requirement_failed(suite: Suite) -> None:
    result = suite.run(BOTH.replace("LIMIT", "2"))
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "| failed | tests/test_it.py::test_both (failed) |" in row(
        suite.report(), "A-9"
    )


def test_an_unknown_requirement_stops_the_run_and_names_the_test(suite: Suite) -> None:
    result = suite.run(BOTH.replace("A-9", "A-99"))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*tests/test_it.py::test_both?1?: unknown requirement 'A-99'*"]
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("tests/test_it.py",),
        ("-k", "both"),
        ("-k", "test_both and 1"),
        ("--deselect", "tests/test_it.py::test_both[1]"),
        ("--ignore", "tests/elsewhere"),
        ("--collect-only",),
    ],
)
def test_a_part_of_the_suite_enforces_and_reports_nothing(
    suite: Suite, arguments: tuple[str, ...]
) -> None:
    source = BOTH.replace("LIMIT", "3").replace('"A-9", ', "")
    if arguments == ("-k", "both"):
        source += "\ndef test_another():\n    pass\n"
    result = suite.run(source, *arguments)
    assert result.ret == pytest.ExitCode.OK
    assert suite.report() is None


PARALLEL = ("-p", "xdist", "-n", "2")


def test_a_run_of_several_processes_reports_all_that_they_ran(suite: Suite) -> None:
    both = BOTH.replace("LIMIT", "3")
    passed = suite.run(both, *PARALLEL)
    assert passed.ret == pytest.ExitCode.OK
    assert "| now | passed |" in row(suite.report(), "A-9")
    missing = suite.run(both.replace('"A-9", ', ""), *PARALLEL)
    assert missing.ret == pytest.ExitCode.TESTS_FAILED
    assert "| missing |" in row(suite.report(), "A-9")


def test_a_part_of_the_suite_run_by_several_processes_reports_nothing(
    suite: Suite,
) -> None:
    source = BOTH.replace("LIMIT", "3").replace('"A-9", ', "")
    result = suite.run(source, *PARALLEL, "-k", "test_both and 1")
    assert result.ret == pytest.ExitCode.OK
    assert suite.report() is None


def test_a_run_stopped_early_reports_nothing(suite: Suite) -> None:
    result = suite.run(BOTH.replace("LIMIT", "1"), "-x")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert suite.report() is None


@pytest.mark.parametrize(
    ("listed", "complaint"),
    [
        (LISTED.replace("A-10", "A-9"), "*lists twice: A-9*"),
        (LISTED.replace('["now"]', '["never"]'), "*brings nothing: ?'never'?*"),
        (LISTED.replace("text =", "txt ="), "*cannot be read*"),
        (LISTED.replace("enforced", "forced"), "*cannot be read*"),
    ],
)
def test_a_faulty_list_is_a_usage_error(
    suite: Suite, listed: str, complaint: str
) -> None:
    suite.listed = listed
    result = suite.run(BOTH.replace("LIMIT", "3"))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([complaint])
