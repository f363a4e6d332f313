"""One trial, and its rows as a worker would write them."""

import pandas as pd

from dgsweep.plan.trial import Preprocessing, Setting, Split, TrialSpec
from dgsweep.records.ledger import Ledger

STEPS = 40


def make_spec(trial_id: str, trial: int) -> TrialSpec:
    return TrialSpec(
        trial_id=trial_id,
        cell_id="cell0",
        sweep="tiny",
        method="erm",
        recipe_version=1,
        setting=Setting(),
        hp={"weight": 0.5, "layers": 4} if trial else {},
        network="unet_tiny",
        network_recipe=1,
        network_options={},
        sources=("C1/T1W",),
        targets=("C2/T1W", "C1/T2W"),
        sources_label="C1/T1W",
        fold=0,
        seed=0,
        trial=trial,
        budget_steps=STEPS,
        preprocessing=Preprocessing(spacing_mm=(1.0, 1.0, 2.0), patch=(16, 16, 8), labels={"pancreas": 1}),
        training={"batch": 2, "optimizer": "sgd", "learning_rate": 0.01},
        inference={"overlap": 0.5},
        metrics={"tau_mm": 2.0},
        output_keep="extremes",
        split=Split(train=("a1",), val=("v1",), test=("s1",), target=("t1", "t2")),
        domains={"a1": "C1/T1W", "v1": "C1/T1W", "s1": "C1/T1W", "t1": "C2/T1W", "t2": "C1/T2W"},
        score_shas={"v1": "shaV", "s1": "shaS", "t1": "shaT", "t2": "shaU"},
        train_sha="train",
    )


DICE = {"v1": 0.9, "s1": 0.8, "t1": 0.5, "t2": 0.25}


def case_rows(spec: TrialSpec) -> pd.DataFrame:
    """One row per wanted case, as the trainer scores them; unknown cases get Dice 0.1."""
    roles = {**dict.fromkeys(spec.split.val, "val"), **dict.fromkeys(spec.split.test, "in_domain")}
    rows = []
    for case_id in spec.score_shas:
        center, sequence = spec.domains[case_id].split("/")
        rows.append(
            {
                "trial_id": spec.trial_id,
                "method": spec.method,
                "variant": None,
                "setting": "",
                "label_ratio": 1.0,
                "prompt": None,
                "panel": spec.panel,
                "network": spec.network,
                "sources": "+".join(sorted(spec.sources)),
                "fold": 0,
                "seed": 0,
                "trial": spec.trial,
                "step": STEPS,
                "domain": spec.domains[case_id],
                "role": roles.get(case_id, "target"),
                "case_id": case_id,
                "patient_id": f"p-{case_id}",
                "center": center,
                "sequence": sequence,
                "label": "pancreas",
                "dice": DICE.get(case_id, 0.1),
                "jaccard": 0.5,
                "precision": float("nan"),
                "recall": 0.5,
                "hd95_mm": 10.0,
                "hd95_pooled_mm": 9.0,
                "assd_mm": 2.0,
                "nsd": 0.5,
                "tau_mm": 2.0,
                "volume_ml": 10.0,
                "volume_ref_ml": 20.0,
                "volume_error": -0.5,
                "distance_penalised": False,
                "empty_prediction": False,
                "empty_reference": False,
                "wall_s": 0.1,
            }
        )
    return pd.DataFrame(rows)


def curve_rows() -> pd.DataFrame:
    """Two validations and two losses."""
    rows = [(20, "val", "C1/T1W", "dice", 0.6), (40, "val", "C1/T1W", "dice", 0.9)]
    rows += [(20, "train", "C1/T1W", "loss", 0.7), (40, "train", "C1/T1W", "loss", 0.3)]
    return pd.DataFrame(rows, columns=["step", "role", "domain", "metric", "value"])


def write_trial(ledger: Ledger, spec: TrialSpec) -> None:
    """Everything that a worker writes, up to DONE."""
    ledger.begin(spec)
    ledger.write_curves(spec.trial_id, curve_rows())
    ledger.write_cases(spec.trial_id, case_rows(spec))
    ledger.write_provenance(spec.trial_id, {"wall_s": 1.5})
    ledger.finish(spec.trial_id, spec)
