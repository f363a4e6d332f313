"""Models Genesis: what each corruption changes and what it leaves, and that the network learns to undo it."""

from dataclasses import replace

import pytest
import torch

from dgsweep.method.conformance import MethodConformance, advance, make_context, make_method
from dgsweep.method.toy import hidden_toy_batch
from dgsweep_methods.models_genesis import DECLARATION
from dgsweep_methods.models_genesis.corruption import (
    COVER,
    INNER,
    OUTER,
    boxes,
    curved,
    locally_shuffled,
    painted,
    window_sides,
)

NOTHING = {"p_shuffle": 0.0, "p_curve": 0.0, "p_paint": 0.0}


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shown(batch, seed=0, **hp):
    ctx = make_context(make_method(DECLARATION, {**NOTHING, **hp}))
    ctx.generator.manual_seed(seed)
    (view,) = ctx.method.views(ctx, batch)
    return view.image


def test_windows_have_up_to_a_tenth_of_the_side_and_up_to_two_voxels_in_a_small_patch():
    drawn = [window_sides((60, 40, 8), stream(seed)) for seed in range(200)]
    assert [set(sides) for sides in zip(*drawn, strict=True)] == [{1, 2, 3, 4, 5, 6}, {1, 2, 3, 4}, {1, 2}]


def test_the_share_of_the_cubes_that_is_shuffled_is_the_one_that_the_published_windows_reach():
    image = torch.rand(4, 1, 40, 40, 40, generator=stream())
    found = locally_shuffled(image, (4, 4, 4), stream(1))
    cubes = (found != image).unflatten(4, (10, 4)).unflatten(3, (10, 4)).unflatten(2, (10, 4))
    changed = cubes.any(7).any(5).any(3)
    assert float(changed.float().mean()) == pytest.approx(COVER, abs=0.02)
    assert float(image.sum()) == pytest.approx(float(found.sum()), rel=1e-5)
    published = 1 - (1 - 3.5 * 3.5 * 2 / (64 * 64 * 32)) ** 10000
    assert pytest.approx(published, abs=0.01) == COVER


def test_a_curve_is_monotone_and_falls_in_half_of_the_samples():
    ramp = torch.linspace(0, 1, 40).view(1, 1, 40, 1, 1).expand(200, 2, 40, 1, 1)
    steps = curved(ramp, stream()).diff(dim=2)[:, :, :, 0, 0]
    rises, falls = (steps >= -1e-6).all(2), (steps <= 1e-6).all(2)
    assert bool((rises ^ falls).all())
    assert torch.equal(falls[:, 0], falls[:, 1])
    assert float(falls.float().mean()) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(("share", "least"), [(INNER, 0), (OUTER, 1)])
def test_one_box_has_a_side_within_its_share_and_up_to_five_cover_more(share, least, monkeypatch):
    many = boxes(300, (42, 42, 21), share, least, stream())
    monkeypatch.setattr("dgsweep_methods.models_genesis.corruption.BOXES", 1)
    one = boxes(300, (42, 42, 21), share, 1, stream())
    for axis, length in ((2, 42), (3, 42), (4, 21)):
        sides = one.any(dim=tuple({2, 3, 4} - {axis})).sum(-1)
        assert int(sides.min()) >= round(share[0] * length) - 1e-6
        assert int(sides.max()) <= round(share[1] * length)
        assert len(sides.unique()) > 1
    assert float(many.float().mean()) > 1.5 * float(one.float().mean())


def test_a_box_may_be_missing_inside_and_one_is_always_left_outside():
    inner, outer = (boxes(400, (12, 12, 12), share, least, stream()) for share, least in ((INNER, 0), (OUTER, 1)))
    empty = ~inner.flatten(1).any(1)
    assert 0.0 < float(empty.float().mean()) < 0.12  # one in twenty
    assert bool(outer.flatten(1).any(1).all())


def test_paint_puts_noise_in_boxes_or_all_around_them():
    unit = torch.full((40, 1, 24, 24, 24), 7.0)
    inner = torch.arange(40) < 20
    found = painted(unit, inner, stream())
    noisy = found != 7.0
    share = noisy.float().mean((1, 2, 3, 4))
    assert 0.0 < float(share[:20].mean()) < 0.2
    assert 0.4 < float(share[20:].mean()) < 0.9
    assert float(found[noisy].min()) >= 0.0
    assert float(found[noisy].max()) <= 1.0
    assert float(found[noisy].mean()) == pytest.approx(0.5, abs=0.01)


def test_each_corruption_alone_changes_the_patch_within_its_range_and_none_leaves_it():
    batch = hidden_toy_batch(0)
    torch.testing.assert_close(shown(batch), batch.image)
    for name in NOTHING:
        found = shown(batch, seed=2, **{name: 1.0})
        assert not torch.allclose(found, batch.image, atol=1e-2), name
        axes = (1, 2, 3, 4)
        assert bool((found.amin(axes) >= batch.image.amin(axes) - 1e-5).all())
        assert bool((found.amax(axes) <= batch.image.amax(axes) + 1e-5).all())


def test_a_probability_is_the_share_of_the_samples_that_is_changed():
    batch = hidden_toy_batch(0)
    many = replace(batch, image=batch.image.repeat(50, 1, 1, 1, 1))
    changed = (shown(many, p_curve=0.3) - many.image).abs().amax((1, 2, 3, 4)) > 1e-3
    assert float(changed.float().mean()) == pytest.approx(0.3, abs=0.08)


def test_the_error_is_the_mean_square_over_the_whole_uncorrupted_patch():
    ctx = make_context(make_method(DECLARATION))
    batch = hidden_toy_batch(0)
    views = ctx.method.views(ctx, batch)
    found = float(ctx.method.loss(ctx, batch, views)["restoration"].detach())
    restored = ctx.method.restored(ctx, views[0].image).detach()
    assert found == pytest.approx(float((restored - batch.image).square().mean()))
    assert found != pytest.approx(float((restored - views[0].image).square().mean()), rel=1e-2)


def test_a_network_learns_to_restore():
    ctx = make_context(make_method(DECLARATION))
    advance(ctx, 1, hidden_toy_batch)
    first = float(ctx.losses["restoration"].detach())
    for _ in range(30):
        ctx.run_step(hidden_toy_batch(0))
    assert float(ctx.losses["restoration"].detach()) < 0.8 * first
    assert ctx.forward_passes == 31 * DECLARATION.forward_passes_per_step


@pytest.mark.parametrize("size", [(48, 40, 24), (16, 16, 8), (7, 33, 1)])
def test_a_batch_of_two_fits_at_any_size(size):
    image = torch.randn(2, 2, *size, generator=stream())
    batch = replace(hidden_toy_batch(0), image=image, label=torch.full((2, *size), -1))
    found = shown(batch, p_shuffle=1.0, p_curve=1.0, p_paint=1.0)
    assert found.shape == image.shape
    assert bool(torch.isfinite(found).all())


class TestModelsGenesisKeepsItsWord(MethodConformance):
    declaration = DECLARATION
