"""Virtual adversarial noise against the closed form of a linear model."""

import pytest
import torch

from dgsweep.method.base import Method
from dgsweep.method.conformance import MethodConformance, make_context, make_method, trained
from dgsweep.method.consistency import kl_divergence
from dgsweep.method.toy import toy_batch
from dgsweep_methods.advnoise import DECLARATION
from dgsweep_methods.advnoise.method import worst_direction


class TestAdvNoiseConformance(MethodConformance):
    declaration = DECLARATION


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def test_one_power_iteration_finds_the_weights_of_a_linear_model():
    # Two classes, one voxel: logits (0, w.x). The divergence grows with (w.r)^2 only, so the worst direction is w.
    w, image = torch.randn(1, 1, 4, 3, 2, generator=stream()), torch.randn(1, 1, 4, 3, 2, generator=stream(1))

    def logits(x):
        score = (w * x).sum().view(1, 1, 1, 1, 1)
        return torch.cat([torch.zeros_like(score), score], dim=1)

    start = torch.randn(1, 1, 4, 3, 2, generator=stream(2))
    found = worst_direction(start, lambda r: kl_divergence(logits(image), logits(image + r)), 1)
    cosine = torch.nn.functional.cosine_similarity(found.flatten(), w.flatten(), dim=0)
    assert abs(cosine) > 0.999
    assert abs(torch.nn.functional.cosine_similarity(start.flatten(), w.flatten(), dim=0)) < 0.5
    torch.testing.assert_close(found.square().mean(), torch.tensor(1.0))


def consistency(values, ctx, batch):
    """The unweighted term after a training with ERM, for the given hyperparameters."""
    method = make_method(DECLARATION, values)
    terms = method.loss(ctx, batch, method.views(ctx, batch))
    return float(terms["consistency"].detach()) / method.weight


def random_noise(ctx, batch, epsilon):
    noise = torch.randn(batch.image.shape, generator=stream(5))
    wanted, shown = ctx.forward(batch.image)[0], ctx.forward(batch.image + epsilon * noise)[0]
    return float(kl_divergence(wanted, shown).detach())


def test_the_found_noise_changes_the_prediction_more_than_random_noise_of_the_same_size():
    ctx, batch = trained(Method(), steps=30), toy_batch(0)
    assert consistency({}, ctx, batch) > 2 * random_noise(ctx, batch, 0.1)
    assert consistency({"epsilon": 0.2}, ctx, batch) > consistency({}, ctx, batch)
    assert abs(consistency({"epsilon": 0.0}, ctx, batch)) < 1e-6


def test_the_weight_multiplies_the_consistency_and_leaves_the_segmentation():
    ctx, batch = trained(Method(), steps=5), toy_batch(0)
    terms = []
    for weight in (1.0, 3.0):
        method = make_method(DECLARATION, {"weight": weight})
        ctx.generator.manual_seed(0)
        terms.append(method.loss(ctx, batch, method.views(ctx, batch)))
    torch.testing.assert_close(terms[1]["consistency"], 3 * terms[0]["consistency"])
    torch.testing.assert_close(terms[1]["segmentation"], terms[0]["segmentation"])
    torch.testing.assert_close(terms[0]["segmentation"], ctx.seg_loss(ctx.forward(batch.image), batch.label))


@pytest.mark.parametrize("steps", [1, 2])
def test_a_step_costs_two_forward_passes_and_one_for_each_power_iteration(steps):
    ctx = make_context(make_method(DECLARATION, {"steps": steps}))
    ctx.run_step(toy_batch(0))
    assert ctx.forward_passes == 2 + steps
    assert set(ctx.losses) == {"segmentation", "consistency"}
