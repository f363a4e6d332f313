"""DG-TTA: agreement on small numbers, warps against SciPy, and an adaptation that makes warped views agree."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from dgsweep.method.conformance import MethodConformance, ToyNetwork, make_context, make_method, predicted, toy_batch
from dgsweep.method.context import Context
from dgsweep.method.descriptors import mind_ssc
from dgsweep.method.recipe import Recipe
from dgsweep_methods.dg_tta import DECLARATION
from dgsweep_methods.dg_tta.method import disagreement, random_affine, warped

SHORT = {"updates": 1, "patches": 2}


class TestDgTtaConformance(MethodConformance):
    """With one update of two patches a case instead of eleven of sixteen: what is checked does not depend on it."""

    fields = DECLARATION.hyperparameters
    declaration = replace(
        DECLARATION,
        hyperparameters={name: replace(item, default=SHORT.get(name, item.default)) for name, item in fields.items()},
    )


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def column(*values: float) -> torch.Tensor:
    """Probabilities (1, 2, n, 1, 1) with these foreground values."""
    foreground = torch.tensor(values).view(1, 1, -1, 1, 1)
    return torch.cat([1 - foreground, foreground], dim=1)


def test_the_disagreement_on_numbers_small_enough_to_see():
    first, second, seen = (
        column(1.0, 0.5, 0.9),
        column(0.0, 0.5, 0.1),
        torch.tensor([1.0, 1.0, 0.0]).view(1, 1, 3, 1, 1),
    )
    # Foreground, two voxels seen: 2 * 0.25 / (0.5 * (1 + 1)) = 0.5.
    assert disagreement(first, second, seen).item() == pytest.approx(0.5)
    assert disagreement(first, first, seen).item() == pytest.approx(0.0)
    assert disagreement(first, second, torch.ones_like(seen)).item() != pytest.approx(0.5)


def test_nothing_seen_is_agreement_without_nan():
    first = column(1.0, 0.5).requires_grad_()
    loss = disagreement(first, column(0.0, 0.5), torch.zeros(1, 1, 2, 1, 1))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.isfinite(first.grad).all()


def test_a_warp_is_scipys_affine_transform():
    size = (7, 6, 5)
    volume, (matrix, _) = (
        torch.randn(1, 1, *size, generator=stream(1)),
        random_affine(0.1, stream(), torch.device("cpu")),
    )
    half = np.array(size) / 2
    linear = (
        matrix[0, :, :3].double().numpy()[::-1, ::-1] * half[:, None] / half[None, :]
    )  # from (z, y, x) to (x, y, z)
    shift = matrix[0, :, 3].double().numpy()[::-1] * half
    centre = half - 0.5
    expected = ndimage.affine_transform(
        volume[0, 0].double().numpy(), linear, centre + shift - linear @ centre, order=1, mode="nearest"
    )
    torch.testing.assert_close(
        warped(volume, matrix, outside="border")[0, 0].double(), torch.from_numpy(expected), rtol=1e-4, atol=1e-5
    )
    assert not np.allclose(expected, volume[0, 0], atol=1e-2)


def test_the_second_matrix_undoes_the_first():
    there, back = random_affine(0.05, stream(), torch.device("cpu"))
    full = [torch.cat([matrix[0], torch.tensor([[0.0, 0.0, 0.0, 1.0]])]) for matrix in (there, back)]
    torch.testing.assert_close(full[0] @ full[1], torch.eye(4), rtol=0, atol=1e-6)
    assert (full[0] - torch.eye(4)).abs().max() > 0.01
    axis = torch.linspace(-1, 1, 24) ** 2
    smooth = (axis.view(-1, 1, 1) + axis.view(1, -1, 1) - axis.view(1, 1, -1))[None, None]
    again = warped(warped(smooth, there, outside="border"), back, outside="zeros")
    inside = (slice(None), slice(None), *[slice(5, -5)] * 3)
    torch.testing.assert_close(again[inside], smooth[inside], rtol=0, atol=0.02)


def context(network: nn.Module | None = None, **values):
    method = make_method(
        DECLARATION, {"pretraining": "none", "learning_rate": 1e-2, "updates": 5, "patches": 4, **values}
    )
    recipe = Recipe(budget_steps=4, patch=(16, 16, 8))
    return Context(network or ToyNetwork(method.in_channels(1), 0).train(), method, recipe, n_domains=1)


def mean_disagreement(ctx, image):
    """Over thirty draws of the two warps, without adaptation."""
    with torch.no_grad():
        ctx.generator.manual_seed(7)
        pairs = [(ctx.method._branch(ctx, image), ctx.method._branch(ctx, image)) for _ in range(30)]
        return np.mean([float(disagreement(a, b, seen_a * seen_b)) for (a, seen_a), (b, seen_b) in pairs])


@pytest.mark.parametrize("adapted", ["all", "norms"])
def test_adaptation_makes_warped_views_of_the_case_agree_and_is_undone(adapted):
    image, ctx = toy_batch(0, n=1).image, context(adapted=adapted)
    for step in range(4):
        ctx.run_step(toy_batch(step))
    ctx.network.eval()
    before, weights = mean_disagreement(ctx, image), [value.clone() for value in ctx.network.parameters()]
    with ctx.adapted(image):
        assert mean_disagreement(ctx, image) < 0.97 * before
        moved = {
            name
            for (name, value), old in zip(ctx.network.named_parameters(), weights, strict=True)
            if not torch.equal(value, old)
        }
        assert moved == (
            {"norm.weight", "norm.bias"} if adapted == "norms" else set(dict(ctx.network.named_parameters()))
        )
    assert mean_disagreement(ctx, image) == before


def test_only_the_first_branch_carries_a_gradient():
    image, ctx, grad_modes = toy_batch(0, n=1).image, context(updates=1, patches=1), []
    ctx.network.register_forward_hook(lambda *_: grad_modes.append(torch.is_grad_enabled()))
    with ctx.adapted(image):
        pass
    assert grad_modes == [True, False]


class Pointwise(nn.Module):
    """Logits that depend on the voxel alone, so that a warp and its inverse cancel; never (0, 0)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, image):
        return [torch.cat([torch.ones_like(image), self.weight * image], dim=1)]


