"""A small phantom, sweep files on it, and the command line as a person calls it."""

import contextlib
import io
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from dgsweep.cli import main
from dgsweep.data.phantom import PhantomSpec, write_phantom
from dgsweep.records.ledger import Ledger


class Desk:
    """One folder with a sweep file; `run` is the command line in a process of its own, `call` the same in this one.

    A process of its own spends seconds on imports; it is for what must outlive a process, be killed, or start a Ray.
    """

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

    def call(self, *arguments: str) -> subprocess.CompletedProcess:
        """The program's `main`; what it does not catch reaches the test."""
        out, err, code, mask = io.StringIO(), io.StringIO(), 0, os.umask(0o22)
        with pytest.MonkeyPatch.context() as here, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            here.setattr(sys, "argv", ["dgsweep", *arguments])
            here.setattr(logging.root, "handlers", [])  # pytest's, beside which `main` would add none
            here.setattr(logging.root, "level", logging.root.level)
            here.chdir(self.folder)
            try:
                main()
            except SystemExit as end:
                code = end.code or 0
            finally:
                os.umask(mask)
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    def sweep(self, *arguments: str) -> subprocess.CompletedProcess:
        return self.call(*self.inline(*arguments))

    def inline(self, *arguments: str) -> tuple[str, ...]:
        return ("run", str(self.file), "--executor", "inline", *arguments)

    def scores(self) -> pd.DataFrame:
        ledger = Ledger(self.output)
        frame = ledger.cases_frame(ledger.read_plan()).drop(columns="wall_s")
        return frame.sort_values(["trial_id", "case_id", "label"]).reset_index(drop=True)


@pytest.fixture(scope="session")
def small_phantom(tmp_path_factory) -> Path:
    spec = PhantomSpec(patients_per_center=4, centers=2, shape=(32, 32, 16))
    return write_phantom(tmp_path_factory.mktemp("small") / "phantom", spec)


@pytest.fixture
def desk(tmp_path, small_phantom, empty_database) -> Desk:
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    return Desk(tmp_path, small_phantom)
