"""Writes sweeps whose numbers look like the phantom's: ERM fails across sequences, GIN mostly does not."""

import json
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from dgsweep.plan.trial import Plan, Preprocessing, Refusal, Setting, Split, TrialSpec, content_id
from dgsweep.records.ledger import Ledger

STEPS = 500
SHAPE = (48, 40, 24)
SPACING = (2.0, 2.0, 4.0)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    methods: tuple[str, ...] = ("erm", "gin")
    sequences: tuple[str, ...] = ("T1W", "OOP", "T2W")
    centers: tuple[str, ...] = ("C1", "C2")
    seeds: tuple[int, ...] = (0, 1)
    patients: int = 8
    trials: int = 1
    targets: bool = True
    finished: int | None = None
    """Trials that get DONE, in plan order; None: all."""
    failed: tuple[int, ...] = ()
    selection: tuple[str, ...] = ("source_val",)
    networks: tuple[str, ...] = ("unet_tiny",)
    structures: tuple[str, ...] = ("pancreas",)
    protocol: str = "cross_sequence"
    panels: tuple[tuple[str, str], ...] = ()
    """(method, panel) where it is not main."""


SWEEP = Sweep()


def small(**changes: object) -> Sweep:
    """Two methods on two sequences, four patients, one seed, and what differs from that."""
    return Sweep(**{"patients": 4, "sequences": ("T1W", "T2W"), "seeds": (0,), **changes})


def write_sweep(output: Path, sweep: Sweep) -> Plan:
    plan = make_plan(sweep)
    ledger = Ledger(output)
    ledger.write_plan(plan)
    count = len(plan.trials) if sweep.finished is None else sweep.finished
    for i, spec in enumerate(plan.trials):
        if i in sweep.failed:
            ledger.begin(spec)
            ledger.fail(spec.trial_id, f"loss is NaN at step 120 <in {spec.method}>", "nan_loss", "Traceback ...")
        elif i < count:
            write_trial(ledger, spec)
    return plan


def make_plan(sweep: Sweep) -> Plan:
    specs = [
        make_spec(sweep, method, label, seed, trial, network)
        for network in sweep.networks
        for method in sweep.methods
        for label in source_sets(sweep)
        for seed in sweep.seeds
        for trial in range(sweep.trials)
    ]
    config = {
        "name": "cross-sequence",
        "selection": list(sweep.selection),
        "protocol": {"kind": sweep.protocol},
        "metrics": {"bootstrap": 500, "confidence": 0.95},
    }
    refusal = Refusal(
        method="coral", network="unet_tiny", sources=("C1/T1W",), reason="needs two source domains, has one"
    )
    return Plan(sweep="cross-sequence", config=config, trials=tuple(specs), refusals=(refusal,), version="0.1.0")


def source_sets(sweep: Sweep) -> dict[str, tuple[str, ...]]:
    """Label of each source set -> its domains."""
    if sweep.protocol == "cross_sequence":
        return {q: tuple(f"{center}/{q}" for center in sweep.centers) for q in sweep.sequences}
    return {f"{center}/{q}": (f"{center}/{q}",) for center in sweep.centers for q in sweep.sequences}


def is_target(sweep: Sweep, label: str, domain: str) -> bool:
    if domain in source_sets(sweep)[label] or sweep.protocol == "in_domain" or not sweep.targets:
        return False
    return sweep.protocol != "cross_center" or domain.split("/")[1] == label.split("/")[1]


def make_spec(sweep: Sweep, method: str, label: str, seed: int, trial: int, network: str) -> TrialSpec:
    people = [f"P{i:02d}" for i in range(sweep.patients)]
    cases = {
        f"{person}-{q}": f"{sweep.centers[i % len(sweep.centers)]}/{q}"
        for i, person in enumerate(people)
        for q in sweep.sequences
    }
    sources = source_sets(sweep)[label]
    test = tuple(case for case, domain in cases.items() if domain in sources)
    target = tuple(case for case, domain in cases.items() if is_target(sweep, label, domain))
    val = (f"V1-{label}", f"V2-{label}")
    domains = {**cases, **dict.fromkeys(val, sources[0])}
    identity = content_id([method, label, seed, trial, network])
    return TrialSpec(
        trial_id=identity,
        cell_id=content_id([method, label, seed, network]),
        sweep="cross-sequence",
        method=method,
        recipe_version=1,
        setting=Setting(),
        hp={},
        network=network,
        network_recipe=1,
        network_options={},
        sources=sources,
        targets=sources if sweep.protocol == "in_domain" else tuple(sorted({domains[case] for case in target})),
        sources_label=label,
        fold=0,
        seed=seed,
        trial=trial,
        budget_steps=STEPS,
        preprocessing=Preprocessing(
            spacing_mm=SPACING, patch=(16, 16, 8), labels={name: i + 1 for i, name in enumerate(sweep.structures)}
        ),
        training={},
        inference={},
        metrics={"tau_mm": 2.0},
        output_keep="extremes",
        split=Split(train=(), val=val, test=test, target=target),
        domains=domains,
        score_shas={case: content_id(case) for case in (*val, *test, *target)},
        train_sha=content_id(label),
        panel=dict(sweep.panels).get(method, "main"),
    )


