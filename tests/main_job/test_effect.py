"""The effect that the field is about, as an outcome of training on the phantom."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from dgsweep.data.phantom import PhantomSpec, write_phantom

ROOT = Path(__file__).parents[2]


def _demo(folder, desk, manifest, **changes):
    content = yaml.safe_load((ROOT / "examples" / "demo" / "sweep.yaml").read_text())
    content["data"] |= {"manifest": str(manifest)}
    content["protocol"] = {"kind": "explicit", "splits": [{"sources": ["*/T1W"], "targets": ["*/OOP", "*/T2W"]}]}
    content |= {"output": str(desk.output), "tracking": desk.content["tracking"]} | changes
    desk.content = content
    desk.write()
    done = desk.sweep("--no-report")
    assert done.returncode == 0, done.stderr
    scores = desk.scores()
    return scores[scores["role"] != "val"].groupby(["method", "sequence"])["dice"].mean()


def test_erm_learns_its_own_sequence_and_nothing_of_the_others(desk, tmp_path) -> None:
    manifest = write_phantom(tmp_path / "phantom", PhantomSpec(patients_per_center=4))
    dice = _demo(tmp_path, desk, manifest, methods=["erm"], budget={"steps": 200})
    assert dice["erm", "T1W"] > 0.6
    assert dice["erm", "OOP"] < 0.1
    assert dice["erm", "T2W"] < 0.1


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_the_demo_shows_erm_falling_to_zero_and_gin_holding(desk, tmp_path, seed) -> None:
    manifest = write_phantom(tmp_path / "phantom", PhantomSpec(patients_per_center=10))
    dice: pd.Series = _demo(tmp_path, desk, manifest, seeds=[seed])
    assert dice["erm", "T1W"] > 0.80
    assert dice["erm", "OOP"] < 0.10
    assert dice["erm", "T2W"] < 0.10
    assert dice["gin", "OOP"] >= 0.45
    assert dice["gin", "T2W"] >= 0.45
