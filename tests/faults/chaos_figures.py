"""Write the figures of a chaos run into docs/reliability.md, between its two marks.

python tests/faults/chaos_figures.py runs/chaos docs/reliability.md
"""

import json
import statistics
import sys
from collections import Counter
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- chaos: written by tests/faults/chaos_figures.py -->", "<!-- end of chaos -->"
NAMES = {
    "worker": "the worker that trains",
    "controller": "Train's controller of a trial",
    "tune_part": "Tune's part of a trial",
    "desk": "the desk between the two",
    "raylet": "a raylet with its workers",
    "driver": "the driver",
    "everything": "every process of cluster and driver",
}


def recoveries(kills: list[dict[str, Any]], steps: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Kind -> seconds from a kill to the next step of a training that it stopped."""
    found: dict[str, list[float]] = {}
    for kill in kills:
        for seed in {line["seed"] for line in steps}:
            mine = sorted((line for line in steps if line["seed"] == seed), key=lambda line: line["time"])
            before = [line for line in mine if line["time"] <= kill["time"]]
            after = [line for line in mine if line["time"] > kill["time"]]
            if not before or not after or kill["time"] - before[-1]["time"] > 2:
                continue  # it did not train then
            if after[0]["pid"] != before[-1]["pid"]:
                found.setdefault(kill["kind"], []).append(after[0]["time"] - kill["time"])
    return found


def figures(folder: Path) -> str:
    chaos = json.loads((folder / "chaos.json").read_text())
    times: dict[str, list[float]] = {}
    for entry in chaos["rounds"]:
        log = folder / f"round-{entry['round']}" / "steps.jsonl"
        steps = [json.loads(line) for line in log.read_text().splitlines()]
        kills = [kill for kill in chaos["kills"] if kill["round"] == entry["round"]]
        for kind, found in recoveries(kills, steps).items():
            times.setdefault(kind, []).extend(found)
    return "\n".join([*summary(chaos), "", *table(chaos, times), "", *again(chaos)])


def summary(chaos: dict[str, Any]) -> list[str]:
    rounds = chaos["rounds"]
    wrong = [text for entry in rounds for text in entry["wrong"]]
    trials, drivers = (sum(entry[name] for entry in rounds) for name in ("trials", "drivers"))
    hours = sum(entry["wall_s"] for entry in rounds) / 3600
    well = """Every table equals that of the undisturbed run to the last digit, no trial was lost, no
finished trial was written again, and MLflow has one run a trial."""
    return [
        f"Seed {chaos['seed']}: {len(chaos['kills'])} kills of living processes in {len(rounds)} sweeps",
        f"of {trials} trials, with {drivers} drivers, {hours:.1f} h on two cores that others used too.",
        f"Wrong: {'; '.join(wrong)}." if wrong else well,
    ]


def table(chaos: dict[str, Any], times: dict[str, list[float]]) -> list[str]:
    count = Counter(kill["kind"] for kill in chaos["kills"])
    rows = ["| killed | times | trainings stopped | s until they go on: median (longest) |", "|---|---|---|---|"]
    for kind, name in NAMES.items():
        found = times.get(kind, [])
        told = f"{statistics.median(found):.0f} ({max(found):.0f})" if found else ""
        rows.append(f"| {name} | {count[kind]} | {len(found)} | {told} |")
    return rows


def again(chaos: dict[str, Any]) -> list[str]:
    repeated = Counter(steps for entry in chaos["rounds"] for steps in entry["repeated"])
    total, needed = (sum(entry[name] for entry in chaos["rounds"]) for name in ("steps", "needed_steps"))
    if not needed:
        return []
    spread = ", ".join(f"{steps}: {times}" for steps, times in sorted(repeated.items()))
    return [
        f"Steps trained again at a restart of a training (a checkpoint every 5 steps), how often: {spread or 'none'}.",
        f"Together {total} steps were trained where {needed} are needed: {100 * (total / needed - 1):.1f} % more.",
    ]


def main() -> None:
    folder, page = Path(sys.argv[1]), Path(sys.argv[2])
    text = page.read_text(encoding="utf-8")
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    page.write_text(f"{head}{BEGIN}\n{figures(folder)}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
