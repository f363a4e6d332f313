"""RandConv against torch's own initialiser, plain convolutions and torch's KL divergence."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from dgsweep.method.conformance import MethodConformance, make_context, make_method, toy_batch
from dgsweep_methods.randconv import DECLARATION
from dgsweep_methods.randconv.method import disagreement, random_convolution


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def logits(n: int = 3, classes: int = 3) -> list[torch.Tensor]:
    return list(torch.randn(n, 2, classes, 4, 3, 2, generator=stream(7)).unbind())


@pytest.mark.parametrize("size", [1, 3, 5])
def test_the_convolution_is_a_plain_one_for_each_sample(size):
    image = torch.randn(3, 2, 6, 6, 6, generator=stream(1))
    textured = random_convolution(image, (size,), stream())
    again = stream()
    torch.randint(1, (1,), generator=again)
    weight = torch.randn(3, 2, 2, size, size, size, generator=again) / (2 * size**3) ** 0.5
    for sample in range(3):
        own = functional.conv3d(image[sample, None], weight[sample], padding="same")[0]
        torch.testing.assert_close(textured[sample], own, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(textured, random_convolution(image, (size,), stream(1)), atol=1e-2)


def test_the_weights_have_the_variance_of_torchs_initialiser_as_the_released_code_calls_it():
    # The middle voxel of a unit impulse at each place of a 3^3 patch is one weight.
    impulse = torch.zeros(400, 1, 3, 3, 3)
    impulse[:, :, 1, 1, 1] = 1
    ours = random_convolution(impulse, (3,), stream()).std()
    torchs = nn.init.kaiming_normal_(torch.empty(400, 1, 3, 3, 3), nonlinearity="conv3d", generator=stream(1)).std()
    leaky = nn.init.kaiming_normal_(torch.empty(400, 1, 3, 3, 3), generator=stream(1)).std()
    torch.testing.assert_close(ours, torchs, rtol=0.05, atol=0)
    assert abs(ours - leaky) > 0.2 * ours


def test_disagreement_is_torchs_kl_divergence_from_the_mean():
    each = logits()
    p = [torch.softmax(one, dim=1) for one in each]
    middle = (sum(p) / 3).log()
    voxels = each[0].numel() / each[0].shape[1]
    expected = sum(functional.kl_div(middle, one, reduction="sum") for one in p) / (3 * voxels)
    torch.testing.assert_close(disagreement(each), expected, rtol=1e-5, atol=1e-6)
    other = sum(functional.kl_div(one.log(), middle.exp(), reduction="sum") for one in p) / (3 * voxels)
    assert not torch.isclose(disagreement(each), other, rtol=1e-3)


def test_equal_predictions_do_not_disagree_and_opposite_ones_do():
    one = logits()[0]
    assert float(disagreement([one, one, one])) == pytest.approx(0, abs=1e-6)
    sure = torch.tensor([40.0, -40.0]).view(1, 2, 1, 1, 1)
    assert float(disagreement([sure, -sure])) == pytest.approx(0.6931, abs=1e-3)


def test_the_gradient_of_disagreement_is_finite_for_saturated_predictions():
    sure = torch.tensor([200.0, -200.0]).view(1, 2, 1, 1, 1).requires_grad_()
    disagreement([sure, -sure, 0 * sure]).backward()
    assert torch.isfinite(sure.grad).all()


def drawn(variant: str) -> list[torch.Tensor]:
    method = make_method(DECLARATION, {"variant": variant, "kernels": (1,), "mixing": False})
    return [view.image for view in method.views(make_context(method), toy_batch(0))]


def test_in_the_paper_the_three_draws_start_from_the_image_and_as_shipped_from_the_first_draw():
    # Convolutions of size 1 multiply each sample by a number: the same stream gives the same numbers.
    image = toy_batch(0).image
    paper, shipped = drawn("paper"), drawn("as_shipped")
    assert len(paper) == len(shipped) == 3
    assert torch.equal(paper[0], shipped[0])
    for own, chained in zip(paper[1:], shipped[1:], strict=True):
        torch.testing.assert_close(chained, own * (paper[0] / image), rtol=1e-4, atol=1e-5)
        assert not torch.allclose(own, chained, atol=1e-2)


def test_mixing_lies_between_the_image_and_its_convolution():
    method = make_method(DECLARATION, {"kernels": (1,), "consistency": 0.0})
    batch = toy_batch(0)
    (view,) = method.views(make_context(method), batch)
    plain = make_method(DECLARATION, {"kernels": (1,), "consistency": 0.0, "mixing": False})
    (full,) = plain.views(make_context(plain), batch)
    share = (view.image - batch.image).flatten(1) / (full.image - batch.image).flatten(1)
    spread = share.amax(1) - share.amin(1)
    assert bool((spread < 1e-2).all())
    assert bool(((share.mean(1) > 0) & (share.mean(1) < 1)).all())


def test_p_identity_is_the_share_of_samples_that_stay():
    method = make_method(DECLARATION, {"p_identity": 0.75, "consistency": 0.0, "kernels": (1,)})
    ctx, batch, same = make_context(method), toy_batch(0), 0
    for seed in range(50):
        ctx.generator.manual_seed(seed)
        (view,) = method.views(ctx, batch)
        same += sum(torch.equal(new, old) for new, old in zip(view.image, batch.image, strict=True))
    assert 130 <= same <= 170  # of 200, standard deviation 6


def test_only_the_first_draw_is_segmented_and_the_other_term_is_weighted():
    method = make_method(DECLARATION, {"consistency": 4.0})
    ctx, batch = make_context(method), toy_batch(0)
    views = method.views(ctx, batch)
    terms = method.loss(ctx, batch, views)
    outputs = [ctx.forward(view.image) for view in views]
    torch.testing.assert_close(terms["segmentation"], ctx.seg_loss(outputs[0], batch.label))
    torch.testing.assert_close(terms["consistency"], 4 * disagreement([each[0] for each in outputs]))
    assert not torch.isclose(terms["segmentation"], ctx.seg_loss(outputs[1], batch.label), rtol=1e-4)


def test_without_consistency_a_step_is_one_forward_pass():
    for weight, passes in ((0.0, 1), (1.0, 3)):
        method = make_method(DECLARATION, {"consistency": weight})
        ctx = make_context(method)
        ctx.run_step(toy_batch(0))
        assert ctx.forward_passes == passes


class TestRandConv(MethodConformance):
    declaration = DECLARATION
