"""`dgsweep report` of about 100, 1 000 and 10 000 trials with some 200 scored cases each. For docs/scale.md.

    DGSWEEP_SCALE_FOLDER=/dev/shm/mine python benchmarks/report.py [120] [1200] [10200]

Each report is written by a process of its own: wall and processor seconds, peak memory. The sweep is made: plan, files
and seals are as a sweep leaves them, but written without the ledger's checks and without forcing them to the disk, that
would take longer than what is measured. Scores are drawn, so the report says nothing about a method. About 200 kB a
trial; the folder is kept and used again.
"""

import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from made_ledger import made_plan

from dgsweep.plan.trial import Plan, TrialSpec
from dgsweep.records.columns import CASE_SCHEMA, CURVE_SCHEMA, parquet_bytes
from dgsweep.records.ledger import Ledger
from dgsweep.records.provenance import utc_now
from dgsweep.records.state import SEALED

SIZES = (120, 1_200, 10_200)
"""Ten methods on three sequences: 2 seeds and 2 trials a cell, 20 and 2, 20 and 17."""
PATIENTS = 186
"""About a quarter of them is scored in each of three sequences, some in validation: about 200 cases a trial."""
VAL_POINTS, LOSS_POINTS = 20, 100
MADE = Path(os.environ.get("DGSWEEP_SCALE_FOLDER", tempfile.gettempdir())) / "dgsweep_report"


def run(sizes: tuple[int, ...] = SIZES) -> dict[str, Any]:
    """Wall and processor seconds and peak memory of one report of each size."""
    return {f"{trials} trials": report_of(made_sweep(trials)) for trials in sizes}


def made_sweep(trials: int) -> Path:
    """Output folder of a finished sweep of so many trials; made unless it is there."""
    folder = MADE / f"trials_{trials}"
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        plan = made_plan(folder, trials=trials, patients=PATIENTS)
        fill(Ledger(folder / "sweep"), plan)
        (folder / "complete").write_text(f"{len(plan.trials)} trials, {len(plan.trials[0].score_shas)} cases\n")
    return folder / "sweep"


