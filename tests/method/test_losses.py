"""The shared loss against MONAI's, deep supervision and schedules against hand-computed values."""

import math

import pytest
import torch
from monai.losses import DiceCELoss
from torch.nn import functional

from dgsweep.method.losses import deep_supervision_weights, segmentation_loss, soft_dice_loss, supervised_loss
from dgsweep.method.schedule import learning_rate_at


def monai_loss(**changes):
    options = {"include_background": False, "to_onehot_y": True, "softmax": True, "smooth_nr": 1e-5, "smooth_dr": 1e-5}
    return DiceCELoss(**{**options, "batch": False, **changes})


def drawn(classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(classes)
    logits = 3 * torch.randn(3, classes, 6, 5, 4, generator=generator, dtype=torch.float64)
    return logits.float(), torch.randint(classes, (3, 6, 5, 4), generator=generator)


@pytest.mark.parametrize("classes", [2, 4])
def test_segmentation_loss_equals_monai_dice_ce_without_background(classes):
    logits, label = drawn(classes)
    assert segmentation_loss(logits, label).item() == pytest.approx(
        monai_loss()(logits, label[:, None]).item(), abs=1e-6
    )


@pytest.mark.parametrize("change", [{"include_background": True}, {"batch": True}])
def test_a_dice_ce_of_another_definition_gives_another_value(change):
    logits, label = drawn(4)
    other = monai_loss(**change)(logits, label[:, None]).item()
    assert abs(segmentation_loss(logits, label).item() - other) > 1e-4


def test_segmentation_loss_has_the_gradient_of_monai_dice_ce():
    logits, label = drawn(3)
    gradients = []
    for loss in (lambda values: segmentation_loss(values, label), lambda values: monai_loss()(values, label[:, None])):
        values = logits.clone().requires_grad_()
        loss(values).backward()
        gradients.append(values.grad)
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-7, rtol=1e-4)
    assert gradients[0].abs().max() > 1e-4


def test_soft_dice_of_one_hot_logits_is_the_dice_by_hand():
    # 4 predicted, 2 true, 2 overlap: Dice = 2 * 2 / (4 + 2) = 2/3.
    predicted = torch.tensor([1, 1, 1, 1, 0, 0, 0, 0]).view(1, 2, 2, 2)
    label = torch.tensor([1, 1, 0, 0, 0, 0, 0, 0]).view(1, 2, 2, 2)
    logits = 100.0 * functional.one_hot(predicted, 2).movedim(-1, 1).float()
    assert soft_dice_loss(logits, label).item() == pytest.approx(1 - 2 / 3, abs=1e-5)


def test_half_precision_logits_give_a_finite_float32_loss():
    logits, label = drawn(2)
    loss = segmentation_loss((100 * logits).bfloat16(), label)
    assert loss.dtype == torch.float32
    assert math.isfinite(loss.item())


@pytest.mark.parametrize(
    ("outputs", "weights"),
    [(1, (1.0,)), (2, (1.0, 0.0)), (3, (2 / 3, 1 / 3, 0.0)), (4, (4 / 7, 2 / 7, 1 / 7, 0.0))],
)
def test_deep_supervision_halves_the_weight_each_level_and_drops_the_coarsest(outputs, weights):
    assert deep_supervision_weights(outputs) == pytest.approx(weights)


def test_supervised_loss_is_the_weighted_sum_against_the_label_of_each_size():
    fine, label = torch.randn(2, 2, 8, 8, 4), torch.randint(2, (2, 8, 8, 4))
    middle, coarse = torch.randn(2, 2, 4, 4, 2), torch.randn(2, 2, 2, 2, 1)
    expected = 2 / 3 * segmentation_loss(fine, label) + 1 / 3 * segmentation_loss(middle, label[:, ::2, ::2, ::2])
    assert supervised_loss([fine, middle, coarse], label).item() == pytest.approx(expected.item(), abs=1e-6)
    assert abs(supervised_loss([fine], label).item() - expected.item()) > 1e-4


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        ("poly", 0, 2.0),
        ("poly", 50, 2 * 0.5**0.9),
        ("poly", 100, 0.0),
        ("cosine", 0, 2.0),
        ("cosine", 50, 1.0),
        ("cosine", 25, 1.0 + math.sqrt(0.5)),
        ("cosine", 100, 0.0),
        ("one_cycle", 0, 0.08),
        ("one_cycle", 10, 1.04),
        ("one_cycle", 20, 2.0),
        ("one_cycle", 60, 1.0),
        ("one_cycle", 100, 0.0),
        ("constant", 99, 2.0),
        ("poly", 150, 0.0),
    ],
)
def test_learning_rate_by_hand(schedule, step, expected):
    assert learning_rate_at(step, 100, 2.0, schedule) == pytest.approx(expected, abs=1e-12)


def test_voxels_outside_the_mask_do_not_count_at_any_size():
    generator = torch.Generator().manual_seed(3)
    outputs = [torch.randn(2, 3, *size, generator=generator) for size in ((4, 4, 4), (2, 2, 2), (1, 1, 1))]
    label = torch.randint(3, (2, 4, 4, 4), generator=generator)
    mask = torch.zeros(2, 4, 4, 4, dtype=torch.bool)
    mask[:, :2] = True
    cut = [logits[:, :, : len(logits[0, 0]) // 2] for logits in outputs[:2]]
    expected = supervised_loss([*cut, outputs[2]], label[:, :2])
    assert supervised_loss(outputs, label, mask).item() == pytest.approx(expected.item(), abs=1e-6)
    assert supervised_loss(outputs, label, ~mask).item() != pytest.approx(expected.item(), abs=1e-2)
    everything = supervised_loss(outputs, label, torch.ones_like(mask)).item()
    assert everything == pytest.approx(supervised_loss(outputs, label).item(), abs=1e-6)


def test_an_empty_mask_has_no_loss():
    logits, label = torch.randn(1, 2, 3, 3, 3), torch.ones(1, 3, 3, 3, dtype=torch.long)
    assert segmentation_loss(logits, label, torch.zeros_like(label)).item() == pytest.approx(0.0, abs=1e-6)
    assert segmentation_loss(logits, label).item() > 0.1
