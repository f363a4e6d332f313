"""A realistic ledger, written through the real Ledger: 2 methods x 3 source sets x 2 seeds on 8 test patients."""

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dgsweep.records.ledger import Ledger
from dgsweep.report import write_report

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package: this makes report_sweep importable

from report_browser import Browser
from report_sweep import SWEEP, small, write_case_files, write_sweep


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output folder of a finished sweep with kept masks of a few cases."""
    output = tmp_path_factory.mktemp("sweep") / "runs"
    plan = write_sweep(output, SWEEP)
    write_case_files(output, plan)
    return output


@pytest.fixture(scope="session")
def full_report(full: Path) -> Path:
    """Its report, pictures in it."""
    return write_report(full)


@pytest.fixture(scope="session")
def full_page(full_report: Path) -> str:
    """Its page."""
    return full_report.read_text(encoding="utf-8")


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
        write_sweep(tmp_path / "runs", small(**changes))
        return tmp_path / "runs"

    return make


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`written(patients=1, ...)`: the page of what `build` gives, written once for all tests that only read it."""

    @functools.cache
    def make(**changes: object) -> Path:
        output = tmp_path_factory.mktemp("written") / "runs"
        write_sweep(output, small(**changes))
        return write_report(output)

    return make


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One process of it for all tests."""
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    """A page in it of one test alone."""
    chromium.fresh()
    return chromium


@pytest.fixture
def edit_plan():
    """Rewrite the plan of an output with other fields."""

    def edit(output: Path, **fields: object) -> None:
        ledger = Ledger(output)
        ledger.write_plan(dataclasses.replace(ledger.read_plan(), **fields))

    return edit
