"""A plan as one JSON document: every value resolved, cells, trials, counts, refusals."""

from dataclasses import asdict
from typing import Any

from dgsweep.execution.prepare import Prepared
from dgsweep.method.catalog import declarations_for
from dgsweep.plan.forecast import plan_table, plan_totals


def plan_document(prepared: Prepared) -> dict[str, Any]:
    """What `dgsweep plan --json` prints."""
    plan = prepared.plan
    return {
        "sweep": plan.sweep,
        "plan_id": plan.plan_id,
        "version": plan.version,
        "config": {**plan.config, "resources": prepared.config.resources.model_dump(mode="json")},
        "data": {
            "name": prepared.manifest.name,
            "cases": len(prepared.manifest.cases),
            "patients": len({case.info.patient_id for case in prepared.manifest.cases}),
            "structures": dict(prepared.manifest.labels),
        },
        "totals": plan_totals(plan, declarations_for({spec.method for spec in plan.all_trials})),
        "cells": plan_table(plan.trials, plan.to_propose),
        "pretraining": plan_table(plan.pretraining),
        "trials": [
            {
                "name": spec.name,
                "trial_id": spec.trial_id,
                "cell_id": spec.cell_id,
                "method": spec.method,
                "hp": dict(spec.hp),
                "network": spec.network,
                "sources": list(spec.sources),
                "targets": list(spec.targets),
                "fold": spec.fold,
                "seed": spec.seed,
                "trial": spec.trial,
                "spacing_mm": list(spec.preprocessing.spacing_mm),
                "patch": list(spec.preprocessing.patch),
                "training": dict(spec.training),
                "panel": spec.panel,
                "depends_on": list(spec.depends_on),
            }
            for spec in plan.trials
        ],
        "refusals": [asdict(refusal) for refusal in plan.refusals],
        "notes": list(plan.notes),
        "splits": {fold: dict(roles) for fold, roles in plan.splits.items()},
    }
