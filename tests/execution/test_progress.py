"""What a person reads while trials run: steps while they train, cases while they are scored."""

import io

import pytest
from rich.console import Console

from dgsweep.execution.progress import RunningTrial, SweepProgress


def progress():
    console = Console(file=io.StringIO(), width=200)
    return SweepProgress(console, total=2, reused=0, heartbeat=lambda trial_id: {})


def test_a_trial_that_learns_nothing_counts_its_cases():
    view = progress()
    view.started("a", "medsam2")
    view.update("a", {"phase": "score", "step": 0, "steps": 0, "scored": 3, "to_score": 12})
    assert "medsam2: score 3/12" in view.line()


def test_a_trial_that_learns_counts_steps_first_and_cases_afterwards():
    view = progress()
    view.started("a", "erm")
    view.update("a", {"phase": "train", "step": 200, "steps": 200})
    assert "erm: train 200/200" in view.line()
    view.update("a", {"phase": "score", "step": 200, "steps": 200, "scored": 1, "to_score": 7})
    assert "erm: score 1/7" in view.line()


def test_an_older_heartbeat_takes_no_case_back():
    view = progress()
    view.started("a", "medsam2")
    for scored in (5, 4):
        view.update("a", {"phase": "score", "step": 0, "steps": 0, "scored": scored, "to_score": 12})
    assert "medsam2: score 5/12" in view.line()


@pytest.mark.parametrize(
    ("trial", "fraction"),
    [
        (RunningTrial(name="start"), 0.0),
        (RunningTrial(name="trained", step=50, steps=200, scored=0, to_score=0), 0.25),
        (RunningTrial(name="trained, scoring", step=200, steps=200, scored=1, to_score=4, phase="score"), 1.0),
        (RunningTrial(name="zero-shot", scored=3, to_score=12, phase="score"), 0.25),
        (RunningTrial(name="zero-shot, done", scored=12, to_score=12, phase="score"), 1.0),
    ],
)
def test_the_time_to_go_is_reckoned_from_what_the_trial_does(trial, fraction):
    assert trial.fraction == fraction
