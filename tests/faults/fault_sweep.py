"""A small sweep whose trainings note every step, the command that runs it, and what is compared afterwards."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import yaml
from fault_cluster import environment
from mlflow.entities import ViewType

from dgsweep.data.phantom import PhantomSpec, write_phantom
from dgsweep.records.ledger import Ledger

STEPS, CHECKPOINT_EVERY = 60, 5


def make_phantom(folder: Path) -> Path:
    """A phantom of a few small scans; the path of its manifest."""
    return write_phantom(folder, PhantomSpec(patients_per_center=4, centers=2, shape=(32, 32, 16)))


@dataclass(kw_only=True)
class FaultSweep:
    """One sweep file in one folder."""

    folder: Path
    manifest: Path
    seeds: int = 2
    steps: int = STEPS
    pause_s: float = 0.1
    changes: dict[str, Any] = field(default_factory=dict)
    """Keys of the sweep file that differ."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write()

    @property
    def file(self) -> Path:
        return self.folder / "sweep.yaml"

    @property
    def output(self) -> Path:
        return Path(self.content()["output"])

    @property
    def step_log(self) -> Path:
        return self.folder / "steps.jsonl"

    @property
    def variables(self) -> dict[str, str]:
        """What the environment of workers must hold."""
        return {"STEP_LOG_FILE": str(self.step_log), "STEP_LOG_PAUSE_S": str(self.pause_s)}

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.output)

    def content(self) -> dict[str, Any]:
        return {
            "name": "faults",
            "data": {"manifest": str(self.manifest), "spacing_mm": [4, 4, 4], "patch": [16, 16, 8]},
            "protocol": {"kind": "explicit", "splits": [{"sources": ["*/T1W"], "targets": ["*/T2W"]}]},
            "methods": ["step_log"],
            "networks": [{"name": "unet_tiny", "options": {"width": 4, "levels": 3}}],
            "seeds": list(range(self.seeds)),
            "budget": {"steps": self.steps},
            "training": {"batch": 2, "checkpoint_every": CHECKPOINT_EVERY, "eval_every": 20},
            "resources": {"cpus_per_trial": 1, "gpus_per_trial": 0, "max_failures": 1000, "min_free_gib": 0},
            "output": str(self.folder / "out"),
            "tracking": {"uri": f"sqlite:///{self.folder / 'mlflow.db'}"},
            **self.changes,
        }

    def write(self) -> None:
        self.file.write_text(yaml.safe_dump(self.content()))

    def start(self, *arguments: str, within: Sequence[str] = (), **variables: str) -> subprocess.Popen[str]:
        """`dgsweep run` in a session of its own, after the words `within`; output goes to driver.log."""
        command = [*within, sys.executable, "-m", "dgsweep.cli", "run", str(self.file), "--no-report", *arguments]
        with (self.folder / "driver.log").open("a") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=environment(**self.variables, **variables), text=True,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def run(self, *arguments: str, timeout_s: float = 300.0, within: Sequence[str] = (), **variables: str) -> int:
        process = self.start(*arguments, within=within, **variables)
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            raise

    def verb(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Any other command."""
        return subprocess.run(
            [sys.executable, "-m", "dgsweep.cli", *arguments], cwd=self.folder, capture_output=True, text=True,
            env=environment(**self.variables, **variables), timeout=400, check=False,
        )  # fmt: skip

    def log(self) -> str:
        path = self.folder / "driver.log"
        return path.read_text() if path.exists() else ""

    def table(self) -> pd.DataFrame:
        """cases.parquet of every finished trial, without the time that scoring took."""
        frame = self.ledger.cases_frame(self.ledger.read_plan()).drop(columns="wall_s")
        return frame.sort_values(["trial_id", "case_id", "label"]).reset_index(drop=True)

    def logged_steps(self) -> list[dict[str, Any]]:
        lines = self.step_log.read_text().splitlines() if self.step_log.exists() else []
        return [json.loads(line) for line in lines]

    def attempts(self) -> dict[int, list[list[int]]]:
        """Seed -> the steps of each process that trained it, in the order in which they began."""
        by_seed: dict[int, dict[int, list[int]]] = {}
        for line in self.logged_steps():
            by_seed.setdefault(line["seed"], {}).setdefault(line["pid"], []).append(line["step"])
        return {seed: list(processes.values()) for seed, processes in by_seed.items()}

    def repeated(self) -> list[int]:
        """For every restart of a training that had begun: how many finished steps it trained again."""
        return [
            max(0, before[-1] - after[0] + 1)
            for processes in self.attempts().values()
            for before, after in pairwise(processes)
        ]

    def trial_runs(self) -> list[Any]:
        """Every MLflow run of a trial, those in the bin too."""
        client = mlflow.MlflowClient(self.content()["tracking"]["uri"])
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        runs = client.search_runs(experiments, run_view_type=ViewType.ALL, max_results=1000)
        return [run for run in runs if run.data.tags.get("dgsweep.kind") == "trial"]

    def finished(self) -> dict[str, int]:
        """Trial id -> when its DONE was written (mtime in ns)."""
        root = self.output / "trials"
        return {path.parent.name: path.stat().st_mtime_ns for path in root.glob("*/DONE")} if root.exists() else {}


def nice_environment() -> None:
    """Leave processors to whoever works on the machine."""
    os.nice(max(0, 10 - os.nice(0)))
