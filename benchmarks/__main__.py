"""Measure, print the table and write it as JSON."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path

from benchmarks.measure import measure
from benchmarks.operations import rows

OUTPUT = Path("build") / "benchmarks.json"


def main() -> None:
    """Print one line for each operation, with its ratio to a primitive."""
    table = rows()
    times = measure({row.name: row.call for row in table})
    print(f"{'operation':<26}{'microseconds':>14}  ratio")
    results = []
    for row in table:
        ratio = times[row.name] / times[row.base]
        print(f"{row.name:<26}{times[row.name]:>14.1f}  {ratio:.2f} x {row.base}")
        results.append(
            {
                "operation": row.name,
                "microseconds": round(times[row.name], 2),
                "ratio": round(ratio, 3),
                "base": row.base,
            }
        )
    OUTPUT.parent.mkdir(exist_ok=True)
    report = {
        "python": platform.python_version(),
        "packages": {
            name: version(name) for name in ("cryptography", "joserfc", "authlib")
        },
        "results": results,
    }
    OUTPUT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"written to {OUTPUT}; microseconds say nothing on another machine")


if __name__ == "__main__":
    main()
