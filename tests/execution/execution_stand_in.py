"""A sweep of trivial trials: real specs, real ledger records, and a run function that trains nothing."""

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from rich.console import Console

from dgsweep.config.schema import SweepConfig
from dgsweep.data.manifest import Case, Manifest
from dgsweep.errors import TrialFailedError
from dgsweep.execution.events import Run
from dgsweep.execution.job import TrialJob, WorkerLink
from dgsweep.plan.case import CaseInfo
from dgsweep.plan.trial import Plan, Preprocessing, Setting, Split, TrialSpec
from dgsweep.records.columns import CASE_COLUMNS, CASE_SCHEMA, CURVE_COLUMNS
from dgsweep.records.ledger import Ledger

CASE_DOMAINS = {"a1": "C1/T1W", "v1": "C1/T1W", "s1": "C1/T1W", "t1": "C2/T1W"}


def make_spec(name: str, *, targets: tuple[str, ...] = ("t1",)) -> TrialSpec:
    """One trial with the name as its id; `targets` are the target cases that it must score."""
    scored = ("v1", "s1", *targets)
    return TrialSpec(
        trial_id=name,
        cell_id=f"cell-{name}",
        sweep="tiny",
        method="erm",
        recipe_version=1,
        setting=Setting(),
        hp={},
        network="unet_tiny",
        network_recipe=1,
        network_options={},
        sources=("C1/T1W",),
        targets=("C2/T1W",),
        sources_label="C1/T1W",
        fold=0,
        seed=0,
        trial=0,
        budget_steps=4,
        preprocessing=Preprocessing(spacing_mm=(1.0, 1.0, 2.0), patch=(8, 8, 8), labels={"pancreas": 1}),
        training={"batch": 2},
        inference={"overlap": 0.5},
        metrics={"tau_mm": 2.0},
        output_keep="none",
        split=Split(train=("a1",), val=("v1",), test=("s1",), target=targets),
        domains={case_id: CASE_DOMAINS.get(case_id, "C2/T1W") for case_id in ("a1", *scored)},
        score_shas={case_id: f"sha-{case_id}" for case_id in scored},
        train_sha="train",
    )


def make_plan(*specs: TrialSpec) -> Plan:
    return Plan(sweep="tiny", config={"name": "tiny"}, trials=specs)


def make_config(folder: Path, **resources: float | int) -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "name": "tiny",
            "data": {"manifest": "manifest.csv"},
            "methods": ["erm"],
            "resources": resources,
            "output": str(folder / "out"),
            "tracking": {"uri": f"sqlite:///{folder.parent / 'mlflow.db'}"},  # one a session: making it takes seconds
        }
    )


def make_manifest(folder: Path, case_ids: tuple[str, ...] = ("a1", "v1", "s1", "t1", "t2")) -> Manifest:
    cases = tuple(_case(folder, case_id) for case_id in case_ids)
    return Manifest(
        path=folder / "manifest.csv", name="tiny", licence="", citation="", labels={"pancreas": 1}, cases=cases
    )


def _case(folder: Path, case_id: str) -> Case:
    center, sequence = CASE_DOMAINS.get(case_id, "C2/T1W").split("/")
    info = CaseInfo(
        case_id=case_id, patient_id=f"p-{case_id}", center=center, sequence=sequence, labelled=True,
        image_sha=f"image-{case_id}", label_sha=f"label-{case_id}", shape=(8, 8, 8),
    )  # fmt: skip
    return Case(
        info=info, image=folder / f"{case_id}.nii.gz", label=folder / f"{case_id}_label.nii.gz", label_values={}
    )


def make_job(trial_id: str) -> TrialJob:
    """What a worker is given, of which only the trial's id matters."""
    spec = {"trial_id": trial_id}
    return TrialJob(spec=spec, output=Path("out"), cache=None, cases={}, threads=1, device="cpu")


def quiet() -> Console:
    return Console(file=Path(os.devnull).open("w"), force_terminal=False)


def write_record(
    job: TrialJob, *, dice: float = 0.5, target: float | None = None, curves: pd.DataFrame | None = None
) -> None:
    """What a worker leaves behind of a finished trial."""
    spec, ledger = TrialSpec.from_json(job.spec), Ledger(job.output)
    blank = {field.name: _blank(str(field.type)) for field in CASE_SCHEMA}
    rows = [
        {**blank, "trial_id": spec.trial_id, "case_id": case_id, "role": _role(spec, case_id), "label": "pancreas"}
        | {"domain": spec.domains[case_id], "step": 4, "method": "erm", "patient_id": f"p-{case_id}"}
        | {"dice": dice if target is None or case_id not in spec.split.target else target}
        | dict(zip(("center", "sequence"), spec.domains[case_id].split("/"), strict=True))
        for case_id in spec.score_shas
    ]
    curve = {"step": 4, "role": "val", "domain": "C1/T1W", "metric": "dice", "value": 0.5}
    ledger.write_cases(spec.trial_id, pd.DataFrame(rows, columns=list(CASE_COLUMNS)))
    ledger.write_curves(spec.trial_id, pd.DataFrame([curve], columns=list(CURVE_COLUMNS)) if curves is None else curves)
    ledger.write_provenance(spec.trial_id, {"wall_s": 0.0})
    ledger.finish(spec.trial_id, spec)


def _blank(kind: str) -> str | int | float | bool:
    return {"string": "x", "int64": 0, "double": 0.5, "bool": False}[kind]


def _role(spec: TrialSpec, case_id: str) -> str:
    return "val" if case_id in spec.split.val else "in_domain" if case_id in spec.split.test else "target"


def make_run(diary: Path, *, behaviour: Mapping[str, str] | None = None, seconds: float = 0.0) -> Run:
    """A run function that notes each attempt of each rank in `diary`; `behaviour`: trial id -> what goes wrong.

    `fails`: by itself, on rank 0. `dies`: the process of the last rank is killed, every time. `dies_once`: only once.
    """
    wrong = dict(behaviour or {})
    diary.mkdir(exist_ok=True)

    def run(job: TrialJob, link: WorkerLink) -> None:
        name = job.spec["trial_id"]
        attempt = len(list(diary.glob(f"{name}.{link.rank}.*")))
        note = {"rank": link.rank, "world": link.world_size, "threads": job.threads, "pid": os.getpid()}
        note["start"] = time.time()
        page = diary / f"{name}.{link.rank}.{attempt}"
        page.write_text(json.dumps(note))
        if link.rank == 0:
            Ledger(job.output).begin(TrialSpec.from_json(job.spec))
        link.report({"step": 2, "steps": 4, "phase": "train", "metric/source_val_dice": 0.25})
        time.sleep(seconds)
        what = wrong.get(name)
        if link.rank == link.world_size - 1 and (what == "dies" or (what == "dies_once" and attempt == 0)):
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "fails" and link.rank == 0:
            Ledger(job.output).fail(name, "the loss is not a number at step 2", "nan_loss")
            raise TrialFailedError("the loss is not a number at step 2", kind="nan_loss")
        link.report({"step": 4, "steps": 4, "phase": "train", "metric/source_val_dice": 0.5})
        if link.rank == 0:
            write_record(job)
        page.write_text(json.dumps({**note, "end": time.time()}))

    return run


def read_diary(diary: Path) -> dict[str, dict[str, float]]:
    """Every attempt: `<trial id>.<rank>.<attempt>` -> what was noted."""
    return {page.name: json.loads(page.read_text()) for page in sorted(diary.iterdir())}
