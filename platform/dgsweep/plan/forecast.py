"""What a plan will cost, counted before anything runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from dgsweep.config.declaration import MethodDeclaration
from dgsweep.plan.trial import SIDE_PANELS, Plan, TrialSpec


def plan_table(trials: Sequence[TrialSpec], to_propose: Mapping[str, int] | None = None) -> list[dict[str, Any]]:
    """One row a cell, in the order of running: what it is, how many trials, and how many cases play which role.

    `to_propose` is cell id -> trials that the cell is still to get; its row counts them.
    """
    cells: dict[str, list[TrialSpec]] = {}
    for trial in trials:
        cells.setdefault(trial.cell_id, []).append(trial)
    return [_row(members, (to_propose or {}).get(cell_id, 0)) for cell_id, members in cells.items()]


def _row(trials: list[TrialSpec], to_propose: int) -> dict[str, Any]:
    first = trials[0]
    return {
        "name": first.name.rpartition(" trial ")[0],
        "cell_id": first.cell_id,
        "method": first.method,
        "setting": first.setting.label(),
        "panel": first.panel,
        "network": first.network,
        "sources": list(first.sources),
        "targets": list(first.targets),
        "sources_label": first.sources_label,
        "fold": first.fold,
        "seed": first.seed,
        "trials": len(trials) + to_propose,
        "to_propose": to_propose,
        "train": len(first.split.train),
        "val": len(first.split.val),
        "test": len(first.split.test),
        "target": len(first.split.target),
        "unlabelled": len(first.split.unlabelled),
        "spacing_mm": list(first.preprocessing.spacing_mm),
        "patch": list(first.preprocessing.patch),
        "steps": sum(trial.budget_steps for trial in trials) + to_propose * first.budget_steps,
    }


def plan_totals(plan: Plan, methods: Mapping[str, MethodDeclaration]) -> dict[str, Any]:
    """Totals of the plan: cells, trials, optimizer steps, forward passes of training batches, scored volumes.

    Trials that are still to be proposed are counted; those that a scheduler stops early make all of it an upper bound.
    """
    weights = plan.weights()
    return {
        "cells": len({trial.cell_id for trial in plan.trials}),
        "trials": sum(weights.values()),
        **_side_totals(plan),
        **({"to_propose": sum(plan.to_propose.values())} if plan.searches else {}),
        "refused": len(plan.refusals),
        "steps": sum(weights[trial.trial_id] * trial.budget_steps for trial in plan.trials),
        **_pretraining_totals(plan),
        "forward_passes": round(
            sum(weights.get(trial.trial_id, 1) * _passes(trial, methods) for trial in plan.all_trials)
        ),
        "scored_volumes": sum(weights[trial.trial_id] * len(trial.score_shas) for trial in plan.trials),
    }


def _side_totals(plan: Plan) -> dict[str, int]:
    """How many of the cells stand beside the methods, by panel; nothing where there are none."""
    names = sorted({trial.panel for trial in plan.trials} & SIDE_PANELS)
    return {
        f"of_them_{name}_cells": len({trial.cell_id for trial in plan.trials if trial.panel == name}) for name in names
    }


def _pretraining_totals(plan: Plan) -> dict[str, int]:
    if not plan.pretraining:
        return {}
    return {
        "pretrainings": len(plan.pretraining),
        "pretraining_steps": sum(trial.budget_steps for trial in plan.pretraining),
    }


def _passes(trial: TrialSpec, methods: Mapping[str, MethodDeclaration]) -> float:
    per_step = methods[trial.method].forward_passes_per_step if trial.method in methods else 1.0
    return trial.budget_steps * per_step
