"""Write docs/sizing.md and its chart from what ``make bench`` has measured.

``make sizing``: all figures in the document, and those that follow from
them, come out of ``build/benchmarks.json``, so that the two cannot disagree.
"""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from shutil import copyfile
from string import Template
from typing import Any

from benchmarks.__main__ import FOLDER
from benchmarks.compiled import RESULT
from benchmarks.reasons import (
    NoReasonError,
    library_table,
    missed_table,
    trace_table,
)
from benchmarks.routes import SENT
from benchmarks.served_tables import ROUTES

_DOCUMENT = Path("docs/sizing.md")
_TEMPLATE = Path(__file__).parent / "sizing.md"
_NOTE = "\n<!-- Written by make sizing: edit benchmarks/sizing.md. -->\n"
#: Seconds for which an entry lives in memory, and in a shared store.
_LIFETIME, _SHARED_LIFETIME = 66, 77
_BEARER = "Bearer RS256, PyJWT"
_AUTHLIB_ISSUE = "issue a token, Authlib's own generator"
_ADDED = "issuance: added by DPoP and a symmetric key"
_ADOPTION = "issuance: added to a server of Authlib alone"
#: Of the run, those that have one figure a row.
_SECTIONS = (
    *("issuance", "wire", "scale", "stores", "in_process", "served", "workers"),
)
#: Part of the capacity that is planned with.
_LOAD = 0.6


def main() -> None:
    """Fill the template, and copy the chart beside the document."""
    run = json.loads((FOLDER / "benchmarks.json").read_text(encoding="utf-8"))
    compiled = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    try:
        shown = figures(run, compiled)
        text = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(shown)
    except KeyError as error:
        raise SystemExit(f"not measured: {error}; wrk and Redis are needed") from error
    except NoReasonError as error:
        raise SystemExit(str(error)) from error
    _DOCUMENT.write_text(text + _NOTE, encoding="utf-8")
    copyfile(FOLDER / "benchmarks.svg", _DOCUMENT.parent / "benchmarks.svg")


def figures(run: dict[str, Any], compiled: dict[str, Any]) -> dict[str, str]:
    """Return the figures of the document by the names that the template has.

    :param run: what ``make bench`` wrote.
    :param compiled: what ``make bench-compiled`` wrote; empty if it was not run.
    """
    us = {row["operation"]: row["microseconds"] for row in run["results"]}
    value = {
        row["operation"]: row["value"] for section in _SECTIONS for row in run[section]
    }
    budget = {row["operation"]: row["budget"] for row in run["issuance"]}
    added = {row["operation"]: row["added"] for row in run["in_process"]}
    # In microseconds: what an operation takes, or adds to another.
    taken = us | {
        row["operation"]: row["value"]
        for section in ("issuance", "stores")
        for row in run[section]
        if row["unit"] == "us"
    }
    symmetric, first = us["symmetric"], us["symmetric, token not seen before"]
    issuing = us["issue a token, DPoP and a symmetric key"]
    decision = us["whole decision, symmetric"]
    redis_rate = value["one Redis: adds of 16 clients"]
    route = value["gunicorn: symmetric"]
    memory = value["memory store: one entry"]
    redis = value["Redis: one entry, with its tables"]
    return {
        "python": run["python"],
        "cryptography": run["packages"]["cryptography"],
        "costs": _costs(us),
        "routes": _routes(value),
        "workers": _workers(value),
        "symmetric": _short(symmetric),
        "steps": _short(us["symmetric, in three steps"]),
        "bad_mac": _short(us["refuse: symmetric, bad MAC"]),
        "forged": _short(us["refuse: symmetric, bad MAC, forged token"]),
        "bad_signature": _short(us["refuse: ES256, bad signature"]),
        "gate_refusal": _short(us["refuse: whole decision, bad MAC"]),
        "gate_accepts": _short(decision),
        "used": _short(us["refuse: symmetric, used"]),
        "make_symmetric": _short(us["make a symmetric proof"]),
        "make_es256": _short(us["make an ES256 proof"]),
        "wire_symmetric": f"{value['symmetric proof on the wire']:.0f}",
        "wire_es256": f"{value['ES256 proof on the wire']:.0f}",
        "decisions": f"{_hundreds(1e6 / decision):,}",
        "es256_checks": f"{_hundreds(1e6 / us['ES256, key and token seen before']):,}",
        "new_token": _short(first - symmetric),
        "token_bytes": f"{value['bytes of a remembered token']:,.0f}",
        "token_megabytes": f"{value['bytes of a remembered token'] / 100:.0f}",
        "memory_entry": f"{memory:.0f}",
        "memory_megabytes": f"{memory * (_LIFETIME + 10) / 1000:.1f}",
        "redis_entry": f"{redis:.0f}",
        "redis_megabytes": f"{redis * _SHARED_LIFETIME / 1000:.1f}",
        "redis_rate": f"{_hundreds(redis_rate):,}",
        "redis_add": _short(value["Redis, Unix socket: one add"]),
        "sqlite_rate": f"{_hundreds(value['SQLite, 4 processes: adds']):,}",
        "issue": f"{issuing:,.0f}",
        "issue_plain": f"{us['issue a token']:,.0f}",
        "issue_adoption": f"{value[_ADOPTION]:,.0f}",
        "issue_added": f"{value[_ADDED]:,.0f}",
        "issue_budget": f"{budget[_ADOPTION]:,.0f}",
        "issue_authlib": f"{us[_AUTHLIB_ISSUE]:,.0f}",
        "issue_users": f"{_hundreds(1e6 / issuing * 300):,}",
        "route": f"{route:,.0f}",
        "redis_half": f"{_hundreds(redis_rate / 2):,}",
        "fleet": _fleet(route, decision, redis_rate / 2, redis),
        "missed": missed_table(run, compiled),
        "traces": trace_table(run, taken | added),
        "libraries": library_table(run),
        "noise": _noise(run),
        **_reasons(us, value, added),
    }


