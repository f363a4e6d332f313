"""An output that another machine mounts elsewhere, or that was moved, is the same sweep."""

from pathlib import Path

from execution_stand_in import make_config, make_manifest, make_plan, make_run, make_spec, quiet, read_diary

from dgsweep.execution.outcome import SweepOutcome
from dgsweep.execution.sweep import run_sweep
from dgsweep.records.ledger import Ledger


def sweep(tmp_path: Path, output: Path, *names: str) -> SweepOutcome:
    config = make_config(tmp_path / "set").model_copy(update={"output": str(output)})
    plan, manifest = make_plan(*map(make_spec, names)), make_manifest(tmp_path / "set")
    return run_sweep(config, plan, manifest, executor="inline", console=quiet(), run=make_run(tmp_path / "diary"))


def test_a_sweep_goes_on_where_its_folder_is_mounted_elsewhere_or_was_moved(tmp_path):
    first = sweep(tmp_path, tmp_path / "here" / "out", "a")
    (tmp_path / "there").symlink_to(tmp_path / "here")
    mounted = sweep(tmp_path, tmp_path / "there" / "out", "a", "b")
    (tmp_path / "here" / "out").rename(tmp_path / "moved")
    name = Ledger(tmp_path / "moved").sweep_id()
    moved = sweep(tmp_path, tmp_path / "moved", "a", "b", "c")
    assert [(outcome.done, outcome.reused) for outcome in (first, mounted, moved)] == [(1, 0), (1, 1), (1, 2)]
    assert sorted(read_diary(tmp_path / "diary")) == ["a.0.0", "b.0.0", "c.0.0"]
    assert Ledger(tmp_path / "moved").sweep_id() == name
    assert (sweep(tmp_path, tmp_path / "new", "a").done, Ledger(tmp_path / "new").sweep_id() == name) == (1, False)


def test_no_record_of_a_trial_holds_the_path_of_the_output(tmp_path):
    output = tmp_path / "a-telling-name"
    sweep(tmp_path, output, "a")
    holding = [path.name for path in output.rglob("*") if path.is_file() and b"a-telling-name" in path.read_bytes()]
    assert holding == []
