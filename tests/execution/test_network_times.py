"""Times of a sweep's own networks, and their table in its report."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))  # the writer of small ledgers

from report_sweep import Sweep, write_sweep

from dgsweep.cli.app import app
from dgsweep.errors import InputError
from dgsweep.execution.network_times import time_networks_of
from dgsweep.report import write_report

SMALL = Sweep(patients=2, sequences=("T1W",), seeds=(0, 1), networks=("unet_tiny", "nnunet"))


@pytest.fixture(scope="module")
def timed(tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("timed") / "runs"
    write_sweep(output, SMALL)
    told = CliRunner().invoke(
        app, ["networks", "time", "--of", str(output), "--runs", "2", "--device", "cpu", "--json"]
    )
    assert told.exit_code == 0, told.output
    assert [row["name"] for row in json.loads(told.stdout)] == ["unet_tiny", "nnunet"]
    return output


def test_each_network_of_the_plan_is_timed_once_on_its_own_patch(timed):
    rows = json.loads((timed / "networks.json").read_text())["networks"]
    assert [(row["name"], row["patch"], row["classes"], row["runs"]) for row in rows] == [
        ("unet_tiny", [16, 16, 8], 2, 2), ("nnunet", [16, 16, 8], 2, 2)
    ]  # fmt: skip


def test_the_report_shows_parameters_flops_and_time(timed):
    page = write_report(timed, images=False).read_text(encoding="utf-8")
    row = json.loads((timed / "networks.json").read_text())["networks"][0]
    assert f"{row['parameters'] / 1e6:.2f} M" in page
    assert f"{row['flops'] / 1e9:.1f} G" in page
    assert f"{1e3 * row['mean_s']:.1f} ± " in page
    table = pd.read_csv(timed / "report/tables/networks.csv")
    assert list(table["name"]) == ["unet_tiny", "nnunet"]
    assert table.loc[0, "mean_s"] == pytest.approx(row["mean_s"])
    assert "ms" in (timed / "report/tables/networks.tex").read_text()


def test_a_report_of_a_sweep_that_nobody_timed_says_how(tmp_path):
    write_sweep(tmp_path / "runs", SMALL)
    page = write_report(tmp_path / "runs", images=False).read_text(encoding="utf-8")
    assert "dgsweep networks time --of OUTPUT" in page


def test_a_folder_without_a_plan_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no plan\.json"):
        time_networks_of(tmp_path, runs=1)
