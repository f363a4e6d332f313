"""A training that is asked to stop does so at a checkpoint of its last step, and goes on to the same numbers."""

import pytest
import torch
from training_stand_in import cpu, make_spec, make_task, weights_of

from dgsweep.errors import TrialStoppedError
from dgsweep.training.checkpoint import LAST
from dgsweep.training.loop import train


def stopping_after(step: int):
    seen = []
    return {"tick": seen.append, "stopping": lambda: "asked" if seen and seen[-1] >= step else ""}


def test_it_stops_after_the_step_writes_a_checkpoint_and_resumes_bit_for_bit(tmp_path):
    spec = make_spec(checkpoint_every=100)
    straight = train(make_task(spec, tmp_path / "straight"))
    with pytest.raises(TrialStoppedError, match="asked"):
        train(make_task(spec, tmp_path / "stopped", cpu(**stopping_after(3))))
    saved = torch.load(tmp_path / "stopped" / "t" / "checkpoint" / LAST, weights_only=True)
    assert saved["context"]["step"] == 3
    seen = []
    resumed = train(make_task(spec, tmp_path / "stopped", cpu(tick=seen.append)))
    assert seen == [4, 5, 6]
    assert torch.equal(weights_of(straight), weights_of(resumed))
    assert straight.curves.rows == resumed.curves.rows


def test_a_request_in_the_last_step_comes_too_late(tmp_path):
    assert train(make_task(make_spec(), tmp_path, cpu(**stopping_after(6)))).ctx.step == 6


def test_several_workers_stop_only_at_a_checkpoint_where_they_agree():
    several = cpu(world_size=2, stopping=lambda: "asked")
    assert several.agreed_stop(at_checkpoint=False) == ""
    assert cpu(stopping=lambda: "asked").agreed_stop(at_checkpoint=False) == "asked"
