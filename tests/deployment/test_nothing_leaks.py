"""A whole sweep with secrets planted where people put them: nothing that it writes or prints holds one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dgsweep.data.phantom import PhantomSpec, write_phantom

PLANTED = {
    "MLFLOW_TRACKING_PASSWORD": "planted-tracking-1",
    "AWS_SECRET_ACCESS_KEY": "planted-store-2",
    "RAY_AUTH_TOKEN": "planted-token-3",
    "PGPASSWORD": "planted-database-4",
}
IN_ADDRESS = "planted-address-5"
SWEEP = f"""
name: leaky
data: {{manifest: scans/manifest.csv, spacing_mm: [4, 4, 4], patch: [16, 16, 8]}}
protocol: {{kind: explicit, splits: [{{sources: ["*/T1W"], targets: ["*/T2W"]}}]}}
methods: [erm, {{name: gin, hp: {{layers: 1}}}}]
networks: [{{name: unet_tiny, options: {{width: 4, levels: 3}}}}]
budget: {{steps: 1}}
training: {{batch: 2, learning_rate: 1.0e-3}}
output: out
tracking: {{uri: "http://me:{IN_ADDRESS}@127.0.0.1:1/?token={IN_ADDRESS}"}}
"""


def run(folder: Path, *more: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dgsweep.cli", "run", "sweep.yaml", "--executor", "inline", *more]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **PLANTED, **variables}, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder of a sweep that ran, and all that it printed."""
    folder = tmp_path_factory.mktemp("leaky")
    write_phantom(folder / "scans", PhantomSpec(patients_per_center=3, centers=2, shape=(32, 32, 16)))
    (folder / "sweep.yaml").write_text(SWEEP)
    result = run(folder, "--verbose")
    assert result.returncode == 0, result.stderr
    return folder, result.stdout + result.stderr


def test_what_a_sweep_prints_holds_no_secret(swept: tuple[Path, str]) -> None:
    _, printed = swept
    assert "MLflow at http://127.0.0.1:1" in printed  # the warning that names the address
    assert [secret for secret in (*PLANTED.values(), IN_ADDRESS) if secret in printed] == []


def test_what_a_sweep_writes_holds_no_secret(swept: tuple[Path, str]) -> None:
    folder, _ = swept
    files = [path for path in (folder / "out").rglob("*") if path.is_file()]
    assert {"plan.json", "provenance.json", "spec.json", "cases.json"} <= {path.name for path in files}
    for secret in (*PLANTED.values(), IN_ADDRESS):
        assert [path for path in files if secret.encode() in path.read_bytes()] == []
    assert IN_ADDRESS in (folder / "sweep.yaml").read_text()  # it was there to be found


def test_what_a_sweep_writes_is_its_owners_alone(swept: tuple[Path, str]) -> None:
    folder, _ = swept
    everything = [folder / "out", *(folder / "out").rglob("*")]
    assert [path for path in everything if path.stat().st_mode & 0o077] == []


def test_a_wrong_mask_is_refused_before_anything_is_written(swept: tuple[Path, str]) -> None:
    folder, _ = swept
    result = run(folder, "--set", "output=other", DGSWEEP_UMASK="rwx")
    assert result.returncode == 2
    assert "DGSWEEP_UMASK" in result.stderr
    assert not (folder / "other").exists()
