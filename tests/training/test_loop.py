"""The training loop: same numbers whether killed or not, bad losses named, early stop, hooks called."""

from dataclasses import replace

import pytest
import torch
from training_stand_in import cpu, make_spec, make_task, weights_of

from dgsweep.errors import CaseError, TrialFailedError, TrialPrunedError
from dgsweep.training.checkpoint import FINAL, LAST
from dgsweep.training.loop import load_trained, train


class KilledError(BaseException):
    """Stands for a kill signal: nothing in the loop may catch it."""


def kill_after(steps: int):
    def tick(step: int) -> None:
        if step == steps:
            raise KilledError

    return tick


@pytest.mark.parametrize("method", ["erm", "gin", "spy"])
@pytest.mark.parametrize("killed_after", [1, 3, 5])
def test_a_killed_and_resumed_run_equals_the_straight_run_bit_for_bit(tmp_path, method, killed_after):
    spec = make_spec(method, hp=GIN if method == "gin" else None)
    straight = train(make_task(spec, tmp_path / "straight"))
    with pytest.raises(KilledError):
        train(make_task(spec, tmp_path / "killed", cpu(tick=kill_after(killed_after))))
    resumed = train(make_task(spec, tmp_path / "killed"))
    assert torch.equal(weights_of(straight), weights_of(resumed))
    assert straight.curves.rows == resumed.curves.rows
    assert straight.ctx.state == resumed.ctx.state
    assert straight.ctx.forward_passes == resumed.ctx.forward_passes


@pytest.mark.parametrize(("where", "step"), [("report", 3), ("tick", 3), ("tick", 5)])
def test_a_pruned_training_leaves_a_checkpoint_of_its_last_step_from_which_it_equals_the_straight_run(
    tmp_path, where, step
):
    spec, seen = make_spec(), []

    def stop(found) -> None:
        if (found["step"] if where == "report" else found) == step:
            raise TrialPrunedError

    straight = train(make_task(spec, tmp_path / "straight"))
    with pytest.raises(TrialPrunedError):
        train(make_task(spec, tmp_path / "pruned", cpu(**{where: stop})))
    resumed = train(make_task(spec, tmp_path / "pruned", cpu(tick=seen.append)))
    assert seen == list(range(step + 1, 7))
    assert torch.equal(weights_of(straight), weights_of(resumed))
    assert straight.curves.rows == resumed.curves.rows


def test_the_curve_is_kept_before_each_validation_is_reported(tmp_path):
    told = []
    task = replace(
        make_task(make_spec(), tmp_path, cpu(report=lambda values: told.append(values["step"]))),
        keep_curves=lambda curves: told.append([row["step"] for row in curves.rows if row["domain"] == "all"][-1:]),
    )
    train(task)
    assert told == [2, [3], 3, 4, [6], 6]


GIN = {"probability": 1.0, "layers": 2, "channels": 2, "kernels": [1, 3]}


def test_a_resumed_run_repeats_only_the_steps_after_the_last_checkpoint(tmp_path):
    spec, seen = make_spec(), []
    with pytest.raises(KilledError):
        train(make_task(spec, tmp_path, cpu(tick=kill_after(5))))
    train(make_task(spec, tmp_path, cpu(tick=seen.append)))
    assert seen == [5, 6]


def test_a_finished_training_is_loaded_and_not_run_again(tmp_path):
    spec, seen = make_spec(), []
    first = train(make_task(spec, tmp_path))
    again = train(make_task(spec, tmp_path, cpu(tick=seen.append)))
    assert seen == []
    assert torch.equal(weights_of(first), weights_of(again))
    assert again.curves.rows == first.curves.rows
    loaded = load_trained(spec, tmp_path / "t" / "checkpoint", cpu())
    assert loaded is not None
    assert torch.equal(weights_of(loaded), weights_of(first))


def test_without_a_finished_training_there_is_nothing_to_load(tmp_path):
    assert load_trained(make_spec(), tmp_path, cpu()) is None


@pytest.mark.parametrize("killed_after", [3, None])
def test_weights_of_another_network_are_refused_with_both_named(tmp_path, killed_after):
    spec = make_spec()
    if killed_after:
        with pytest.raises(KilledError):
            train(make_task(spec, tmp_path, cpu(tick=kill_after(killed_after))))
    else:
        train(make_task(spec, tmp_path))
    wider = replace(spec, network_options={"width": 8, "levels": 2})
    with pytest.raises(CaseError, match=r"weights of unet_tiny \(width 4, .* planned with unet_tiny \(width 8, "):
        train(make_task(wider, tmp_path))
    with pytest.raises(CaseError, match="planned with segresnet"):
        train(make_task(replace(spec, network="segresnet", network_options={"width": 8}), tmp_path))
    assert train(make_task(spec, tmp_path)).ctx.step == 6


def test_the_final_checkpoint_replaces_the_resumable_one(tmp_path):
    train(make_task(make_spec(), tmp_path))
    assert [path.name for path in (tmp_path / "t" / "checkpoint").iterdir()] == [FINAL]
    with pytest.raises(KilledError):
        train(make_task(make_spec(), tmp_path / "killed", cpu(tick=kill_after(3))))
    assert [path.name for path in (tmp_path / "killed" / "t" / "checkpoint").iterdir()] == [LAST]


