"""plan.json, and the lightness of planning."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dgsweep.errors import PlanError
from dgsweep.plan.file import read_plan, write_plan


def full_plan(world):
    return world.plan(
        methods=["erm", "mix", "pair"], protocol={"kind": "single_source", "label_ratio": [0.5]}, search={"trials": 2}
    )


def test_a_plan_reads_back_as_it_was_written(world, tmp_path: Path) -> None:
    planned = full_plan(world)
    assert planned.refusals
    write_plan(planned, tmp_path / "run" / "plan.json")
    assert read_plan(tmp_path / "run" / "plan.json") == planned


def test_the_order_of_the_structures_survives_the_file(world, tmp_path: Path) -> None:
    write_plan(world.plan(labels={"spleen": 2, "liver": 1}), tmp_path / "plan.json")
    assert list(read_plan(tmp_path / "plan.json").trials[0].preprocessing.labels) == ["spleen", "liver"]


def test_planning_twice_writes_the_same_bytes(world, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_plan(full_plan(world), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_one_more_seed_only_adds_lines_for_its_trials(world, tmp_path: Path) -> None:
    for name, seeds in (("a", [0]), ("b", [0, 1])):
        write_plan(world.plan(seeds=seeds), tmp_path / name)
    before, after = ((tmp_path / name).read_text().replace("],", "]").splitlines() for name in ("a", "b"))
    added = [line for line in after if line.rstrip(",") not in {known.rstrip(",") for known in before}]
    assert sum('"trial_id"' in line for line in added) == 3
    assert len(added) <= 3 + 3  # plan_id, config.seeds, and the end of a list


def test_writing_leaves_nothing_but_the_plan(world, tmp_path: Path) -> None:
    for _ in range(2):
        write_plan(world.plan(), tmp_path / "plan.json")
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 99}', '{"format": 1}', "\x00"])
def test_a_damaged_plan_is_an_input_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(PlanError, match="plan the sweep again"):
        read_plan(tmp_path / "plan.json")


def test_a_truncated_plan_is_an_input_error_and_a_missing_one_too(world, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    write_plan(world.plan(), path)
    plain = json.loads(path.read_text())
    del plain["trials"][0]["hp"]
    path.write_text(json.dumps(plain))
    with pytest.raises(PlanError, match="hp"):
        read_plan(path)
    with pytest.raises(PlanError, match="there is no plan"):
        read_plan(tmp_path / "none.json")


def test_planning_imports_no_torch_and_none_of_the_heavy_libraries() -> None:
    rooms = ("config.load", "config.anchor", "config.search_space", "plan.build", "plan.file", "plan.forecast")
    imports = "; ".join(f"import dgsweep.{room}" for room in rooms)
    heavy = "{'torch', 'monai', 'ray', 'mlflow', 'torchio', 'plotly'}"
    code = f"import sys; {imports}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
