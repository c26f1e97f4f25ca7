"""What was tried at a server, and what that says about requirements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

Status = Literal["passed", "failed", "skipped"]

#: The requirements that are tried, each with its target.
TARGETS: Final = {
    "R1001": "TOKEN_REQUEST",
    "R1002": "TOKEN_REQUEST",
    "R1003": "TOKEN_REQUEST",
    "R1005": "TOKEN_REQUEST",
    "R1101": "TOKEN_RESPONSE",
    "R1102": "TOKEN_RESPONSE",
    "R1104": "TOKEN_RESPONSE",
    "R1201": "KEY_JWE",
    "R1202": "KEY_JWE",
    "R1203": "KEY_JWE",
    "R1204": "KEY_JWE",
    "R1205": "KEY_JWE",
    "R1301": "ACCESS_TOKEN",
    "R1302": "ACCESS_TOKEN",
    "R1303": "ACCESS_TOKEN",
    "R1304": "ACCESS_TOKEN",
    "R1401": "SYM_PROOF",
    "R1402": "SYM_PROOF",
    "R1403": "SYM_PROOF",
    "R1404": "SYM_PROOF",
    "R1501": "RS",
    "R1503": "RS",
    "R1504": "RS",
    "R1505": "RS",
    "R1507": "RS",
    "R1509": "RS",
    "R1511": "CHALLENGE",
    "R1512": "CHALLENGE",
    "R1704": "AS_METADATA",
    "R1705": "RS_METADATA",
    "R1707": "AS_METADATA",
    "R1801": "TICKET",
    "R1803": "RS",
    "R1806": "TICKET",
    "R1901": "RES_PROOF",
    "R1902": "RS",
    "R2093": "RS",
    "R2101": "ACCESS_TOKEN",
    "R2102": "SYM_PROOF",
    "R2103": "ACCESS_TOKEN",
    "R2111": "TOKEN_REQUEST",
    "R2112": "TOKEN_REQUEST",
    "R2134": "TICKET",
    "R2136": "TICKET",
    "R2137": "TICKET",
    "R2138": "TICKET",
    "R2141": "RS",
    "R2143": "SYM_PROOF",
    "R2144": "SYM_PROOF",
    "R2152": "RS",
    "R2153": "RS",
    "R2161": "RES_PROOF",
    "R2162": "RES_PROOF",
    "R2163": "RES_PROOF",
    "R2195": "TOKEN_REQUEST",
    "R2211": "CLIENT",
    "R2213": "CLIENT",
    "R2214": "TOKEN_REQUEST",
}

Party = Literal["as", "rs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One thing that was tried."""

    #: What was tried: a few words that do not change.
    name: str
    #: Whose doing it is.
    party: Party
    #: What it shows: names in :data:`TARGETS`.
    requirements: tuple[str, ...]
    status: Status
    #: What was seen.
    seen: str
    #: What to change; empty if there is nothing to do.
    advice: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "name": self.name,
            "party": self.party,
            "requirements": list(self.requirements),
            "status": self.status,
            "seen": self.seen,
            "advice": self.advice,
        }


def judged(
    name: str,
    party: Party,
    requirements: str,
    *,
    good: bool,
    seen: str,
    advice: str,
) -> Trial:
    """Return a trial that was made.

    :param requirements: separated by spaces.
    :param advice: what to change if it is not *good*.
    """
    return Trial(
        name=name,
        party=party,
        requirements=tuple(requirements.split()),
        status="passed" if good else "failed",
        seen=seen,
        advice="" if good else advice,
    )


def skipped(name: str, party: Party, requirements: str, why: str) -> Trial:
    """Return a trial that could not be made."""
    return Trial(
        name=name,
        party=party,
        requirements=tuple(requirements.split()),
        status="skipped",
        seen=why,
    )
