"""A node that the network loses while its workers live on: two real namespaces, and a cable that is pulled."""

import time
from pathlib import Path

import pandas as pd
import pytest
from fault_sweep import FaultSweep
from namespaces import NODE, Namespaces

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_trials_of_a_node_that_the_network_lost_go_on_elsewhere_and_nobody_writes_twice(
    tmp_path: Path, manifest: Path
) -> None:
    """The shared disk stays: the worker that was given up still sees it, as with a storage network of its own."""
    sweep = FaultSweep(folder=tmp_path, manifest=manifest, steps=200, pause_s=0.5)
    with Namespaces(nodes=2, **sweep.variables) as nodes:
        driver = sweep.start("--address", nodes.address, within=nodes.head)
        while not all(len(attempts[-1]) > 6 for attempts in sweep.attempts().values()) or len(sweep.attempts()) < 2:
            assert driver.poll() is None, sweep.log()
            time.sleep(0.2)
        nodes.cut(NODE)
        assert driver.wait(800) == 0, sweep.log()
    table = sweep.table()
    alone = FaultSweep(folder=tmp_path / "alone", manifest=manifest, steps=200, pause_s=0)
    assert alone.run("--executor", "inline") == 0
    pd.testing.assert_frame_equal(table, alone.table(), check_exact=True)
    assert [run.info.status for run in sweep.trial_runs()] == ["FINISHED"] * sweep.seeds
    assert sum(map(len, sweep.attempts().values())) > sweep.seeds, "nobody was lost"
