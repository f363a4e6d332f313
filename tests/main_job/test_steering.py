"""A sweep steered as a person does it: from another shell, by the verbs of the command line."""

import json
import time

import pytest

from dgsweep.records.ledger import Ledger


def wait_for(look, *, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.1)


LONG = {"budget": {"steps": 4000}, "training": {"batch": 2, "checkpoint_every": 2000, "eval_every": 2000}}


def test_a_running_sweep_is_watched_and_cancelled_from_another_shell_and_goes_on_from_its_checkpoint(desk) -> None:
    desk.write(seeds=[0, 1], **LONG)
    running = desk.start("run", str(desk.file), "--executor", "inline", "--no-report")
    ledger = Ledger(desk.output)
    wait_for(lambda: ledger.files.trials.exists() and any(ledger.progress(p.name).get("step", 0) > 2
                                                          for p in ledger.files.trials.iterdir()))  # fmt: skip
    shown = json.loads(desk.call("status", str(desk.output), "--json").stdout)
    assert shown["driver"]["lives"]
    assert shown["counts"] == {"running": 1, "planned": 1}
    cancelled = desk.call("cancel", str(desk.output))
    assert (cancelled.returncode, cancelled.stdout.split(";")[0]) == (0, "stopped"), cancelled.stderr
    out, err = running.communicate(timeout=60)
    assert running.returncode == 1, err
    assert "stopped early: dgsweep cancel" in out
    assert "2 trials are left" in out
    shown = json.loads(desk.call("status", str(desk.output), "--json").stdout)
    assert shown["counts"] == {"planned": 2}
    begun = next(row for row in shown["trials"] if row["step"])
    assert begun["step"] < 2000
    assert (ledger.paths(begun["trial_id"]).checkpoint / "last.pt").exists()
    assert shown["cost"][-1]["steps"] == begun["step"]
    assert desk.call("cancel", str(desk.output)).returncode == 2


def test_extend_shows_what_it_adds_and_with_yes_runs_only_that(desk) -> None:
    desk.write()
    assert desk.sweep("--no-report").returncode == 0
    desk.file.write_text("# my sweep\n" + desk.file.read_text())
    before = desk.file.read_text()
    shown = desk.call("extend", str(desk.file), "--method", "gin", "--target", "*/OOP", "--executor", "inline")
    assert shown.returncode == 0, shown.stderr
    assert ("pretrain" in shown.stdout, "train and score" in shown.stdout, "score only" in shown.stdout) == (
        False, True, True,
    )  # fmt: skip
    assert desk.file.read_text() == before
    done = desk.call("extend", str(desk.file), "--method", "gin", "--yes", "--executor", "inline")
    assert "1 trials run, 1 reused" in done.stdout, done.stderr
    assert desk.file.read_text().startswith("# my sweep\n")
    again = desk.call("extend", str(desk.file), "--method", "gin", "--seed", "0", "--yes")
    assert again.returncode == 2
    assert again.stderr.count("stands in the sweep file already") == 2


def test_gc_lists_first_and_removes_with_yes_and_the_sweep_is_still_done(desk) -> None:
    desk.write(methods=["gin"], search={"trials": 2})
    assert desk.sweep("--no-report").returncode == 0
    listed = json.loads(desk.call("gc", str(desk.output), "--json").stdout)
    assert (len(listed["files"]), listed["removed"]) == (1, False)
    assert len(list(desk.output.glob("trials/*/checkpoint/final.pt"))) == 2
    assert "1 files" in desk.call("gc", str(desk.output), "--yes").stdout
    assert len(list(desk.output.glob("trials/*/checkpoint/final.pt"))) == 1
    assert "0 trials run, 2 reused" in desk.sweep("--no-report").stdout


@pytest.mark.slow
def test_a_sweep_on_ray_is_cancelled_from_another_shell_and_resumes(desk) -> None:
    desk.write(seeds=[0, 1, 2], resources={"cpus_per_trial": 1}, **LONG)
    running = desk.start("run", str(desk.file), "--no-report")
    ledger = Ledger(desk.output)
    wait_for(lambda: ledger.files.trials.exists() and any(ledger.progress(p.name).get("step", 0) > 2
                                                          for p in ledger.files.trials.iterdir()))  # fmt: skip
    cancelled = desk.call("cancel", str(desk.output))
    assert cancelled.returncode == 0, cancelled.stdout + cancelled.stderr
    out, err = running.communicate(timeout=120)
    assert "3 trials are left" in out, err
    assert json.loads(desk.call("status", str(desk.output), "--json").stdout)["counts"] == {"planned": 3}


@pytest.mark.slow
def test_sigterm_lets_trials_on_ray_reach_a_checkpoint(desk) -> None:
    desk.write(seeds=[0], resources={"cpus_per_trial": 1, "stop_grace_s": 60}, **LONG)
    running = desk.start("run", str(desk.file), "--no-report")
    ledger = Ledger(desk.output)
    wait_for(lambda: ledger.files.trials.exists() and any(ledger.progress(p.name).get("step", 0) > 2
                                                          for p in ledger.files.trials.iterdir()))  # fmt: skip
    running.terminate()
    out, err = running.communicate(timeout=120)
    assert running.returncode == 1
    assert "To go on: " in err, out + err
    assert len(list(desk.output.glob("trials/*/checkpoint/last.pt"))) == 1
