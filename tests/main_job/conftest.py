"""A small phantom, sweep files on it, and the command line as a person calls it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml

from dgsweep.data.phantom import PhantomSpec, write_phantom
from dgsweep.records.ledger import Ledger


class Desk:
    """One folder with a sweep file; `run` is the command line in a process of its own."""

    def __init__(self, folder: Path, manifest: Path) -> None:
        self.folder, self.output, self.file = folder, folder / "out", folder / "sweep.yaml"
        self.content = {
            "name": "small",
            "data": {"manifest": str(manifest), "spacing_mm": [4, 4, 4], "patch": [16, 16, 8]},
            "protocol": {"kind": "explicit", "splits": [{"sources": ["*/T1W"], "targets": ["*/T2W"]}]},
            "methods": ["erm"],
            "networks": [{"name": "unet_tiny", "options": {"width": 4, "levels": 3}}],
            "budget": {"steps": 6},
            "training": {"batch": 2, "checkpoint_every": 2, "eval_every": 3},
            "output": str(self.output),
            "tracking": {"uri": f"sqlite:///{folder / 'mlflow.db'}"},
        }

    def write(self, **changes) -> Path:
        self.content |= changes
        self.file.write_text(yaml.safe_dump(self.content))
        return self.file

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "dgsweep.cli", *arguments]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=os.environ | environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str, timeout_s: float = 300, **environment: str) -> subprocess.CompletedProcess:
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=timeout_s)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def sweep(self, *arguments: str) -> subprocess.CompletedProcess:
        return self.run("run", str(self.file), "--executor", "inline", *arguments)

    def scores(self) -> pd.DataFrame:
        ledger = Ledger(self.output)
        frame = ledger.cases_frame(ledger.read_plan()).drop(columns="wall_s")
        return frame.sort_values(["trial_id", "case_id", "label"]).reset_index(drop=True)


@pytest.fixture(scope="session")
def small_phantom(tmp_path_factory) -> Path:
    spec = PhantomSpec(patients_per_center=4, centers=2, shape=(32, 32, 16))
    return write_phantom(tmp_path_factory.mktemp("small") / "phantom", spec)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory) -> Path:
    """Made once: MLflow needs seconds for the tables of a new database."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def desk(tmp_path, small_phantom, empty_database) -> Desk:
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    return Desk(tmp_path, small_phantom)
