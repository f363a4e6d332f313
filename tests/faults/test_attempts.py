"""A worker that was given up but lives: it stops, and leaves the record to the one that took its trial over."""

from pathlib import Path

import pytest
from execution_stand_in import make_spec

import dgsweep.execution.worker as worker
from dgsweep.errors import TrialFailedError
from dgsweep.execution.attempt import SUPERSEDED, Attempt
from dgsweep.execution.caps import Holding
from dgsweep.execution.job import TrialJob, WorkerLink
from dgsweep.execution.pulse import Pulse
from dgsweep.records.ledger import Ledger


def test_the_last_to_begin_runs_the_trial(tmp_path: Path) -> None:
    first, second = (Attempt(Ledger(tmp_path), "one") for _ in range(2))
    first.begin()
    first.require_current()
    second.begin()
    assert (first.is_over(), second.is_over()) == (True, False)
    with pytest.raises(TrialFailedError, match="took the trial over") as over:
        first.require_current()
    assert over.value.kind == SUPERSEDED


def test_a_worker_that_lost_its_trial_stops_at_the_next_step_and_gives_no_sign_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dgsweep.execution.pulse.INTERVAL_S", 0.02)
    ledger, spec = Ledger(tmp_path), make_spec("one")
    ledger.begin(spec)
    old = Attempt(ledger, "one")
    old.begin()

    def trains() -> None:
        with Pulse(ledger, "one", beats=True, attempt=old, holding=Holding(cores=1, gpus=0)) as pulse:
            pulse.step(1)
            Attempt(ledger, "one").begin()
            while True:
                pulse.step(2)

    with pytest.raises(TrialFailedError, match="took the trial over"):
        trains()


@pytest.mark.parametrize("taken_over", [True, False])
def test_a_failure_counts_only_while_the_trial_is_the_workers_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken_over: bool
) -> None:
    """The disk of a node that the network lost gives way after the trial went elsewhere."""
    ledger, spec = Ledger(tmp_path / "out"), make_spec("one")

    def trained(*_: object) -> None:
        if taken_over:
            Attempt(ledger, "one").begin()
        raise OSError("the shared disk is gone")

    monkeypatch.setattr(worker, "_trained", trained)
    job = TrialJob(spec=spec.to_json(), output=tmp_path / "out", cache=tmp_path, cases={}, threads=1, device="cpu")
    with pytest.raises(TrialFailedError):
        worker.run_trial(job, WorkerLink(rank=0, world_size=1, report=lambda _: None))
    assert bool(ledger.failure("one")) is not taken_over
