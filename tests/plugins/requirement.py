"""``@pytest.mark.requirement("C-6")``: which requirement is shown by which test.

``docs/requirements.toml`` lists the requirements. A name that is not in it stops the
run. After a run of the whole suite, ``build/requirements.md`` tells for each one the
tests and their outcome, and an enforced requirement without a passing test fails the
run. Running a part of the suite does neither. With pytest-xdist the workers run the
tests and the controller, which collects none, writes the report.
"""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

Outcome = Literal["passed", "failed", "skipped"]
State = Literal["passed", "failed", "missing", "not yet enforced", "informative"]

LIST = Path("docs/requirements.toml")
REPORT = Path("build/requirements.md")
PROPERTY = "requirement"
INFORMATIVE = "informative"
_SEVERITY: tuple[Outcome, ...] = ("passed", "skipped", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One entry of the list, as described at its head."""

    id: str
    role: str
    level: str
    section: str
    text: str
    issue: str
    #: Of the DPoP Symmetric Profile only: the artifact or party that must conform.
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequirementList:
    """Every requirement by its name, and the issues whose requirements must be met."""

    requirements: dict[str, Requirement]
    enforced_issues: frozenset[str]

    @classmethod
    def read(cls, path: Path) -> RequirementList:
        """Read the list; a faulty one is a usage error."""
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
            entries = [Requirement(**entry) for entry in data["requirement"]]
            enforced = frozenset(data["enforced"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            message = f"{path} cannot be read: {error!r}"
            raise pytest.UsageError(message) from error
        requirements = {entry.id: entry for entry in entries}
        if len(requirements) < len(entries):
            names = [entry.id for entry in entries]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise pytest.UsageError(f"{path} lists twice: {', '.join(twice)}")
        unknown = enforced - {entry.issue for entry in entries}
        if unknown:
            raise pytest.UsageError(
                f"{path} enforces an issue that brings nothing: {sorted(unknown)}"
            )
        return cls(requirements=requirements, enforced_issues=enforced)

    def is_enforced(self, requirement: Requirement) -> bool:
        """Whether the whole suite fails without a passing test for it."""
        return requirement.issue in self.enforced_issues


class RequirementPlugin:
    """Collects the marks and the outcomes of one session."""

    def __init__(self, listed: RequirementList) -> None:
        self._listed = listed
        self._outcomes: dict[str, dict[str, Outcome]] = defaultdict(dict)
        self._partial = False
        self._missing: list[str] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        unknown = []
        for item in items:
            ids = frozenset(
                name for mark in item.iter_markers("requirement") for name in mark.args
            )
            # They travel with the reports, from worker to controller too.
            item.user_properties += [(PROPERTY, name) for name in ids]
            unknown += [
                f"{item.nodeid}: unknown requirement {name!r}, not in {LIST}"
                for name in sorted(ids - self._listed.requirements.keys(), key=str)
            ]
        if unknown:
            raise pytest.UsageError(*unknown)

    def pytest_deselected(self) -> None:
        self._partial = True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = report.nodeid.partition("[")[0]
        for kind, name in report.user_properties:
            if kind != PROPERTY:
                continue
            tests = self._outcomes[str(name)]
            tests[test] = max(
                tests.get(test, "passed"), report.outcome, key=_SEVERITY.index
            )

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        worker = getattr(session.config, "workeroutput", None)
        if worker is not None:
            worker["partial"] = self._partial
            return
        if self._partial or not _runs_everything(session):
            return
        states = {
            name: self._state(requirement)
            for name, requirement in self._listed.requirements.items()
        }
        self._missing = sorted(
            (name for name, state in states.items() if state == "missing"),
            key=_natural,
        )
        if self._missing and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        path = session.config.rootpath / REPORT
        path.parent.mkdir(exist_ok=True)
        path.write_text(self._report(states), encoding="utf-8")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        # A worker that died has no output.
        output = getattr(node, "workeroutput", {"partial": True})
        self._partial |= output["partial"]

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        if self._missing:
            terminalreporter.section("requirements without a passing test", red=True)
            for name in self._missing:
                text = self._listed.requirements[name].text
                terminalreporter.line(f"{name}: {text}")

    def _state(self, requirement: Requirement) -> State:
        outcomes = set(self._outcomes[requirement.id].values())
        if "failed" in outcomes:
            return "failed"
        if "passed" in outcomes:
            return "passed"
        if self._listed.is_enforced(requirement):
            return "missing"
        if requirement.issue == INFORMATIVE:
            return "informative"
        return "not yet enforced"

    def _report(self, states: dict[str, State]) -> str:
        counts = ", ".join(
            f"{list(states.values()).count(state)} {state}"
            for state in sorted(set(states.values()))
        )
        lines = [
            "# Requirements and the tests that show them",
            "",
            f"{len(states)} requirements: {counts}.",
            "",
            "| ID | section | level | role | issue | outcome | tests |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for name in sorted(states, key=_natural):
            entry = self._listed.requirements[name]
            tests = "<br>".join(
                f"{test} ({outcome})" if outcome != "passed" else test
                for test, outcome in sorted(self._outcomes[name].items())
            )
            cells = (
                entry.id,
                entry.section,
                entry.level,
                f"{entry.role}: {entry.target}" if entry.target else entry.role,
                entry.issue,
                states[name],
                tests,
            )
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines) + "\n"


def _runs_everything(session: pytest.Session) -> bool:
    """Whether no path, option or early stop left a test out."""
    config = session.config
    return (
        config.args_source is pytest.Config.ArgsSource.TESTPATHS
        and not config.getoption("collectonly")
        and not config.getoption("ignore")
        and not config.getoption("ignore_glob")
        and not session.shouldstop
        and not session.shouldfail
    )


def _natural(name: str) -> list[tuple[int, str]]:
    """Order C-9 before C-10."""
    return [
        (int(part), "") if part.isdecimal() else (0, part)
        for part in re.findall(r"\d+|\D+", name)
    ]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"requirement(*ids): entries of {LIST} that the test shows"
    )
    listed = RequirementList.read(config.rootpath / LIST)
    config.pluginmanager.register(RequirementPlugin(listed), "requirement-report")