def _costs(us: dict[str, float]) -> str:
    shown = {
        "symmetric, token seen before": "symmetric",
        "symmetric, token not seen before": "symmetric, token not seen before",
        "ES256, key and token seen before": "ES256, key and token seen before",
        "ES256, nothing seen before": "ES256, nothing seen before",
        "Ed25519, key and token seen before": "Ed25519, key and token seen before",
        "the whole decision of a `Gate`, symmetric": "whole decision, symmetric",
        "one ES256 verification": "ES256 verify",
    }
    unit = us["ES256 verify"]
    return "\n".join(
        f"| {name} | {_short(us[row])} | {us[row] / unit:.2f} |"
        for name, row in shown.items()
    )


def _routes(value: dict[str, float]) -> str:
    shown = {
        "open": "open",
        "symmetric": "symmetric",
        "ES256": "ES256",
        "symmetric, used proofs in Redis": "symmetric, Redis",
        "plain Bearer RS256 token, checked by PyJWT": "Bearer RS256, PyJWT",
    }
    lines = []
    for name, row in shown.items():
        rates = [
            value.get(f"{server}: {row}")
            for server in ("gunicorn", "granian", "granian, ASGI")
        ]
        cells = ["" if rate is None else f"{rate:,.0f}" for rate in rates]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _workers(value: dict[str, float]) -> str:
    names = {"memory": "memory store of each worker", "SQLite": "SQLite"}
    names["Redis"] = "Redis"
    counts = ("1 worker", "2 workers", "4 workers")
    return "\n".join(
        f"| {shown} | "
        + " | ".join(f"{value[f'{count}, {store}']:,.0f}" for count in counts)
        + " |"
        for store, shown in names.items()
    )


def _fleet(route: float, decision: float, redis_rate: float, entry: float) -> str:
    lines = []
    for rate in (1_000, 10_000, 100_000, 1_000_000):
        cells = (
            f"{rate:,}",
            f"{math.ceil(rate / route / _LOAD):,}",
            f"{rate * decision / 1e6:.1f}",
            f"{math.ceil(rate / redis_rate):,}",
            f"{rate * _SHARED_LIFETIME * entry / 1e9:.2f} GB",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _noise(run: dict[str, Any]) -> str:
    """Return by how much the ratios of parts of the run differ, in percent."""
    spreads = [
        (row["range"][1] - row["range"][0]) / row["ratio"]
        for row in run["results"]
        if row["base"] != [row["operation"]]
    ]
    return f"{statistics.median(spreads) * 100:.0f}"


def _reasons(
    us: dict[str, float], value: dict[str, float], added: dict[str, float]
) -> dict[str, str]:
    """Return the figures of what stands in the way of a budget."""
    pyjwt = next(cost for name, cost in us.items() if name.startswith(_BEARER))
    pydpop = next(us[name] for name in us if name.startswith("ES256 proof: pydpop"))
    sent, bearer = value[f"gunicorn: {SENT}"], value[f"gunicorn: {_BEARER}"]
    # So many times the rate of the Bearer route the symmetric one should have.
    times = ROUTES["symmetric"][1] or 1
    # The least part of the open route's rate that the symmetric route should have.
    least = ROUTES["symmetric"][0] or 1
    left = {
        server: 1e6 / rate * (1 / least - 1)
        for server in ("gunicorn", "granian")
        for rate in [value[f"{server}: open"]]
    }
    fields = {
        server: 1e6 / value[f"{server}: {SENT}"] - 1e6 / value[f"{server}: open"]
        for server in left
    }
    return {
        "added_symmetric": _short(added["Flask route: symmetric"]),
        "added_es256": _short(added["Flask route: ES256"]),
        "added_bearer": _short(added["Flask route: Bearer RS256, PyJWT"]),
        "gunicorn_open": f"{value['gunicorn: open']:,.0f}",
        "granian_open": f"{value['granian: open']:,.0f}",
        "gunicorn_fields": _short(fields["gunicorn"]),
        "granian_fields": _short(fields["granian"]),
        "gunicorn_left": _short(left["gunicorn"]),
        "granian_left": _short(left["granian"]),
        "pydpop": _short(pydpop),
        "pydpop_part": _short(pydpop / 20),
        "by_hand": _short(us["symmetric, by hand"]),
        "bearer_most": f"{sent / bearer:.2f}",
        "bearer_left": _short(1e6 / bearer / times - 1e6 / sent),
        "pyjwt_ratio": f"{pyjwt / us['ES256 verify']:.2f}",
    }


def _short(microseconds: float) -> str:
    return f"{microseconds:.1f}" if microseconds < 100 else f"{microseconds:.0f}"


def _hundreds(number: float) -> int:
    """Round to what two runs have in common."""
    return round(number / 100) * 100


if __name__ == "__main__":
    main()