def report_of(output: Path) -> dict[str, float]:
    """What a child process that writes the report takes. Figures as SVG are left out: they start a browser."""
    wall_s = time.perf_counter()
    child = subprocess.Popen([sys.executable, __file__, "child", str(output)])
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit("the report failed")
    page = output / "report" / "report.html"
    return {
        "wall_s": round(time.perf_counter() - wall_s, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_gb": round(usage.ru_maxrss / 2**20, 2),
        "page_mb": round(page.stat().st_size / 2**20, 1),
    }


def child(output: str) -> None:
    """Write one report, and say where the time went on standard error."""
    from dgsweep.report import write_report

    write_report(Path(output), images=True)
    spent = resource.getrusage(resource.RUSAGE_SELF)
    print(f"{output}: {spent.ru_utime + spent.ru_stime:.1f} s of processor time", file=sys.stderr)


def fill(ledger: Ledger, plan: Plan) -> None:
    """Finish every trial of the plan."""
    ledger.write_plan(plan)
    known: dict[tuple[int, tuple[str, ...]], pd.DataFrame] = {}
    for spec in plan.trials:
        cases = known.setdefault((id(spec.split), spec.sources), _cases_of(spec))
        rng = np.random.default_rng(int(spec.trial_id[:8], 16))
        folder = ledger.paths(spec.trial_id).root
        folder.mkdir(parents=True, exist_ok=True)
        costs = {"train_wall_s": 60.0, "steps": spec.budget_steps, "forward_passes": spec.budget_steps}
        files = {
            "spec.json": json.dumps({**spec.to_json(), "created": utc_now()}).encode(),
            "cases.parquet": _parquet(_scores(spec, cases, rng), CASE_SCHEMA),
            "curves.parquet": _parquet(_curves(spec, rng), CURVE_SCHEMA),
            "provenance.json": json.dumps(costs).encode(),
        }
        sums = {name: hashlib.sha256(files[name]).hexdigest() for name in SEALED}
        done = {"trial_id": spec.trial_id, "score_shas": dict(spec.score_shas), "sha256": sums, "finished": utc_now()}
        for name, content in {**files, "DONE": json.dumps(done).encode()}.items():
            (folder / name).write_bytes(content)


def _parquet(columns: dict[str, Any], schema: Any) -> bytes:
    length = max(len(values) for values in columns.values() if isinstance(values, np.ndarray))
    arrays = [
        pa.array(columns[field.name], field.type)
        if isinstance(columns[field.name], np.ndarray)
        else pa.array([columns[field.name]] * length, field.type)
        for field in schema
    ]
    return parquet_bytes(pa.Table.from_arrays(arrays, schema=schema))


def _cases_of(spec: TrialSpec) -> pd.DataFrame:
    """What a scored case is, whatever trial scores it."""
    roles = {"val": spec.split.val, "in_domain": spec.split.test, "target": spec.split.target}
    names = [(role, name) for role, cases in roles.items() for name in cases]
    domains = [spec.domains[name] for _, name in names]
    hard = [int(hashlib.sha256(name.split("_")[0].encode()).hexdigest()[:6], 16) / 2**24 - 0.5 for _, name in names]
    return pd.DataFrame(
        {
            "role": [role for role, _ in names],
            "case_id": [name for _, name in names],
            "patient_id": [name.split("_")[0] for _, name in names],
            "domain": domains,
            "center": [domain.split("/")[0] for domain in domains],
            "sequence": [domain.split("/")[1] for domain in domains],
            "hard": hard,
        }
    )


def _scores(spec: TrialSpec, cases: pd.DataFrame, rng: np.random.Generator) -> dict[str, Any]:
    """Columns of cases.parquet; every trial has a quality of its own, every patient a difficulty."""
    level = np.where(cases["role"] == "target", 0.45, 0.85) + rng.normal(0, 0.05)
    dice = np.clip(level - 0.1 * cases["hard"].to_numpy() + rng.normal(0, 0.06, len(cases)), 0.0, 1.0)
    missed = dice < 0.02
    reference = 80.0 + 40.0 * cases["hard"].to_numpy()
    volume = np.where(missed, 0.0, reference * (1 + (1 - dice) * rng.uniform(-0.5, 0.5, len(cases))))
    distance = np.where(missed, 300.0, 5 + 40 * (1 - dice))
    plain = {name: cases[name].to_numpy() for name in cases.columns if name != "hard"}
    return {
        **plain, "trial_id": spec.trial_id, "method": spec.method, "variant": spec.setting.variant or "",
        "setting": spec.setting.label(), "label_ratio": 1.0, "prompt": "", "panel": spec.panel,
        "network": spec.network, "sources": "+".join(sorted(spec.sources)), "fold": spec.fold, "seed": spec.seed,
        "trial": spec.trial, "step": spec.budget_steps, "label": "pancreas", "dice": dice, "jaccard": dice / (2 - dice),
        "precision": np.where(missed, np.nan, dice), "recall": dice, "hd95_mm": distance, "hd95_pooled_mm": distance,
        "assd_mm": distance / 4, "nsd": dice, "tau_mm": 2.0, "volume_ml": volume, "volume_ref_ml": reference,
        "volume_error": volume / reference - 1, "distance_penalised": missed, "empty_prediction": missed,
        "empty_reference": False, "wall_s": 1.0,
    }  # fmt: skip


def _curves(spec: TrialSpec, rng: np.random.Generator) -> dict[str, Any]:
    """Columns of curves.parquet: validation of each source domain and of all, and the training loss."""
    domains = ["all", *spec.sources]
    val = np.linspace(spec.budget_steps / VAL_POINTS, spec.budget_steps, VAL_POINTS).astype(int)
    loss = np.linspace(spec.budget_steps / LOSS_POINTS, spec.budget_steps, LOSS_POINTS).astype(int)
    rise = 0.85 * (1 - np.exp(-np.arange(1, VAL_POINTS + 1) / 5)) + rng.normal(0, 0.01, VAL_POINTS)
    points = len(domains) * VAL_POINTS
    return {
        "step": np.concatenate([np.tile(val, len(domains)), loss]),
        "role": np.array(["val"] * points + ["train"] * LOSS_POINTS),
        "domain": np.array([name for name in domains for _ in val] + ["all"] * LOSS_POINTS),
        "metric": np.array(["dice"] * points + ["loss_segmentation"] * LOSS_POINTS),
        "value": np.concatenate([np.tile(rise, len(domains)), 1.4 * np.exp(-2 * loss / spec.budget_steps)]),
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2])
    else:
        print(json.dumps(run(tuple(map(int, sys.argv[1:])) or SIZES), indent=2))