def test_equal_seeds_give_equal_weights_and_another_seed_others(tmp_path):
    first, second, other = (
        train(make_task(make_spec(seed=seed, steps=2), tmp_path / str(n))) for n, seed in enumerate([0, 0, 1])
    )
    assert torch.equal(weights_of(first), weights_of(second))
    assert not torch.allclose(weights_of(first), weights_of(other))


def test_methods_of_one_seed_start_from_the_same_weights(tmp_path):
    from dgsweep.training.assemble import build_context

    erm, spy = (build_context(make_spec(name), cpu()) for name in ("erm", "spy"))
    assert all(torch.equal(a, b) for a, b in zip(erm.network.parameters(), spy.network.parameters(), strict=True))


def test_a_loss_that_is_not_finite_fails_the_trial_with_step_cases_and_last_checkpoint(tmp_path):
    spec = make_spec("nan_at", hp={"step": 3})
    with pytest.raises(TrialFailedError) as caught:
        train(make_task(spec, tmp_path))
    assert caught.value.kind == "nan_loss"
    assert "not finite at step 3" in caught.value.cause
    assert "the last good checkpoint is of step 2" in caught.value.cause
    spied = train(make_task(make_spec("spy"), tmp_path / "spy")).ctx.state["cases"]
    assert f"(cases {', '.join(spied[3])})" in caught.value.cause


def test_a_bad_loss_before_any_checkpoint_says_so_and_leaves_none(tmp_path):
    with pytest.raises(TrialFailedError, match="there is no checkpoint yet"):
        train(make_task(make_spec("nan_at", hp={"step": 0}), tmp_path))
    assert not (tmp_path / "t" / "checkpoint").exists()


def test_a_good_loss_fails_nothing(tmp_path):
    assert train(make_task(make_spec("nan_at", hp={"step": 99}), tmp_path)).ctx.step == 6


def test_early_stopping_ends_after_the_wanted_evaluations_without_a_better_score(tmp_path):
    # A learning rate of next to nothing keeps the score where it is: the second and third evaluations are no better.
    frozen = {"learning_rate": 1e-12, "eval_every": 2}
    stopped = train(make_task(make_spec(steps=20, early_stop_evals=2, **frozen), tmp_path / "a"))
    full = train(make_task(make_spec(steps=20, **frozen), tmp_path / "b"))
    assert (stopped.ctx.step, full.ctx.step) == (6, 20)
    assert len(stopped.curves.values("val", "all", "dice")) == 3


@pytest.mark.parametrize(
    ("steps", "patience", "finished"),
    [(6, None, [6, 1]), (20, 2, [6, 3])],
    ids=["before the last validation", "after an early stop"],
)
def test_a_method_finishes_once_with_the_end_of_training(tmp_path, steps, patience, finished):
    frozen = {"learning_rate": 1e-12, "eval_every": 2 if patience else 3, "early_stop_evals": patience}
    training = train(make_task(make_spec("spy", steps=steps, **frozen), tmp_path))
    assert training.ctx.state["finished"] == [finished]


def test_what_finish_leaves_in_the_network_is_validated_and_kept(tmp_path):
    spec = make_spec("zeroing")
    first = train(make_task(spec, tmp_path))
    assert not weights_of(first).any()
    assert first.curves.values("val", "all", "dice")[-1] == 0.0
    loaded = load_trained(spec, tmp_path / "t" / "checkpoint", cpu())
    assert loaded is not None
    assert not weights_of(loaded).any()


def test_validation_is_told_to_the_method_and_written_as_the_mean_over_domains(tmp_path):
    training = train(make_task(make_spec("spy"), tmp_path))
    (first, last) = training.ctx.state["scores"]
    assert set(first) == {"C1/T1W", "C2/T1W", "all"}
    assert last["all"] == pytest.approx((last["C1/T1W"] + last["C2/T1W"]) / 2)
    assert training.curves.values("val", "all", "dice") == [first["all"], last["all"]]


def test_reports_come_at_evaluations_and_checkpoints_with_phase_step_and_score(tmp_path):
    reports = []
    train(make_task(make_spec(), tmp_path, cpu(report=lambda row: reports.append(dict(row)))))
    assert [row["step"] for row in reports] == [2, 3, 4, 6]
    assert {row["phase"] for row in reports} == {"train"}
    assert all(("metric/source_val_dice" in row) == (row["step"] in (3, 6)) for row in reports)
    assert all(row["steps"] == 6 for row in reports)


def test_training_without_validation_cases_runs(tmp_path):
    from dataclasses import replace

    training = train(replace(make_task(make_spec(), tmp_path), val=()))
    assert training.curves.values("val", "all", "dice") == []
    assert len(training.curves.values("train", "all", "loss_segmentation")) == 2


def test_training_lowers_the_loss(tmp_path):
    training = train(make_task(make_spec(steps=40, eval_every=10, learning_rate=0.05, momentum=0.9), tmp_path))
    losses = training.curves.values("train", "all", "loss_segmentation")
    assert losses[-1] < 0.8 * losses[0]


def test_a_method_knows_the_spacing_of_the_patches():
    from dgsweep.training.assemble import build_recipe

    spec = make_spec()
    thick = replace(spec, preprocessing=replace(spec.preprocessing, spacing_mm=(0.8, 0.8, 5.0)))
    assert build_recipe(thick, cpu()).spacing_mm == (0.8, 0.8, 5.0)
    assert build_recipe(spec, cpu()).spacing_mm == (1.0, 1.0, 1.0)
