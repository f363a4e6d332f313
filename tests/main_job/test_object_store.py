"""The main job with its output in an S3-compatible store: the same numbers, killed and resumed, nothing of it local."""

import json
import os
import signal
import time

import pandas as pd
import pytest

from dgsweep.records.ledger import Ledger
from dgsweep.storage.files import names, read_bytes
from dgsweep.storage.place import place


@pytest.fixture
def far_desk(desk, s3_folder, tmp_path, monkeypatch):
    """A desk whose output lies in a store; what a node keeps for itself lies in `scratch`."""
    monkeypatch.setenv("DGSWEEP_SCRATCH", str(tmp_path / "scratch"))
    desk.write(output=s3_folder, output_keep="all")
    desk.output = s3_folder
    return desk


def test_a_sweep_into_a_store_gives_the_numbers_of_one_on_a_disk_and_its_report(far_desk, tmp_path):
    far_desk.write(seeds=[0, 1])
    far = far_desk.sweep("--json")
    assert far.returncode == 0, far.stderr
    document = json.loads(far.stdout)
    assert document["report"] == f"{far_desk.output}/report/report.html"
    scores, store = far_desk.scores(), Ledger(far_desk.output)
    spec, other = store.read_plan().trials
    paths = store.paths(spec.trial_id)
    assert names(paths.checkpoint) == ["final.pt"]
    assert len(names(paths.predictions)) == len(spec.score_shas)
    assert read_bytes(place(document["report"])).count(b"data:image/png") > 1
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob("s3*"))

    far_desk.output = str(tmp_path / "near")
    far_desk.write(output=far_desk.output)
    assert far_desk.sweep("--no-report").returncode == 0
    pd.testing.assert_frame_equal(scores, far_desk.scores())
    dice = {name: rows["dice"].tolist() for name, rows in scores.groupby("trial_id")}
    assert dice[spec.trial_id] != dice[other.trial_id]


@pytest.mark.slow
def test_a_sweep_in_a_store_is_resumed_shown_and_reported_from_its_address(far_desk, tmp_path):
    assert "1 trials run, 0 reused" in far_desk.sweep("--no-report").stdout
    assert "0 trials run, 1 reused" in far_desk.sweep("--no-report").stdout
    shown = json.loads(far_desk.call("status", far_desk.output, "--json").stdout)
    assert shown["output"] == far_desk.output
    assert shown["counts"] == {"done": 1}
    page = tmp_path / "read" / "report.html"
    assert far_desk.call("report", far_desk.output, "--to", str(page.parent)).stdout.strip() == str(page)
    assert page.stat().st_size > 100_000
    absent = far_desk.call("status", f"{far_desk.output}-none")
    assert absent.returncode == 2
    assert "no plan.json there" in absent.stderr
    secret = os.environ["AWS_SECRET_ACCESS_KEY"].encode()
    folder = place(far_desk.output)
    written = [read_bytes(path) for path in folder.rglob("*") if path.is_file()]
    assert len(written) > 10
    assert not [content for content in written if secret in content]


def test_a_store_that_cannot_be_written_is_wrong_input_and_told_without_a_traceback(far_desk):
    far_desk.write(output="s3://nowhere/x")
    told = far_desk.sweep()
    assert told.returncode == 2
    assert "s3://nowhere/x" in told.stderr
    assert "check the bucket" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.slow
def test_ray_writes_to_a_store_what_one_process_writes_and_keeps_its_own_state_local(far_desk, tmp_path):
    far_desk.write(seeds=[0, 1])
    assert far_desk.sweep("--no-report").returncode == 0
    alone = far_desk.scores()
    far_desk.output = f"{far_desk.output}-ray"
    far_desk.write(output=far_desk.output, data=far_desk.content["data"] | {"cache": f"{far_desk.output}-cache"})
    fresh = tmp_path / "fresh"  # what the scratch folder of the first run holds is fetched from no store
    done = far_desk.run("run", str(far_desk.file), "--no-report", timeout_s=500, DGSWEEP_SCRATCH=str(fresh))
    assert "2 trials run, 0 reused, 0 failed" in done.stdout, done.stderr
    pd.testing.assert_frame_equal(alone, far_desk.scores())
    assert len(list(place(f"{far_desk.output}-cache").rglob("*.npz"))) > 4
    assert not [name for name in names(place(far_desk.output)) if name.startswith(".")]
    assert not [*(fresh / "ray").rglob("*.json")]


@pytest.mark.slow
def test_killed_while_it_writes_to_a_store_a_trial_resumes_to_the_same_numbers(far_desk):
    far_desk.write(budget={"steps": 24}, training={"batch": 2, "checkpoint_every": 2, "eval_every": 12})
    assert far_desk.sweep("--no-report").returncode == 0
    undisturbed, whole = far_desk.scores(), far_desk.output
    far_desk.output = f"{whole}-killed"
    far_desk.write(output=far_desk.output)
    ledger = Ledger(far_desk.output)
    paths = ledger.paths(Ledger(whole).read_plan().trials[0].trial_id)
    process = far_desk.start("run", str(far_desk.file), "--executor", "inline", "--no-report")
    deadline_s = time.monotonic() + 240
    while not names(paths.checkpoint) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert names(paths.checkpoint) == ["last.pt"], "killed too early or too late to prove anything"
    resumed = far_desk.sweep("--no-report")
    assert resumed.returncode == 0, resumed.stderr
    assert "held this output last" in resumed.stderr
    pd.testing.assert_frame_equal(undisturbed, far_desk.scores())
    assert ledger.provenance(paths.root.name)["steps"] == 24
