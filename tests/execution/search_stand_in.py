"""A sweep that searches: a real plan of real methods, and a run function whose score is a function of the values."""

import json
import math
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from execution_stand_in import make_manifest, quiet, write_record
from optuna.distributions import FloatDistribution, IntDistribution

from dgsweep.config.schema import SweepConfig
from dgsweep.config.search_space import SearchSpace
from dgsweep.config.space_form import read_form
from dgsweep.data.manifest import Manifest
from dgsweep.errors import TrialFailedError
from dgsweep.execution.events import Run
from dgsweep.execution.job import TrialJob, WorkerLink
from dgsweep.execution.outcome import SweepOutcome
from dgsweep.execution.sweep import run_sweep
from dgsweep.method.catalog import declarations_for, network_declarations
from dgsweep.plan.build import build_plan
from dgsweep.plan.case import CaseInfo
from dgsweep.plan.trial import Plan, TrialSpec
from dgsweep.records.columns import CURVE_COLUMNS
from dgsweep.records.ledger import Ledger

KERNELS, _ = read_form({"choice": [[1], [1, 3]]})
SPACES = {
    "erm": SearchSpace(method="erm", distributions={"training.learning_rate": FloatDistribution(1e-4, 1e-1, log=True)}),
    "gin": SearchSpace(
        method="gin",
        distributions={
            "layers": IntDistribution(2, 4),
            "kernels": KERNELS,
            "probability": FloatDistribution(0.5, 1.0),
        },
    ),
    "rsc": SearchSpace(method="rsc", distributions={}),
}
TINY = SearchSpace(method="gin", distributions={"layers": IntDistribution(2, 3), "kernels": KERNELS})
"""Four points, the defaults not among them: `layers` is 4 there."""
STEPS, EVERY = 90, 10


def cases(patients: int = 12, sequences: tuple[str, ...] = ("T1W", "T2W")) -> list[CaseInfo]:
    return [
        CaseInfo(
            case_id=f"p{index}-{sequence}",
            patient_id=f"p{index}",
            center="C1",
            sequence=sequence,
            labelled=True,
            image_sha=f"image {index} {sequence}",
            label_sha=f"label {index} {sequence}",
            shape=(32, 32, 16),
            spacing_mm=(3.0, 3.0, 3.0),
        )
        for index in range(patients)
        for sequence in sequences
    ]


def make_search(
    folder: Path, *, spaces: Mapping[str, SearchSpace] = SPACES, patients: int = 12, **sections: Any
) -> tuple[SweepConfig, Plan, Manifest]:
    """Configuration, plan and manifest of a sweep on one source sequence, of 90 steps with a validation every 10."""
    config = SweepConfig.model_validate(
        {
            "name": "tiny",
            "data": {"manifest": "manifest.csv"},
            "protocol": {"kind": "explicit", "splits": [{"sources": ["*/T1W"], "targets": ["*/T2W"]}]},
            "methods": ["erm"],
            "networks": ["unet_tiny"],
            "budget": {"steps": STEPS},
            "training": {"eval_every": EVERY},
            "resources": {"cpus_per_trial": 1},
            "output": str(folder / "out"),
            "tracking": {"uri": f"sqlite:///{folder.parent / 'mlflow.db'}"},
            **sections,
        }
    )
    names = [method.name for method in config.methods]
    infos = cases(patients)
    plan = build_plan(config, infos, {"pancreas": 1}, declarations_for(names), network_declarations(), spaces)
    manifest = make_manifest(folder, tuple(info.case_id for info in infos))
    return config, plan, manifest


def score(spec: Mapping[str, Any]) -> float:
    """Best at a learning rate of 1e-3 and at three layers."""
    rate = math.log10(spec["training"]["learning_rate"])
    return 0.9 - 0.1 * abs(rate + 3.0) - 0.05 * abs(spec["hp"].get("layers", 3) - 3)


def make_searched_run(
    diary: Path,
    *,
    before_report: Callable[[str, int], None] | None = None,
    value: Callable[..., float] = score,
    target: Callable[..., float] | None = None,
    fails: Collection[int] = (),
) -> Run:
    """A run function that notes each start and each step in `diary`; its validation grows in equal parts to `value`.

    `target` is the Dice of target cases, `fails` are numbers of trials that fail by themselves at the first step.
    """
    diary.mkdir(exist_ok=True)

    def run(job: TrialJob, link: WorkerLink) -> None:
        spec, ledger = TrialSpec.from_json(job.spec), Ledger(job.output)
        ledger.begin(spec)
        page = diary / f"{spec.trial_id}.{len(list(diary.glob(f'{spec.trial_id}.*')))}"
        began = time.time()
        final, rows = value(job.spec), []
        if spec.trial in fails:
            ledger.fail(spec.trial_id, "the loss is not a number", "nan_loss")
            raise TrialFailedError("the loss is not a number", kind="nan_loss")
        for step in range(EVERY, spec.budget_steps + 1, EVERY):
            dice = final * step / spec.budget_steps
            rows.append({"step": step, "role": "val", "domain": "all", "metric": "dice", "value": dice})
            ledger.write_curves(spec.trial_id, pd.DataFrame(rows, columns=list(CURVE_COLUMNS)))
            page.write_text(json.dumps({"trial": spec.trial, "step": step, "began": began}))
            if before_report:
                before_report(spec.trial_id, step)
            report = {"phase": "train", "step": step, "steps": spec.budget_steps, "wall_s": 0.1 * step}
            link.report({**report, "metric/source_val_dice": dice})
        curves = pd.DataFrame(rows, columns=list(CURVE_COLUMNS))
        write_record(job, dice=final, target=target(job.spec) if target else final, curves=curves)

    return run


def sweep_inline(parts: tuple[SweepConfig, Plan, Manifest], run: Run) -> SweepOutcome:
    config, plan, manifest = parts
    return run_sweep(
        config, plan, manifest, executor="inline", console=quiet(), run=run, resume_command="dgsweep run x"
    )


def trials_of(plan: Plan) -> list[tuple[str, int, str]]:
    return [(spec.method, spec.trial, spec.trial_id) for spec in plan.trials]


def read_page(page: Path) -> dict[str, float]:
    """Where a trial was when it last wrote its page of the diary; {} while it writes."""
    try:
        found: dict[str, float] = json.loads(page.read_text())
    except ValueError:
        return {}
    return found
