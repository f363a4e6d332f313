"""A realistic ledger, written through the real Ledger: 2 methods x 3 source sets x 2 seeds on 8 test patients."""

import dataclasses
import sys
from pathlib import Path

import pytest

from dgsweep.records.ledger import Ledger
from dgsweep.report import write_report

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package: this makes report_sweep importable

from report_sweep import SWEEP, Sweep, write_case_files, write_sweep


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output folder of a finished sweep with kept masks of a few cases."""
    output = tmp_path_factory.mktemp("sweep") / "runs"
    plan = write_sweep(output, SWEEP)
    write_case_files(output, plan)
    return output


@pytest.fixture(scope="session")
def full_page(full: Path) -> str:
    """Its page."""
    return write_report(full).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def for_papers(full: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of its report with everything that leaves it as a file, and PanSegNet's numbers beside."""
    folder = tmp_path_factory.mktemp("for_papers")
    write_report(full, to=folder, images=False, beside="pansegnet", figures=True)
    return folder


@pytest.fixture
def build(tmp_path: Path):
    """`build(patients=1, ...)`: a small sweep that differs from SWEEP; returns its output folder."""

    def make(**changes: object) -> Path:
        small = Sweep(**{"patients": 4, "sequences": ("T1W", "T2W"), "seeds": (0,), **changes})
        write_sweep(tmp_path / "runs", small)
        return tmp_path / "runs"

    return make


@pytest.fixture
def edit_plan():
    """Rewrite the plan of an output with other fields."""

    def edit(output: Path, **fields: object) -> None:
        ledger = Ledger(output)
        ledger.write_plan(dataclasses.replace(ledger.read_plan(), **fields))

    return edit
