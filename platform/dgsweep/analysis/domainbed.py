"""Records in the layout of DomainBed's `results.jsonl`, so that its own tools can read a sweep."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from dgsweep.analysis.frames import arm_name
from dgsweep.analysis.selection import last_step
from dgsweep.plan.trial import Plan, TrialSpec

FOLD_STEP = 1000
"""`trial_seed` is the seed plus this many times the fold, which DomainBed does not have."""


def domainbed_records(plan: Plan, cases: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Trial id -> one record of its last step, for trials of the methods and the inner cells that are finished.

    Environments are all domains of the sweep, by name, sorted (`environments` lists them); `test_envs` are those that
    a trial does not train on. Of a source environment `out_acc` is the mean Dice of its validation cases and
    `in_acc` that of its in-domain test cases; of a test environment both are the mean Dice of what scores it: the
    target's test cases, or the validation patients of what an inner cell leaves out. NaN where nothing was scored.
    `algorithm` names the method with its setting, and the network after `@`. (facebookresearch/DomainBed, `train.py`
    and `model_selection.py`. Its source validation weighs environments alike, ours cases: they differ where the
    environments have different numbers of validation cases.)
    """
    specs = [spec for spec in plan.trials if spec.panel in ("main", "transductive", "inner") and spec.phase == "train"]
    environments = sorted({name for spec in specs for name in (*spec.sources, *spec.targets)})
    rows = last_step(cases[cases["trial_id"].isin([spec.trial_id for spec in specs])])
    rows = rows[~rows["empty_reference"].astype(bool)]
    found = rows.groupby(["trial_id", "role", "domain"], observed=True)["dice"].mean().reset_index()
    keys = zip(found["trial_id"], found["role"], found["domain"], strict=True)
    means = dict(zip(keys, found["dice"].astype(float), strict=True))
    done = set(rows["trial_id"])
    return {spec.trial_id: _record(plan, spec, environments, means) for spec in specs if spec.trial_id in done}


def _record(plan: Plan, spec: TrialSpec, environments: list[str], means: Mapping[Any, float]) -> dict[str, Any]:
    return {
        **_accuracies(spec, environments, means),
        "step": spec.budget_steps,
        "epoch": 0.0,
        "hparams": {**spec.hp, **{f"training.{name}": value for name, value in spec.training.items()}},
        "environments": environments,
        "trial_id": spec.trial_id,
        "args": {
            "algorithm": f"{arm_name(spec)}@{spec.network}",
            "dataset": plan.sweep,
            "test_envs": [place for place, name in enumerate(environments) if name not in spec.sources],
            "hparams_seed": spec.trial,
            "trial_seed": spec.seed + FOLD_STEP * spec.fold,
            "seed": spec.seed,
            "task": "domain_generalization",
            "holdout_fraction": 0.2,
            "uda_holdout_fraction": 0,
        },
    }


def _accuracies(spec: TrialSpec, environments: list[str], means: Mapping[Any, float]) -> dict[str, float]:
    found: dict[str, float] = {}
    for place, name in enumerate(environments):
        inside, outside = ("in_domain", "val") if name in spec.sources else ("target", "target")
        found[f"env{place}_in_acc"] = means.get((spec.trial_id, inside, name), math.nan)
        found[f"env{place}_out_acc"] = means.get((spec.trial_id, outside, name), math.nan)
    return found
