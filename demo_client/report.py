"""What was expected, what came, and whether that is the same."""

from __future__ import annotations

from dataclasses import dataclass, field

from requests import Response

from dpop_ext.core.challenge import parse_challenges


@dataclass(frozen=True, slots=True)
class Check:
    """One row of the table."""

    step: str
    expected: str
    got: str

    @property
    def matches(self) -> bool:
        """Whether it went as it should."""
        return self.expected == self.got


@dataclass(slots=True)
class Report:
    """All checks of a run, in order."""

    checks: list[Check] = field(default_factory=list)

    def add(self, step: str, *, expected: str, got: str) -> None:
        """Note how a step went, and say so if it went wrong."""
        check = Check(step, expected, got)
        self.checks.append(check)
        if not check.matches:
            print(f"    UNEXPECTED: {got}, expected {expected}", flush=True)

    @property
    def is_good(self) -> bool:
        """Whether there were checks and all went as they should."""
        return bool(self.checks) and all(check.matches for check in self.checks)

    @property
    def summary(self) -> str:
        """How it went, in one line."""
        wrong = sum(not check.matches for check in self.checks)
        if wrong:
            return f"{wrong} of {len(self.checks)} steps went wrong"
        return f"{len(self.checks)} steps, all as expected"

    def table(self, *, width: int | None = None) -> str:
        """Return the table as text.

        :param width: columns of the terminal; where they are too few, each row has its
            result alone. None is for what has no width, such as a file.
        """
        table = self._table()
        if width is None or width >= len(table[1]):
            return "\n".join(table)
        longest = max(len(check.step) for check in self.checks)
        return "\n".join(
            f"{check.step:<{longest}}  {'ok' if check.matches else 'FAILED'}"
            for check in self.checks
        )

    def _table(self) -> list[str]:
        rows = [("step", "expected", "got", "")]
        rows += [
            (check.step, check.expected, check.got, "ok" if check.matches else "FAILED")
            for check in self.checks
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [
            "  ".join(
                cell.ljust(width) for cell, width in zip(row, widths, strict=True)
            )
            for row in rows
        ]
        rule = "-" * len(lines[0])
        return [line.rstrip() for line in [lines[0], rule, *lines[1:]]]


def outcome(response: Response) -> str:
    """Return the statuses and error codes of a response and of what led to it."""
    return ", ".join(_one(one) for one in [*response.history, response])


def without_nonces(outcomes: str) -> str:
    """Leave out the challenges that come when the minute of a nonce is over."""
    challenges = ("400 use_dpop_nonce, ", "401 use_dpop_nonce, ")
    for challenge in challenges:
        outcomes = outcomes.replace(challenge, "")
    return outcomes


def _one(response: Response) -> str:
    codes = [str(response.status_code)]
    if response.status_code >= 400:
        codes += _error_codes(response)
    return " ".join(codes)


def _error_codes(response: Response) -> list[str]:
    challenges = parse_challenges(response.raw.headers.getlist("WWW-Authenticate"))
    for challenge in challenges:
        names = ("error", "sym_error")
        found = [code for name in names if (code := challenge.get(name))]
        if found:
            return found
    if response.headers.get("Content-Type", "").startswith("application/json"):
        return [str(response.json().get("error"))]
    return []
