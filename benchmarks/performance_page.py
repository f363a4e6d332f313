"""Writes what `make bench` left in runs/bench.json into docs/performance.md, between two marks.

python benchmarks/performance_page.py docs/performance.md
"""

import json
import sys
from pathlib import Path
from typing import Any

from run_all import OUT, ROWS, found_in

BEGIN, END = "<!-- written by benchmarks/performance_page.py -->", "<!-- end -->"


def aims(results: dict[str, Any]) -> list[str]:
    """A row for each aim."""
    lines = ["| work | against | aim | measured | reached |", "|---|---|---|---|---|"]
    for row in ROWS:
        value = found_in(results, row) if row.benchmark in results else None
        shown = ("", "not run") if value is None else (f"{value:.3g}", "yes" if row.reached(value) else "**no**")
        lines.append(f"| {row.work} | {row.against} | {row.aim} | {shown[0]} | {shown[1]} |")
    return lines


def overhead(results: dict[str, Any]) -> list[str]:
    """Every method: passes, time, and their ratio."""
    rows = {name: row for name, row in results.get("method_overhead", {}).items() if isinstance(row, dict)}
    lines = ["| method | passes, in steps of ERM | time, in steps of ERM | time / passes |", "|---|---|---|---|"]
    for name, row in sorted(rows.items(), key=lambda item: -item[1]["time / passes"]):
        lines.append(f"| `{name}` | {row['passes']:.2f} | {row['time']:.2f} | {row['time / passes']:.2f} |")
    return lines


def growth(results: dict[str, Any]) -> list[str]:
    """What grows with what."""
    lines = ["| what | is | steps/s | peak memory, MiB | cache, MiB | made in, s |", "|---|---|---|---|---|---|"]
    for what, settings in results.get("growth", {}).items():
        for size, row in settings.items():
            figures = (f"{row[key]:.3g}" for key in ("steps/s", "peak memory, MiB", "cache, MiB", "cache, s"))
            lines.append(f"| {what} | {size} | {' | '.join(figures)} |")
    return lines


def machine(results: dict[str, Any]) -> str:
    """One sentence."""
    found = results["machine"]
    peers = ", ".join(f"{name} {found[name]}" for name in ("torch", "monai", "torchio", "nnunetv2", "medpy", "ray"))
    return f"{found['processor']}, {found['cores']} cores, GPU: {found['gpu']}; {peers}."


def main(page: Path) -> None:
    """Replace what stands between the marks."""
    results = json.loads(OUT.read_text())
    parts = [
        machine(results), "", *aims(results), "", "## Methods", "", *overhead(results),
        "", "## How cost grows", "", *growth(results),
    ]  # fmt: skip
    before, rest = page.read_text().split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(before + BEGIN + "\n" + "\n".join(parts) + "\n" + END + after)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
