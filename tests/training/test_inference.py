"""Sliding-window prediction: one window is one forward pass, mirrors are averaged, adaptation is undone."""

import pytest
import torch
from torch import nn
from training_stand_in import PATCH, cpu, make_spec

from dgsweep.method.base import Method
from dgsweep.training.assemble import build_context
from dgsweep.training.inference import predict_probabilities

PLAIN = {"overlap": 0.5, "batch": 4, "mirror_axes": ()}
ALL_AXES = {**PLAIN, "mirror_axes": ("x", "y", "z")}


def context(method: str = "erm"):
    return build_context(make_spec(method), cpu())


def image(*shape: int) -> torch.Tensor:
    return torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))


class Constant(nn.Module):
    """The same logits everywhere, or logits that grow along x."""

    def __init__(self, *, ramp: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.0, 1.0]))
        self.ramp = ramp

    def forward(self, window: torch.Tensor) -> list[torch.Tensor]:
        shape = (len(window), 2, *window.shape[2:])
        along = torch.linspace(-1, 1, shape[2]).view(1, 1, -1, 1, 1) if self.ramp else torch.ones(1, 1, 1, 1, 1)
        return [(self.weight.view(1, 2, 1, 1, 1) * along).expand(shape)]


def test_a_volume_of_the_size_of_the_patch_is_one_forward_pass():
    ctx, volume = context(), image(*PATCH)
    ctx.network.eval()
    with torch.no_grad():
        expected = torch.softmax(ctx.network(volume[None])[0][0], dim=0)
    torch.testing.assert_close(predict_probabilities(ctx, volume, PATCH, PLAIN), expected, rtol=1e-4, atol=1e-6)


def test_probabilities_sum_to_one_on_the_grid_of_the_image():
    found = predict_probabilities(context(), image(30, 17, 25), PATCH, PLAIN)
    assert found.shape == (2, 30, 17, 25)
    torch.testing.assert_close(found.sum(dim=0), torch.ones(30, 17, 25))


@pytest.mark.parametrize("shape", [(9, 16, 16), (5, 7, 3), (16, 40, 2)])
def test_a_volume_smaller_than_the_patch_is_predicted_in_its_own_size(shape):
    found = predict_probabilities(context(), image(*shape), PATCH, PLAIN)
    assert found.shape == (2, *shape)
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("inference", [PLAIN, ALL_AXES])
def test_a_constant_network_predicts_its_constant_everywhere(inference):
    ctx = context()
    ctx.network = Constant()
    found = predict_probabilities(ctx, image(30, 17, 25), PATCH, inference)
    expected = torch.softmax(torch.tensor([0.0, 1.0]), dim=0)
    torch.testing.assert_close(found, expected.view(2, 1, 1, 1).expand(found.shape), rtol=1e-4, atol=1e-5)


def test_averaging_over_a_mirror_image_cancels_what_is_odd_along_that_axis():
    ctx = context()
    ctx.network = Constant(ramp=True)
    averaged = predict_probabilities(ctx, image(*PATCH), PATCH, {**PLAIN, "mirror_axes": ("x",)})
    other_axis = predict_probabilities(ctx, image(*PATCH), PATCH, {**PLAIN, "mirror_axes": ("y",)})
    torch.testing.assert_close(averaged, torch.full_like(averaged, 0.5), rtol=0, atol=1e-5)
    assert (other_axis - 0.5).abs().max() > 0.2


def test_mirrored_prediction_is_the_mean_of_the_logits_of_all_eight_images():
    ctx, volume = context(), image(*PATCH)
    ctx.network.eval()
    votes = []
    with torch.no_grad():
        for bits in range(8):
            dims = [2 + axis for axis in range(3) if bits >> axis & 1]
            votes.append(ctx.network(volume[None].flip(dims))[0].flip(dims)[0])
    expected = torch.softmax(torch.stack(votes).mean(dim=0), dim=0)
    torch.testing.assert_close(predict_probabilities(ctx, volume, PATCH, ALL_AXES), expected, rtol=1e-4, atol=1e-5)


class Slope(Method):
    """Shows the network differences to the neighbour along x, and remembers what it was given."""

    def __init__(self) -> None:
        self.given: list[torch.Tensor] = []

    def infer_input(self, ctx, image):
        self.given.append(image)
        return image - image.roll(1, dims=2)


def test_the_input_transform_sees_windows_that_are_mirrored_already():
    ctx, volume = context(), image(*PATCH)
    ctx.method = Slope()
    inference = {**PLAIN, "mirror_axes": ("x",)}
    found = predict_probabilities(ctx, volume, PATCH, inference)
    ctx.network.eval()
    with torch.no_grad():
        votes = [ctx.network(ctx.method.infer_input(ctx, volume[None].flip(dims)))[0].flip(dims) for dims in ([], [2])]
        mirrored_late = ctx.network(ctx.method.infer_input(ctx, volume[None]).flip([2]))[0].flip([2])
    torch.testing.assert_close(found, torch.softmax(torch.stack(votes).mean(dim=0)[0], dim=0), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(votes[1], mirrored_late, atol=1e-2)


def test_the_input_transform_sees_the_padding_of_a_small_volume():
    ctx, small = context(), image(5, 7, 3)
    ctx.method = Slope()
    predict_probabilities(ctx, small, PATCH, PLAIN)
    (window,) = ctx.method.given
    assert window.shape[2:] == PATCH
    assert int((window != 0).sum()) == small.numel()


def test_adaptation_is_used_for_the_case_and_undone_after_it():
    ctx = context("adapting")
    before = {key: value.clone() for key, value in ctx.network.state_dict().items()}
    found = predict_probabilities(ctx, image(*PATCH), PATCH, PLAIN)
    assert found[1].min() > 0.9
    assert all(torch.equal(value, before[key]) for key, value in ctx.network.state_dict().items())


def test_adaptation_is_undone_after_a_failed_prediction_too():
    ctx = context("adapting")
    before = {key: value.clone() for key, value in ctx.network.state_dict().items()}
    with pytest.raises(KeyError):
        predict_probabilities(ctx, image(*PATCH), PATCH, {})
    assert all(torch.equal(value, before[key]) for key, value in ctx.network.state_dict().items())


def test_without_adaptation_the_network_predicts_as_it_is():
    ctx, volume = context("adapting"), image(*PATCH)
    expected = predict_probabilities(context(), volume, PATCH, PLAIN)
    assert torch.equal(predict_probabilities(ctx, volume, PATCH, PLAIN, adapt=False), expected)
    assert not torch.equal(predict_probabilities(ctx, volume, PATCH, PLAIN), expected)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_of_the_network_is_as_it_was(training):
    ctx = context()
    ctx.network.train(training)
    predict_probabilities(ctx, image(*PATCH), PATCH, PLAIN)
    assert ctx.network.training is training
