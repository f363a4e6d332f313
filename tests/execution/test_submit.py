"""What travels with a submitted sweep, and what does not; the cluster itself is in tests/deployment."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import dgsweep
from dgsweep.errors import InputError
from dgsweep.execution import submit as submission
from dgsweep.execution.submit import Submission
from dgsweep.execution.wheel import put_wheel

ROOT = Path(__file__).parents[2]
SWEEP = "name: cross.seq\ndata: {manifest: scans/manifest.csv}\nmethods: [erm]\n"


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "sweep.yaml").write_text(SWEEP)
    (tmp_path / "mine" / "patients.csv").write_text("private")
    return tmp_path / "mine" / "sweep.yaml"


def wanted(sweep: Path, **more: object) -> Submission:
    return Submission(sweep=sweep, address="http://127.0.0.1:1", **more)


def test_only_the_sweep_file_leaves_this_machine(sweep: Path, tmp_path: Path) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    environment = submission._runtime_environment(wanted(sweep, home="/shared/me"), folder)
    assert [path.name for path in folder.rglob("*")] == ["sweep.yaml"]
    assert environment == {"working_dir": str(folder), "env_vars": {"DGSWEEP_HOME": "/shared/me"}}


def test_search_spaces_of_the_sweep_travel_with_it(sweep: Path, tmp_path: Path) -> None:
    sweep.write_text(SWEEP + "search: {trials: 2, spaces: spaces}\n")
    (sweep.parent / "spaces").mkdir()
    (sweep.parent / "spaces" / "erm.yaml").write_text("training.learning_rate: {log: [1e-4, 1e-2]}\n")
    folder = tmp_path / "package"
    folder.mkdir()
    submission._runtime_environment(wanted(sweep), folder)
    assert sorted(path.name for path in folder.rglob("*.yaml")) == ["erm.yaml", "sweep.yaml"]


def test_the_dgsweep_that_travels_is_this_one_with_its_methods_and_without_dependencies(tmp_path: Path) -> None:
    put_wheel("none", tmp_path)
    assert not any(tmp_path.iterdir())
    put_wheel("auto", tmp_path)
    info = f"dgsweep-{dgsweep.__version__}.dist-info"
    assert {path.name for path in tmp_path.iterdir()} == {"dgsweep", "dgsweep_methods", info}
    ours = Path(dgsweep.__file__).parent / "execution" / "submit.py"
    assert (tmp_path / "dgsweep" / "execution" / "submit.py").read_text() == ours.read_text()
    assert "erm = " in (tmp_path / info / "entry_points.txt").read_text()  # methods are found by it


@pytest.mark.parametrize("name", ["dgsweep-99.0-py3-none-any.whl", "torch-2.0-py3-none-any.whl"])
def test_another_wheel_is_refused(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("x.py", "")
    with pytest.raises(InputError, match=dgsweep.__version__):
        put_wheel(str(tmp_path / name), tmp_path)
    with pytest.raises(InputError, match="is no wheel"):
        put_wheel(str(tmp_path / "gone.whl"), tmp_path)


@pytest.mark.parametrize(
    "more",
    [
        {"environment": (("MLFLOW_TRACKING_PASSWORD", "pa55"),)},
        {"environment": (("PROXY", "http://me:pa55@proxy"),)},
        {"overrides": ("tracking.uri=http://me:pa55@mlflow:5000",)},
    ],
)
def test_a_secret_is_not_sent_and_not_repeated(sweep: Path, more: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="MLFLOW_TRACKING_PASSWORD_FILE") as refusal:
        submission.submit(wanted(sweep, **more), tmp_path)
    assert "pa55" not in str(refusal.value)
    sweep.write_text(SWEEP + "tracking: {uri: 'http://me:pa55@mlflow:5000'}\n")
    with pytest.raises(InputError, match=r"sweep\.yaml"):
        submission.submit(wanted(sweep), tmp_path)


def test_the_name_of_a_secret_file_may_be_sent(sweep: Path) -> None:
    submission._require_no_secrets(wanted(sweep, environment=(("MLFLOW_TRACKING_PASSWORD_FILE", "/run/secrets/x"),)))


def test_the_id_follows_what_is_run_and_where(sweep: Path) -> None:
    base, notes = submission._base_id(wanted(sweep))
    assert base.startswith("dgsweep-cross-seq-")
    assert "checked there" in notes[0]  # its scans are not on this machine
    assert submission._base_id(wanted(sweep))[0] == base
    others = [wanted(sweep, overrides=("budget.steps=5",)), wanted(sweep, home="/shared/me")]
    assert len({base, *(submission._base_id(other)[0] for other in others)}) == 3


def test_each_attempt_has_an_id_of_its_own() -> None:
    assert submission._next_id("dgsweep-a-0123", "dgsweep-a-0123") == "dgsweep-a-0123-2"
    assert submission._next_id("dgsweep-a-0123-9", "dgsweep-a-0123") == "dgsweep-a-0123-10"


def test_a_head_that_does_not_answer_exits_2_and_says_what_to_check(sweep: Path) -> None:
    command = [sys.executable, "-m", "dgsweep.cli", "submit", str(sweep), "--address", "http://127.0.0.1:1"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 2, result.stderr
    assert "the Ray cluster takes no job" in result.stderr
    assert "Traceback" not in result.stderr
