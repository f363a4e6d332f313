"""Ray's own state inside the output: nobody else may read it, and nothing of it is read back."""

import pickle
from pathlib import Path

import execution_stand_in as stand_in
import pytest

from dgsweep.execution.resources import Node
from dgsweep.execution.sweep import run_sweep

pytestmark = pytest.mark.slow


class Bomb:
    """A pickle that leaves a mark when somebody reads it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.mark,)


def test_planted_state_of_ray_is_never_unpickled(tmp_path: Path, two_cpu_ray: list[Node]) -> None:
    config, mark = stand_in.make_config(tmp_path, cpus_per_trial=1), tmp_path / "exploded"
    (tmp_path / "out").mkdir()
    sweep_id = "a" * 32
    (tmp_path / "out" / "sweep_id").write_text(sweep_id)
    bomb = pickle.dumps(Bomb(mark))
    for folder in ("", "0", "tune", f"tune/{sweep_id}", f"0/tune/{sweep_id}", f"train/{sweep_id}-one", sweep_id):
        place = tmp_path / "out" / ".ray" / folder
        place.mkdir(parents=True, exist_ok=True)
        for name in ("tuner.pkl", "trainable.pkl", "searcher-state-1.pkl", "experiment_state-1.json", "error.pkl"):
            (place / name).write_bytes(bomb)
    (tmp_path / "out" / ".ray").chmod(0o777)
    seen: list[int] = []
    run = stand_in.make_run(tmp_path / "diary")
    outcome = run_sweep(
        config, stand_in.make_plan(stand_in.make_spec("one")), stand_in.make_manifest(tmp_path),
        console=stand_in.quiet(), run=run,
    )  # fmt: skip
    seen.append((tmp_path / "out" / ".ray").stat().st_mode & 0o777)
    assert (outcome.done, outcome.failed) == (1, ())
    assert seen == [0o700]
    assert not mark.exists()
    pickle.loads(bomb)
    assert mark.exists()  # the bomb is real
