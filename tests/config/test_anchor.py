"""Where relative paths start."""

from pathlib import Path

import pytest

from dgsweep.config.anchor import anchor_output, anchor_tracking, find_manifest, inside_ray_job
from dgsweep.errors import ConfigError

HERE = Path("/here")


def output(value: str, *, job: bool = False, home: str | None = None) -> str:
    return str(anchor_output(value, inside_ray_job=job, home=home, cwd=HERE))


def tracking(uri: str, *, job: bool = False, home: str | None = None) -> str:
    return anchor_tracking(uri, inside_ray_job=job, home=home, cwd=HERE)


def test_an_absolute_output_stays_wherever_it_runs() -> None:
    assert output("/data/x", job=True) == output("/data/x", home="/home") == "/data/x"


def test_a_relative_output_starts_at_the_home_when_set_and_at_the_folder_of_the_call_otherwise() -> None:
    assert output("runs/x") == "/here/runs/x"
    assert output("runs/x", home="/home") == "/home/runs/x"


def test_a_relative_output_inside_a_job_is_refused_unless_the_home_is_set() -> None:
    with pytest.raises(ConfigError, match="DGSWEEP_HOME"):
        output("runs/x", job=True)
    assert output("runs/x", job=True, home="/home") == "/home/runs/x"


def test_a_relative_tracking_file_is_anchored_and_refused_inside_a_job() -> None:
    assert tracking("sqlite:///runs/m.db") == "sqlite:////here/runs/m.db"
    assert tracking("sqlite:///runs/m.db", home="/home") == "sqlite:////home/runs/m.db"
    assert tracking("mlruns") == "/here/mlruns"
    with pytest.raises(ConfigError, match=r"tracking\.uri"):
        tracking("sqlite:///runs/m.db", job=True)


@pytest.mark.parametrize("uri", ["http://localhost:5000", "https://a.b/c", "sqlite:////abs/m.db", "postgresql://h/db"])
def test_servers_and_absolute_files_stay_untouched(uri: str) -> None:
    assert tracking(uri, job=True) == uri


def test_a_ray_job_is_known_by_its_variable_or_its_folder() -> None:
    assert inside_ray_job({"RAY_JOB_CONFIG_JSON_ENV_VAR": "{}"}, HERE)
    assert inside_ray_job({}, Path("/tmp/ray/session/runtime_resources/working_dir_files/_ray_pkg_0a"))
    assert not inside_ray_job({"RAY_ADDRESS": "auto"}, HERE)


def test_the_manifest_is_found_beside_the_call_first_then_beside_the_sweep_file_then_at_home(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("cwd", "sweep", "home")]
    for folder in folders:
        folder.mkdir()
        (folder / "m.csv").touch()
    for expected in folders:
        found = find_manifest("m.csv", folders[1] / "s.yaml", folders[0], str(folders[2]))
        assert found == expected / "m.csv"
        found.unlink()
    with pytest.raises(ConfigError, match=r"no file 'm\.csv'; looked at .*cwd/m\.csv, .*sweep/m\.csv, .*home/m\.csv"):
        find_manifest("m.csv", folders[1] / "s.yaml", folders[0], str(folders[2]))