def dice_of(spec: TrialSpec, case: str) -> float:
    """Deterministic per trial and case; the patient's own difficulty is shared by all methods."""
    person = int(content_id(case.split("-")[0]), 16) % 1000 / 1000
    noise = int(content_id([spec.trial_id, case]), 16) % 1000 / 1000
    home = spec.domains[case] in spec.sources
    level = {"erm": 0.86 if home else 0.03, "gin": 0.80 if home else 0.72}.get(spec.method, 0.5)
    return min(max(level + 0.10 * (person - 0.5) + 0.05 * (noise - 0.5), 0.0), 1.0)


def write_trial(ledger: Ledger, spec: TrialSpec) -> None:
    ledger.begin(spec)
    ledger.write_curves(spec.trial_id, curve_rows(spec))
    ledger.write_cases(spec.trial_id, pd.DataFrame(case_rows(spec)))
    wall = 240.0 if spec.method == "erm" else 265.0
    passes = STEPS * (1 if spec.method == "erm" else 2)
    ledger.write_provenance(
        spec.trial_id,
        {
            "wall_s": wall,
            "forward_passes": passes,
            "active_steps": sweep_active(spec),
            "active_cases": 3 if spec.method == "adapts" else 0,
            "python": "3.11",
            "dgsweep": "0.1.0",
            "packages": {"torch": "2.10"},
        },
    )
    ledger.finish(spec.trial_id, spec)


def sweep_active(spec: TrialSpec) -> int:
    """`gin_off` stands for a method whose schedule never began, `adapts` for one that acts at test time."""
    return 0 if spec.method in ("erm", "gin_off", "adapts") else STEPS


def case_rows(spec: TrialSpec) -> list[dict[str, object]]:
    return [case_row(spec, case) | {"label": label} for case in spec.score_shas for label in spec.preprocessing.labels]


def case_row(spec: TrialSpec, case: str) -> dict[str, object]:
    center, sequence = spec.domains[case].split("/")
    roles = {**dict.fromkeys(spec.split.val, "val"), **dict.fromkeys(spec.split.test, "in_domain")}
    dice = dice_of(spec, case)
    missed = dice < 0.01
    return {
        "trial_id": spec.trial_id, "method": spec.method, "variant": None, "setting": "", "label_ratio": 1.0,
        "prompt": None, "panel": spec.panel, "network": spec.network, "sources": "+".join(sorted(spec.sources)),
        "fold": spec.fold, "seed": spec.seed, "trial": spec.trial, "step": STEPS, "domain": spec.domains[case],
        "role": roles.get(case, "target"), "case_id": case, "patient_id": case.split("-")[0], "center": center,
        "sequence": sequence, "label": "pancreas", "dice": 0.0 if missed else dice, "jaccard": dice / (2 - dice),
        "precision": float("nan") if missed else dice, "recall": dice, "hd95_mm": 220.0 if missed else 60 * (1 - dice),
        "hd95_pooled_mm": 50 * (1 - dice), "assd_mm": 220.0 if missed else 20 * (1 - dice), "nsd": dice, "tau_mm": 2.0,
        "volume_ml": 30.0, "volume_ref_ml": 32.0, "volume_error": -0.06, "distance_penalised": missed,
        "empty_prediction": missed, "empty_reference": False, "wall_s": 0.4,
    }  # fmt: skip


def curve_rows(spec: TrialSpec) -> pd.DataFrame:
    rows = []
    for step in range(50, STEPS + 1, 50):
        done = step / STEPS
        rows += [(step, "train", "all", "loss_segmentation", 1.4 * np.exp(-2 * done) + 0.05 * spec.seed)]
        rows += [
            (step, "val", name, "dice", (0.85 - 0.02 * spec.seed) * (1 - np.exp(-4 * done))) for name in ("all", "C1")
        ]
    return pd.DataFrame(rows, columns=["step", "role", "domain", "metric", "value"])


def write_case_files(output: Path, plan: Plan) -> None:
    """Images, labels and the masks of every target case of the first seed; an ellipsoid on a noisy body."""
    ledger, folder = Ledger(output), output.parent / "data"
    folder.mkdir(exist_ok=True)
    files = {}
    for case in {case for spec in plan.trials for case in (*spec.split.test, *spec.split.target)}:
        files[case] = {"image": str(folder / f"{case}.nii.gz"), "label": str(folder / f"{case}-label.nii.gz")}
        rng = np.random.default_rng(int(content_id(case), 16))
        _save(rng.normal(90, 12, SHAPE).astype(np.float32) + 60 * ellipsoid(0, 1.0), files[case]["image"])
        _save(ellipsoid(0, 1.0).astype(np.uint8), files[case]["label"])
    (output / "cases.json").write_text(json.dumps(files))
    for spec in plan.trials:
        if spec.seed == plan.trials[0].seed:
            for case in spec.split.target:
                path = ledger.paths(spec.trial_id).prediction(case)
                path.parent.mkdir(exist_ok=True)
                _save(ellipsoid(4 * (1 - dice_of(spec, case)), 0.4 + 0.6 * dice_of(spec, case)).astype(np.uint8), path)


def ellipsoid(shift: float, size: float) -> np.ndarray:
    x, y, z = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    return ((x - 24 - shift) / 13) ** 2 + ((y - 20) / 6) ** 2 + ((z - 12) / 5) ** 2 < size


def _save(array: np.ndarray, path: str | Path) -> None:
    nib.save(nib.Nifti1Image(array, np.diag([*SPACING, 1.0])), path)
