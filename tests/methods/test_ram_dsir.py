"""RAM-DSIR: its three terms on small numbers, its decoder against a loop over samples."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional

from dgsweep.method.amplitude import mix_amplitude
from dgsweep.method.conformance import MethodConformance, make_context, make_method, toy_batch
from dgsweep_methods.ram_dsir import DECLARATION
from dgsweep_methods.ram_dsir.method import divergence_as_shipped, restoration_error, symmetric_divergence
from dgsweep_methods.ram_dsir.restorer import STAGES, DomainNorm, Restorer


class TestRamDsirKeepsItsWord(MethodConformance):
    declaration = DECLARATION


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def logits(seed: int) -> torch.Tensor:
    return torch.randn(2, 3, 2, 2, 2, generator=stream(seed))


def test_the_divergence_is_that_of_kullback_and_leibler_both_ways():
    first, second = logits(0), logits(1)
    p, q = (torch.softmax(one, dim=1).double().numpy() for one in (first, second))
    both = (p * np.log(p / q)).sum(axis=1).mean() + (q * np.log(q / p)).sum(axis=1).mean()
    assert float(symmetric_divergence(first, second)) == pytest.approx(both, rel=1e-5)
    assert float(symmetric_divergence(first, first)) == 0.0
    assert float(symmetric_divergence(first, second)) > 0.1


def test_the_shipped_divergence_misses_the_logarithm_and_rewards_doubt():
    first, second = logits(0), logits(1)
    p, q = (torch.softmax(one, dim=1).double().numpy() for one in (first, second))
    shipped = (p * (np.log(p) - q)).mean() + (q * (np.log(q) - p)).mean()
    assert float(divergence_as_shipped(first, second)) == pytest.approx(shipped, rel=1e-5)
    sure, unsure = 20 * logits(0), 0 * logits(0)
    assert float(divergence_as_shipped(unsure, unsure)) < float(divergence_as_shipped(sure, sure))
    assert float(symmetric_divergence(unsure, unsure)) == float(symmetric_divergence(sure, sure)) == 0.0


def test_the_restoration_error_is_a_mean_in_each_domain_summed_over_domains():
    image = torch.randn(3, 1, 4, 4, 4, generator=stream()) * torch.tensor([1.0, 5.0, 2.0]).view(3, 1, 1, 1, 1)
    restored = torch.tanh(torch.randn(3, 1, 4, 4, 4, generator=stream(1)))
    error = []
    for one, guess in zip(image.numpy(), restored.numpy(), strict=True):
        target = 2 * (one - one.min()) / (one.max() - one.min()) - 1
        error.append(((guess - target) ** 2).mean())
    found = float(restoration_error(restored, image, torch.tensor([4, 1, 4])))
    assert found == pytest.approx((error[0] + error[2]) / 2 + error[1], rel=1e-5)
    assert found != pytest.approx(sum(error) / 3, rel=1e-2)


def test_a_perfectly_restored_image_has_no_error():
    image = torch.randn(2, 1, 4, 4, 4, generator=stream())
    low, high = image.amin((2, 3, 4), keepdim=True), image.amax((2, 3, 4), keepdim=True)
    assert float(restoration_error(2 * (image - low) / (high - low) - 1, image, torch.tensor([0, 1]))) < 1e-10
    assert float(restoration_error(torch.zeros_like(image), image, torch.tensor([0, 1]))) > 0.1


def test_each_domain_has_its_own_gain_and_bias():
    norm, feature = DomainNorm(3, 4), torch.randn(3, 3, 5, 4, 2, generator=stream())
    with torch.no_grad():
        norm.gain.copy_(torch.randn(4, 3, generator=stream(1)))
        norm.bias.copy_(torch.randn(4, 3, generator=stream(2)))
    domain = torch.tensor([2, 0, 2])
    expected = torch.cat(
        [
            functional.instance_norm(one[None], weight=norm.gain[index], bias=norm.bias[index])
            for one, index in zip(feature, domain, strict=True)
        ]
    )
    torch.testing.assert_close(norm(feature, domain), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(norm(feature, torch.tensor([0, 0, 2])), expected, atol=1e-2)


@pytest.mark.parametrize(
    ("small", "full"), [((2, 2, 3), (32, 32, 12)), ((16, 16, 8), (16, 16, 8)), ((1, 1, 1), (9, 7, 5))]
)
def test_the_decoder_grows_step_by_step_to_the_size_of_the_patch(small, full):
    sizes = [torch.Size(small)]
    for stage in range(STAGES):
        sizes.append(torch.Size(Restorer.size_after(stage, sizes[-1], torch.Size(full))))
    assert sizes[-1] == torch.Size(full)
    assert all(now <= later for first, second in pairwise(sizes) for now, later in zip(first, second, strict=True))
    restorer = Restorer(16, 2)
    image = restorer(torch.randn(2, 16, *small, generator=stream()), torch.tensor([0, 1]), torch.Size(full))
    assert image.shape == (2, 1, *full)
    assert float(image.detach().abs().max()) <= 1.0


def test_the_second_view_has_amplitudes_of_the_other_domain():
    method, batch = make_method(DECLARATION), toy_batch(0, n=2)
    ctx = make_context(method)
    original, mixed = method.views(ctx, batch)
    generator = make_context(method).generator
    torch.rand(2, 2, generator=generator)  # the partners
    share = torch.rand(2, generator=generator)
    assert original.image is batch.image
    torch.testing.assert_close(mixed.image, mix_amplitude(batch.image, batch.image.flip(0), share, 0.1))
    assert not torch.allclose(mixed.image, batch.image, atol=1e-2)


def terms(batch, **values):
    method = make_method(DECLARATION, values)
    ctx = make_context(method)
    views = method.views(ctx, batch)
    return {name: float(term.detach()) for name, term in method.loss(ctx, batch, views).items()}, ctx, views


def test_the_loss_has_both_segmentations_and_the_weighted_terms():
    batch = toy_batch(0)
    once, ctx, views = terms(batch)
    assert ctx.forward_passes == DECLARATION.forward_passes_per_step
    outputs = [ctx.network(view.image) for view in views]
    both = [float(ctx.seg_loss(output, batch.label).detach()) for output in outputs]
    assert once["segmentation"] == pytest.approx(sum(both), rel=1e-5)
    divergence = float(symmetric_divergence(outputs[0][0], outputs[1][0]).detach())
    assert once["consistency"] == pytest.approx(0.5 * divergence, rel=1e-4)
    twice, _, _ = terms(batch, consistency=1.0, restoration=0.2)
    assert twice["consistency"] == pytest.approx(2 * once["consistency"], rel=1e-4)
    assert twice["restoration"] == pytest.approx(2 * once["restoration"], rel=1e-4)
    assert once["restoration"] > 0.01


def test_restoration_starts_from_the_features_of_the_second_view():
    batch = toy_batch(0)
    _, ctx, views = terms(batch)
    features = []
    handle = ctx.network.taps["bottleneck"].register_forward_hook(lambda *call: features.append(call[2]))
    for view in views:
        ctx.network(view.image)
    handle.remove()
    _, again, _ = terms(batch)
    torch.testing.assert_close(again.features["bottleneck"], features[1])
    assert not torch.allclose(again.features["bottleneck"], features[0], atol=1e-3)


def test_the_decoder_learns_with_the_network_and_its_error_reaches_the_encoder():
    method, batch = make_method(DECLARATION, {"restoration": 10.0}), toy_batch(0)
    ctx = make_context(method)
    before = {name: value.clone() for name, value in ctx.modules.state_dict().items()}
    views = method.views(ctx, batch)
    method.loss(ctx, batch, views)["restoration"].backward()
    assert float(ctx.network.stem.weight.grad.abs().max()) > 0
    errors = []
    for _ in range(15):
        ctx.step = 0
        ctx.run_step(batch)
        errors.append(float(ctx.losses["restoration"].detach()))
    assert errors[-1] < 0.9 * errors[0]
    assert all(
        not torch.equal(value, before[name]) for name, value in ctx.modules.state_dict().items() if "last" in name
    )


def test_a_batch_of_one_domain_gives_two_equal_views_and_is_not_counted_as_active():
    method, batch = make_method(DECLARATION), toy_batch(0)
    batch = replace(batch, domain=torch.ones(4, dtype=torch.long))
    ctx = make_context(method)
    original, mixed = method.views(ctx, batch)
    torch.testing.assert_close(mixed.image, original.image, rtol=1e-4, atol=1e-4)
    ctx.run_step(batch)
    assert ctx.active_steps == 0
