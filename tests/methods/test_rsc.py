"""RSC against NumPy's percentiles as in DomainBed; the network really sees the mask."""

import numpy as np
import pytest
import torch

from dgsweep.method.base import Method
from dgsweep.method.conformance import MethodConformance, make_context, make_method, toy_batch
from dgsweep.method.losses import segmentation_loss
from dgsweep_methods.rsc import DECLARATION
from dgsweep_methods.rsc.method import challenged_samples, kept_channels


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("drop", [1 / 3, 0.5])
def test_channels_below_numpys_percentile_are_kept(drop):
    gradient = drawn(3, 12, 2, 2, 2)
    support = gradient.mean(dim=(2, 3, 4)).numpy()
    expected = support < np.percentile(support, (1 - drop) * 100, axis=1, keepdims=True)
    found = kept_channels(gradient, drop)
    assert found.shape == (3, 12, 1, 1, 1)
    np.testing.assert_array_equal(found[:, :, 0, 0, 0].numpy(), expected)
    assert (expected.sum(axis=1) == round(12 * (1 - drop))).all()


def test_the_strongest_support_is_muted_and_not_the_weakest():
    gradient = torch.arange(6.0).view(1, 6, 1, 1, 1)
    assert kept_channels(gradient, 1 / 3).flatten().tolist() == [1, 1, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((0.9, 0.9, 0.9, 0.9), (0.1, 0.8, 0.5, 0.9), (True, False, True, False)),  # percentile 66.7 of falls is 0.4
        ((0.6, 0.6), (0.5, 0.3), (False, True)),
        ((0.6,), (0.7,), (True,)),
    ],
)
def test_the_samples_that_fall_most_are_challenged(before, after, expected):
    falls = [first - second for first, second in zip(before, after, strict=True)]
    assert tuple(fall >= np.percentile(falls, 200 / 3) - 1e-6 for fall in falls) == expected
    assert tuple(challenged_samples(torch.tensor(before), torch.tensor(after), 1 / 3).tolist()) == expected


def by_hand(network, batch, feature_drop, batch_drop):
    """DomainBed's steps with the toy network cut at its bottleneck, the final mask passed a third time."""
    z = network.deep(torch.relu(network.norm(network.stem(batch.image)))).detach().requires_grad_()
    head = lambda feature: network.head(torch.relu(feature))  # noqa: E731
    truth = torch.stack([batch.label == k for k in (0, 1)], dim=1).float()
    (gradient,) = torch.autograd.grad((head(z) * truth).sum(), z)
    support = gradient.mean(dim=(2, 3, 4)).numpy()
    keep = support < np.percentile(support, (1 - feature_drop) * 100, axis=1, keepdims=True)
    mask = torch.as_tensor(keep).float().view(*keep.shape, 1, 1, 1)
    falls = ((head(z).softmax(1) - head(z * mask).softmax(1)) * truth).sum(1).mean(dim=(1, 2, 3)).detach()
    spared = torch.as_tensor(falls.numpy() < np.percentile(falls.numpy(), (1 - batch_drop) * 100))
    final = torch.maximum(mask, spared.view(-1, 1, 1, 1, 1).float())
    return segmentation_loss(head(z * final), batch.label), segmentation_loss(head(z), batch.label)


@pytest.mark.parametrize("n", [2, 4])
def test_the_loss_is_that_of_domainbeds_steps(n):
    method, batch = make_method(DECLARATION), toy_batch(0, n=n)
    ctx = make_context(method)
    found = method.loss(ctx, batch, method.views(ctx, batch))["segmentation"]
    expected, plain = by_hand(ctx.network, batch, 1 / 3, 1 / 3)
    torch.testing.assert_close(found.detach(), expected.detach(), rtol=1e-4, atol=1e-6)
    assert abs(float((found - plain).detach())) > 1e-3


def test_muted_channels_of_challenged_samples_get_no_gradient():
    method, batch = make_method(DECLARATION, {"batch_drop": 1.0}), toy_batch(0)
    ctx = make_context(method)
    seen = []
    ctx.network.taps["bottleneck"].register_forward_hook(lambda _m, _i, output: seen.append(output))
    method.loss(ctx, batch, method.views(ctx, batch))
    muted = [(output.flatten(2) == 0).all(dim=2).sum(dim=1) for output in seen]
    assert muted[0].tolist() == [0, 0, 0, 0]
    assert muted[1].tolist() == [3, 3, 3, 3]  # the 67th percentile of 8 channels lies between the fifth and the sixth


def test_the_mask_does_not_outlive_the_step():
    method, batch = make_method(DECLARATION), toy_batch(0)
    ctx = make_context(method)
    first = method.loss(ctx, batch, method.views(ctx, batch))["segmentation"]
    assert torch.equal(first, method.loss(ctx, batch, method.views(ctx, batch))["segmentation"])
    assert torch.equal(ctx.network(batch.image)[0], make_context(Method()).network(batch.image)[0])


class TestRscKeepsItsWord(MethodConformance):
    declaration = DECLARATION
