"""Finished trials that nobody ran, for benchmarks of what reads them: plan, files and seals are as a sweep leaves them.

Scores are drawn, so nothing here says anything about a method; tables of them are only ever timed.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dgsweep.config.schema import SweepConfig
from dgsweep.config.search_space import default_folders, load_space
from dgsweep.method.catalog import declarations_for, network_declarations
from dgsweep.plan.build import build_plan
from dgsweep.plan.case import CaseInfo
from dgsweep.plan.trial import Plan, TrialSpec, content_id
from dgsweep.records.columns import CASE_COLUMNS
from dgsweep.records.ledger import Ledger

SEQUENCES = ("T1W", "T2W", "OOP")
METHODS = ("erm", "gin", "mixstyle", "dsu", "coral", "mmd", "vrex", "randconv", "bigaug", "adverin")
CENTERS = 4
CURVE_POINTS = 20
FLAGS = ("distance_penalised", "empty_prediction", "empty_reference")


def made_plan(folder: Path, *, trials: int, patients: int) -> Plan:
    """A plan of about so many trials: ten methods on three sequences, a seed and trial for every further one.

    Args:
        folder: Where output and tracking are said to lie.
        trials: Wanted number; the plan has the next multiple of thirty.
        patients: People, each with a scan of every sequence. About a fifth of them are scored, in every sequence.
    """
    per_cell = -(-trials // (len(METHODS) * len(SEQUENCES)))
    seeds = next(number for number in (20, 10, 5, 2, 1) if per_cell % number == 0)
    config = SweepConfig.model_validate(
        {
            "name": "made",
            "data": {"manifest": "none.csv"},
            "methods": list(METHODS),
            "networks": ["unet_tiny"],
            "search": {"trials": per_cell // seeds},
            "seeds": list(range(seeds)),
            "budget": {"steps": 500},
            "output": str(folder / "sweep"),
            "tracking": {"uri": f"sqlite:///{folder / 'mlflow.db'}"},
        }
    )
    folders = default_folders(None, folder)
    return build_plan(
        config,
        list(_cases(patients)),
        {"pancreas": 1},
        declarations_for(METHODS),
        network_declarations(),
        {name: load_space(name, folders) for name in METHODS},
    )


def _cases(patients: int) -> Iterator[CaseInfo]:
    for number in range(patients):
        for sequence in SEQUENCES:
            name = f"p{number:04d}_{sequence}"
            yield CaseInfo(
                case_id=name, patient_id=f"p{number:04d}", center=f"C{number % CENTERS}", sequence=sequence,
                labelled=True, image_sha=content_id([name, "image"], length=64),
                label_sha=content_id([name, "label"], length=64), shape=(160, 160, 64), spacing_mm=(1.5, 1.5, 3.0),
            )  # fmt: skip


def fill(ledger: Ledger, plan: Plan, specs: Sequence[TrialSpec] | None = None) -> None:
    """Finish every trial of the plan (or these), through the ledger's own door."""
    ledger.write_plan(plan)
    for spec in plan.trials if specs is None else specs:
        ledger.begin(spec)
        rng = np.random.default_rng(int(spec.trial_id[:8], 16))
        ledger.write_cases(spec.trial_id, _scores(spec, rng))
        ledger.write_curves(spec.trial_id, _curves(spec, rng))
        costs = {"train_wall_s": 60.0, "steps": spec.budget_steps, "forward_passes": spec.budget_steps}
        ledger.write_provenance(spec.trial_id, costs)
        ledger.finish(spec.trial_id, spec)


def _scores(spec: TrialSpec, rng: np.random.Generator) -> pd.DataFrame:
    """Rows of validation, in-domain and target cases; every trial has a quality of its own."""
    roles = {"val": spec.split.val, "in_domain": spec.split.test, "target": spec.split.target}
    names = [(role, name) for role, cases in roles.items() for name in cases]
    case_ids = [name for _, name in names]
    places = [spec.domains[name].split("/") for name in case_ids]
    quality = rng.normal(0, 0.05) + np.array([-0.5 if role == "target" else 0.0 for role, _ in names])
    dice = np.clip(0.85 + quality + rng.normal(0, 0.06, len(names)), 0, 1)
    distance_mm = 5 + 40 * (1 - dice)
    drawn = {
        "role": [role for role, _ in names],
        "case_id": case_ids,
        "patient_id": [name.split("_")[0] for name in case_ids],
        "domain": [spec.domains[name] for name in case_ids],
        "center": [center for center, _ in places],
        "sequence": [sequence for _, sequence in places],
        "dice": dice,
        "jaccard": dice / (2 - dice),
        "precision": dice,
        "recall": dice,
        "hd95_mm": distance_mm,
        "hd95_pooled_mm": distance_mm,
        "assd_mm": distance_mm / 4,
        "nsd": dice,
    }
    return _as_rows(spec, pd.DataFrame(drawn))


def _as_rows(spec: TrialSpec, drawn: pd.DataFrame) -> pd.DataFrame:
    """Every column of cases.parquet."""
    constant = {
        "trial_id": spec.trial_id, "method": spec.method, "variant": spec.setting.variant or "",
        "setting": spec.setting.label(), "label_ratio": 1.0, "prompt": "", "panel": spec.panel,
        "network": spec.network, "sources": "+".join(sorted(spec.sources)), "fold": spec.fold, "seed": spec.seed,
        "trial": spec.trial, "step": spec.budget_steps, "label": "pancreas", "tau_mm": 2.0, "volume_ml": 80.0,
        "volume_ref_ml": 80.0, "volume_error": 0.0, "wall_s": 1.0, **dict.fromkeys(FLAGS, False),
    }  # fmt: skip
    return drawn.assign(**constant)[list(CASE_COLUMNS)]


def _curves(spec: TrialSpec, rng: np.random.Generator) -> pd.DataFrame:
    steps = np.linspace(spec.budget_steps / CURVE_POINTS, spec.budget_steps, CURVE_POINTS).astype(int)
    rise = 0.85 * (1 - np.exp(-np.arange(1, CURVE_POINTS + 1) / 5)) + rng.normal(0, 0.01, CURVE_POINTS)
    rows = [
        {"step": step, "role": "val", "domain": domain, "metric": "dice", "value": value}
        for domain in spec.sources
        for step, value in zip(steps, rise, strict=True)
    ]
    return pd.DataFrame(rows, columns=["step", "role", "domain", "metric", "value"])
