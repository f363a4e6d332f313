"""SimCLR: the contrast on small vectors, where crops lie, and that views of a patch come together."""

import math
from dataclasses import replace

import pytest
import torch

from dgsweep.method.conformance import MethodConformance, advance, make_context, make_method
from dgsweep.method.toy import PATCH, hidden_toy_batch
from dgsweep_methods.simclr3d import DECLARATION
from dgsweep_methods.simclr3d.method import contrast, random_crop


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def coordinates(n: int, size: tuple[int, int, int]) -> torch.Tensor:
    """An image whose three channels are the place of the voxel, from 0 to the side."""
    axes = torch.meshgrid(*[torch.arange(length) + 0.5 for length in size], indexing="ij")
    return torch.stack(axes)[None].repeat(n, 1, 1, 1, 1)


def test_the_contrast_is_the_published_one_on_two_samples_by_hand():
    # Views (1, 0), (0, 2) and (3, 0), (0.6, 0.8): cosines of the first with the others 0, 1, 0.6.
    first, second = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[3.0, 0.0], [0.6, 0.8]])
    cosine = {(0, 1): 0.0, (0, 2): 1.0, (0, 3): 0.6, (1, 2): 0.0, (1, 3): 0.8, (2, 3): 0.6}
    total = 0.0
    for one, other in ((0, 2), (1, 3), (2, 0), (3, 1)):
        rest = [math.exp(cosine[min(one, k), max(one, k)] / 0.5) for k in range(4) if k != one]
        total -= math.log(math.exp(cosine[min(one, other), max(one, other)] / 0.5) / sum(rest)) / 4
    assert float(contrast(first, second, 0.5)) == pytest.approx(total, rel=1e-5)
    assert float(contrast(first, second.flip(0), 0.5)) > total + 0.1
    assert float(contrast(first, second, 0.1)) != pytest.approx(total, rel=0.1)


def test_views_that_are_all_alike_cost_the_logarithm_of_the_others_and_a_lone_patch_nothing():
    same = torch.ones(3, 4)
    assert float(contrast(same, same, 0.1)) == pytest.approx(math.log(5), rel=1e-5)
    assert float(contrast(same[:1], same[:1], 0.1)) == 0.0
    assert math.isfinite(float(contrast(torch.zeros(2, 4), torch.zeros(2, 4), 0.1)))


def test_a_crop_is_a_box_of_the_patch_with_its_proportions_and_a_volume_in_the_range():
    size = (20, 16, 8)
    found = random_crop(coordinates(400, size), 0.1, stream())
    extent = torch.tensor(size)
    step = (found[:, :, 9, 7, 3] - found[:, :, 10, 8, 4]).abs()  # side of a crop, as a share
    torch.testing.assert_close(step, step[:, :1].expand(400, 3), rtol=1e-3, atol=1e-3)
    volume = step[:, 0] ** 3
    assert float(volume.min()) == pytest.approx(0.1, abs=0.02)
    assert float(volume.max()) == pytest.approx(1.0, abs=0.02)
    assert float(volume.mean()) == pytest.approx(0.55, abs=0.05)  # uniform
    middle = (found[:, :, 9, 7, 3] + found[:, :, 10, 8, 4]) / 2
    assert bool((middle - step * extent / 2 > -1e-3).all())
    assert bool((middle + step * extent / 2 < extent + 1e-3).all())
    assert float(((middle - extent / 2).abs() / extent).amax()) > 0.15
    # Voxel centres of the crop, not its corners: the first one lies half a step inside.
    inner = step[:, 0] < 0.9
    low = (middle - step * extent / 2)[inner, 0]
    inside = low + step[inner, 0] / 2
    torch.testing.assert_close(found[inner, 0, 0, 7, 3], inside.clamp_min(0.5), rtol=0, atol=1e-2)


def test_a_crop_of_all_is_the_patch_itself():
    image = torch.randn(2, 2, 9, 8, 5, generator=stream())
    torch.testing.assert_close(random_crop(image, 1.0, stream()), image, rtol=0, atol=1e-4)
    assert not torch.allclose(random_crop(image, 0.3, stream()), image, rtol=0, atol=0.1)


def test_the_term_is_the_contrast_of_projected_means_of_two_different_views():
    ctx = make_context(make_method(DECLARATION))
    seen, pooled = [], []
    ctx.network.register_forward_pre_hook(lambda _module, given: seen.append(given[0].detach()))
    ctx.network.taps["bottleneck"].register_forward_hook(lambda _m, _i, out: pooled.append(out.mean((2, 3, 4))))
    batch = hidden_toy_batch(0)
    term = float(ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))["contrast"].detach())
    assert len(seen) == 2
    assert not torch.equal(seen[0], seen[1])
    expected = contrast(*ctx.modules["projector"](torch.cat(pooled)).chunk(2), 0.1)
    assert term == pytest.approx(float(expected.detach()))
    assert term > 0.0


def test_patches_of_other_texture_are_told_apart_and_copies_of_one_are_not():
    x, y, _ = torch.meshgrid(*[torch.arange(length).float() for length in PATCH], indexing="ij")
    noise = torch.randn(PATCH, generator=stream())
    textures = torch.stack([3 * torch.sin(0.4 * x), noise, 8 * (noise > 2).float(), torch.sin(1.5 * y).sign()])
    ends = []
    for image in (textures, textures[:1].expand(4, -1, -1, -1)):
        ctx = make_context(make_method(DECLARATION, {"strength": 0.0, "crop": 0.5}))
        found = []
        for _ in range(30):
            ctx.run_step(replace(hidden_toy_batch(0), image=image[:, None]))
            found.append(float(ctx.losses["contrast"].detach()))
        ends.append(sum(found[-5:]) / 5)
    assert ends[0] < 0.05
    assert ends[1] > 0.5


def test_two_forward_passes_a_step_are_counted_and_the_head_learns():
    ctx = make_context(make_method(DECLARATION))
    before = ctx.modules["projector"][0].weight.clone()
    advance(ctx, 2, hidden_toy_batch)
    assert ctx.forward_passes == 2 * DECLARATION.forward_passes_per_step == 4
    assert not torch.equal(ctx.modules["projector"][0].weight, before)


def test_what_no_term_reaches_stays_as_it_was():
    ctx = make_context(make_method(DECLARATION))
    last, stem = ctx.network.head.weight.clone(), ctx.network.stem.weight.clone()
    advance(ctx, 2, hidden_toy_batch)
    assert torch.equal(ctx.network.head.weight, last)
    assert not torch.equal(ctx.network.stem.weight, stem)


@pytest.mark.parametrize("size", [(48, 40, 24), (16, 16, 1)])
def test_a_batch_of_two_fits_at_any_size(size):
    ctx = make_context(make_method(DECLARATION))
    image = torch.randn(2, 1, *size, generator=stream())
    ctx.run_step(replace(hidden_toy_batch(0), image=image, label=torch.full((2, *size), -1)))
    assert math.isfinite(float(ctx.losses["contrast"].detach()))


class TestSimClr3dKeepsItsWord(MethodConformance):
    declaration = DECLARATION
