"""A bar chart as SVG, drawn from the results alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

#: Rows of the chart, as they begin.
SHOWN = ("symmetric", "ES256", "Ed25519", "Bearer")

_ROW, _LEFT, _WIDTH, _TOP = 26, 400, 370, 40
_SVG = "http://www.w3.org/2000/svg"
_OURS, _THEIRS = "#2a6f97", "#a9a9a9"


def chart(results: Sequence[dict[str, Any]]) -> str:
    """Return what each way to check a request costs, in ES256 verifications.

    :param results: with ``operation``, ``microseconds`` and ``budget``.
    """
    unit = next(r for r in results if r["operation"] == "ES256 verify")["microseconds"]
    rows = [
        (r["operation"], r["microseconds"] / unit, r["budget"] is not None)
        for r in results
        if r["operation"].startswith(SHOWN)
        and not r["operation"].endswith(("verify", "by hand"))
    ]
    rows = [row for row in rows if row[0] != "ES256 sign"]
    longest = max(value for _, value, _ in rows)
    height = _TOP + _ROW * len(rows) + 10
    style = 'font-family="sans-serif" font-size="13"'
    title = "Check one request, in ES256 verifications (shorter is better)"
    parts = [
        f'<svg xmlns="{_SVG}" viewBox="0 0 820 {height}" {style}>',
        f'<rect width="820" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="22" font-weight="bold">{title}</text>',
    ]
    for place, (name, value, ours) in enumerate(sorted(rows, key=lambda r: r[1])):
        y = _TOP + _ROW * place
        width = max(1.0, value / longest * _WIDTH)
        bar = f'y="{y + 3}" width="{width:.1f}" height="16"'
        fill = _OURS if ours else _THEIRS
        end = f'x="{_LEFT - 8}" y="{y + 15}" text-anchor="end"'
        parts += [
            f"<text {end}>{escape(name)}</text>",
            f'<rect x="{_LEFT}" {bar} fill="{fill}"/>',
            f'<text x="{_LEFT + width + 6:.1f}" y="{y + 15}">{value:.2f}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"
