"""Out of memory: once more, with each batch in parts. Hung: once more. The second time either is a failure."""

import importlib.util
import json
from pathlib import Path

import pytest

from dgsweep.records.ledger import Ledger

spec = importlib.util.spec_from_file_location("memory_plugins", Path(__file__).with_name("memory_plugins.py"))
memory_plugins = importlib.util.module_from_spec(spec)
spec.loader.exec_module(memory_plugins)


@pytest.fixture
def plugged(desk, tmp_path):
    """The desk, and the environment in which the method `greedy` is installed."""
    return desk, {"PYTHONPATH": memory_plugins.install(tmp_path / "site")}


def greedy(variant: str, **hp: int) -> dict[str, object]:
    return {"name": "greedy", "variant": variant, "hp": hp}


def test_a_batch_that_does_not_fit_is_trained_in_parts_and_one_that_never_fits_fails_with_advice(plugged) -> None:
    desk, environment = plugged
    desk.write(
        methods=[greedy("roomy"), greedy("tight", holds=1, from_step=3), greedy("hopeless", holds=0)],
        protocol={"kind": "explicit", "splits": [{"sources": ["C1/T1W"], "targets": ["*/T2W"]}]},
    )
    done = desk.run("run", str(desk.file), "--executor", "inline", **environment)
    assert done.returncode == 1, done.stderr
    ledger = Ledger(desk.output)
    records = {one.setting.variant: ledger.provenance(one.trial_id) for one in ledger.read_plan().trials}
    assert "micro_batches" not in records["roomy"]
    noted = records["tight"]["micro_batches"]
    assert (noted["parts"], noted["batch"], noted["cause"]) == (2, 2, "CUDA out of memory")
    assert noted["differences"] == ["the method's loss see one part at a time"]
    assert records["tight"]["forward_passes"] == records["roomy"]["forward_passes"] == 6
    page = (desk.output / "report" / "report.html").read_text()
    assert "2 parts of a batch of 2" in page
    status = json.loads(desk.call("status", str(desk.output), "--json").stdout)
    (failed,) = [row for row in status["trials"] if row["state"] == "failed"]
    assert failed["cause"].startswith("CUDA out of memory, even with each batch in 2 parts; lower data.patch")
    assert "memory_plugins.py" in failed["traceback"]
    assert status["cost"][-1]["trials"] == 3


@pytest.mark.slow
def test_a_hung_worker_is_ended_and_its_trial_started_again_once(plugged) -> None:
    desk, environment = plugged
    flag = desk.folder / "hang"
    flag.touch()
    desk.write(
        methods=[
            {"name": "sleeper", "variant": "once", "hp": {"once": str(flag)}},
            {"name": "sleeper", "variant": "always"},
        ],
        protocol={"kind": "explicit", "splits": [{"sources": ["C1/T1W"], "targets": ["*/T2W"]}]},
        resources={"cpus_per_trial": 1, "hang_timeout_s": 30, "max_failures": 3},
    )
    done = desk.run("run", str(desk.file), "--no-report", **environment)
    assert done.returncode == 1, done.stderr
    status = json.loads(desk.run("status", str(desk.output), "--json", **environment).stdout)
    rows = {row["setting"]: row for row in status["trials"]}
    assert rows["variant=once"]["state"] == "done", done.stdout + done.stderr
    assert (rows["variant=once"]["attempts"], rows["variant=always"]["attempts"]) == (2, 2)
    assert rows["variant=always"]["cause"] == "no progress for resources.hang_timeout_s, 2 times in a row"
    assert "memory_plugins.py" in rows["variant=always"]["traceback"]
    assert "in after_step" in rows["variant=always"]["traceback"]
