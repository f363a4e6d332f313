"""The output seen from another path, and a node that sees another folder in its place (real mounts)."""

import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from execution_stand_in import make_config, make_manifest, make_plan, make_run, make_spec, quiet, read_diary
from fault_sweep import FaultSweep
from namespaces import Namespaces

from dgsweep.errors import InputError
from dgsweep.execution.sweep import run_sweep
from dgsweep.records.ledger import Ledger


def seen_elsewhere(real: Path, kind: str) -> Path:
    """Another path to the same folder."""
    other = real.parent / "elsewhere"
    if kind == "symlink":
        other.symlink_to(real)
        return other
    other.mkdir()
    if os.geteuid() or subprocess.run(["mount", "--bind", real, other], capture_output=True, check=False).returncode:
        pytest.skip("a bind mount needs root")
    return other


@pytest.mark.parametrize("kind", ["symlink", "bind mount"])
def test_a_sweep_goes_on_through_another_path_to_its_output(tmp_path: Path, kind: str) -> None:
    plan, run, manifest = make_plan(make_spec("one")), make_run(tmp_path / "diary"), make_manifest(tmp_path)
    config = make_config(tmp_path)

    def sweep(output: Path):
        at = config.model_copy(update={"output": str(output)})
        return run_sweep(at, plan, manifest, executor="inline", console=quiet(), run=run)

    assert sweep(tmp_path / "out").done == 1
    other = seen_elsewhere(tmp_path / "out", kind)
    try:
        assert (sweep(other).reused, sweep(other).done) == (1, 0)
        assert list(read_diary(tmp_path / "diary")) == ["one.0.0"]
        assert Ledger(other).sweep_id() == Ledger(tmp_path / "out").sweep_id()
        with Ledger(tmp_path / "out").lock(), pytest.raises(InputError, match="another driver writes"):
            sweep(other)
    finally:
        subprocess.run(["umount", str(other)], capture_output=True, check=False)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_node_that_sees_another_folder_fails_its_trials_with_what_to_mount(
    tmp_path: Path, manifest: Path, undisturbed: pd.DataFrame
) -> None:
    """The only node with a processor has an empty disk where the driver writes."""
    sweep = FaultSweep(folder=tmp_path, manifest=manifest)
    sweep.changes = {"resources": {**sweep.content()["resources"], "max_failures": 0}}
    sweep.write()
    sweep.output.mkdir()
    with Namespaces(hidden=[sweep.output], **sweep.variables) as nodes:
        assert sweep.run("--address", nodes.address, timeout_s=600, within=nodes.head) == 1
        assert "the output is not shared by all nodes" in sweep.log() or "mount the shared disk" in sweep.log()
        assert sweep.attempts() == {}
    with Namespaces(**sweep.variables) as nodes:
        assert sweep.run("--address", nodes.address, timeout_s=600, within=nodes.head) == 0, sweep.log()
    pd.testing.assert_frame_equal(sweep.table(), undisturbed, check_exact=True)
