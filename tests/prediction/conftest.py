"""One small sweep, run once: two seeds of ERM on a phantom, every mask kept."""

import shutil
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from dgsweep.cli.app import app
from dgsweep.data.phantom import PhantomSpec, write_phantom
from dgsweep.records.ledger import Ledger

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def phantom(tmp_path_factory) -> Path:
    """manifest.csv"""
    spec = PhantomSpec(patients_per_center=4, centers=2, shape=(32, 32, 16))
    return write_phantom(tmp_path_factory.mktemp("predicted") / "phantom", spec)


@pytest.fixture(scope="session")
def swept(tmp_path_factory, phantom, empty_database) -> Ledger:
    folder = tmp_path_factory.mktemp("swept")
    shutil.copyfile(empty_database, folder / "mlflow.db")
    content = {
        "name": "small",
        "data": {"manifest": str(phantom), "spacing_mm": [4, 4, 4], "patch": [16, 16, 8]},
        "protocol": {"kind": "explicit", "splits": [{"sources": ["*/T1W"], "targets": ["*/T2W"]}]},
        "methods": ["erm"],
        "networks": [{"name": "unet_tiny", "options": {"width": 4, "levels": 3}}],
        "seeds": [0, 1],
        "budget": {"steps": 40},
        "training": {"batch": 2, "learning_rate": 0.01},
        "output_keep": "all",
        "output": str(folder / "out"),
        "tracking": {"uri": f"sqlite:///{folder / 'mlflow.db'}"},
    }
    (folder / "sweep.yaml").write_text(yaml.safe_dump(content))
    done = CliRunner().invoke(app, ["run", str(folder / "sweep.yaml"), "--executor", "inline", "--no-report"])
    assert done.exit_code == 0, done.output
    return Ledger(folder / "out")