def test_a_branch_is_back_in_the_place_of_its_patch_and_knows_where_it_saw_nothing():
    axes = [torch.linspace(-2, 2, side) for side in (24, 20, 16)]
    x, y, z = torch.meshgrid(*axes, indexing="ij")
    patch = (torch.sin(x) + 0.5 * y - 0.3 * z)[None, None]
    ctx = context(Pointwise(), strength=0.1)
    direct = torch.softmax(ctx.network(patch)[0], dim=1)
    for seed in range(5):
        ctx.generator.manual_seed(seed)
        with torch.no_grad():
            found, seen = ctx.method._branch(ctx, patch)
        core = seen.clone()
        core[:, :, :4], core[:, :, -4:], core[:, :, :, :4], core[:, :, :, -4:], core[..., :4], core[..., -4:] = (0,) * 6
        assert ((found - direct).abs() * core).max() < 0.05  # away from the border, which repeats itself
        nothing = (found[:, :1] - 0.5).abs() < 1e-6  # logits (0, 0) from outside the patch
        assert not (nothing & (seen > 0)).any()
        assert 0 < int(nothing.sum()) <= int((seen == 0).sum())


def test_views_are_recoloured_at_test_time_where_asked():
    image, plain, coloured = toy_batch(0, n=1).image, context(strength=0.0), context(strength=0.0, coloured=True)
    first, second = (plain.method._branch(plain, image)[0] for _ in range(2))
    assert torch.allclose(first, second, atol=1e-5)
    first, second = (coloured.method._branch(coloured, image)[0] for _ in range(2))
    assert not torch.allclose(first, second, atol=1e-3)


def test_prediction_of_a_case_does_not_depend_on_the_cases_before_it():
    first, second = toy_batch(0, n=1).image, toy_batch(1, n=1).image
    ctx, fresh = context(), context()
    predicted(ctx, first)
    assert torch.equal(predicted(ctx, second), predicted(fresh, second))
    assert not torch.equal(predicted(ctx, first), predicted(ctx, second))


@pytest.mark.parametrize(
    ("pretraining", "channels", "changes"),
    [("none", 1, False), ("gin", 1, True), ("mind", 12, True), ("gin_mind", 12, True)],
)
def test_the_source_network_is_trained_as_asked(pretraining, channels, changes):
    ctx, batch = context(pretraining=pretraining), toy_batch(0)
    (view,) = ctx.method.views(ctx, batch)
    assert view.image.shape == (4, channels, 16, 16, 8)
    assert torch.equal(view.label, batch.label)
    assert torch.equal(view.image, batch.image) is not changes
    ctx.run_step(batch)
    assert ctx.active_steps == int(changes)


def test_gin_comes_before_mind_and_prediction_sees_mind_alone():
    both, mind, batch = context(pretraining="gin_mind"), context(pretraining="mind"), toy_batch(0)
    assert not torch.allclose(
        both.method.views(both, batch)[0].image, mind.method.views(mind, batch)[0].image, atol=1e-1
    )
    assert torch.equal(both.method.infer_input(both, batch.image), mind_ssc(batch.image, 1, 1.0))


def test_norms_alone_need_norms_to_adapt():
    plain = nn.Sequential(nn.Conv3d(1, 2, 1), nn.InstanceNorm3d(2))
    with pytest.raises(ValueError, match="needs norm layers with scale and shift"):
        context(plain, adapted="norms")
    assert context(plain).method.adapted == "all"


def test_without_updates_nothing_is_adapted():
    ctx = make_context(make_method(DECLARATION, {"updates": 0, "pretraining": "none"}))
    plain = make_context(make_method(replace(DECLARATION), {"updates": 0, "pretraining": "none"}))
    assert torch.equal(predicted(ctx), predicted(plain))
    assert (ctx.adapted_cases, ctx.active_cases) == (1, 0)
